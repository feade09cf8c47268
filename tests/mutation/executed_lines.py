"""Which tests run which lines of a module: the others need not be run for a mutant of that line."""

import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Protocol

import pytest


class _Tracer(Protocol):
    def __call__(self, frame: FrameType, event: str, argument: object, /) -> "_Tracer | None": ...


@dataclass(slots=True)
class ExecutedLines:
    """A pytest plugin that notes for each test its time in seconds, and the lines of `file` that it ran."""

    file: str
    at_import: set[int] = field(default_factory=set)
    lines: dict[str, set[int]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    _current: set[int] = field(init=False)

    def __post_init__(self) -> None:
        self._current = self.at_import
        self.begin()

    def begin(self) -> None:
        threading.settrace(self._enter)
        sys.settrace(self._enter)

    def stop(self) -> None:
        threading.settrace(None)
        sys.settrace(None)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        self._current = self.lines[item.nodeid] = set()
        begun = time.monotonic()
        self.begin()
        try:
            return (yield)
        finally:
            self.seconds[item.nodeid] = time.monotonic() - begun
            if sys.gettrace() != self._enter:
                # Tracing ends when it fails, in a test of deep recursion for example. The test may have run any line.
                self._current.update(range(1, Path(self.file).read_text().count("\n") + 1))

    def _enter(self, frame: FrameType, event: str, argument: object, /) -> _Tracer | None:
        if frame.f_code.co_filename != self.file:
            return None
        self._current.add(frame.f_lineno)
        return self._line

    def _line(self, frame: FrameType, event: str, argument: object, /) -> _Tracer | None:
        self._current.add(frame.f_lineno)
        return self._line
