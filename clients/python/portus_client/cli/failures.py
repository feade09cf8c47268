"""A failed call in one line: what went wrong, the reason, and what to do."""

import socket
from typing import Final

from portus_client.connection import DEFAULT_DELETE_TIMEOUT, DEFAULT_STREAM_TIMEOUT, DEFAULT_TIMEOUT
from portus_client.errors import (
    DataLoss,
    DeadlineExceeded,
    Internal,
    RegistryError,
    Tagged,
    Unavailable,
    Unimplemented,
)

# What gRPC says where there is no connection, and what that means for whoever typed the address.
_REFUSED: Final = "Connection refused"
_CONNECTION_TROUBLES: Final = (
    (_REFUSED, "nothing listens at {address}: is the gateway running, and is --address right?"),
    ("WRONG_VERSION_NUMBER", "what listens at {address} does not speak TLS: give --plaintext if that is meant"),
    (" signature failure", "the certificate of {address} is signed by nobody trusted here: give another --ca-file"),
    ("CERTIFICATE_VERIFY_FAILED", "the certificate of {address} is signed by nobody trusted here: give --ca-file"),
    ("Hostname Verification Check", "the certificate of {address} is for another name: use the name that it is for"),
    ("Failed parsing HTTP/2", "what listens at {address} is no gRPC server: is the port in --address right?"),
    ("lookup", "the name in {address} is not known: is --address right?"),
    (
        "Socket closed",
        "{address} closed the connection: it stopped, or it wants TLS (--tls, --ca-file) or a --certificate",
    ),
)
_NEVER_CONNECTED: Final = ("failed to connect", "connections to all backends failing", "errors resolving")
_LISTED_TAGS = 10


def line(error: RegistryError, address: str, timeout: float | None) -> str:
    """One line for a failed call to the gateway at `address`; `timeout` is what the user asked for, in seconds."""
    parts = [_what(error, address, timeout), *getattr(error, "__notes__", ())]
    if error.retry_delay is not None:
        parts.append(f"try again in {error.retry_delay.total_seconds():g} s")
    if isinstance(error, Internal | DataLoss) and error.request_id and error.request_id not in parts[0]:
        parts.append(f"the gateway's log has it under the request id {error.request_id}")
    return "; ".join(part.rstrip(".") for part in parts)


def never_sent(error: RegistryError) -> bool:
    """Whether the call certainly did not reach a gateway, so that it cannot have had an effect."""
    return not error.reason and any(sign in error.message for sign in _NEVER_CONNECTED)


def summary(error: RegistryError) -> str:
    """The message and the reason alone, for an error inside of an answer."""
    reason = error.reason or error.code.name
    return error.message if reason in error.message else f"{error.message} ({reason})"


def _what(error: RegistryError, address: str, timeout: float | None) -> str:
    if isinstance(error, Tagged):
        return (
            f"nothing was deleted: tags that were not expected point there: {_tags(error)} ({error.reason});"
            " name each with --expect, or give --force"
        )
    if error.reason:
        return summary(error)
    match error:
        case Unavailable():
            for sign, meaning in _CONNECTION_TROUBLES:
                if sign in error.message and not (sign == _REFUSED and _listens(address)):
                    return meaning.format(address=address)
            if _REFUSED in error.message:
                return (
                    f"what listens at {address} does not take this connection: with TLS or without (--tls,"
                    " --plaintext), another --ca-file, or a --certificate?"
                )
            return f"cannot reach the gateway at {address}: {error.message}"
        case DeadlineExceeded():
            waited = f"{timeout or DEFAULT_TIMEOUT:g} s" if timeout else f"the time that it has ({_DEFAULTS})"
            return (
                f"no answer from the gateway at {address} within {waited}: give a longer --timeout, or check --address"
            )
        case Unimplemented():
            return f"what answers at {address} is no portus-gateway, or one too old for this ({error.message})"
        case _:
            return summary(error)


def _listens(address: str) -> bool:
    """Whether something listens at one of a name's addresses: gRPC tells what happened at one, which may be another."""
    host, _, port = address.removeprefix("dns:///").rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=1):
            return True
    except (OSError, ValueError):
        return False


_DEFAULTS = (
    f"{DEFAULT_TIMEOUT:g} s, delete {DEFAULT_DELETE_TIMEOUT:g} s, catalog and batch {DEFAULT_STREAM_TIMEOUT:g} s"
)


def _tags(error: Tagged) -> str:
    shown = ", ".join(error.tags[:_LISTED_TAGS])
    more = error.tag_count - min(len(error.tags), _LISTED_TAGS)
    return f"{shown} and {more} more" if more else shown
