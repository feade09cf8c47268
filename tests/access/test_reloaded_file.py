"""Files that are read again while the gateway runs, whatever is in them."""

# The files of a test are small and local.
# ruff: noqa: ASYNC240

import asyncio
import threading
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from portus_gateway.access import reloaded_file
from portus_gateway.access.errors import InvalidAccessFile
from portus_gateway.access.reloaded_file import ReloadedFile

PATIENCE = 10.0


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def parse(content: bytes, path: str) -> str:
    text = content.decode()
    if text.startswith("bad"):
        raise InvalidAccessFile(path, [text])
    return text


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_text("one")
    return path


@pytest.fixture
def clock() -> Clock:
    return Clock()


async def test_loads_and_failures_are_counted(path: Path) -> None:
    file = ReloadedFile(path, parse)
    assert (file.loads, file.failures, file.failing) == (1, 0, False)
    path.write_text("two")
    assert await file.reload()
    assert (file.loads, file.failures, file.failing) == (2, 0, False)
    for text, failures in (("bad", 1), ("bad", 1), ("bad too", 2)):
        path.write_text(text)
        assert not await file.reload()
        assert (file.loads, file.failures, file.failing) == (2, failures, True)
        assert file.problems == (text,)
    assert file.content == "two"
    path.write_text("three")
    assert await file.reload()
    assert (file.loads, file.failures, file.failing, file.problems) == (3, 2, False, ())


async def test_an_unchanged_file_is_not_loaded_again(path: Path) -> None:
    file = ReloadedFile(path, parse)
    await file.reload_if_changed()
    assert file.loads == 1
    path.write_text("two")
    for _ in range(2):
        await file.reload_if_changed()
        assert (file.loads, file.content) == (2, "two")


async def test_a_file_that_could_not_be_read_is_read_again_though_it_has_not_changed(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when the process has no file descriptors for a moment."""
    file = ReloadedFile(path, parse)
    path.write_text("two")
    with monkeypatch.context() as patched:
        patched.setattr(Path, "open", failing_open)
        await file.reload_if_changed()
        assert file.problems == ("cannot be read: Too many open files",)
    await file.reload_if_changed()
    assert file.content == "two"
    assert not file.problems


def failing_open(path: Path, _mode: str) -> None:
    raise OSError(24, "Too many open files", str(path))


@pytest.mark.parametrize(
    ("error", "problem"),
    [
        (OSError(24, "Too many open files", "/secret/path"), "cannot be read: Too many open files"),
        (OSError("only a part of it came"), "cannot be read: only a part of it came"),
    ],
)
async def test_why_a_file_cannot_be_read_is_told(
    path: Path, monkeypatch: pytest.MonkeyPatch, error: OSError, problem: str
) -> None:
    def failing(_: Path, _mode: str) -> None:
        raise error

    file = ReloadedFile(path, parse)
    monkeypatch.setattr(Path, "open", failing)
    await file.reload()
    assert file.problems == (problem,)


async def test_the_largest_file(path: Path) -> None:
    path.write_text("x" * 1024 * 1024)
    assert len(ReloadedFile(path, parse).content) == 1024 * 1024


async def test_old_content_is_trusted_for_so_long_and_that_is_in_the_log(path: Path, clock: Clock) -> None:
    file = ReloadedFile(path, parse, trusted_for=300, clock=clock)
    assert file.expires
    path.write_text("bad")
    with capture_logs() as logs:
        await file.reload()
        for seconds, trusted in ((100.0, True), (200.0, True), (1.0, False)):
            clock.now += seconds
            await file.reload()
            assert file.trusted is trusted
    assert [entry["trusted_for"] for entry in logs] == [300, 200, 0]
    assert all("the old one stays in force" in entry["event"] for entry in logs)


async def test_without_an_end_old_content_is_trusted(path: Path, clock: Clock) -> None:
    file = ReloadedFile(path, parse, clock=clock)
    path.write_text("bad")
    with capture_logs() as logs:
        await file.reload()
    clock.now += 10**9
    assert (file.failing, file.trusted, file.expires) == (True, True, False)
    assert [entry["problems"] for entry in logs] == [["bad"]]
    assert "trusted_for" not in logs[0]


async def test_a_problem_is_logged_once_a_minute_and_another_one_at_once(path: Path, clock: Clock) -> None:
    file = ReloadedFile(path, parse, clock=clock)
    path.write_text("bad")
    with capture_logs() as logs:
        for moment, told in ((0.0, 1), (5.0, 1), (59.0, 1), (60.0, 2), (65.0, 2), (119.0, 2)):
            clock.now = 1000.0 + moment
            await file.reload_if_changed()
            assert len(logs) == told, moment
        path.write_text("bad too")
        await file.reload_if_changed()
    assert [entry["problems"] for entry in logs] == [["bad"], ["bad"], ["bad too"]]


async def test_the_latest_read_wins(path: Path) -> None:
    """The watch and SIGHUP may both load the file at once."""
    blocked, go_on = threading.Event(), threading.Event()

    def slowly(content: bytes, _path: str) -> str:
        if content == b"two":
            blocked.set()
            assert go_on.wait(PATIENCE)
        return content.decode()

    file = ReloadedFile(path, slowly)
    path.write_text("two")
    first = asyncio.create_task(file.reload())
    assert await asyncio.to_thread(blocked.wait, PATIENCE)
    path.write_text("three")
    second = asyncio.create_task(file.reload())
    # Time for the second one to overtake.
    await asyncio.wait([second], timeout=0.1)
    go_on.set()
    assert all(await asyncio.gather(first, second))
    assert file.content == "three"


async def watched(file: ReloadedFile[str], interval: float, looks: int, within: float) -> int:
    """How often the file was looked at until `looks` times, or until `within` seconds have passed."""
    seen = 0
    enough = asyncio.Event()

    def looked() -> None:
        nonlocal seen
        seen += 1
        if seen >= looks:
            enough.set()

    watch = asyncio.create_task(file.watch(looked, interval=interval))
    try:
        await asyncio.wait_for(enough.wait(), within)
    except TimeoutError:
        pass
    finally:
        watch.cancel()
        await asyncio.gather(watch, return_exceptions=True)
    return seen


async def test_it_is_looked_at_every_interval(path: Path) -> None:
    file = ReloadedFile(path, parse)
    path.write_text("two")
    assert await watched(file, 0.01, looks=2, within=PATIENCE) == 2
    assert file.content == "two"
    assert await watched(file, 3600.0, looks=1, within=0.1) == 0


@pytest.mark.parametrize(("parts", "most_looks", "expected"), [(3, 20, "two+++"), (100, 2, "two++")])
async def test_a_file_is_not_read_while_it_is_written_unless_that_has_no_end(
    path: Path, monkeypatch: pytest.MonkeyPatch, parts: int, most_looks: int, expected: str
) -> None:
    """A part of a policy may be valid, and allow more than the whole one."""
    left = parts
    read: list[str] = []

    async def written_on(_: float) -> None:
        nonlocal left
        if left:
            left -= 1
            with path.open("a") as file:
                file.write("+")

    def noted(content: bytes, path: str) -> str:
        read.append(content.decode())
        return parse(content, path)

    monkeypatch.setattr(reloaded_file, "_pause", written_on)
    monkeypatch.setattr(reloaded_file, "_MOST_LOOKS", most_looks)
    file = ReloadedFile(path, noted)
    path.write_text("two")
    watching = asyncio.create_task(file.watch(interval=0.001))
    async with asyncio.timeout(PATIENCE):
        while file.content == "one":
            await asyncio.sleep(0.001)
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
    assert read == ["one", expected]


async def test_a_changed_file_is_read_after_it_was_quiet_once(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []

    async def quiet(seconds: float) -> None:
        pauses.append(seconds)

    monkeypatch.setattr(reloaded_file, "_pause", quiet)
    file = ReloadedFile(path, parse)
    path.write_text("two")
    assert await watched(file, 0.01, looks=3, within=PATIENCE) == 3
    assert (file.content, pauses) == ("two", [0.01])


async def test_a_changed_file_is_left_alone_for_the_quiet_time(path: Path) -> None:
    file = ReloadedFile(path, parse)
    path.write_text("two")
    started = asyncio.get_running_loop().time()
    assert await watched(file, 0.1, looks=1, within=PATIENCE) == 1
    assert asyncio.get_running_loop().time() - started >= 0.2
