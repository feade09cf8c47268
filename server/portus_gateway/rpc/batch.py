"""Many requests in one call: each result as it is known, with its own status if it fails."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Iterator, Sequence
from typing import Generic, TypeVar

from google.protobuf.message import Message
from google.rpc.status_pb2 import Status

from portus_gateway.access.rpcs import Rpc
from portus_gateway.aio.deadline import DeadlineExceeded
from portus_gateway.rpc.known_error import known_error
from portus_gateway.rpc.part_failures import part_status
from portus_gateway.rpc.resources import resource_of
from portus_gateway.rpc.tracebacks import forget_frames

# gRPC is at its fastest with messages of about this size, in bytes.
_MESSAGE_SIZE = 64 * 1024
# The tag and the length around a result in a message, at most.
_FRAME = 6

Request = TypeVar("Request", bound=Message)
Result = TypeVar("Result", bound=Message)


class Batch(ABC, Generic[Request, Result]):
    """Serves each request as the RPC `each` does, up to `concurrency` of them at a time."""

    def __init__(self, each: Rpc, concurrency: int) -> None:
        self._each = each
        self._concurrency = concurrency

    @abstractmethod
    async def _read(self, index: int, request: Request) -> Result:
        """The result of a request that succeeds."""

    @abstractmethod
    def _failed(self, index: int, status: Status) -> Result:
        """The result of a request that fails."""

    async def results(self, requests: Sequence[Request]) -> AsyncGenerator[list[Result], None]:
        """A result for each of the requests as they come, in lists of 64 KiB at most; a larger one comes alone.

        While nobody takes them, the batch reads no further than to fill a list, and one result for each of the
        requests that it makes at a time. Raises `DeadlineExceeded`.
        """
        ready = _Ready[Result]()
        waiting = iter(enumerate(requests))
        workers = [
            asyncio.create_task(self._work(waiting, ready)) for _ in range(min(self._concurrency, len(requests)))
        ]
        try:
            missing = len(requests)
            while missing:
                results = await ready.taken()
                missing -= len(results)
                yield results
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)

    async def _work(self, waiting: Iterator[tuple[int, Request]], ready: "_Ready[Result]") -> None:
        try:
            for index, request in waiting:
                result = await self._result(index, request)
                if result.ByteSize() <= _MESSAGE_SIZE:
                    await ready.put(result)
                elif ready.large.locked():
                    # Not held while it waits: a batch that nobody reads would keep one for each worker.
                    del result
                    async with ready.large:
                        await ready.put(await self._result(index, request))
                else:
                    async with ready.large:
                        await ready.put(result)
                        del result
        except Exception as error:
            await ready.fail(error)

    async def _result(self, index: int, request: Request) -> Result:
        try:
            return await self._read(index, request)
        except DeadlineExceeded:
            # The whole call's.
            raise
        except BaseException as error:
            if isinstance(error, asyncio.CancelledError) and _is_cancelled():
                raise
            known = known_error(error, self._each.name)
            status = part_status(known, resource_of(self._each, request, known))
            forget_frames(error)
            return self._failed(index, status)


class _Ready(Generic[Result]):
    """The results that are known and not taken yet."""

    def __init__(self) -> None:
        self.large = asyncio.Lock()
        """Held by the worker whose large result waits for its turn."""
        self._changed = asyncio.Condition()
        self._results: list[Result] = []
        self._size = 0
        self._failure: Exception | None = None

    async def put(self, result: Result) -> None:
        """Adds a result as soon as there is room for it."""
        size = result.ByteSize() + _FRAME
        async with self._changed:
            await self._changed.wait_for(lambda: not self._size or self._size + size <= _MESSAGE_SIZE)
            self._results.append(result)
            self._size += size
            self._changed.notify_all()

    async def fail(self, failure: Exception) -> None:
        """Ends the batch: `taken` raises `failure` after the results that are known."""
        async with self._changed:
            self._failure = failure
            self._changed.notify_all()

    async def taken(self) -> list[Result]:
        """The results, as soon as there is one. Raises what the batch failed with once there is none."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._size or self._failure is not None)
            if not self._size and self._failure is not None:
                raise self._failure
            results, self._results, self._size = self._results, [], 0
            self._changed.notify_all()
        return results


def _is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
