"""What both clients share: the settings of a connection, and what goes with every call."""

import math
import uuid
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Final, TypeAlias

import grpc

from portus_client import channel
from portus_client.address import Address
from portus_client.channel import FilePath

DEFAULT_ADDRESS: Final = "127.0.0.1:50051"
DEFAULT_TIMEOUT: Final = 30.0
DEFAULT_STREAM_TIMEOUT: Final = 600.0
# A registry takes some 2 ms for each tag on a digest. A gateway has no more patience than this unless told.
DEFAULT_DELETE_TIMEOUT: Final = 120.0

Metadata: TypeAlias = tuple[tuple[str, str | bytes], ...]


@dataclass(frozen=True, slots=True)
class CallTerms:
    """What goes with one call."""

    timeout: float
    """Its deadline, in seconds from now."""
    request_id: str
    """The id by which the gateway's log knows it."""
    metadata: Metadata = field(repr=False)
    """What is sent beside the request; it may hold the token."""


class Connection(ABC):
    """How to reach a gateway, checked; both clients are one.

    - `address`: `host:port`, or a name in gRPC's own syntax (`dns:///gateway:50051`, `unix:/run/gateway`).
    - `timeout`: the deadline of a call, in seconds. Every call can set its own.
    - `stream_timeout`: the deadline of `catalog`, from its first to its last repository, in seconds.
    - `delete_timeout`: the deadline of a delete, in seconds. What became of one that is cut off is unknown.
    - `ca_file`: who signed the gateway's certificate, in PEM form. Without it: the public authorities.
    - `certificate_file`, `key_file`: the certificate that this client shows (mTLS), in PEM form.
    - `token`: sent to the gateway as `authorization: Bearer`; never in plaintext to another machine.
    - `plaintext`: whether to do without TLS. None is: to this machine yes, to others no.

    Raises `ValueError` for settings that cannot work, `OSError` for a file that cannot be read. Nothing is sent before
    the first call.
    """

    def __init__(
        self,
        address: str = DEFAULT_ADDRESS,
        *,
        timeout: float = DEFAULT_TIMEOUT,
        stream_timeout: float = DEFAULT_STREAM_TIMEOUT,
        delete_timeout: float = DEFAULT_DELETE_TIMEOUT,
        ca_file: FilePath | None = None,
        certificate_file: FilePath | None = None,
        key_file: FilePath | None = None,
        token: str | None = None,
        plaintext: bool | None = None,
    ) -> None:
        self._address = Address(address)
        self._timeout = _checked_timeout(timeout)
        self._stream_timeout = _checked_timeout(stream_timeout)
        self._delete_timeout = _checked_timeout(delete_timeout)
        credentials = channel.credentials(
            self._address,
            plaintext=plaintext,
            ca_file=ca_file,
            certificate_file=certificate_file,
            key_file=key_file,
        )
        if token is not None:
            _check_token(token)
            if credentials is None and not self._address.local:
                raise ValueError("a token is never sent in plaintext to another machine: use TLS")
        self._token = token
        self._open(credentials)

    @abstractmethod
    def _open(self, credentials: grpc.ChannelCredentials | None) -> None:
        """Makes the channel: with TLS, or without where there are no credentials."""

    @property
    def address(self) -> str:
        """Where the gateway listens."""
        return self._address.text

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.address!r})"

    def _of_delete(self, timeout: float | None) -> float:
        return self._delete_timeout if timeout is None else timeout

    def _terms(self, timeout: float | None, *, stream: bool = False) -> CallTerms:
        default = self._stream_timeout if stream else self._timeout
        request_id = uuid.uuid4().hex
        metadata: Metadata = (("x-request-id", request_id),)
        if self._token is not None:
            metadata += (("authorization", f"Bearer {self._token}"),)
        return CallTerms(
            timeout=default if timeout is None else _checked_timeout(timeout),
            request_id=request_id,
            metadata=metadata,
        )


def _checked_timeout(seconds: float) -> float:
    if not (math.isfinite(seconds) and seconds > 0):
        raise ValueError(f"a timeout is a number of seconds above 0, not {seconds}: every call has a deadline")
    return seconds


def _check_token(token: str) -> None:
    # gRPC would repeat the token in its own complaint.
    if not token or not all("!" <= character <= "~" for character in token):
        raise ValueError("the token is empty, or has a character other than visible ASCII")
