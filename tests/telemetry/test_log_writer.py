"""Log lines and whoever reads them, or does not."""

import io
import os
import threading
from collections.abc import Iterator

import pytest

from portus_gateway.telemetry.log_writer import LogWriter

PATIENCE = 10.0


class Pipe:
    """A pipe, of which nobody reads until `read_all`."""

    def __init__(self) -> None:
        reading, writing = os.pipe()
        self.reading = os.fdopen(reading, "rb")
        self.writing = os.fdopen(writing, "w")

    def read_all(self) -> list[str]:
        """What was written, once the other end is closed."""
        return self.reading.read().decode().splitlines()


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    pipe = Pipe()
    with pipe.reading, pipe.writing:
        yield pipe


def test_lines_come_in_order(pipe: Pipe) -> None:
    writer = LogWriter(pipe.writing)
    for number in range(1000):
        writer.put(f"line {number}")
    assert writer.flush(PATIENCE)
    pipe.writing.close()
    assert pipe.read_all() == [f"line {number}" for number in range(1000)]


def test_nobody_waits_for_a_reader_that_does_not_read_and_the_lost_lines_are_counted(pipe: Pipe) -> None:
    reported: list[int] = []
    again = threading.Event()

    def tell(dropped: int) -> None:
        reported.append(dropped)
        again.set()

    writer = LogWriter(pipe.writing, most_bytes=100_000, tell_dropped=tell)
    line = "x" * 999
    for _ in range(1000):  # ten times what a pipe and the writer together take
        writer.put(line)
    assert not writer.flush(0.01)
    dropped = writer.dropped
    assert 700 < dropped < 1000
    read = threading.Thread(target=pipe.reading.read)
    read.start()
    assert again.wait(PATIENCE)
    assert writer.flush(PATIENCE)
    pipe.writing.close()
    read.join(PATIENCE)
    assert reported == [dropped]


def test_a_line_is_one_write_so_that_those_of_other_processes_do_not_come_into_it(
    pipe: Pipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[bytes] = []
    write = os.write

    def counted(file: int, data: bytes) -> int:
        written.append(bytes(data))
        return write(file, data)

    monkeypatch.setattr(os, "write", counted)
    writer = LogWriter(pipe.writing)
    writer.put("one")
    writer.put("ötwo")
    assert writer.flush(PATIENCE)
    assert written == [b"one\n", "ötwo\n".encode()]


def test_half_of_a_character_is_written_all_the_same(pipe: Pipe) -> None:
    writer = LogWriter(pipe.writing)
    writer.put("half of a pair: \ud83d")
    assert writer.flush(PATIENCE)
    pipe.writing.close()
    assert pipe.read_all() == ["half of a pair: \\ud83d"]


def test_a_full_disk_or_a_closed_stream_does_not_end_the_writer() -> None:
    with open("/dev/full", "w") as full:
        writer = LogWriter(full)
        writer.put("lost")
        assert writer.flush(PATIENCE)
    writer.put("lost too")
    assert writer.flush(PATIENCE)


def test_a_stream_without_a_file_is_written_to() -> None:
    stream = io.StringIO()
    writer = LogWriter(stream)
    writer.put("one")
    assert writer.flush(PATIENCE)
    assert stream.getvalue() == "one\n"
