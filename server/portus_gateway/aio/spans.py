"""Spans: what a call did and what it waited for, as a tracer records it.

The current span is a context variable, as the deadline is: no function needs a parameter for it. Without a tracer there
is never a current span, and a step costs one look at the variable.
"""

import asyncio
from collections.abc import Mapping
from contextvars import ContextVar
from types import TracebackType
from typing import Literal, Protocol, TypeAlias

from portus_gateway.errors import GatewayError

Value: TypeAlias = str | int | bool
Kind = Literal["internal", "client", "server"]


class Span(Protocol):
    """One step. Its methods return at once and never raise."""

    @property
    def trace_id(self) -> str:
        """32 hexadecimal digits."""
        ...

    @property
    def headers(self) -> Mapping[str, str]:
        """The fields of a request that make its receiver continue this trace (W3C Trace Context). May be empty."""
        ...

    def child(self, name: str, kind: Kind = "internal", attributes: Mapping[str, Value] | None = None) -> "Span":
        """Begins a step that is a part of this one."""
        ...

    def link(self, other: "Span") -> None:
        """Refers to a step of another call."""
        ...

    def set(self, name: str, value: Value) -> None:
        """Sets an attribute."""
        ...

    def end(self, error: str = "") -> None:
        """Ends the step. `error` is the kind of failure, empty for a success. Only the first end counts."""
        ...


class Tracer(Protocol):
    """Records what the gateway does by itself, outside of calls."""

    def root(self, name: str, kind: Kind = "internal", attributes: Mapping[str, Value] | None = None) -> Span:
        """Begins a step that is a part of nothing else."""
        ...


_current: ContextVar[Span | None] = ContextVar("span", default=None)


def current() -> Span | None:
    """The current span. None where nothing is traced."""
    return _current.get()


def trace_id() -> str:
    """The id of the current trace; empty where nothing is traced."""
    span = _current.get()
    return "" if span is None else span.trace_id


def work_in(span: Span | None) -> None:
    """Makes `span` the current one for everything that begins in this context from now on."""
    _current.set(span)


def begun(name: str) -> Span | None:
    """A child of the current span, begun now, which its maker has to end. None if there is no current span."""
    parent = _current.get()
    return None if parent is None else parent.child(name)


class Step:
    """A block as a step of its own, in which its span is the current one. None: the block is not traced."""

    __slots__ = ("_before", "_span")

    def __init__(self, span: Span | None) -> None:
        self._span = span
        self._before: Span | None = None

    def __enter__(self) -> Span | None:
        if self._span is not None:
            self._before = _current.get()
            _current.set(self._span)
        return self._span

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._span is not None:
            _current.set(self._before)
            self._span.end("" if error is None else kind_of(error))


def step(name: str, kind: Kind = "internal", attributes: Mapping[str, Value] | None = None) -> Step:
    """A block as a child of the current span."""
    parent = _current.get()
    return Step(None if parent is None else parent.child(name, kind, attributes))


def root_step(
    tracer: Tracer | None, name: str, kind: Kind = "internal", attributes: Mapping[str, Value] | None = None
) -> Step:
    """A block as a trace of its own. Without a tracer, it is not traced."""
    return Step(None if tracer is None else tracer.root(name, kind, attributes))


def kind_of(error: BaseException) -> str:
    """The kind of a failure: the reason of an error of ours, `cancelled`, or the name of the class."""
    if isinstance(error, GatewayError):
        return error.reason
    return "cancelled" if isinstance(error, asyncio.CancelledError) else type(error).__name__
