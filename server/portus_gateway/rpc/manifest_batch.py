"""Many manifests in one call: each as it is known, with its own status where it fails."""

import asyncio
from collections.abc import AsyncGenerator, Iterator, Sequence

import structlog

from portus.registry.v1 import registry_service_pb2
from portus_gateway.distribution.errors import DeadlineExceeded, DistributionError
from portus_gateway.registry import Registry
from portus_gateway.rpc import request_id, request_parsing
from portus_gateway.rpc.call_errors import Bug, CallError
from portus_gateway.rpc.converted_manifests import ConvertedManifests
from portus_gateway.rpc.platform_selection import manifest_for
from portus_gateway.rpc.resources import resource_of
from portus_gateway.rpc.status import KnownError, status_of

_log = structlog.get_logger(__name__)

Result = registry_service_pb2.BatchGetManifestsResult
Request = registry_service_pb2.GetManifestRequest

# gRPC is at its fastest with messages of about this size, in bytes.
_MESSAGE_SIZE = 64 * 1024
# How many results wait for a reader that is slow. The batch goes no further then.
_MOST_WAITING = 64
# A thousand of these fit a message.
_STATUS_LIMIT = 2048


class ManifestBatch:
    """Reads from `registry` with up to `concurrency` requests at a time."""

    def __init__(self, registry: Registry, converted: ConvertedManifests, concurrency: int) -> None:
        self._registry = registry
        self._converted = converted
        self._concurrency = concurrency

    async def responses(
        self, requests: Sequence[Request]
    ) -> AsyncGenerator[registry_service_pb2.BatchGetManifestsResponse, None]:
        """A result for each of the requests, in messages of about 64 KiB, as they come."""
        results: asyncio.Queue[Result] = asyncio.Queue(_MOST_WAITING)
        waiting = iter(enumerate(requests))
        readers = [
            asyncio.create_task(self._read(waiting, results)) for _ in range(min(self._concurrency, len(requests)))
        ]
        everything = asyncio.gather(*readers)
        try:
            missing = len(requests)
            while missing:
                response = registry_service_pb2.BatchGetManifestsResponse(results=[await _next(results, everything)])
                size = response.ByteSize()
                while size < _MESSAGE_SIZE and not results.empty():
                    result = results.get_nowait()
                    response.results.append(result)
                    size += result.ByteSize()
                missing -= len(response.results)
                yield response
        finally:
            everything.cancel()
            await asyncio.gather(everything, *readers, return_exceptions=True)

    async def _read(self, waiting: Iterator[tuple[int, Request]], results: asyncio.Queue[Result]) -> None:
        for index, request in waiting:
            await results.put(await self._result(index, request))

    async def _result(self, index: int, request: Request) -> Result:
        try:
            wanted = request_parsing.manifest_read(request)
            manifest = await manifest_for(
                wanted.platform, self._registry, wanted.repository, wanted.reference, wanted.max_staleness
            )
            return Result(request_index=index, manifest=self._converted.of(manifest))
        except DeadlineExceeded:
            # The whole call's.
            raise
        except (DistributionError, CallError) as error:
            known: KnownError = error
        except Exception:
            _log.exception("a request of a batch failed unexpectedly", request_id=request_id.current.get())
            known = Bug(request_id.current.get())
        status = status_of(known, resource_of(request, known.reason), limit=_STATUS_LIMIT)
        return Result(request_index=index, status=status)


async def _next(results: asyncio.Queue[Result], everything: "asyncio.Future[list[None]]") -> Result:
    """The next result. Raises what ended the readers, if that is why there is none."""
    getting = asyncio.ensure_future(results.get())
    try:
        await asyncio.wait((getting, everything), return_when=asyncio.FIRST_COMPLETED)
        if not getting.done():
            everything.result()
        return await getting
    finally:
        getting.cancel()
