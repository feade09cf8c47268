"""The audit log's file."""

# The files of a test are small and local.
# ruff: noqa: ASYNC240

import asyncio
import errno
import json
import os
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from portus_gateway.access.audit_log import AuditLog
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


def test_a_file_that_cannot_be_written_is_told_at_start(tmp_path: Path) -> None:
    with pytest.raises(InvalidAccessFile, match="cannot be written: No such file"), AuditLog(f"{tmp_path}/no/audit"):
        pass
    with pytest.raises(InvalidAccessFile, match="cannot be written: Is a directory"), AuditLog(str(tmp_path)):
        pass


async def test_standard_output_will_do(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    with AuditLog("-") as log:
        await log.write({"event": "x"})
    assert json.loads(capfdbinary.readouterr().out)["event"] == "x"


async def test_a_record_that_was_begun_is_written_whoever_goes_away(
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
