"""Many requests in one call: each result as it is known, with its own status if it fails."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from typing import Generic, TypeVar

from google.protobuf.message import Message
from google.rpc.status_pb2 import Status

from portus_gateway.access.rpcs import Rpc
from portus_gateway.aio.deadline import DeadlineExceeded
from portus_gateway.errors import forget_frames
from portus_gateway.rpc.known_error import known_error
from portus_gateway.rpc.packing import FRAME, MESSAGE_SIZE
from portus_gateway.rpc.part_failures import part_status
from portus_gateway.rpc.resources import resource_of

Request = TypeVar("Request", bound=Message)
Found = TypeVar("Found")
Result = TypeVar("Result", bound=Message)
Response = TypeVar("Response", bound=Message)


class Batch(ABC, Generic[Request, Found, Result]):
    """Serves each request as the RPC `each` does, up to `concurrency` of them at a time."""

    def __init__(self, each: Rpc, concurrency: int) -> None:
        self._each = each
        self._concurrency = concurrency

    @abstractmethod
    async def _find(self, request: Request) -> Found:
        """What the request asks for."""

    @abstractmethod
    def _size(self, found: Found) -> int:
        """How many bytes it has, about."""

    @abstractmethod
    async def _result(self, index: int, found: Found) -> Result:
        """The result of a request that succeeds."""

    @abstractmethod
    def _failed(self, index: int, status: Status) -> Result:
        """The result of a request that fails."""

    async def responses(
        self, requests: Sequence[Request], make: Callable[[list[Result]], Response]
    ) -> AsyncGenerator[Response, None]:
        """A result for each of the requests as they come, in responses of 64 KiB at most; a larger one comes alone.

        While nobody takes them, the batch reads no further than to fill a response, and one result for each of the
        requests that it makes at a time. Raises `DeadlineExceeded`.
        """
        ready = _Ready[Result]()
        waiting = iter(enumerate(requests))
        workers = [
            asyncio.create_task(self._work(waiting, ready)) for _ in range(min(self._concurrency, len(requests)))
        ]
        try:
            while ready.count_taken < len(requests):
                # It has no name here, so that it is not kept in memory while it is sent.
                yield make(await ready.take())
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)

    async def _work(self, waiting: Iterator[tuple[int, Request]], ready: "_Ready[Result]") -> None:
        try:
            for index, request in waiting:
                try:
                    found = await self._find(request)
                except DeadlineExceeded:
                    # The whole call's.
                    raise
                except BaseException as error:
                    if _is_cancellation(error):
                        raise
                    failed = self._failed_with(index, request, error)
                else:
                    await self._put(ready, index, request, found)
                    continue
                await ready.put(failed)
        except Exception as error:
            await ready.fail(error)

    async def _put(self, ready: "_Ready[Result]", index: int, request: Request, found: Found) -> None:
        async def make() -> Result:
            try:
                return await self._result(index, found)
            except BaseException as error:
                if _is_cancellation(error):
                    raise
                return self._failed_with(index, request, error)

        size = self._size(found)
        if size > MESSAGE_SIZE:
            await ready.put_large(size, make)
        else:
            await ready.put(await make())

    def _failed_with(self, index: int, request: Request, error: BaseException) -> Result:
        """The result of a request that failed with `error`."""
        known = known_error(error, self._each.name)
        status = part_status(known, resource_of(self._each, request, known))
        forget_frames(error)
        return self._failed(index, status)


class _Ready(Generic[Result]):
    """The results that are known and not taken yet."""

    def __init__(self) -> None:
        self.count_taken = 0
        """How many results have been taken."""
        self._changed = asyncio.Condition()
        self._results: list[Result] = []
        self._size = 0
        self._large: Callable[[], Awaitable[Result]] | None = None
        """Makes the only result, when it is taken: such a result needs much memory."""
        self._failure: Exception | None = None

    async def put(self, result: Result) -> None:
        """Adds a result as soon as there is room for it."""
        size = result.ByteSize() + FRAME
        async with self._changed:
            await self._changed.wait_for(lambda: not self._size or self._size + size <= MESSAGE_SIZE)
            self._results.append(result)
            self._size += size
            self._changed.notify_all()

    async def put_large(self, size: int, make: Callable[[], Awaitable[Result]]) -> None:
        """Adds a result that comes alone, as soon as it is its turn."""
        async with self._changed:
            await self._changed.wait_for(lambda: not self._size)
            self._large = make
            self._size = size
            self._changed.notify_all()

    async def fail(self, failure: Exception) -> None:
        """Ends the batch: `take` raises `failure` after the results that are known."""
        async with self._changed:
            self._failure = failure
            self._changed.notify_all()

    async def take(self) -> list[Result]:
        """The results, as soon as there is one. Raises what the batch failed with once there is none."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._size or self._failure is not None)
            if not self._size and self._failure is not None:
                raise self._failure
            if self._large is not None:
                self._results.append(await self._large())
            results, self._results, self._size, self._large = self._results, [], 0, None
            self.count_taken += len(results)
            self._changed.notify_all()
        return results


def _is_cancellation(error: BaseException) -> bool:
    """Whether the whole batch is cancelled, and not only something that one of its requests waited for."""
    task = asyncio.current_task()
    return isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling() > 0
