"""What both clients have in common: the settings of a connection, and what is sent with every call."""

import math
import uuid
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Final, TypeAlias

import grpc

from portus_client import bearer_token, channel
from portus_client.address import Address
from portus_client.file_path import FilePath

DEFAULT_ADDRESS: Final = "127.0.0.1:50051"
DEFAULT_TIMEOUT: Final = 30.0
DEFAULT_STREAM_TIMEOUT: Final = 600.0
# A registry needs about 2 ms for each tag of the deleted digest. The gateway's own default limit is the same.
DEFAULT_DELETE_TIMEOUT: Final = 120.0

Metadata: TypeAlias = tuple[tuple[str, str | bytes], ...]


@dataclass(frozen=True, slots=True)
class CallTerms:
    """Deadline and metadata of one call."""

    timeout: float
    """The deadline, in seconds from now."""
    request_id: str
    """The id of the call in the gateway's log."""
    metadata: Metadata = field(repr=False)
    """The metadata to send. It can contain the token."""


class Connection(ABC):
    """The connection settings of a client. Both clients derive from this class.

    - `address`: `host:port`, or a name in gRPC's syntax (`dns:///gateway:50051`, `unix:/run/gateway`).
    - `timeout`: the deadline of a call, in seconds. Each call can set its own.
    - `stream_timeout`: the deadline of `catalog` as a whole, of every 1,000 requests of a batch, and of each call of
      `read_blob`, in seconds.
    - `delete_timeout`: the deadline of a delete, in seconds. When it expires, the manifest may or may not be deleted.
      `batch_delete` has the longer one of this and `stream_timeout`.
    - `ca_file`: CA certificates that sign the gateway's certificate, in PEM format. Default: the public CAs.
    - `certificate_file`, `key_file`: the client certificate and its key for mTLS, in PEM format. They are read again
      when they are renewed: the next call then uses a new connection.
    - `token`: sent as `authorization: Bearer`, never in plaintext to another machine.
    - `token_file`: a file with the token. It is read for every call, so it can be renewed.
    - `plaintext`: True connects without TLS, False with TLS. None uses TLS except to this machine.

    Raises `ValueError` for settings that cannot work and `OSError` for a file that cannot be read. The first call
    connects.
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
        token_file: FilePath | None = None,
        plaintext: bool | None = None,
    ) -> None:
        self._address = Address(address)
        self._timeout = _checked_timeout(timeout)
        self._stream_timeout = _checked_timeout(stream_timeout)
        self._delete_timeout = _checked_timeout(delete_timeout)
        self._security = channel.security(
            self._address,
            plaintext=plaintext,
            ca_file=ca_file,
            certificate_file=certificate_file,
            key_file=key_file,
        )
        self._token = bearer_token.source(token, token_file)
        if self._token is not None and self._security is None and not self._address.is_local:
            raise ValueError("a token is never sent in plaintext to another machine: use TLS")
        self._open(None if self._security is None else self._security.credentials())

    @abstractmethod
    def _open(self, credentials: grpc.ChannelCredentials | None) -> None:
        """Makes the channel for the next calls: with TLS, or in plaintext if `credentials` is None."""

    def _renew(self) -> None:
        """Makes a new channel if the client certificate was renewed."""
        certificate = None if self._security is None else self._security.certificate
        if self._security is not None and certificate is not None and certificate.is_renewed():
            self._open(self._security.credentials())

    @property
    def address(self) -> str:
        """The gateway's address."""
        return self._address.text

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.address!r})"

    def _terms(self, timeout: float | None) -> CallTerms:
        return self._with_deadline(self._timeout if timeout is None else timeout)

    def _stream_terms(self, timeout: float | None) -> CallTerms:
        return self._with_deadline(self._stream_timeout if timeout is None else timeout)

    def _delete_terms(self, timeout: float | None) -> CallTerms:
        return self._with_deadline(self._delete_timeout if timeout is None else timeout)

    def _batch_delete_terms(self, timeout: float | None) -> CallTerms:
        return self._stream_terms(max(self._stream_timeout, self._delete_timeout) if timeout is None else timeout)

    def _with_deadline(self, timeout: float) -> CallTerms:
        request_id = uuid.uuid4().hex
        metadata: Metadata = (("x-request-id", request_id),)
        if self._token is not None:
            metadata += (("authorization", f"Bearer {self._token()}"),)
        return CallTerms(timeout=_checked_timeout(timeout), request_id=request_id, metadata=metadata)


def _checked_timeout(seconds: float) -> float:
    if not (math.isfinite(seconds) and seconds > 0):
        raise ValueError(f"a timeout must be a number of seconds above 0, not {seconds}: every call has a deadline")
    return seconds
