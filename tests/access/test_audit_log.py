"""The audit log's file."""

# The files of a test are small and local.
# ruff: noqa: ASYNC240

import asyncio
import errno
import gc
import json
import os
import re
import select
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from portus_gateway.access import audit_log
from portus_gateway.access.audit_log import AuditLog, Record
from portus_gateway.access.errors import InvalidAccessFile


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "audit.jsonl"


def records(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


async def test_a_record_is_a_line_with_its_time(path: Path) -> None:
    with AuditLog(str(path)) as log:
        await log.write({"event": "x", "tags": ["a", "b"], "message": 'two\nlines, and "quotes"\x1b[31m'})
        await log.write({"event": "y"})
    first, second = records(path)
    assert path.read_bytes().isascii()
    assert {key: value for key, value in first.items() if key != "time"} == {
        "event": "x",
        "tags": ["a", "b"],
        "message": 'two\nlines, and "quotes"\x1b[31m',
    }
    assert second["event"] == "y"
    assert abs(datetime.fromisoformat(str(first["time"])) - datetime.now(UTC)) < timedelta(minutes=1)


async def test_what_is_there_stays(path: Path) -> None:
    path.write_text('{"event":"before"}\n')
    with AuditLog(str(path)) as log:
        await log.write({"event": "after"})
    assert [record["event"] for record in records(path)] == ["before", "after"]


async def test_nobody_else_may_read_it(path: Path) -> None:
    with AuditLog(str(path)):
        assert path.stat().st_mode & 0o777 == 0o600


async def test_it_may_be_moved_away_at_any_time(path: Path) -> None:
    with AuditLog(str(path)) as log:
        await log.write({"event": "old"})
        path.rename(path.with_suffix(".1"))
        await log.write({"event": "new"})
    assert [record["event"] for record in records(path)] == ["new"]
    assert [record["event"] for record in records(path.with_suffix(".1"))] == ["old"]


async def test_each_record_is_on_the_disk(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []
    monkeypatch.setattr(os, "fsync", lambda file: synced.append(os.readlink(f"/proc/self/fd/{file}")))
    with AuditLog(str(path)) as log:
        await log.write({"event": "x"})
    with AuditLog(str(path), sync=False) as log:
        await log.write({"event": "y"})
    assert synced == [str(path)]


async def test_a_full_disk_is_an_error() -> None:
    with AuditLog("/dev/full") as log, pytest.raises(OSError, match="No space left") as caught:
        await log.write({"event": "x"})
    assert caught.value.errno == errno.ENOSPC


async def test_what_a_full_disk_cut_off_spoils_no_other_record(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    with AuditLog(str(path)) as log:
        monkeypatch.setattr(os, "write", lambda file, data: write(file, data[:10]))
        with pytest.raises(OSError, match="only a part"):
            await log.write({"event": "cut"})
        monkeypatch.undo()
        await log.write({"event": "whole"})
    cut, whole = path.read_text().splitlines()
    assert len(cut) == 10
    assert json.loads(whole)["event"] == "whole"


def test_a_file_that_cannot_be_written_is_reported_at_start(tmp_path: Path) -> None:
    with pytest.raises(InvalidAccessFile, match="cannot be written: No such file"), AuditLog(f"{tmp_path}/no/audit"):
        pass
    with pytest.raises(InvalidAccessFile, match="cannot be written: Is a directory"), AuditLog(str(tmp_path)):
        pass


async def test_standard_output_will_do(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    with AuditLog("-") as log:
        await log.write({"event": "x"})
    assert json.loads(capfdbinary.readouterr().out)["event"] == "x"


async def test_a_record_that_was_begun_is_completed_after_its_caller_disconnects(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on = threading.Event(), threading.Event()
    write = os.write

    def slowly(file: int, data: bytes) -> int:
        begun.set()
        assert go_on.wait(10)
        return write(file, data)

    monkeypatch.setattr(os, "write", slowly)
    with AuditLog(str(path)) as log:
        writing = asyncio.create_task(log.write({"event": "x"}))
        await asyncio.to_thread(begun.wait, 10)
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)
        assert writing.cancelled()
        monkeypatch.setattr(os, "write", write)
        go_on.set()
        await log.write({"event": "y"})
    assert [record["event"] for record in records(path)] == ["x", "y"]


async def test_records_of_many_at_once_do_not_mix(path: Path) -> None:
    with AuditLog(str(path), sync=False) as one, AuditLog(str(path), sync=False) as other:
        await asyncio.gather(*(log.write({"event": "x" * 5000}) for _ in range(50) for log in (one, other)))
    assert [record["event"] for record in records(path)] == ["x" * 5000] * 100


async def test_what_is_no_file_takes_records_too() -> None:
    # As a pipe or /dev/stdout does, it refuses to be synchronized.
    with AuditLog(os.devnull) as log:
        await log.write({"event": "x"})


# --- Pipes, and what hangs ------------------------------------------------------------------------------------------

QUICKLY = 0.2
PATIENCE = 10.0


def wait_long(log: AuditLog) -> None:
    """The next records are to be written. On a busy machine, the thread and the disk may take a while."""
    log._patience = PATIENCE


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    path = tmp_path / "audit.fifo"
    os.mkfifo(path)
    return path


@contextmanager
def read_from(pipe: Path) -> Iterator[int]:
    reading = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        yield reading
    finally:
        os.close(reading)


def fill(pipe: Path) -> None:
    """Writes into the pipe until it takes nothing more."""
    writing = os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
    try:
        with suppress(BlockingIOError):
            while True:
                os.write(writing, b"." * 4096)
    finally:
        os.close(writing)


async def test_a_pipe_takes_records_and_stays_open_between_them(pipe: Path) -> None:
    with read_from(pipe) as reading, AuditLog(str(pipe)) as log:
        await log.write({"event": "x"})
        assert json.loads(os.read(reading, 4096))["event"] == "x"
        # A reader would take the end of the last writer for the end of the log.
        with pytest.raises(BlockingIOError):
            os.read(reading, 1)
        await log.write({"event": "y"})
        assert json.loads(os.read(reading, 4096))["event"] == "y"


async def test_a_pipe_that_nobody_reads_blocks_neither_start_nor_records_nor_shutdown(pipe: Path) -> None:
    async with asyncio.timeout(PATIENCE):
        with capture_logs() as logs, AuditLog(str(pipe)) as log:
            assert "nobody reads the audit log yet" in logs[0]["event"]
            with pytest.raises(OSError, match="No such device or address"):
                await log.write({"event": "x"})
            with read_from(pipe) as reading:
                await log.write({"event": "y"})
                assert json.loads(os.read(reading, 4096))["event"] == "y"
            # Its reader has gone, and comes back.
            with pytest.raises(BrokenPipeError):
                await log.write({"event": "z"})
            with read_from(pipe) as reading:
                await log.write({"event": "again"})
                assert json.loads(os.read(reading, 4096))["event"] == "again"


async def test_a_full_pipe_fails_in_time_and_at_once_until_it_is_read(pipe: Path) -> None:
    async with asyncio.timeout(PATIENCE):
        with read_from(pipe) as reading:
            with AuditLog(str(pipe), patience=1.0) as log:
                await log.write({"event": "x"})
                fill(pipe)
                started = time.monotonic()
                # Those that wait behind the first one do not wait one after the other.
                failed = await asyncio.gather(*(log.write({"event": "y"}) for _ in range(50)), return_exceptions=True)
                assert [type(error) for error in failed] == [TimeoutError] * 50
                assert time.monotonic() - started < 2.0
                # The calls were told so. On a busy machine, the thread that writes is told a little later.
                while log._writer.hangs_for(0):
                    await asyncio.sleep(0.01)
                started = time.monotonic()
                with pytest.raises(TimeoutError):
                    await log.write({"event": "y"})
                assert time.monotonic() - started < 0.5
                while len(os.read(reading, 65536)) == 65536:
                    pass
                await log.write({"event": "z"})
                # What was not written in time is not written later.
                assert json.loads(os.read(reading, 65536))["event"] == "z"
            fill(pipe)


async def test_a_write_that_hangs_blocks_neither_other_records_nor_shutdown(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As on a network file system that is gone.
    go_on = threading.Event()
    write = os.write

    def hang(file: int, data: bytes) -> int:
        go_on.wait(PATIENCE)
        return write(file, data)

    monkeypatch.setattr(os, "write", hang)
    async with asyncio.timeout(PATIENCE):
        with AuditLog(str(path), patience=QUICKLY) as log:
            for _ in range(3):
                with pytest.raises(TimeoutError):
                    await log.write({"event": "x"})
            started = time.monotonic()
        assert time.monotonic() - started < 2.0
    go_on.set()


async def test_while_a_write_hangs_others_fail_at_once_and_later_ones_are_written(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = threading.Event()
    write = os.write

    def hang(file: int, data: bytes) -> int:
        assert go_on.wait(PATIENCE)
        return write(file, data)

    monkeypatch.setattr(os, "write", hang)
    async with asyncio.timeout(PATIENCE):
        with AuditLog(str(path), patience=QUICKLY) as log:
            first = log.write({"event": "hangs"})
            # Comes when nobody knows yet that the first one hangs.
            second = log.write({"event": "waits behind it"})
            for failed in await asyncio.gather(first, second, return_exceptions=True):
                assert isinstance(failed, TimeoutError)
                assert "could not be written within" in str(failed)
            started = time.monotonic()
            for _ in range(20):
                with pytest.raises(TimeoutError, match="a record before this one"):
                    await log.write({"event": "refused at once"})
            assert time.monotonic() - started < 20 * QUICKLY
            go_on.set()
            # The second record expired while it waited. This does not count as a write that hangs.
            await asyncio.sleep(2 * QUICKLY)
            wait_long(log)
            await log.write({"event": "next"})
    assert [record["event"] for record in records(path)] == ["hangs", "next"]


async def test_on_a_pipe_lines_are_as_short_as_it_takes_at_once(pipe: Path) -> None:
    tags = [f"{number:0>128}" for number in range(100)]
    with read_from(pipe) as reading, AuditLog(str(pipe)) as log:
        await log.write({"event": "x", "request_id": "1", "trace_id": "2", "tags": tags})
        lines = os.read(reading, 65536).splitlines(keepends=True)
    assert len(lines) > 3
    assert max(map(len, lines)) <= 4096
    parts = [json.loads(line) for line in lines]
    assert [tag for part in parts for tag in part["tags"]] == tags
    identities = {(part["event"], part["request_id"], part["trace_id"], part["time"]) for part in parts}
    assert identities == {("x", "1", "2", parts[0]["time"])}
    assert [part.get("continued", False) for part in parts] == [False] + [True] * (len(parts) - 1)


async def test_a_cut_record_of_another_process_stays_on_a_separate_line(path: Path) -> None:
    path.write_bytes(b'{"event":"cut')
    with AuditLog(str(path)) as log:
        await log.write({"event": "whole"})
        await log.write({"event": "too"})
    assert path.read_text().splitlines()[0] == '{"event":"cut'
    assert [json.loads(line)["event"] for line in path.read_text().splitlines()[1:]] == ["whole", "too"]


async def test_a_record_that_another_process_is_writing_is_not_taken_for_a_cut_one(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pread = os.pread

    def looking(file: int, size: int, position: int) -> bytes:
        found = pread(file, size, position)
        if found != b"\n":
            with path.open("ab") as other:
                other.write(b'hole"}\n')
        return found

    path.write_bytes(b'{"event":"w')
    monkeypatch.setattr(os, "pread", looking)
    with AuditLog(str(path)) as log:
        await log.write({"event": "next"})
    assert [record["event"] for record in records(path)] == ["whole", "next"]


async def test_a_file_that_may_only_be_written_will_do(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = os.open

    def write_only(name: Path, flags: int, mode: int = 0o777) -> int:
        if flags & os.O_RDWR:
            raise PermissionError(errno.EACCES, "Permission denied")
        return opened(name, flags, mode)

    path.write_bytes(b"cut")
    with monkeypatch.context() as patched:
        patched.setattr(os, "open", write_only)
        with AuditLog(str(path)) as log:
            await log.write({"event": "x"})
    assert path.read_bytes().startswith(b"cut{")


# --- Details --------------------------------------------------------------------------------------------------------

LONG: Record = {"event": "x", "tags": [f"{number:0>128}" for number in range(100)]}


@pytest.fixture
def standard_output(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Makes a file descriptor the standard output."""
    return lambda file: monkeypatch.setattr(audit_log, "_STANDARD_OUTPUT_FILE", file)


@pytest.fixture
def problems() -> list[object]:
    """What the event loop was told, because nobody else was there."""
    return []


async def test_what_standard_output_did_not_take_in_time_is_not_written_later(
    standard_output: Callable[[int], None],
) -> None:
    """Standard output blocks, as a pipe does that a container's engine has made."""
    reading, writing = os.pipe()
    standard_output(writing)
    try:
        os.set_blocking(writing, False)
        with suppress(BlockingIOError):
            while True:
                os.write(writing, b"." * 4096)
        os.set_blocking(writing, True)
        async with asyncio.timeout(PATIENCE):
            with AuditLog("-", patience=QUICKLY) as log:
                with pytest.raises(TimeoutError):
                    await log.write({"event": "late"})
                while log._writer.hangs_for(0):
                    await asyncio.sleep(0.01)
                while set(os.read(reading, 65536)) == {ord(".")} and select.select([reading], [], [], 0)[0]:
                    pass
                wait_long(log)
                await log.write({"event": "next"})
                assert json.loads(os.read(reading, 65536))["event"] == "next"
    finally:
        os.close(reading)
        os.close(writing)


async def test_the_time_of_a_record_has_milliseconds(path: Path) -> None:
    with AuditLog(str(path)) as log:
        await log.write({"event": "x"})
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", str(records(path)[0]["time"]))


async def test_it_is_known_how_many_bytes_a_record_took(
    path: Path, pipe: Path, standard_output: Callable[[int], None]
) -> None:
    """The budgets for refusals count them."""
    with AuditLog(str(path)) as log:
        assert await log.write(LONG) == path.stat().st_size
    with read_from(pipe) as reading:
        with AuditLog(str(pipe)) as log:
            assert await log.write(LONG) == len(os.read(reading, 65536))
        # And it was closed at the end.
        assert os.read(reading, 1) == b""
    with path.open("r+b") as file:
        standard_output(file.fileno())
        with AuditLog("-") as log:
            assert await log.write({"event": "x"}) == file.seek(0, os.SEEK_CUR)


async def test_a_standard_output_that_is_a_pipe_has_short_lines_and_a_file_whole_records(
    path: Path, pipe: Path, standard_output: Callable[[int], None]
) -> None:
    with read_from(pipe) as reading, pipe.open("wb") as writing, AuditLog("-") as log:
        standard_output(writing.fileno())
        await log.write(LONG)
        assert max(map(len, os.read(reading, 65536).splitlines(keepends=True))) <= 4096
    with path.open("wb") as file, AuditLog("-") as log:
        standard_output(file.fileno())
        for _ in range(2):
            await log.write(LONG)
    assert [record["tags"] for record in records(path)] == [LONG["tags"]] * 2


async def test_on_standard_output_what_was_cut_off_spoils_no_other_record(
    path: Path, standard_output: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    write = os.write
    with path.open("wb") as file, AuditLog("-") as log:
        standard_output(file.fileno())
        with monkeypatch.context() as patched:
            patched.setattr(os, "write", lambda file, data: write(file, data[:10]))
            with pytest.raises(OSError, match="only a part"):
                await log.write({"event": "cut"})
        for event in ("whole", "too"):
            await log.write({"event": event})
    cut, *whole = path.read_text().splitlines()
    assert len(cut) == 10
    assert [json.loads(line)["event"] for line in whole] == ["whole", "too"]


async def test_another_pipe_in_its_place_gets_the_next_record(pipe: Path) -> None:
    with read_from(pipe) as first, AuditLog(str(pipe)) as log:
        await log.write({"event": "one"})
        pipe.unlink()
        os.mkfifo(pipe)
        with read_from(pipe) as second:
            await log.write({"event": "two"})
            assert json.loads(os.read(second, 4096))["event"] == "two"
        assert json.loads(os.read(first, 4096))["event"] == "one"
        # Nobody holds the old one open.
        assert os.read(first, 1) == b""


async def test_a_record_waits_for_room_in_a_pipe(pipe: Path) -> None:
    async with asyncio.timeout(PATIENCE):
        with read_from(pipe) as reading, AuditLog(str(pipe), patience=PATIENCE) as log:
            # Opens it.
            await log.write({"event": "x"})
            fill(pipe)
            waiting = asyncio.create_task(log.write({"event": "y"}))
            await asyncio.wait([waiting], timeout=QUICKLY)
            assert not waiting.done()
            while len(os.read(reading, 65536)) == 65536:
                pass
            await waiting
            assert json.loads(os.read(reading, 65536))["event"] == "y"


@pytest.mark.parametrize("times", [2, 10**9])
async def test_room_that_another_process_took_is_waited_for(
    pipe: Path, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    write = os.write
    refused = 0

    def contended(file: int, data: bytes) -> int:
        nonlocal refused
        if refused < times:
            refused += 1
            raise BlockingIOError
        return write(file, data)

    async with asyncio.timeout(PATIENCE):
        with read_from(pipe) as reading, AuditLog(str(pipe), patience=QUICKLY) as log:
            monkeypatch.setattr(os, "write", contended)
            if times == 2:
                wait_long(log)
                await log.write({"event": "x"})
                assert json.loads(os.read(reading, 4096))["event"] == "x"
            else:
                with pytest.raises(TimeoutError):
                    await log.write({"event": "x"})
                # Whatever happens between two tries, it does not keep the processor busy.
                assert refused < 100
                # What was not written in time is not written later, once the writer has given up too.
                await asyncio.sleep(QUICKLY)
                monkeypatch.setattr(os, "write", write)
                while True:
                    with suppress(TimeoutError):
                        await log.write({"event": "next"})
                        break
                    await asyncio.sleep(0.01)
                assert json.loads(os.read(reading, 4096))["event"] == "next"
    assert refused == times or times > 2


async def test_what_takes_a_part_of_a_record_gets_the_rest(pipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal, for example. A file that does so is full."""
    write = os.write
    with read_from(pipe) as reading, AuditLog(str(pipe)) as log:
        monkeypatch.setattr(os, "write", lambda file, data: write(file, data[:10]))
        await log.write({"event": "x"})
        assert json.loads(os.read(reading, 4096))["event"] == "x"


async def test_no_file_is_left_open(path: Path) -> None:
    def open_files() -> int:
        return len(os.listdir("/proc/self/fd"))

    with AuditLog(str(path)) as log:
        await log.write({"event": "x"})
        before = open_files()
        for _ in range(20):
            await log.write({"event": "x"})
        assert open_files() == before


def test_a_record_that_is_written_after_the_end_of_the_event_loop_is_in_the_ordinary_log(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on = threading.Event(), threading.Event()
    write = os.write

    def slowly(file: int, data: bytes) -> int:
        begun.set()
        assert go_on.wait(PATIENCE)
        return write(file, data)

    async def begin(log: AuditLog) -> None:
        writing = asyncio.create_task(log.write({"event": "x"}))
        await asyncio.to_thread(begun.wait, PATIENCE)
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)

    monkeypatch.setattr(os, "write", slowly)
    with capture_logs() as logs, AuditLog(str(path)) as log:
        asyncio.run(begin(log))
        go_on.set()
    assert [record["event"] for record in records(path)] == ["x"]
    assert [entry["record"]["event"] for entry in logs if "ended before" in entry["event"]] == ["x"]


async def test_the_end_waits_for_a_record_and_for_nothing_else(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun = threading.Event()
    write = os.write

    def slowly(file: int, data: bytes) -> int:
        begun.set()
        time.sleep(QUICKLY)
        return write(file, data)

    started = time.monotonic()
    with AuditLog(str(path)):
        assert [thread.daemon for thread in threading.enumerate() if thread.name == "audit"] == [True]
    assert time.monotonic() - started < 0.5
    monkeypatch.setattr(os, "write", slowly)
    with AuditLog(str(path)) as log:
        writing = asyncio.create_task(log.write({"event": "x"}))
        await asyncio.to_thread(begun.wait, PATIENCE)
    assert [record["event"] for record in records(path)] == ["x"]
    await writing


async def test_late_answers_and_failures_that_nobody_waits_for_are_no_errors_of_the_event_loop(
    path: Path, monkeypatch: pytest.MonkeyPatch, problems: list[object]
) -> None:
    asyncio.get_running_loop().set_exception_handler(lambda _, problem: problems.append(problem))
    go_on, over = threading.Event(), threading.Event()
    write = os.write

    def late(file: int, data: bytes) -> int:
        assert go_on.wait(PATIENCE)
        if b"fails" in data:
            over.set()
            raise OSError(errno.ENOSPC, "No space left")
        return write(file, data)

    monkeypatch.setattr(os, "write", late)
    with AuditLog(str(path), patience=QUICKLY) as log:
        with pytest.raises(TimeoutError):
            await log.write({"event": "late"})
        go_on.set()
        while True:
            with suppress(TimeoutError):
                await log.write({"event": "between"})
                break
            await asyncio.sleep(0.01)
        leaving = asyncio.create_task(log.write({"event": "fails"}))
        await asyncio.sleep(0)
        leaving.cancel()
        await asyncio.gather(leaving, return_exceptions=True)
        assert await asyncio.to_thread(over.wait, PATIENCE)
        wait_long(log)
        await log.write({"event": "next"})
    gc.collect()
    await asyncio.sleep(0)
    assert problems == []
