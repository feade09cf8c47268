"""Logs: one event a line on standard error, as JSON for machines or in colour for a person."""

import logging
import sys
from typing import Literal, TextIO

import structlog
from structlog.typing import Processor

from portus_gateway.rpc import request_id

Format = Literal["auto", "human", "json"]

_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


def configure(form: Format, level: str, stream: TextIO | None = None) -> None:
    """Sets logging up for the whole process, the standard library's included.

    `level` is `debug`, `info`, `warning` or `error`. Each event of a call carries its request id.
    """
    stream = stream or sys.stderr
    human = form == "human" or (form == "auto" and stream.isatty())
    shared: list[Processor] = [
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="%H:%M:%S" if human else "iso", utc=not human),
        _request_id,
    ]
    render: list[Processor] = (
        [structlog.dev.ConsoleRenderer(colors=stream.isatty())]
        if human
        else [structlog.processors.format_exc_info, _in_reading_order, structlog.processors.JSONRenderer()]
    )
    structlog.configure(
        processors=[*shared, *render],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=structlog.WriteLoggerFactory(stream),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *render],
        )
    )
    # Libraries speak of what concerns their users: of asyncio, aiohttp and grpc that is warnings alone.
    logging.basicConfig(handlers=[handler], level=max(_LEVELS[level], logging.WARNING), force=True)
    logging.captureWarnings(True)


def _request_id(_: object, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    current = request_id.current.get()
    if current:
        event.setdefault("request_id", current)
    return event


def _in_reading_order(_: object, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    first = {name: event[name] for name in ("timestamp", "level", "event") if name in event}
    return first | dict(event)
