"""The deadline of the current call.

It is a context variable, so that no function needs a parameter for it. The transport reads it to bound a request, and
to decide whether there is time for a retry.
"""

import asyncio
from collections.abc import AsyncGenerator, Coroutine, Generator
from contextlib import asynccontextmanager
from contextvars import Context, ContextVar
from dataclasses import dataclass
from types import coroutine
from typing import TypeVar

from portus_gateway.errors import GatewayError

Result = TypeVar("Result")


class DeadlineExceeded(GatewayError):
    """The caller's deadline has passed."""

    reason = "DEADLINE_EXCEEDED"


@dataclass(slots=True)
class SharedDeadline:
    """The deadline of shared work: the latest deadline of its callers. It begins without callers."""

    when: float | None = 0.0

    def extend(self) -> None:
        """Adds a caller, with the deadline of the current context."""
        mine = _when()
        self.when = None if mine is None or self.when is None else max(mine, self.when)

    def context(self) -> Context:
        """A new context for the work, in which this is the deadline."""
        context = Context()
        context.run(_deadline.set, self)
        return context


_deadline: ContextVar[float | SharedDeadline | None] = ContextVar("deadline", default=None)


@asynccontextmanager
async def within(seconds: float) -> AsyncGenerator[None, None]:
    """Bounds a block, and every request made in it, to `seconds`. An outer, earlier deadline stays in force.

    Raises `DeadlineExceeded` when it passes.
    """
    when = _earliest(seconds)
    token = _deadline.set(when)
    try:
        async with _until(when):
            yield
    finally:
        _deadline.reset(token)


def begin(seconds: float) -> None:
    """Sets the deadline of all that follows in this context, `seconds` from now. An outer, earlier one stays in force.

    It bounds every request, and what is awaited by `bounded`.
    """
    _deadline.set(_earliest(seconds))


async def bounded(work: Coroutine[object, None, Result]) -> Result:
    """The result of `work`, which ends at the deadline of the context.

    The timer is set only when `work` waits for the first time, because it costs more time than an answer from memory.
    Raises `DeadlineExceeded`.
    """
    # Now, because `work` may be in a block with a deadline of its own when it waits.
    when = _when()
    try:
        awaited = work.send(None)
    except StopIteration as ended:
        result: Result = ended.value
        return result
    if when is None:
        return await _rest(work, awaited)
    async with _until(when):
        return await _rest(work, awaited)


@asynccontextmanager
async def _until(when: float) -> AsyncGenerator[None, None]:
    """Ends a block at `when`, by the event loop's clock."""
    try:
        async with asyncio.timeout_at(when) as timeout:
            yield
    except TimeoutError as late:
        if timeout.expired():
            raise _exceeded() from late
        raise


@coroutine
def _rest(work: Coroutine[object, None, Result], awaited: object) -> Generator[object, None, Result]:
    """The rest of `work`, which waits for `awaited`."""
    while True:
        try:
            try:
                yield awaited
            except BaseException as error:
                awaited = work.throw(error)
            else:
                awaited = work.send(None)
        except StopIteration as ended:
            result: Result = ended.value
            return result


def remaining() -> float | None:
    """Seconds until the deadline: 0 if it has passed, None if there is none."""
    when = _when()
    return None if when is None else max(0.0, when - asyncio.get_running_loop().time())


def allows(seconds: float) -> bool:
    """Whether the deadline leaves more time than `seconds`."""
    left = remaining()
    return left is None or seconds < left


def _earliest(seconds: float) -> float:
    """The end of `seconds` from now, or the current deadline if that is earlier."""
    outer = _when()
    own = asyncio.get_running_loop().time() + seconds
    return own if outer is None else min(own, outer)


def _when() -> float | None:
    deadline = _deadline.get()
    return deadline.when if isinstance(deadline, SharedDeadline) else deadline


def _exceeded() -> DeadlineExceeded:
    return DeadlineExceeded("the call's deadline passed before the registry answered")
