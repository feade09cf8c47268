"""What the reader makes of a registry's answers: odd names, many tags, and what is asked first."""

import asyncio
from collections.abc import Sequence
from typing import cast

import pytest

from portus_gateway.distribution.digest import Digest
from portus_gateway.distribution.errors import NotFound, Unavailable
from portus_gateway.distribution.names import Repository, Tag, UnusableName
from portus_gateway.distribution.page import Cursor, Page
from portus_gateway.index import reader
from portus_gateway.index.reader import Reader
from portus_gateway.index.sql_store import SqlStore
from portus_gateway.index.store import Claim, Hint, IndexStore, Notice
from tests.index.registries import Observed
from tests.index.stores import claimed, digest


class Source:
    """A registry with these tags in each repository. Remembers which digests it was asked for."""

    def __init__(self, tags: Sequence[Tag | UnusableName]) -> None:
        self.tags = tags
        self.asked: list[str] = []
        self.listed = True
        self.error: Exception | None = None

    async def list_repositories(self, size: int | None, after: Cursor | None = None) -> Page[Repository | UnusableName]:
        raise NotImplementedError

    async def list_tags(
        self, repository: Repository, size: int | None, after: Cursor | None = None
    ) -> Page[Tag | UnusableName]:
        if self.error is not None:
            raise self.error
        return Page(tuple(self.tags), None)

    async def tag_digest(self, repository: Repository, tag: Tag, known: Digest | None) -> Digest:
        self.asked.append(tag.name)
        return digest(tag.name)

    async def is_listed(self, repository: Repository) -> bool:
        return self.listed


def reader_of(store: SqlStore, source: Source) -> Reader:
    return Reader(store, source, Observed(), share=1, digest_interval=3600)


async def test_names_with_any_characters_are_kept(store: SqlStore) -> None:
    odd = ["zero\0", "half\ud800", "x" * 100_000, "tag/with/slashes", "ümlaut"]
    source = Source([Tag("v1"), *(UnusableName(name, "not a tag") for name in odd)])
    await store.walk_page(1.0, ["app"])
    claim = await claimed(store, "app")
    applied = await store.apply(claim, await reader_of(store, source).read(claim))
    assert applied is not None
    assert applied.settled
    tags = (await store.tags("app", "", 10)).tags
    assert len(tags) == 6
    assert source.asked == ["v1"]


async def test_announced_tags_are_asked_for_first_and_the_rest_in_the_next_read(
    store: SqlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "_MOST_DIGESTS", 2)
    source = Source([Tag(f"v{number}") for number in range(5)])
    await store.walk_page(1.0, ["app"])
    await store.notify([Notice("app", Hint("v4", digest("v4")))])
    reading = reader_of(store, source)
    settled = False
    while not settled:
        claim = await claimed(store, "app")
        applied = await store.apply(claim, await reading.read(claim))
        assert applied is not None
        settled = applied.settled
    assert source.asked[0] == "v4"
    assert sorted(source.asked) == ["v0", "v1", "v2", "v3", "v4"]


@pytest.mark.parametrize("listed", [True, False])
async def test_a_repository_whose_tags_are_unknown_exists_if_the_catalog_lists_it(
    store: SqlStore, listed: bool
) -> None:
    source = Source([])
    source.error, source.listed = NotFound("no", reason="NAME_UNKNOWN"), listed
    await store.walk_page(1.0, ["app"])
    claim = await claimed(store, "app")
    assert (await reader_of(store, source).read(claim)).exists is listed


@pytest.mark.parametrize("error", [Unavailable("no"), NotFound("no", reason="NOT_FOUND")])
async def test_any_other_answer_is_an_error(store: SqlStore, error: Exception) -> None:
    source = Source([])
    source.error = error
    await store.walk_page(1.0, ["app"])
    claim = await claimed(store, "app")
    with pytest.raises(type(error)):
        await reader_of(store, source).read(claim)


class NothingToRead:
    """A store in which nothing is due. Says when it was asked."""

    def __init__(self) -> None:
        self.asked = asyncio.Semaphore(0)

    async def claim(self, most: int, seconds: float) -> list[Claim]:
        self.asked.release()
        return []


async def test_after_a_notification_it_looks_soon_and_some_more_times(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "_INTERVAL", 60.0)
    store = NothingToRead()
    looking = Reader(cast("IndexStore", store), Source([]), Observed(), share=1, digest_interval=3600)
    running = asyncio.create_task(looking.run(asyncio.Event()))
    try:
        async with asyncio.timeout(10):
            await store.asked.acquire()
            looking.notified()
            for _ in range(4):
                await store.asked.acquire()
            looking.notified()
            await store.asked.acquire()
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
