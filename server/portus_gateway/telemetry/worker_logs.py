"""Log lines of several processes that write to the same standard error."""

import sys

import structlog
from structlog.typing import EventDict


def share(worker: int | None = None) -> None:
    """Has each event written at once, so that no other process's comes into it, and named for its `worker`.

    To be called after `logs.configure`, and before the first event that it is for. A line is whole up to what the
    system writes at once: 4 KiB on a pipe.
    """

    def name(_: object, __: str, event: EventDict) -> EventDict:
        if worker is not None:
            event.setdefault("worker", worker)
        return event

    structlog.configure(
        processors=[name, *structlog.get_config()["processors"]],
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
    )
