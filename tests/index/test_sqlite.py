"""What only the SQLite store does: its file, its lock, and its errors."""

import asyncio
import sqlite3
import threading
from pathlib import Path

import pytest

from portus_gateway.aio import spans
from portus_gateway.aio.fair_share import work_for
from portus_gateway.index import sqlite
from portus_gateway.index.errors import StoreError, StoreUnusable
from portus_gateway.index.sqlite import SqliteStore
from portus_gateway.index.transactions import SQLITE, Statement, Transaction
from tests.index.stores import REGISTRY, reading, write
from tests.recorded_spans import RecordedSpan


async def test_two_gateways_never_share_a_file(tmp_path: Path) -> None:
    async with SqliteStore(tmp_path / "index.db", REGISTRY):
        with pytest.raises(StoreError, match="another gateway uses"):
            async with SqliteStore(tmp_path / "index.db", REGISTRY):
                pass
    async with SqliteStore(tmp_path / "index.db", REGISTRY):
        pass


async def test_a_search_keeps_no_other_read_waiting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looking, go_on = threading.Event(), threading.Event()
    text_of = SQLITE.position

    def held(text: str, part: str) -> int:
        looking.set()
        go_on.wait(10)
        return text.find(part) + 1

    connect = sqlite3.connect

    def connected(*arguments: object, **options: object) -> sqlite3.Connection:
        connection: sqlite3.Connection = connect(*arguments, **options)  # type: ignore[call-overload]
        connection.create_function(text_of, 2, held)
        return connection

    monkeypatch.setattr(sqlite3, "connect", connected)
    async with SqliteStore(tmp_path / "index.db", REGISTRY) as store:
        await write(store, "app", reading({"v1": "a"}))
        search = asyncio.ensure_future(store.tags_containing("v", "", ("", ""), 10, 10))
        try:
            assert await asyncio.to_thread(looking.wait, 10)
            async with asyncio.timeout(5):
                assert len((await store.tags("app", "", 10)).tags) == 1
            assert not search.done()
        finally:
            go_on.set()
        assert [entry.tag for entry in (await search).tags] == ["v1"]


async def test_a_list_of_the_current_state_keeps_no_other_read_waiting(tmp_path: Path) -> None:
    go_on = threading.Event()
    async with SqliteStore(tmp_path / "index.db", REGISTRY) as store:
        await write(store, "app", reading({"v1": "a"}))
        # A list that takes long.
        long = asyncio.ensure_future(store._slow_reader.use(lambda _: go_on.wait(10)))
        listed = asyncio.ensure_future(store.repository_tags(("", ""), "", 10))
        await asyncio.sleep(0)
        async with asyncio.timeout(5):
            assert len((await store.tags("app", "", 10)).tags) == 1
        assert not listed.done()
        go_on.set()
        await long
        assert [entry.tag for entry in await listed] == ["v1"]


async def test_reads_of_one_caller_keep_no_other_caller_waiting_for_all_of_them(tmp_path: Path) -> None:
    begun: list[str] = []
    started, go_on = threading.Event(), threading.Event()

    async def read(store: SqliteStore, caller: str) -> None:
        def transaction() -> Transaction[None]:
            begun.append(caller)
            started.set()
            go_on.wait(10)
            yield Statement("SELECT 1")

        work_for(caller)
        await store._read(transaction)

    async with SqliteStore(tmp_path / "index.db", REGISTRY) as store:
        many = [asyncio.ensure_future(read(store, "many")) for _ in range(9)]
        assert await asyncio.to_thread(started.wait, 10)
        one = asyncio.ensure_future(read(store, "one"))
        await asyncio.sleep(0)
        go_on.set()
        await asyncio.gather(one, *many)
    assert len(begun) == 10
    assert "one" in begun[:4]


async def test_a_read_that_waits_for_others_has_a_step_of_its_own_in_a_trace(tmp_path: Path) -> None:
    go_on = threading.Event()

    def transaction() -> Transaction[None]:
        go_on.wait(10)
        yield Statement("SELECT 1")

    async with SqliteStore(tmp_path / "index.db", REGISTRY) as store:
        call = RecordedSpan()
        with spans.Step(call):
            reads = [asyncio.create_task(store._read(transaction)) for _ in range(4)]
        await asyncio.sleep(0)
        go_on.set()
        await asyncio.gather(*reads)
    # Two of them have their turn at once.
    assert call.tree == ["wait for index", "wait for index"]


async def test_other_processes_of_the_gateway_read_and_write(tmp_path: Path) -> None:
    async with (
        SqliteStore(tmp_path / "index.db", REGISTRY) as keeper,
        SqliteStore(tmp_path / "index.db", REGISTRY, keeps=False) as worker,
    ):
        await write(keeper, "app", reading({"v1": "a"}))
        assert [entry.tag for entry in (await worker.tags("app", "", 10)).tags] == ["v1"]
        await worker.deleted("app", tag="v1")
        assert (await keeper.tags("app", "", 10)).tags == ()


async def test_the_work_of_a_gateway_that_was_killed_is_free_at_once(tmp_path: Path) -> None:
    async with SqliteStore(tmp_path / "index.db", REGISTRY) as store:
        assert await store.lead("killed", 3600) is not None
        await store.walk_page(1.0, ["app"])
        assert len(await store.claim(1, 300)) == 1
    async with (
        SqliteStore(tmp_path / "index.db", REGISTRY) as store,
        SqliteStore(tmp_path / "index.db", REGISTRY, keeps=False),
    ):
        assert await store.lead("next", 3600) is not None
        assert len(await store.claim(1, 300)) == 1
        # A process that only answers ends nobody's work.
        async with SqliteStore(tmp_path / "index.db", REGISTRY, keeps=False) as worker:
            assert await worker.lead("worker", 3600) is None


async def test_a_folder_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="its folder must exist"):
        async with SqliteStore(tmp_path / "none" / "index.db", REGISTRY):
            pass


async def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "index.db").write_bytes(b"x" * 4096)
    with pytest.raises(StoreUnusable, match="not an SQLite file"):
        async with SqliteStore(tmp_path / "index.db", REGISTRY):
            pass


async def test_a_schema_of_a_newer_gateway(tmp_path: Path) -> None:
    async with SqliteStore(tmp_path / "index.db", REGISTRY):
        pass
    with sqlite3.connect(tmp_path / "index.db") as connection:
        connection.execute("PRAGMA user_version = 1000")
    connection.close()
    with pytest.raises(StoreUnusable, match="use the newer gateway again"):
        async with SqliteStore(tmp_path / "index.db", REGISTRY):
            pass


async def test_a_full_disk_is_reported(tmp_path: Path) -> None:
    async with SqliteStore(tmp_path / "index.db", REGISTRY) as store:
        await store._writer.use(lambda connection: connection.execute("PRAGMA max_page_count = 1").fetchall())
        with pytest.raises(StoreError, match="is full: make room"):
            await store.walk_page(1.0, [f"app{number}" for number in range(10_000)])
        await store._writer.use(lambda connection: connection.execute("PRAGMA max_page_count = 100000").fetchall())
        await store.walk_page(1.0, ["app"])


async def test_a_disk_that_is_full_at_the_start_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    connect = sqlite3.connect

    class Full(sqlite3.Connection):
        def execute(self, sql: str, *parameters: object) -> sqlite3.Cursor:
            if sql != "COMMIT":
                return super().execute(sql, *parameters)  # type: ignore[arg-type]
            # As SQLite does if it cannot write what a transaction has changed.
            super().execute("ROLLBACK")
            error = sqlite3.OperationalError("database or disk is full")
            error.sqlite_errorcode = sqlite3.SQLITE_FULL
            raise error

    monkeypatch.setattr(sqlite3, "connect", lambda path, **options: connect(path, factory=Full, **options))
    with pytest.raises(StoreError, match="is full: make room"):
        async with SqliteStore(tmp_path / "index.db", REGISTRY):
            pass


async def test_a_network_file_system_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "_file_system", lambda _: "nfs4")
    with pytest.raises(StoreUnusable, match=r"network file system \(nfs4\)"):
        async with SqliteStore(tmp_path / "index.db", REGISTRY):
            pass


def test_the_file_system_of_a_folder_is_known(tmp_path: Path) -> None:
    assert sqlite._file_system(Path("/proc/self")) == "proc"
    assert sqlite._file_system(tmp_path) != ""
