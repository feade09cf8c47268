"""The error message for a failed call: one line with the cause, the reason, and what to do."""

import socket
from collections.abc import Sequence
from typing import Final

from portus_client.connection import DEFAULT_DELETE_TIMEOUT, DEFAULT_STREAM_TIMEOUT, DEFAULT_TIMEOUT
from portus_client.errors import (
    DataLoss,
    DeadlineExceeded,
    Internal,
    Referenced,
    RegistryError,
    Tagged,
    Unavailable,
    Unimplemented,
)

# Parts of gRPC's messages about a failed connection, and what each means for the user.
_REFUSED: Final = "Connection refused"
_CONNECTION_ERRORS: Final = (
    (_REFUSED, "nothing listens at {address}: is the gateway running, and is --address right?"),
    ("WRONG_VERSION_NUMBER", "the server at {address} does not use TLS: give --plaintext to connect without TLS"),
    (" signature failure", "the certificate of {address} is not signed by a trusted CA: give another --ca-file"),
    ("CERTIFICATE_VERIFY_FAILED", "the certificate of {address} is not signed by a trusted CA: give --ca-file"),
    ("Hostname Verification Check", "the certificate of {address} is for another name: use that name in --address"),
    ("Failed parsing HTTP/2", "the server at {address} is not a gRPC server: is the port in --address right?"),
    ("lookup", "the host name in {address} is not known: is --address right?"),
    (
        "Socket closed",
        "{address} closed the connection: it stopped, or it requires TLS (--tls, --ca-file) or a client --certificate",
    ),
)
_NEVER_CONNECTED: Final = ("failed to connect", "connections to all backends failing", "errors resolving")
_DEFAULT_TIMEOUTS: Final = (
    f"{DEFAULT_TIMEOUT:g} s, delete {DEFAULT_DELETE_TIMEOUT:g} s, catalog and batch {DEFAULT_STREAM_TIMEOUT:g} s"
)
_LISTED_TAGS: Final = 10
# Which option helps, where the gateway's message is for every kind of client.
_OPTIONS: Final = {
    "CREDENTIAL_MISSING": "give --token-file, or --certificate and --key",
    "CREDENTIAL_INVALID": "check --token-file",
    "PLATFORM_REQUIRED": "give --platform",
}


def line(error: RegistryError, address: str, timeout: float | None) -> str:
    """One line for a failed call to the gateway at `address`. `timeout` is the user's --timeout, in seconds."""
    parts = [_message(error, address, timeout), *getattr(error, "__notes__", ())]
    if error.reason in _OPTIONS:
        parts.append(_OPTIONS[error.reason])
    if error.retry_delay is not None:
        parts.append(f"try again in {error.retry_delay.total_seconds():g} s")
    if isinstance(error, Internal | DataLoss) and error.request_id and error.request_id not in parts[0]:
        parts.append(f"the gateway's log has the request id {error.request_id}")
    return "; ".join(part.rstrip(".") for part in parts)


def never_sent(error: RegistryError) -> bool:
    """Whether the call certainly did not reach a gateway, so that it had no effect."""
    return not error.reason and any(sign in error.message for sign in _NEVER_CONNECTED)


def summary(error: RegistryError) -> str:
    """Only the message and the reason, for an error within a result."""
    reason = error.reason or error.code.name
    return error.message if reason in error.message else f"{error.message} ({reason})"


def _message(error: RegistryError, address: str, timeout: float | None) -> str:
    if isinstance(error, Tagged):
        return (
            f"nothing was deleted: unexpected tags point to the manifest: {_first(error.tags, error.tag_count)}"
            f" ({error.reason}); name each with --expect, or give --force"
        )
    if isinstance(error, Referenced) and error.index_tags:
        return (
            f"nothing was deleted: tagged indexes contain the manifest: {_first(error.index_tags)} ({error.reason});"
            " --force deletes it and leaves them incomplete"
        )
    if error.reason:
        return summary(error)
    match error:
        case Unavailable():
            return _unavailable(error.message, address)
        case DeadlineExceeded():
            limit = f"{timeout:g} s" if timeout else f"the default timeout ({_DEFAULT_TIMEOUTS})"
            return (
                f"no answer from the gateway at {address} within {limit}: give a longer --timeout, or check --address"
            )
        case Unimplemented():
            return f"the server at {address} is not a portus-gateway, or it is too old ({error.message})"
        case _:
            return summary(error)


def _unavailable(message: str, address: str) -> str:
    listens = _REFUSED in message and _listens(address)
    for sign, meaning in _CONNECTION_ERRORS:
        if sign in message and not (sign == _REFUSED and listens):
            return meaning.format(address=address)
    if listens:
        return (
            f"the server at {address} does not accept the connection: check TLS (--tls or --plaintext), --ca-file"
            " and --certificate"
        )
    return f"cannot reach the gateway at {address}: {message}"


def _listens(address: str) -> bool:
    """Whether a server listens at one of the addresses of the name. gRPC reports only one of them."""
    host, _, port = address.removeprefix("dns:///").rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=1):
            return True
    except (OSError, ValueError):
        return False


def _first(tags: Sequence[str], count: int = 0) -> str:
    """The first of `tags`, and how many more there are. `count` is their number if `tags` does not have all."""
    shown = ", ".join(tags[:_LISTED_TAGS])
    more = max(count, len(tags)) - min(len(tags), _LISTED_TAGS)
    return f"{shown} and {more} more" if more else shown
