"""What the log shows, in both formats, of events with texts that strangers wrote."""

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# A process of its own: logging is set up once in each.
SCRIPT = r"""
import logging, sys
import structlog
from portus_gateway.telemetry import logs
logs.configure(sys.argv[1], "info", worker=2 if "worker" in sys.argv else None)
log = structlog.get_logger("test")
FORGED = "\x1b[31mred\r\n12:00:00 [info] forged"
log.info("a call", name=FORGED, listed=["\x1b[2J"], error=ValueError("\x1b]0;title\x07"))
log.info("bidi", name="a\u202eb", **{"\x1b[5m": 1})
logging.getLogger("library").warning("from a library: %s", "\x1b[31m")
def serve(authorization):
    raise RuntimeError("\x1b[31mfailed\n12:00:00 [info] forged")
try:
    serve("Bearer " + "s3cret" * 3)
except RuntimeError:
    log.exception("a call failed unexpectedly")
    logging.getLogger("library").exception("and a library's")
"""


ONE_EVENT = """
import structlog
from portus_gateway.telemetry import logs
logs.configure("auto", "info")
structlog.get_logger("test").info("a call")
"""


def log_of(form: str, *arguments: str) -> str:
    run = subprocess.run(
        [sys.executable, "-c", SCRIPT, form, *arguments], capture_output=True, text=True, check=True, timeout=60
    )
    assert run.stdout == ""
    return run.stderr


@pytest.mark.parametrize("form", ["human", "json"])
def test_no_text_of_a_stranger_reaches_the_terminal_as_it_is(form: str) -> None:
    log = log_of(form)
    assert [character for character in log if not character.isprintable() and character != "\n"] == []
    assert not [line for line in log.splitlines() if line.startswith("12:00:00")]
    assert "red" in log
    assert "failed" in log


@pytest.mark.parametrize("form", ["human", "json"])
def test_a_traceback_shows_no_local_variables_and_so_no_credentials(form: str) -> None:
    log = log_of(form)
    assert log.count("Traceback (most recent call last)") == 2
    assert "s3crets3cret" not in log


def test_json_is_one_event_a_line_with_the_time_the_level_and_the_event_first() -> None:
    lines = log_of("json", "worker").splitlines()
    records = [json.loads(line) for line in lines]
    assert [record["event"] for record in records] == [
        "a call",
        "bidi",
        "from a library: \x1b[31m",
        "a call failed unexpectedly",
        "and a library's",
    ]
    for line, record in zip(lines, records, strict=True):
        assert list(record)[:3] == ["timestamp", "level", "event"]
        assert record["worker"] == 2
        assert line.isascii()


@pytest.mark.parametrize(("form", "shown"), [("human", "trace_id=5555"), ("json", '"trace_id": "5555')])
def test_events_of_a_traced_call_have_its_trace_id_those_of_libraries_included(form: str, shown: str) -> None:
    script = """
import logging, sys
import structlog
from portus_gateway.aio import spans
from portus_gateway.telemetry import logs
from tests.recorded_spans import RecordedSpan
logs.configure(sys.argv[1], "info")
log = structlog.get_logger("test")
log.info("before a call")
with spans.Step(RecordedSpan()):
    log.info("a call")
    logging.getLogger("library").warning("from a library")
"""
    run = subprocess.run(
        [sys.executable, "-c", script, form], capture_output=True, text=True, check=True, timeout=60, cwd=ROOT
    )
    assert [shown in line for line in run.stderr.splitlines()] == [False, True, True]


@pytest.mark.parametrize(("variables", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False), ({"NO_COLOR": ""}, True)])
def test_the_log_on_a_terminal_is_coloured_unless_no_color_is_set(variables: dict[str, str], coloured: bool) -> None:
    ours, theirs = pty.openpty()
    environment = {name: value for name, value in os.environ.items() if name != "NO_COLOR"} | variables
    subprocess.run(
        [
            sys.executable,
            "-c",
            ONE_EVENT,
        ],
        env=environment,
        stderr=theirs,
        check=True,
        timeout=60,
    )
    os.close(theirs)
    shown = os.read(ours, 4096).decode()
    os.close(ours)
    assert "a call" in shown
    assert ("\x1b[" in shown) == coloured
