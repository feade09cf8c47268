"""Bugs that a run has to notice. Each is put into a gateway that `gateway_with_bug` starts."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from portus_gateway.distribution.errors import DistributionError
from portus_gateway.index import transactions
from portus_gateway.index.live_index import LiveIndex
from portus_gateway.index.reader import Reader
from portus_gateway.index.store import Reading
from portus_gateway.index.transactions import Transactions
from portus_gateway.operations import watching

Patch = pytest.MonkeyPatch
# How many seconds the wrong clock is behind.
_BEHIND = 3.0


def a_notifications_digest_is_believed(patch: Patch) -> None:
    read = Reader.read

    async def believing(self: Any, claim: Any) -> Reading:
        found = await read(self, claim)
        said = {hint.tag: hint.digest for hint in claim.hints if hint.digest is not None}
        return replace(found, names=found.names | said.keys(), digests={**found.digests, **said})

    patch.setattr(Reader, "read", believing)


def an_error_is_an_empty_repository(patch: Patch) -> None:
    read = Reader.read

    async def emptying(self: Any, claim: Any) -> Reading:
        try:
            return await read(self, claim)
        except DistributionError:
            return Reading(frozenset(), {})

    patch.setattr(Reader, "read", emptying)


def a_watch_continues_one_change_too_late(patch: Patch) -> None:
    make = watching._Watch.__init__

    def later(self: Any, index: Any, visibility: Any, wanted: Any, cursor: Any, looks: Any) -> None:
        make(self, index, visibility, wanted, cursor, looks)
        if wanted.cursor is not None and cursor.listed is None:
            self._sequence += 1

    patch.setattr(watching._Watch, "__init__", later)


def a_watch_continues_one_change_too_early(patch: Patch) -> None:
    make = watching._Watch.__init__

    def earlier(self: Any, index: Any, visibility: Any, wanted: Any, cursor: Any, looks: Any) -> None:
        make(self, index, visibility, wanted, cursor, looks)
        if wanted.cursor is not None and cursor.listed is None:
            self._sequence = max(0, self._sequence - 1)

    patch.setattr(watching._Watch, "__init__", earlier)


def a_change_is_written_twice(patch: Patch) -> None:
    append = Transactions._append

    def doubling(self: Any, changes: Any) -> Any:
        return append(self, [*changes, *changes[-1:]])

    patch.setattr(Transactions, "_append", doubling)


def a_change_is_not_written(patch: Patch) -> None:
    append = Transactions._append

    def forgetting(self: Any, changes: Any) -> Any:
        return append(self, changes[:1])

    patch.setattr(Transactions, "_append", forgetting)


def walks_do_not_repair_deletes(patch: Patch) -> None:
    compared = transactions._compared

    def keeping(claim: Any, reading: Any, stored: Any, hints: Any) -> Any:
        if claim.by_walk:
            reading = replace(reading, names=reading.names | stored.keys())
        return compared(claim, reading, stored, hints)

    patch.setattr(transactions, "_compared", keeping)


def walks_do_not_check_digests(patch: Patch) -> None:
    wanted = Reader._wanted

    def only_new(self: Any, claim: Any, tags: Any) -> Any:
        checked = {name for name, known in claim.tags.items() if known.checked_at is not None}
        return [tag for tag in wanted(self, claim, tags) if not claim.by_walk or tag.name not in checked]

    patch.setattr(Reader, "_wanted", only_new)


def max_staleness_is_compared_with_another_clock(patch: Patch) -> None:
    state = Transactions.state

    def by_another_clock(self: Any, *arguments: Any) -> Any:
        found = yield from state(self, *arguments)
        return replace(found, now=found.now - _BEHIND)

    patch.setattr(Transactions, "state", by_another_clock)


def the_age_of_a_read_begins_when_it_is_asked_for(patch: Patch) -> None:
    tags = Transactions.tags

    def as_if_new(self: Any, *arguments: Any) -> Any:
        rows = yield from tags(self, *arguments)
        return rows if rows.read_at is None else replace(rows, read_at=rows.state.now)

    patch.setattr(Transactions, "tags", as_if_new)


def a_delete_is_left_to_its_notification(patch: Patch) -> None:
    async def nothing(*_: Any, **__: Any) -> None:
        return None

    patch.setattr(LiveIndex, "deleted", nothing)


def one_look_after_a_notification_is_enough(patch: Patch) -> None:
    patch.setattr(transactions, "_confirms", lambda *_: True)


PLANTED: tuple[Callable[[Patch], None], ...] = (
    a_notifications_digest_is_believed,
    a_watch_continues_one_change_too_late,
    a_watch_continues_one_change_too_early,
    a_change_is_written_twice,
    a_change_is_not_written,
    walks_do_not_repair_deletes,
    walks_do_not_check_digests,
    max_staleness_is_compared_with_another_clock,
    the_age_of_a_read_begins_when_it_is_asked_for,
    a_delete_is_left_to_its_notification,
    one_look_after_a_notification_is_enough,
    an_error_is_an_empty_repository,
)
BUGS = {bug.__name__: bug for bug in PLANTED}
# The tests of every day look for these.
QUICKLY_NOTICED = (a_notifications_digest_is_believed.__name__, a_change_is_written_twice.__name__)
