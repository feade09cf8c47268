"""Many manifests in one call: each as it is known, with its own status where it fails."""

import asyncio
from collections.abc import AsyncGenerator, Iterator, Sequence

from portus.registry.v1 import registry_service_pb2
from portus_gateway.access.rpcs import RPCS
from portus_gateway.aio.deadline import DeadlineExceeded
from portus_gateway.operations.platform_selection import manifest_for
from portus_gateway.registry.protocol import Registry
from portus_gateway.rpc import request_parsing
from portus_gateway.rpc.converted_manifests import ConvertedManifests
from portus_gateway.rpc.known_error import known_error
from portus_gateway.rpc.part_failures import part_status
from portus_gateway.rpc.resources import resource_of
from portus_gateway.rpc.tracebacks import forget_frames

Response = registry_service_pb2.BatchGetManifestsResponse
Result = registry_service_pb2.BatchGetManifestsResult
Request = registry_service_pb2.GetManifestRequest

# Each request of a batch is one of this RPC.
_EACH = RPCS["GetManifest"]
# gRPC is at its fastest with messages of about this size, in bytes.
_MESSAGE_SIZE = 64 * 1024
# The tag and the length around a result in a message, at most.
_FRAME = 6


class ManifestBatch:
    """Reads from `registry` with up to `concurrency` requests at a time."""

    def __init__(self, registry: Registry, converted: ConvertedManifests, concurrency: int) -> None:
        self._registry = registry
        self._converted = converted
        self._concurrency = concurrency

    async def responses(self, requests: Sequence[Request]) -> AsyncGenerator[Response, None]:
        """A result for each of the requests, in messages of 64 KiB at most, as they come; a larger one comes alone.

        While nobody takes them, the batch reads no further than to fill a message, and one result for each of the
        requests that it makes at a time. Raises `DeadlineExceeded`.
        """
        message = _Message()
        waiting = iter(enumerate(requests))
        readers = [
            asyncio.create_task(self._read(waiting, message)) for _ in range(min(self._concurrency, len(requests)))
        ]
        try:
            missing = len(requests)
            while missing:
                response = await message.taken()
                missing -= len(response.results)
                yield response
        finally:
            for reader in readers:
                reader.cancel()
            await asyncio.gather(*readers, return_exceptions=True)

    async def _read(self, waiting: Iterator[tuple[int, Request]], message: "_Message") -> None:
        try:
            for index, request in waiting:
                await message.put(await self._result(index, request))
        except Exception as error:
            await message.fail(error)

    async def _result(self, index: int, request: Request) -> Result:
        try:
            wanted = request_parsing.manifest_read(request)
            manifest = await manifest_for(
                wanted.platform, self._registry, wanted.repository, wanted.reference, wanted.max_staleness
            )
            return Result(request_index=index, manifest=await self._converted.of(manifest))
        except DeadlineExceeded:
            # The whole call's.
            raise
        except BaseException as error:
            if isinstance(error, asyncio.CancelledError) and _is_cancelled():
                raise
            known = known_error(error, _EACH.name)
            status = part_status(known, resource_of(_EACH, request, known))
            forget_frames(error)
            return Result(request_index=index, status=status)


class _Message:
    """The next message: those who read fill it, until it is taken."""

    def __init__(self) -> None:
        self._changed = asyncio.Condition()
        self._response = Response()
        self._size = 0
        self._failure: Exception | None = None

    async def put(self, result: Result) -> None:
        """Adds a result, once there is room for it."""
        size = result.ByteSize() + _FRAME
        async with self._changed:
            await self._changed.wait_for(lambda: not self._size or self._size + size <= _MESSAGE_SIZE)
            self._response.results.append(result)
            self._size += size
            self._changed.notify_all()

    async def fail(self, failure: Exception) -> None:
        """Ends the batch, for whoever takes its messages."""
        async with self._changed:
            self._failure = failure
            self._changed.notify_all()

    async def taken(self) -> Response:
        """The message, as soon as there is something in it. Raises what the batch failed with once there is nothing."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._size or self._failure is not None)
            if not self._size and self._failure is not None:
                raise self._failure
            response, self._response, self._size = self._response, Response(), 0
            self._changed.notify_all()
        return response


def _is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
