"""How far a blob has been read: what both clients need to continue after a break, and to verify the bytes."""

import hashlib
import random
from typing import Final

import grpc
from google.protobuf.any_pb2 import Any
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status

from portus.registry.v1.registry_service_pb2 import ReadBlobRequest, ReadBlobResponse
from portus_client import errors
from portus_client.errors import DeadlineExceeded, RegistryError, ResourceExhausted, Unavailable

# How often a read is continued without having got any further.
_MOST_BREAKS: Final = 4
_FIRST_PAUSE: Final = 0.2
_LONGEST_PAUSE: Final = 5.0


class BlobProgress:
    """One read of a blob, or of a part of it. It can take several calls."""

    def __init__(self, first: ReadBlobRequest) -> None:
        self._first = first
        self._position = first.offset
        self._breaks = 0
        algorithm = first.digest.partition(":")[0]
        is_whole = first.offset == 0 and first.limit == 0 and algorithm in ("sha256", "sha512")
        self._hash = hashlib.new(algorithm) if is_whole else None
        self.has_begun = False
        self.size: int | None = None
        """Size of the whole blob in bytes. None if the registry does not state it."""

    @property
    def received(self) -> int:
        return self._position - self._first.offset

    @property
    def _end(self) -> int | None:
        asked = self._first.offset + self._first.limit if self._first.limit else None
        return min((each for each in (asked, self.size) if each is not None), default=None)

    def request(self) -> ReadBlobRequest:
        """Asks for what is missing."""
        first = self._first
        limit = first.limit - self.received if first.limit else 0
        return ReadBlobRequest(repository=first.repository, digest=first.digest, offset=self._position, limit=limit)

    def took(self, response: ReadBlobResponse) -> bytes:
        """The bytes of a message. Empty for the first one, which states the size."""
        if response.HasField("size"):
            if self.has_begun and self.size not in (None, response.size):
                raise _data_loss("the size of the blob changed while it was read", "UPSTREAM_ANSWER_INVALID")
            self.size = response.size
        self.has_begun = True
        if response.chunk:
            self._breaks = 0
            self._position += len(response.chunk)
            if self._hash is not None:
                self._hash.update(response.chunk)
        return response.chunk

    def pause_after(self, error: RegistryError) -> float | None:
        """Seconds to wait before the read is continued. None: it is not continued."""
        may_pass = isinstance(error, Unavailable | DeadlineExceeded | ResourceExhausted)
        if not self.has_begun or not may_pass or (isinstance(error, DeadlineExceeded) and self._breaks):
            return None
        self._breaks += 1
        if self._breaks > _MOST_BREAKS:
            return None
        pause = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2.0 ** (self._breaks - 1))
        asked = error.retry_delay.total_seconds() if error.retry_delay is not None else 0.0
        return max(asked, random.uniform(0, pause))  # noqa: S311 -- spreads load; nothing secret

    def check(self) -> None:
        """Checks what was read, after a call that ended with OK. Raises `DataLoss`."""
        end = self._end
        if end is not None and self._position < min(end, self.size or end):
            raise _data_loss(f"the blob ended after {self.received} bytes", "UPSTREAM_ANSWER_INVALID")
        if self._hash is not None and f"{self._hash.name}:{self._hash.hexdigest()}" != self._first.digest:
            raise _data_loss(f"the bytes that were read do not have the digest {self._first.digest}", "DIGEST_MISMATCH")


def _data_loss(message: str, reason: str) -> RegistryError:
    number: int = grpc.StatusCode.DATA_LOSS.value[0]
    detail = Any()
    detail.Pack(ErrorInfo(reason=reason, domain="portus-gateway"))
    return errors.from_status(Status(code=number, message=message, details=[detail]))
