"""The ambient deadline: how long whoever called us is still willing to wait.

It travels with the context, as in Go, so that no signature has to carry it: the transport reads it to bound
a request and to decide whether waiting for a retry is worth while.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar

from portus_gateway.distribution.errors import DeadlineExceeded

_deadline: ContextVar[float | None] = ContextVar("deadline", default=None)


@asynccontextmanager
async def within(seconds: float) -> AsyncIterator[None]:
    """Bounds the block, and every request made in it, to `seconds`. An outer, earlier deadline stays in force.

    Raises `DeadlineExceeded` when time runs out.
    """
    outer = _deadline.get()
    own = asyncio.get_running_loop().time() + seconds
    when = own if outer is None else min(own, outer)
    token = _deadline.set(when)
    try:
        async with asyncio.timeout_at(when) as timeout:
            yield
    except TimeoutError as error:
        if timeout.expired():
            raise DeadlineExceeded("the call's deadline ran out before the registry had answered") from error
        raise
    finally:
        _deadline.reset(token)


def remaining() -> float | None:
    """Seconds until the deadline, 0 when it has passed, None where there is none."""
    when = _deadline.get()
    return None if when is None else max(0.0, when - asyncio.get_running_loop().time())
