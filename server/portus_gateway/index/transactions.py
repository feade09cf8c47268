"""What the stores do, as transactions that yield their statements: one piece of code for every database.

A store runs a transaction: it executes each statement and sends its rows back. The SQL is the same for SQLite and
PostgreSQL; a statement for only one of them is in `Dialect`.
"""

from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, TypeAlias, TypeVar

from portus_gateway.distribution.digest import Digest
from portus_gateway.index.errors import StoreUnusable
from portus_gateway.index.known_listings import KnownListings
from portus_gateway.index.known_pages import KnownPage, KnownPages
from portus_gateway.index.store import (
    CLOCK_TOLERANCE,
    LAST_CHARACTER,
    Applied,
    CatalogPage,
    CatalogRows,
    Change,
    ChangeRows,
    ChangeType,
    Claim,
    FoundTags,
    Hint,
    IndexedRepository,
    IndexState,
    KnownTag,
    Lease,
    Notice,
    Reading,
    StoreLimits,
    TagEntry,
    TagRows,
    WalkEnd,
)

Value: TypeAlias = str | int | float | bytes | None
Row: TypeAlias = Sequence[Value]
Rows: TypeAlias = Sequence[Row]
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Statement:
    """SQL with its parameters, which it names by number: `$1`. With `many`, it is executed once for each of them."""

    sql: str
    parameters: Sequence[Value] = ()
    many: Sequence[Sequence[Value]] | None = None


Transaction: TypeAlias = Generator[Statement, Rows, Result]


@dataclass(frozen=True, slots=True)
class Dialect:
    """What differs between the databases."""

    name: str
    now: str
    """An expression: the database's clock, in seconds since 1970."""
    for_update: str
    skip_locked: str
    joined: str
    """The function that joins the texts of several rows."""
    position: str
    """The function that finds a text in another one."""
    least: str
    """The function that finds the smallest of some values."""
    version: str | None
    """A statement: a number that is another one when anything was written since this connection asked last. None: the
    database has no such number."""


SQLITE: Final = Dialect(
    "sqlite", "(julianday('now') - 2440587.5) * 86400.0", "", "", "group_concat", "instr", "min", "PRAGMA data_version"
)
POSTGRES: Final = Dialect(
    "postgres",
    "extract(epoch FROM clock_timestamp())::float8",
    " FOR UPDATE",
    " FOR UPDATE SKIP LOCKED",
    "string_agg",
    "strpos",
    "least",
    None,
)

# A walk that misses more than these is not believed until a second one misses them too.
_MISSING_SHARE: Final = 0.2
_MISSING_COUNT: Final = 10
_MOST_INSTANCES: Final = 1000
# How many repositories and tags are remembered, alone and in pages: some megabytes.
_REMEMBERED: Final = 20_000
# A little later than at once: a push is announced before its tag is written, most often by some milliseconds.
_FIRST_LOOK: Final = 0.015
# A claim or a pause that ends later than this many seconds from now is from before the clock was set back.
_LONGEST_WAIT: Final = 600.0
_ALGORITHMS: Final[Mapping[int, str]] = {1: "sha256", 2: "sha512"}
_NUMBERS: Final = {name: number for number, name in _ALGORITHMS.items()}


class Transactions:
    """The transactions of the index's stores, in one dialect."""

    def __init__(self, dialect: Dialect, limits: StoreLimits) -> None:
        self._dialect = dialect
        self._limits = limits
        self._listings = KnownListings(_REMEMBERED)
        self._pages = KnownPages(_REMEMBERED)
        self._state = f"epoch, head, oldest, {dialect.now}, walk_started, walk_ended, walk_requested, ready"

    def begin(self, registry: str, epoch: str) -> Transaction[None]:
        """Makes the row of the index, where there is none. Raises `StoreUnusable` for another registry's index."""
        rows = yield Statement("SELECT registry FROM index_state")
        if not rows:
            yield Statement(
                "INSERT INTO index_state (only_row, registry, epoch) VALUES (1, $1, $2) ON CONFLICT DO NOTHING",
                (registry, epoch),
            )
            rows = yield Statement("SELECT registry FROM index_state")
        found = _text(rows[0][0])
        if found != registry:
            raise StoreUnusable(
                f"the store has the index of another registry, {found}. Give each registry a store of its own; or, if"
                " it is the same registry at a new address, run `portus-gateway index rebuild`"
            )

    def rebuild(self, registry: str, epoch: str) -> Transaction[None]:
        for table in ("hints", "tags", "repositories", "changes", "registry_instances", "index_state"):
            yield Statement(f"DELETE FROM {table}")  # noqa: S608
        yield Statement(
            "INSERT INTO index_state (only_row, registry, epoch) VALUES (1, $1, $2)",
            (registry, epoch),
        )

    def state(self, counted: bool = False) -> Transaction[IndexState]:
        row = (yield Statement(f"SELECT {self._state} FROM index_state"))[0]  # noqa: S608
        counts: Row = _NOT_COUNTED
        if counted:
            counts = (
                yield Statement(
                    "SELECT (SELECT count(*) FROM repositories WHERE known > 0), (SELECT count(*) FROM tags),"
                    " (SELECT count(*) FROM repositories WHERE dirty > 0),"
                    " (SELECT min(dirty_since) FROM repositories WHERE dirty > 0), (SELECT min(checked_at) FROM tags)"
                )
            )[0]
        return _state(row, counts)

    def notify(self, notices: Sequence[Notice], instances: Sequence[str]) -> Transaction[int]:
        now = yield from self._now()
        if instances:
            yield from self._meet(instances, now)
        if not notices:
            return 0
        # Sorted, so that two transactions that mark the same repositories do not wait for one another in a circle.
        names = sorted({notice.repository for notice in notices})
        marked = yield from self._mark(names, now)
        unknown = [name for name in names if name not in marked]
        refused = 0
        if unknown:
            row = (yield Statement("SELECT count(*) FROM repositories WHERE known = 0"))[0]
            room = max(0, self._limits.unknown_repositories - _int(row[0]))
            refused = len(unknown[room:])
            for name in unknown[:room]:
                rows = yield Statement(
                    "INSERT INTO repositories (name, known, added_at, dirty, dirty_since, priority, due_at)"
                    " VALUES ($1, 0, $2, 1, $2, 0, $3)"
                    " ON CONFLICT (name) DO UPDATE SET dirty = repositories.dirty + 1 RETURNING id",
                    (name, now, now + _FIRST_LOOK),
                )
                marked[name] = _int(rows[0][0])
        yield from self._keep_hints(notices, marked)
        return refused

    def request_read(self, repositories: Sequence[str]) -> Transaction[None]:
        now = yield from self._now()
        yield Statement(
            "UPDATE repositories SET dirty = dirty + 1, dirty_since = coalesce(dirty_since, $2),"
            " due_at = CASE WHEN dirty = 0 THEN $2 ELSE due_at END WHERE name = $1 AND known > 0",
            many=[(name, now) for name in sorted(set(repositories))],
        )

    def claim(self, most: int, seconds: float) -> Transaction[list[Claim]]:
        now = yield from self._now()
        rows = yield Statement(
            # Materialized: PostgreSQL must choose once, and not once for each row.
            "WITH due AS MATERIALIZED (SELECT id FROM repositories"  # noqa: S608
            " WHERE dirty > 0 AND (due_at <= $1 OR due_at > $4) AND (claimed_until <= $1 OR claimed_until > $4)"
            f" ORDER BY due_at + 30.0 * priority LIMIT $3{self._dialect.skip_locked})"
            " UPDATE repositories SET fence = fence + 1, claimed_until = $2 WHERE id IN (SELECT id FROM due)"
            " RETURNING id, name, fence, dirty, attempts, priority",
            (now, now + seconds, most, now + _LONGEST_WAIT),
        )
        claims: list[Claim] = []
        for row in rows:
            claim = yield from self._claimed(row, now)
            claims.append(claim)
        return claims

    def apply(self, claim: Claim, reading: Reading) -> Transaction[Applied | None]:
        rows = yield Statement(
            f"SELECT fence, dirty, known FROM repositories WHERE id = $1{self._dialect.for_update}",  # noqa: S608
            (claim.id,),
        )
        if not rows or _int(rows[0][0]) != claim.fence:
            return None
        dirty, known = _int(rows[0][1]), _int(rows[0][2])
        now = yield from self._now()
        stored = {
            _text(tag): KnownTag(_digest(digest), _float_or_none(checked))
            for tag, digest, checked in (
                yield Statement("SELECT tag, digest, checked_at FROM tags WHERE repository = $1", (claim.id,))
            )
        }
        hints = {hint.tag: hint for hint in _hints((yield Statement(f"{_HINTS} WHERE repository = $1", (claim.id,))))}
        found = _compared(claim, reading, stored, hints)
        yield from self._write_tags(claim, found)
        if reading.exists and known < 2:
            found.changes.insert(0, _of_repository(ChangeType.REPOSITORY_CREATED, claim.repository))
        if not reading.exists and known == 2:
            found.changes.append(_of_repository(ChangeType.REPOSITORY_DELETED, claim.repository))

        confirmed = [tag for tag, hint in hints.items() if _confirms(found.after, hint)]
        open_hints = len(hints) - len(confirmed)
        # A read from before the clock was set back would seem to be new for a long time.
        grew = dirty != claim.dirty or claim.began_at > now
        given_up = 0
        if open_hints and not grew and claim.attempts >= len(self._limits.delays):
            given_up, open_hints = open_hints, 0
            yield Statement("DELETE FROM hints WHERE repository = $1", (claim.id,))
        elif confirmed:
            yield Statement(
                "DELETE FROM hints WHERE repository = $1 AND tag = $2", many=[(claim.id, tag) for tag in confirmed]
            )
        settled = not grew and not open_hints and not reading.unread
        yield from self._settle(claim, reading, now, settled=settled, grew=grew, open_hints=bool(open_hints))
        if found.changes:
            yield from self._append(found.changes)
        delays = [now - change.notified_at for change in found.changes if change.notified_at is not None]
        return Applied(len(found.changes), settled, given_up, delays)

    def failed(self, claim: Claim, problem: str, retry_in: float) -> Transaction[None]:
        now = yield from self._now()
        yield Statement(
            "UPDATE repositories SET claimed_until = 0, due_at = $3, attempts = attempts + 1, problem = $4"
            " WHERE id = $1 AND fence = $2",
            (claim.id, claim.fence, now + retry_in, problem),
        )

    def extend(self, claim: Claim, seconds: float) -> Transaction[bool]:
        now = yield from self._now()
        rows = yield Statement(
            "UPDATE repositories SET claimed_until = $3 WHERE id = $1 AND fence = $2 RETURNING id",
            (claim.id, claim.fence, now + seconds),
        )
        return bool(rows)

    def deleted(self, repository: str, tag: str | None, digest: Digest | None) -> Transaction[None]:
        now = yield from self._now()
        # The index may not know every tag that was on the digest. Until the next read, it does not answer.
        unread = "" if digest is None else ", read_at = NULL"
        rows = yield Statement(
            "UPDATE repositories SET fence = fence + 1, claimed_until = 0, dirty = dirty + 1,"  # noqa: S608
            f" dirty_since = coalesce(dirty_since, $2), priority = 0, due_at = $2, attempts = 0{unread}"
            " WHERE name = $1 RETURNING id",
            (repository, now),
        )
        if not rows:
            return
        identity = _int(rows[0][0])
        gone: Rows = ()
        if tag is not None:
            gone = yield Statement(
                "DELETE FROM tags WHERE repository = $1 AND tag = $2 RETURNING tag, digest", (identity, tag)
            )
        elif digest is not None:
            gone = yield Statement(
                "DELETE FROM tags WHERE repository = $1 AND digest = $2 RETURNING tag, digest",
                (identity, _encoded(digest)),
            )
        changes = [
            _of_tag(ChangeType.TAG_DELETED, repository, _text(name), None, before, None)
            for name, before in ((row[0], _digest(row[1])) for row in gone)
            if before is not None
        ]
        if changes:
            yield from self._append(sorted(changes, key=lambda change: change.tag))

    def lead(self, holder: str, seconds: float) -> Transaction[Lease | None]:
        now = yield from self._now()
        rows = yield Statement(
            "INSERT INTO lease (only_row, holder, fence, held_until) VALUES (1, $1, 1, $2)"
            " ON CONFLICT (only_row) DO UPDATE SET holder = excluded.holder, held_until = excluded.held_until,"
            " fence = lease.fence + CASE WHEN lease.holder = excluded.holder THEN 0 ELSE 1 END"
            " WHERE lease.holder = excluded.holder OR lease.held_until < $3 RETURNING fence",
            (holder, now + seconds, now),
        )
        return Lease(_int(rows[0][0])) if rows else None

    def resign(self, holder: str) -> Transaction[None]:
        yield Statement("UPDATE lease SET held_until = 0 WHERE holder = $1", (holder,))

    def walk_page(self, started: float, names: Sequence[str], unusable: Sequence[str]) -> Transaction[None]:
        now = yield from self._now()
        yield Statement(
            # A name that only notifications gave is known by the catalog, too, from now on.
            "INSERT INTO repositories (name, known, added_at, listed_at, dirty, dirty_since, priority, due_at)"
            " VALUES ($1, 1, $2, $3, 1, $2, 1, $2) ON CONFLICT (name) DO UPDATE SET listed_at = excluded.listed_at,"
            " known = CASE WHEN repositories.known = 0 THEN 1 ELSE repositories.known END",
            many=[(name, now, started) for name in sorted(names)],
        )
        if unusable:
            # Nothing can be asked about them, so that they are never read.
            yield Statement(
                "INSERT INTO repositories (name, known, added_at, listed_at) VALUES ($1, 1, $2, $3)"
                " ON CONFLICT (name) DO UPDATE SET listed_at = excluded.listed_at",
                many=[(name, now, started) for name in sorted(unusable)],
            )

    def missing(self, started: float) -> Transaction[WalkEnd]:
        """What the walk that began at `started` did not find."""
        now = yield from self._now()
        row = (
            yield Statement(
                f"SELECT (SELECT count(*) FROM repositories WHERE known > 0 AND {_before('added_at')}),"  # noqa: S608
                f" (SELECT count(*) FROM repositories WHERE known > 0 AND {_before('added_at')}"
                f"  AND (listed_at IS NULL OR {_before('listed_at')})), walk_held FROM index_state",
                (started, max(started, now)),
            )
        )[0]
        known, missing, held_before = _int(row[0]), _int(row[1]), bool(row[2])
        return WalkEnd(missing, missing > max(_MISSING_COUNT, _MISSING_SHARE * known) and not held_before)

    def mark_after_walk(self, started: float, held: bool, after: int) -> Transaction[int | None]:
        """Marks the next repositories with larger ids than `after`. Returns the last of them; None: there are no more.

        A million at once would take longer than a statement may, and all reads would wait for it.
        """
        last = yield from self._end_of_part(after)
        if last is None:
            return None
        now = yield from self._now()
        latest = max(started, now)
        if not held:
            # Those that cannot be read, because their names are not valid.
            yield Statement(
                "DELETE FROM repositories WHERE id > $3 AND id <= $4 AND known = 1 AND dirty = 0"  # noqa: S608
                f" AND {_before('added_at')} AND (listed_at IS NULL OR {_before('listed_at')})",
                (started, latest, after, last),
            )
        yield Statement(
            "UPDATE repositories SET dirty = dirty + 1, dirty_since = coalesce(dirty_since, $2),"  # noqa: S608
            " due_at = CASE WHEN dirty = 0 THEN $2 ELSE due_at END,"
            " priority = CASE WHEN dirty = 0 THEN 1 ELSE priority END"
            f" WHERE id > $3 AND id <= $4 AND known = 2 AND (read_at IS NULL OR {_before('read_at')})"
            + (" AND listed_at >= $1" if held else ""),
            (started, now, after, last),
        )
        return last

    def end_walk(self, started: float, held: bool) -> Transaction[None]:
        now = yield from self._now()
        yield Statement(
            "UPDATE index_state SET walk_started = $1, walk_ended = $2, walk_held = $3, walk_requested = $3",
            (started, now, int(held)),
        )

    def has_room(self) -> Transaction[bool]:
        most = self._limits.repositories
        rows = yield Statement(
            "SELECT count(*) FROM (SELECT 1 FROM repositories WHERE known > 0 LIMIT $1) AS part", (most,)
        )
        return _int(rows[0][0]) < most

    def forget_unfinished_walk(self, after: int) -> Transaction[int | None]:
        """Looks at the next repositories with larger ids than `after`. Answers as `mark_after_walk`."""
        last = yield from self._end_of_part(after)
        if last is not None:
            # What the last complete walk found was added before its end. What a notification named is read first.
            yield Statement(
                "DELETE FROM repositories WHERE id > $1 AND id <= $2 AND known = 1 AND priority = 1"
                " AND added_at > coalesce((SELECT walk_ended FROM index_state), 0.0)",
                (after, last),
            )
        return last

    def request_walk(self) -> Transaction[None]:
        yield Statement("UPDATE index_state SET walk_requested = 1")

    def check_ready(self) -> Transaction[bool]:
        row = (
            yield Statement(
                "SELECT ready, walk_ended, CASE WHEN EXISTS (SELECT 1 FROM repositories"
                " WHERE known = 1 AND dirty > 0 AND attempts = 0) THEN 1 ELSE 0 END FROM index_state"
            )
        )[0]
        if row[0] or row[1] is None or row[2]:
            return bool(row[0])
        yield Statement("UPDATE index_state SET ready = 1")
        return True

    def forget(self, before: float, most: int) -> Transaction[int]:
        row = (
            yield Statement(
                "SELECT max(sequence), count(*) FROM (SELECT sequence, observed_at FROM changes"
                " ORDER BY sequence LIMIT $2) AS eldest WHERE observed_at < $1",
                (before, most),
            )
        )[0]
        if row[0] is None:
            return 0
        yield Statement("DELETE FROM changes WHERE sequence <= $1", (row[0],))
        yield Statement("UPDATE index_state SET oldest = $1", (row[0],))
        return _int(row[1])

    def catalog(self, after: str, prefix: str, size: int, tags: bool) -> Transaction[CatalogRows]:
        version = yield from self._version()
        # The state is read before the page: changes after it come by the cursor, and twice is harmless.
        state = yield from self.state()
        key = (after, prefix, size, tags)
        known = self._pages.get(key)
        if known is not None and version is not None and known.version == version:
            return CatalogRows(known.page, state)
        start, bound = _start(after, prefix)
        rows = yield Statement(
            # One that the last walk did not find is on its way out, unless this walk is not believed: the answer holds
            # as of that walk.
            "SELECT name, read_at, id, fence FROM repositories"  # noqa: S608
            f" WHERE known > 0 AND name {start} $1 AND name < $2 AND (coalesce(listed_at, added_at) BETWEEN $4 AND $5"
            " OR read_at BETWEEN $4 AND $5 OR (SELECT walk_held FROM index_state) = 1) ORDER BY name LIMIT $3",
            # One more says whether others follow.
            (bound, prefix + LAST_CHARACTER, size + 1, state.walk_started or 0.0, state.now + CLOCK_TOLERANCE),
        )
        # Whatever changes a repository or its tags changes its row.
        if known is not None and known.rows == rows:
            page = known.page
        else:
            shown = yield from self._repositories(rows[:size], tags)
            page = CatalogPage(shown, more=len(rows) > size)
        self._pages.keep(key, KnownPage(version, rows, page))
        return CatalogRows(page, state)

    def _version(self) -> Transaction[int | None]:
        if self._dialect.version is None:
            return None
        rows = yield Statement(self._dialect.version)
        return _int(rows[0][0])

    def _repositories(self, rows: Rows, tags: bool) -> Transaction[tuple[IndexedRepository, ...]]:
        if not tags:
            return tuple(
                IndexedRepository(_text(name), _float_or_none(read_at), (), read_at is not None)
                for name, read_at, _, _ in rows
            )
        known = [self._listings.get((identity, fence, read_at)) for _, read_at, identity, fence in rows]
        unknown = [_text(row[0]) for row, listing in zip(rows, known, strict=True) if listing is None]
        read: dict[str, IndexedRepository] = {}
        if unknown:
            read = yield from self._listed(unknown[0], unknown[-1])
        return tuple(
            # One that was deleted between the two statements is as one that was not read yet.
            listing or read.get(_text(row[0])) or IndexedRepository(_text(row[0]), None)
            for row, listing in zip(rows, known, strict=True)
        )

    def _listed(self, first: str, last: str) -> Transaction[dict[str, IndexedRepository]]:
        """The repositories from one name to another, with their tags."""
        rows = yield Statement(
            # One row for each repository: it takes longer to fetch thousands of rows than to find them.
            "SELECT r.name, max(r.read_at), max(r.id), max(r.fence), count(t.digest),"  # noqa: S608
            f" {self._dialect.joined}(t.tag, $3)"
            " FROM repositories AS r LEFT JOIN tags AS t ON t.repository = r.id"
            " WHERE r.known > 0 AND r.name >= $1 AND r.name <= $2 GROUP BY r.name",
            (first, last, LAST_CHARACTER),
        )
        found: dict[str, IndexedRepository] = {}
        for name, read_at, identity, fence, resolved, joined in rows:
            # The databases join them in any order.
            tags = () if joined is None else tuple(sorted(_text(joined).split(LAST_CHARACTER)))
            repository = IndexedRepository(
                _text(name),
                _float_or_none(read_at),
                tags,
                read_at is not None and resolved == len(tags),
                sum(map(len, tags)),
            )
            found[repository.name] = repository
            if repository.read_at is not None:
                self._listings.keep((_int(identity), _int(fence), repository.read_at), repository)
        return found

    def tags(self, repository: str, after: str, size: int) -> Transaction[TagRows]:
        # One row has no tag, but the state of the index and of the repository.
        rows = yield Statement(
            f"SELECT NULL, NULL, NULL, r.id, r.read_at, {self._state} FROM index_state"  # noqa: S608
            " LEFT JOIN repositories AS r ON r.name = $1 AND r.known = 2"
            f" UNION ALL SELECT tag, digest, checked_at{', NULL' * 10} FROM"
            " (SELECT t.tag, t.digest, t.checked_at FROM repositories AS r JOIN tags AS t ON t.repository = r.id"
            " WHERE r.name = $1 AND r.known = 2 AND t.tag > $2 ORDER BY t.tag LIMIT $3) AS page",
            (repository, after, size),
        )
        # The databases may give them in any order.
        first, *others = sorted(rows, key=_tag_or_nothing)
        state = _state(first[5:])
        if first[3] is None:
            return TagRows((), None, state)
        entries = tuple(TagEntry(repository, _text(row[0]), _digest(row[1]), _float_or_none(row[2])) for row in others)
        return TagRows(entries, _float_or_none(first[4]), state)

    def repository_tags(self, after: tuple[str, str], prefix: str, size: int) -> Transaction[list[TagEntry]]:
        rows = yield from _tags_after(
            "SELECT r.name, coalesce(t.tag, ''), t.digest, t.checked_at, coalesce(r.read_at, r.added_at)"
            " FROM repositories AS r LEFT JOIN tags AS t ON t.repository = r.id WHERE r.known = 2 AND",
            after,
            prefix,
            size,
        )
        return list(map(_entry, rows))

    def changes(self, after: int, most: int) -> Transaction[ChangeRows]:
        rows = yield Statement(f"{_CHANGES} WHERE sequence > $1 ORDER BY sequence LIMIT $2", (after, most))
        # The state is read last: changes that were deleted meanwhile are seen by `oldest` then.
        state = yield from self.state()
        return ChangeRows(tuple(map(_change, rows)), state)

    def history(self, repository: str, tag: str, before: int, size: int) -> Transaction[ChangeRows]:
        rows = yield Statement(
            f"{_CHANGES} WHERE repository = $1 AND tag = $2 AND sequence < $3 ORDER BY sequence DESC LIMIT $4",
            (repository, tag, before, size),
        )
        state = yield from self.state()
        return ChangeRows(tuple(map(_change, rows)), state)

    def find_by_digest(self, digest: Digest, prefix: str, after: tuple[str, str], size: int) -> Transaction[FoundTags]:
        rows = yield Statement(
            f"{_TAGS} WHERE t.digest = $1 AND r.name >= $2 AND r.name < $3"
            " AND (r.name > $4 OR (r.name = $4 AND t.tag > $5)) ORDER BY r.name, t.tag LIMIT $6",
            (_encoded(digest), prefix, prefix + LAST_CHARACTER, *after, size),
        )
        state = yield from self.state()
        return FoundTags(tuple(map(_entry, rows)), state, _place(rows[-1]) if len(rows) == size else None)

    def tags_containing(
        self, text: str, prefix: str, after: tuple[str, str], size: int, looked_at: int
    ) -> Transaction[FoundTags]:
        found: list[TagEntry] = []
        following: tuple[str, str] | None = None
        for condition, bounds in _ranges_after(after, prefix):
            # To find the end first takes less time than to number what is looked at.
            ends = yield Statement(
                "SELECT r.name, t.tag FROM repositories AS r JOIN tags AS t ON t.repository = r.id"  # noqa: S608
                f" WHERE {condition} ORDER BY r.name, t.tag LIMIT 1 OFFSET $3",
                (*bounds, looked_at - 1),
            )
            last = _place(ends[0]) if ends else (LAST_CHARACTER, "")
            rows = yield Statement(
                f"{_TAGS} WHERE {condition} AND r.name <= $3 AND (r.name, t.tag) <= ($3, $4)"
                f" AND {self._dialect.position}(t.tag, $5) > 0 ORDER BY r.name, t.tag LIMIT $6",
                (*bounds, *last, text, size),
            )
            found += map(_entry, rows)
            if len(rows) == size or ends:
                following = _place(rows[-1]) if len(rows) == size else last
                break
        state = yield from self.state()
        return FoundTags(tuple(found), state, following)

    def _end_of_part(self, after: int) -> Transaction[int | None]:
        """The last id of the repositories after an id that one transaction takes. None: there are no more."""
        rows = yield Statement(
            "SELECT max(id) FROM (SELECT id FROM repositories WHERE id > $1 ORDER BY id LIMIT $2) AS part",
            (after, self._limits.marked_at_once),
        )
        return None if rows[0][0] is None else _int(rows[0][0])

    def _now(self) -> Transaction[float]:
        rows = yield Statement(f"SELECT {self._dialect.now}")
        return _float(rows[0][0])

    def _meet(self, instances: Sequence[str], now: float) -> Transaction[None]:
        """Asks for a walk where a registry's instance is new, unless there was none before any walk."""
        new = False
        for instance in sorted(set(instances)):
            rows = yield Statement(
                "INSERT INTO registry_instances (instance, seen_at) VALUES ($1, $2) ON CONFLICT DO NOTHING"
                " RETURNING instance",
                (instance, now),
            )
            new = new or bool(rows)
        if new:
            yield Statement("UPDATE index_state SET walk_requested = 1")
            yield Statement(
                "DELETE FROM registry_instances WHERE instance NOT IN"
                " (SELECT instance FROM registry_instances ORDER BY seen_at DESC LIMIT $1)",
                (_MOST_INSTANCES,),
            )

    def _mark(self, names: Sequence[str], now: float) -> Transaction[dict[str, int]]:
        """Marks known repositories dirty. Returns the ids of those that are known."""
        marked: dict[str, int] = {}
        for name in names:
            rows = yield Statement(
                "UPDATE repositories SET dirty = dirty + 1, dirty_since = coalesce(dirty_since, $2), priority = 0,"
                " due_at = CASE WHEN dirty = 0 OR priority = 1 THEN $3 ELSE least_of(due_at, $3) END,"
                " attempts = 0 WHERE name = $1 RETURNING id".replace("least_of", self._dialect.least),
                (name, now, now + _FIRST_LOOK),
            )
            if rows:
                marked[name] = _int(rows[0][0])
        return marked

    def _keep_hints(self, notices: Sequence[Notice], marked: Mapping[str, int]) -> Transaction[None]:
        # The last one of each tag counts.
        latest = {
            (marked[notice.repository], notice.hint.tag): notice.hint
            for notice in notices
            if notice.hint is not None and notice.repository in marked
        }
        if not latest:
            return
        for identity in sorted({identity for identity, _ in latest}):
            row = (yield Statement("SELECT count(*) FROM hints WHERE repository = $1", (identity,)))[0]
            room = self._limits.hints - _int(row[0])
            own = [(tag, hint) for (owner, tag), hint in latest.items() if owner == identity]
            if room >= 0:
                yield Statement(
                    "INSERT INTO hints (repository, tag, digest, notified_at, actor) VALUES ($1, $2, $3, $4, $5)"
                    " ON CONFLICT (repository, tag) DO UPDATE SET digest = excluded.digest,"
                    " notified_at = excluded.notified_at, actor = excluded.actor",
                    many=[
                        (identity, tag, _encoded(hint.digest), hint.notified_at, hint.actor)
                        for tag, hint in sorted(own)[:room]
                    ],
                )

    def _claimed(self, row: Row, now: float) -> Transaction[Claim]:
        identity, name, fence, dirty, attempts, priority = row
        tags = yield Statement("SELECT tag, digest, checked_at FROM tags WHERE repository = $1", (identity,))
        hints = yield Statement(f"{_HINTS} WHERE repository = $1", (identity,))
        return Claim(
            id=_int(identity),
            repository=_text(name),
            fence=_int(fence),
            dirty=_int(dirty),
            began_at=now,
            attempts=_int(attempts),
            by_walk=_int(priority) == 1,
            tags={_text(tag): KnownTag(_digest(digest), _float_or_none(checked)) for tag, digest, checked in tags},
            hints=_hints(hints),
        )

    def _write_tags(self, claim: Claim, found: "_Compared") -> Transaction[None]:
        if found.removed:
            yield Statement(
                "DELETE FROM tags WHERE repository = $1 AND tag = $2", many=[(claim.id, tag) for tag in found.removed]
            )
        if found.written:
            yield Statement(
                "INSERT INTO tags (repository, tag, digest, checked_at) VALUES ($1, $2, $3, $4)"
                " ON CONFLICT (repository, tag) DO UPDATE SET digest = excluded.digest,"
                " checked_at = excluded.checked_at",
                many=[
                    (claim.id, tag, _encoded(known.digest), known.checked_at) for tag, known in found.written.items()
                ],
            )

    def _settle(
        self, claim: Claim, reading: Reading, now: float, *, settled: bool, grew: bool, open_hints: bool
    ) -> Transaction[None]:
        if settled and not reading.exists:
            yield Statement("DELETE FROM repositories WHERE id = $1", (claim.id,))
            return
        delay, attempts = 0.0, 0
        if grew:
            delay = _FIRST_LOOK
        elif open_hints:
            delay, attempts = self._limits.delays[claim.attempts], claim.attempts + 1
        mark = "dirty = 0, dirty_since = NULL, priority = 1" if settled else "dirty = 1"
        yield Statement(
            f"UPDATE repositories SET {mark}, known = $3, read_at = $4, claimed_until = 0, problem = '', due_at = $5,"  # noqa: S608
            " attempts = $6, fence = fence + 1 WHERE id = $1 AND fence = $2",
            (
                claim.id,
                claim.fence,
                2 if reading.exists else 0,
                claim.began_at if reading.exists else None,
                now + delay,
                attempts,
            ),
        )

    def _append(self, changes: Sequence[Change]) -> Transaction[None]:
        """Numbers the changes and adds them. The last statements of a transaction: from here on others wait.

        So the times of the changes are in the order of their numbers.
        """
        rows = yield Statement(
            f"UPDATE index_state SET head = head + $1 RETURNING head, {self._dialect.now}",  # noqa: S608
            (len(changes),),
        )
        now = _float(rows[0][1])
        first = _int(rows[0][0]) - len(changes) + 1
        yield Statement(
            "INSERT INTO changes (sequence, type, repository, tag, digest, previous_digest, observed_at, notified_at,"
            " actor) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
            many=[
                (
                    first + position,
                    int(change.type),
                    change.repository,
                    change.tag,
                    _encoded(change.digest),
                    _encoded(change.previous_digest),
                    now,
                    change.notified_at,
                    change.actor,
                )
                for position, change in enumerate(changes)
            ],
        )


_NOT_COUNTED: Final = (0, 0, 0, None, None)


def _state(row: Row, counts: Row = _NOT_COUNTED) -> IndexState:
    return IndexState(
        epoch=_text(row[0]),
        head=_int(row[1]),
        oldest=_int(row[2]),
        now=_float(row[3]),
        walk_started=_float_or_none(row[4]),
        walk_ended=_float_or_none(row[5]),
        walk_requested=bool(row[6]),
        ready=bool(row[7]),
        repositories=_int(counts[0]),
        tags=_int(counts[1]),
        dirty=_int(counts[2]),
        oldest_dirty=_float_or_none(counts[3]),
        oldest_check=_float_or_none(counts[4]),
    )


_HINTS: Final = "SELECT tag, digest, notified_at, actor FROM hints"
_CHANGES: Final = (
    "SELECT sequence, type, repository, tag, digest, previous_digest, observed_at, notified_at, actor FROM changes"
)
_TAGS: Final = (
    "SELECT r.name, t.tag, t.digest, t.checked_at, r.read_at FROM repositories AS r"
    " JOIN tags AS t ON t.repository = r.id"
)


@dataclass(slots=True)
class _Compared:
    """What is different between the store and a reading."""

    after: Mapping[str, Digest | None]
    written: dict[str, KnownTag]
    removed: list[str]
    changes: list[Change]


def _compared(claim: Claim, reading: Reading, stored: Mapping[str, KnownTag], hints: Mapping[str, Hint]) -> _Compared:
    after: dict[str, Digest | None] = {}
    written: dict[str, KnownTag] = {}
    changes: list[Change] = []
    names = reading.names if reading.exists else frozenset[str]()
    removed = sorted(stored.keys() - names)
    for tag in removed:
        before = stored[tag].digest
        if before is not None:
            changes.append(_of_tag(ChangeType.TAG_DELETED, claim.repository, tag, None, before, hints.get(tag)))
    for tag in sorted(names):
        known = stored.get(tag)
        old = None if known is None else known.digest
        if tag not in reading.digests:
            after[tag] = old
            if known is None:
                written[tag] = KnownTag(None, None)
            continue
        new = reading.digests[tag]
        after[tag] = new
        written[tag] = KnownTag(new, claim.began_at)
        if new != old:
            kind = (
                ChangeType.TAG_DELETED
                if new is None
                else ChangeType.TAG_CREATED
                if old is None
                else ChangeType.TAG_MOVED
            )
            changes.append(_of_tag(kind, claim.repository, tag, new, old, hints.get(tag)))
    return _Compared(after, written, removed, changes)


def _confirms(after: Mapping[str, Digest | None], hint: Hint) -> bool:
    """Whether the repository is as the hint says."""
    if hint.digest is None:
        return after.get(hint.tag) is None
    return after.get(hint.tag) == hint.digest


# The number and the time of a change are found out when it is written.
def _of_repository(kind: ChangeType, repository: str) -> Change:
    return Change(0, kind, repository, "", None, None, 0.0)


def _of_tag(
    kind: ChangeType,
    repository: str,
    tag: str,
    digest: Digest | None,
    previous: Digest | None,
    hint: Hint | None,
) -> Change:
    # A hint that says something else announced another change.
    announced = hint is not None and hint.digest == digest
    return Change(
        0,
        kind,
        repository,
        tag,
        digest,
        previous,
        0.0,
        hint.notified_at if announced and hint is not None else None,
        hint.actor if announced and hint is not None else "",
    )


def _hints(rows: Rows) -> tuple[Hint, ...]:
    return tuple(Hint(_text(tag), _digest(digest), _float_or_none(at), _text(actor)) for tag, digest, at, actor in rows)


def _change(row: Row) -> Change:
    return Change(
        sequence=_int(row[0]),
        type=ChangeType(_int(row[1])),
        repository=_text(row[2]),
        tag=_text(row[3]),
        digest=_digest(row[4]),
        previous_digest=_digest(row[5]),
        observed_at=_float(row[6]),
        notified_at=_float_or_none(row[7]),
        actor=_text(row[8]),
    )


def _before(column: str) -> str:
    """Whether a time was before $1, when a walk began. What is after $2, the time now, is from before the clock was set
    back. If that was during the walk, $2 is when the walk began.
    """
    return f"({column} < $1 OR {column} > $2)"


def _start(after: str, prefix: str) -> tuple[str, str]:
    """How the names of a page compare with which text. SQLite begins at one such bound, and reads over the others."""
    return (">", after) if after >= prefix else (">=", prefix)


def _ranges_after(after: tuple[str, str], prefix: str) -> Iterator[tuple[str, tuple[str, str]]]:
    """The rest of the repository that the page before ended in, and what follows: each is one range of an index."""
    repository, tag = after
    if prefix <= repository < prefix + LAST_CHARACTER:
        yield "r.name = $1 AND t.tag > $2", (repository, tag)
    start, bound = _start(repository, prefix)
    yield f"r.name {start} $1 AND r.name < $2", (bound, prefix + LAST_CHARACTER)


def _place(row: Row) -> tuple[str, str]:
    return _text(row[0]), _text(row[1])


def _tags_after(selected: str, after: tuple[str, str], prefix: str, size: int) -> Transaction[Rows]:
    rows: Rows = ()
    for condition, bounds in _ranges_after(after, prefix):
        if len(rows) < size:
            more = yield Statement(
                f"{selected} {condition} ORDER BY r.name, t.tag LIMIT $3", (*bounds, size - len(rows))
            )
            rows = (*rows, *more)
    return rows


def _entry(row: Row) -> TagEntry:
    return TagEntry(_text(row[0]), _text(row[1]), _digest(row[2]), _float_or_none(row[3]), _float_or_none(row[4]))


def _encoded(digest: Digest | None) -> bytes | None:
    """A digest in a third of its text's size: a byte for the algorithm, and the hash."""
    return None if digest is None else bytes([_NUMBERS[digest.algorithm]]) + bytes.fromhex(digest.encoded)


def _digest(value: Value) -> Digest | None:
    if value is None:
        return None
    if not isinstance(value, bytes):
        raise _damaged(value)
    return _decoded(value)


# The same tags are listed and read again and again.
@lru_cache(4096)
def _decoded(value: bytes) -> Digest:
    return Digest(f"{_ALGORITHMS[value[0]]}:{value[1:].hex()}")


def _tag_or_nothing(row: Row) -> str:
    return "" if row[0] is None else _text(row[0])


def _text(value: Value) -> str:
    if not isinstance(value, str):
        raise _damaged(value)
    return value


def _int(value: Value) -> int:
    if not isinstance(value, int):
        raise _damaged(value)
    return value


def _float(value: Value) -> float:
    if not isinstance(value, float | int):
        raise _damaged(value)
    return float(value)


def _float_or_none(value: Value) -> float | None:
    return None if value is None else _float(value)


def _damaged(value: Value) -> StoreUnusable:
    return StoreUnusable(
        f"the store has a {type(value).__name__} where it cannot be: it is damaged. Move it away, and restart"
    )
