"""The ambient deadline: how long whoever called us is still willing to wait.

It travels with the context, as in Go, so that no signature has to carry it: the transport reads it to bound
a request and to decide whether waiting for a retry is worth while.
"""

import asyncio
from contextvars import Context, ContextVar
from dataclasses import dataclass
from types import TracebackType

from portus_gateway.distribution.errors import DeadlineExceeded


@dataclass(slots=True)
class SharedDeadline:
    """The deadline of work that several wait for: that of the most patient of them. Nobody has come yet at first."""

    when: float | None = 0.0

    def extend(self) -> None:
        """Takes in the current context's deadline, as that of one more who waits."""
        mine = _when()
        self.when = None if mine is None or self.when is None else max(mine, self.when)

    def context(self) -> Context:
        """A context of its own for the work, in which this is the deadline."""
        context = Context()
        context.run(_deadline.set, self)
        return context


_deadline: ContextVar[float | SharedDeadline | None] = ContextVar("deadline", default=None)


class within:  # noqa: N801  (read as a verb: `async with within(2)`)
    """Bounds a block, and every request made in it, to `seconds`. An outer, earlier deadline stays in force.

    Raises `DeadlineExceeded` when time runs out.
    """

    # Written out, and no generator: every call goes through here.
    __slots__ = ("_seconds", "_timeout", "_token")

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    async def __aenter__(self) -> None:
        outer = _when()
        own = asyncio.get_running_loop().time() + self._seconds
        when = own if outer is None else min(own, outer)
        self._token = _deadline.set(when)
        self._timeout = asyncio.timeout_at(when)
        await self._timeout.__aenter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        _deadline.reset(self._token)
        try:
            await self._timeout.__aexit__(kind, error, traceback)
        except TimeoutError as late:
            raise _exceeded() from late
        if isinstance(error, TimeoutError) and self._timeout.expired():
            raise _exceeded() from error


def remaining() -> float | None:
    """Seconds until the deadline, 0 when it has passed, None where there is none."""
    when = _when()
    return None if when is None else max(0.0, when - asyncio.get_running_loop().time())


def _when() -> float | None:
    deadline = _deadline.get()
    return deadline.when if isinstance(deadline, SharedDeadline) else deadline


def _exceeded() -> DeadlineExceeded:
    return DeadlineExceeded("the call's deadline ran out before the registry had answered")
