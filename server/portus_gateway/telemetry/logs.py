"""Logs: one event a line on standard error, as JSON for machines or in colour for a person (https://no-color.org)."""

import atexit
import logging
import os
import sys
from typing import Final, Literal, TextIO

import structlog
from structlog.typing import EventDict, Processor

from portus_gateway.access.current_call import current_request_id
from portus_gateway.aio import spans
from portus_gateway.telemetry.log_writer import LogWriter

Format = Literal["auto", "human", "json"]

_LEVELS: Final = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
# How long the end of the process waits for lines that are not written yet, in seconds.
_LAST_WAIT: Final = 1.0
_MULTILINE: Final = ("exception", "stack")
_log = structlog.get_logger(__name__)
_writers: Final[list[LogWriter]] = []


def configure(form: Format, level: str, stream: TextIO | None = None, *, worker: int | None = None) -> None:
    """Sets logging up for the whole process, the standard library's included. To be called once.

    `level` is `debug`, `info`, `warning` or `error`. Each event of a call carries its request id, and its trace id if
    it has one. Each event of a process that is one of several carries its number, `worker`. No event waits for whoever
    reads the log.
    """
    stream = stream or sys.stderr
    human = form == "human" or (form == "auto" and stream.isatty())
    shared: list[Processor] = [
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="%H:%M:%S" if human else "iso", utc=not human),
        _identified,
    ]
    if worker is not None:
        shared.append(_Worker(worker))
    # Tracebacks are plain: those of `rich` show local variables, and so credentials.
    render: list[Processor] = [structlog.processors.format_exc_info]
    if human:
        render += [_printable, structlog.dev.ConsoleRenderer(colors=stream.isatty() and not os.environ.get("NO_COLOR"))]
    else:
        render += [_in_reading_order, structlog.processors.JSONRenderer()]
    writer = LogWriter(stream, tell_dropped=_tell_dropped)
    _writers.append(writer)
    atexit.register(writer.flush, _LAST_WAIT)
    structlog.configure(
        processors=[*shared, *render],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=lambda *_: _LineLogger(writer),
        cache_logger_on_first_use=True,
    )
    handler = _LineHandler(writer)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *render],
        )
    )
    # From libraries, the operator needs only warnings.
    logging.basicConfig(handlers=[handler], level=max(_LEVELS[level], logging.WARNING), force=True)
    logging.captureWarnings(True)


def flush(timeout: float = _LAST_WAIT) -> None:
    """Waits until the log is written, for `timeout` seconds at most. For a process that ends at once."""
    for writer in _writers:
        writer.flush(timeout)


def dropped_lines() -> int:
    """How many lines were dropped so far, because nobody read the log."""
    return sum(writer.dropped for writer in _writers)


class _LineLogger:
    """Takes the finished lines of structlog."""

    def __init__(self, writer: LogWriter) -> None:
        self._writer = writer

    def msg(self, message: str) -> None:
        self._writer.put(message)

    log = debug = info = warning = error = critical = exception = msg


class _LineHandler(logging.Handler):
    """The same for the standard library's loggers."""

    def __init__(self, writer: LogWriter) -> None:
        super().__init__()
        self._writer = writer

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._writer.put(self.format(record))
        except Exception:
            self.handleError(record)


class _Worker:
    """Names the worker in each event."""

    def __init__(self, number: int) -> None:
        self._number = number

    def __call__(self, _: object, __: str, event: EventDict) -> EventDict:
        event.setdefault("worker", self._number)
        return event


def _tell_dropped(lines: int) -> None:
    _log.warning("log lines were dropped, because nobody read the log", lines=lines)


def _identified(_: object, __: str, event: EventDict) -> EventDict:
    for name, value in (("request_id", current_request_id()), ("trace_id", spans.trace_id())):
        if value:
            event.setdefault(name, value)
    return event


def _in_reading_order(_: object, __: str, event: EventDict) -> EventDict:
    first = {name: event[name] for name in ("timestamp", "level", "event") if name in event}
    return first | dict(event)


def _printable(_: object, __: str, event: EventDict) -> EventDict:
    """Escapes control characters and line ends, because strangers write much of what is logged."""
    return {_escaped(name): _shown(name, value) for name, value in event.items()}


def _shown(name: str, value: object) -> str:
    text = value if isinstance(value, str) else repr(value)
    return _indented(text) if name in _MULTILINE else _escaped(text)


def _escaped(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else ascii(character)[1:-1] for character in text)


def _indented(text: str) -> str:
    """A traceback, each line of which shows that it belongs to the event above."""
    return "\n".join(f"    {_escaped(line)}" for line in text.split("\n"))
