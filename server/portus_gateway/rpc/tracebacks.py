"""Errors without their tracebacks, so that they keep nothing in memory."""

from typing import TypeVar

Error = TypeVar("Error", bound=BaseException)


def forget_frames(error: Error) -> Error:
    """Takes the tracebacks from `error` and from the errors that led to it.

    A traceback keeps all its frames, a frame its local variables: the request, the call's context. gRPC keeps the last
    error of a call with the call, which closes a circle that only the garbage collector could break. Frames are not
    cleared here (`traceback.clear_frames`): an error that several calls share has frames of calls that still run.
    """
    waiting: list[BaseException] = [error]
    seen = set()
    while waiting:
        one = waiting.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        one.__traceback__ = None
        waiting.extend(other for other in (one.__cause__, one.__context__) if other is not None)
    return error
