"""Streams from the index whose readers are slow."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import cast

import pytest

from portus_gateway.distribution.names import Repository, UnusableName
from portus_gateway.index.live_index import LiveIndex
from portus_gateway.index.store import CatalogRows, IndexedRepository, IndexState
from portus_gateway.operations import index_answers
from portus_gateway.operations.catalog_listing import CatalogEntry, CatalogListing
from portus_gateway.operations.index_answers import EverythingVisible, IndexAnswers

ALLOWED = 10.0


def state(now: float) -> IndexState:
    return IndexState(
        epoch="e", head=1, oldest=0, now=now, walk_started=0.0, walk_ended=0.0, walk_requested=False, ready=True
    )


class AgingIndex:
    """An index of two repositories that were read at 0. Each page is read eight seconds after the one before."""

    def __init__(self) -> None:
        self.now = 0.0
        self.store = self

    async def state(self) -> IndexState:
        return state(self.now)

    async def catalog(self, after: str, prefix: str, size: int, *, tags: bool) -> CatalogRows:
        self.now += 8.0
        rows = [IndexedRepository(name, 0.0, ("indexed",)) for name in ("a", "b") if name > after]
        return CatalogRows(tuple(rows[:size]), state(self.now))

    async def refresh(self, repositories: Sequence[str]) -> None:
        pass


async def live_tags(names: Sequence[Repository | UnusableName]) -> dict[str, CatalogEntry]:
    return {str(name): CatalogEntry(name, ()) for name in names}


async def test_a_row_that_became_too_old_during_the_stream_is_asked_of_the_registry(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(index_answers, "_STREAM_PAGE", 1)
    answers = IndexAnswers(
        cast("LiveIndex", AgingIndex()),
        EverythingVisible(),
        cast("CatalogListing", SimpleNamespace(tags_of=live_tags)),
    )
    stream = await answers.stream(include_tags=True, prefix="", max_staleness=ALLOWED)
    assert stream is not None
    entries = [entry async for page, _ in stream for entry in page]
    assert [str(entry.name) for entry in entries] == ["a", "b"]
    # The first is 8 seconds old, the second would be 16.
    assert [entry.tags == () for entry in entries] == [False, True]
