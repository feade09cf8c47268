"""Blobs of `RegistryClient`, as files to read."""

import io
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Protocol

from portus.registry.v1.registry_service_pb2 import ReadBlobRequest, ReadBlobResponse
from portus_client import errors
from portus_client.blob_progress import BlobProgress
from portus_client.connection import CallTerms
from portus_client.errors import RegistryError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer


class ReadBlobCall(Protocol):
    """A running call of ReadBlob."""

    def __iter__(self) -> Iterator[ReadBlobResponse]: ...

    def cancel(self) -> bool: ...


Begin = Callable[[ReadBlobRequest, CallTerms], ReadBlobCall]


class BlobReader(io.RawIOBase):
    """The bytes of a blob, as a file that is read once from its beginning to its end.

    Use it in a `with`, or close it. After a break it continues by itself where it stopped, a few times. A whole blob is
    verified: the read that meets the end raises `DataLoss` if the bytes are not those of the digest. Do not use bytes
    of a blob whose end you have not read.
    """

    def __init__(self, begin: Begin, terms: Callable[[], CallTerms], first: ReadBlobRequest) -> None:
        super().__init__()
        self._begin = begin
        self._terms = terms
        self._progress = BlobProgress(first)
        self._messages: Iterator[ReadBlobResponse] | None = None
        self._call: ReadBlobCall | None = None
        self._request_id = ""
        self._rest = memoryview(b"")
        self._ended = False
        # Now, so that an error of the call is not met only when somebody reads.
        self._rest = memoryview(self._next())

    @property
    def size(self) -> int | None:
        """Size of the whole blob in bytes. None if the registry does not state it."""
        return self._progress.size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer", /) -> int:
        """Reads bytes into `buffer`, and returns their number. 0 at the end. Raises `RegistryError`."""
        if self.closed:
            raise ValueError("the blob is closed")
        target = memoryview(buffer).cast("B")
        while not self._rest and not self._ended:
            self._rest = memoryview(self._next())
        count = min(len(target), len(self._rest))
        target[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count

    def chunks(self) -> Iterator[bytes]:
        """Yields the bytes as they come, at most 1 MiB at a time. Faster than `read`. Raises `RegistryError`."""
        while not self.closed:
            chunk, self._rest = bytes(self._rest), memoryview(b"")
            if chunk:
                yield chunk
            if self._ended:
                return
            self._rest = memoryview(self._next())

    def close(self) -> None:
        """Ends the call. The gateway stops too."""
        if not self.closed and self._call is not None:
            self._call.cancel()
        super().close()

    def _next(self) -> bytes:
        """The bytes of the next message. Empty at the end, and for a message without bytes."""
        while not self._ended:
            if self._messages is None:
                terms = self._terms()
                self._request_id = terms.request_id
                self._call = self._begin(self._progress.request(), terms)
                self._messages = iter(self._call)
            try:
                with errors.raised_for(self._request_id):
                    response = next(self._messages, None)
            except RegistryError as error:
                self._messages = None
                pause = self._progress.pause_after(error)
                if pause is None:
                    self._ended = True
                    raise
                time.sleep(pause)
                continue
            if response is None:
                self._ended = True
                self._progress.check()
                return b""
            return self._progress.took(response)
        return b""
