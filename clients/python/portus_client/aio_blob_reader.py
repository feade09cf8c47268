"""Blobs of `AsyncRegistryClient`."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from types import TracebackType
from typing import TYPE_CHECKING, Self

from portus.registry.v1.registry_service_pb2 import ReadBlobRequest, ReadBlobResponse
from portus_client import errors
from portus_client.blob_progress import BlobProgress
from portus_client.connection import CallTerms
from portus_client.errors import RegistryError

if TYPE_CHECKING:
    import grpc

    Begin = Callable[[ReadBlobRequest, CallTerms], "grpc.aio.UnaryStreamCall[ReadBlobRequest, ReadBlobResponse]"]


class AsyncBlobReader:
    """The bytes of a blob, to be read once: `async with client.read_blob(...) as blob: async for chunk in blob: ...`.

    The `async with` makes the call and raises its error. After a break, the reader continues by itself where it
    stopped, a few times. A whole blob is verified: the end raises `DataLoss` if the bytes are not those of the digest.
    Do not use bytes of a blob whose end you have not read.
    """

    def __init__(self, begin: "Begin", terms: Callable[[], CallTerms], first: ReadBlobRequest) -> None:
        self._begin = begin
        self._terms = terms
        self._progress = BlobProgress(first)
        self._chunks = self._read()
        self._first = b""

    async def __aenter__(self) -> Self:
        try:
            self._first = await anext(self._chunks, b"")
        except BaseException:
            await self._chunks.aclose()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._chunks.aclose()

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self.chunks()

    @property
    def size(self) -> int | None:
        """Size of the whole blob in bytes. None if the registry does not state it."""
        return self._progress.size

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """Yields the bytes as they come, at most 1 MiB at a time. Raises `RegistryError`."""
        first, self._first = self._first, b""
        if first:
            yield first
        async for chunk in self._chunks:
            if chunk:
                yield chunk

    async def read(self) -> bytes:
        """All bytes that have not been read yet. For blobs that fit into memory."""
        return b"".join([chunk async for chunk in self.chunks()])

    async def _read(self) -> AsyncGenerator[bytes, None]:
        while True:
            terms = self._terms()
            call = self._begin(self._progress.request(), terms)
            try:
                with errors.raised_for(terms.request_id):
                    async for response in call:
                        yield self._progress.took(response)
            except RegistryError as error:
                pause = self._progress.pause_after(error)
                if pause is None:
                    raise
                await asyncio.sleep(pause)
            else:
                self._progress.check()
                return
            finally:
                call.cancel()
