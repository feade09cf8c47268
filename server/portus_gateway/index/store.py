"""What the index keeps, and the protocol of the stores that keep it.

All times are seconds since 1970 by the store's clock, so that replicas with different clocks agree.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from typing import NamedTuple, Protocol

from portus_gateway.distribution.digest import Digest

MOST_CHANGES = 1000
"""The most changes that one question to the store answers."""


CLOCK_TOLERANCE = 1.0
"""How many seconds something that is known may be after the time that an answer was asked for.

A store says what time it is first, and then what it has, which other processes write meanwhile. What is further ahead
is from before the store's clock was set back.
"""

# Names that are not valid can have any characters and any length.
_LONGEST_UNUSABLE = 1024


LAST_CHARACTER = "\U0010ffff"
"""The last of all characters, which stands for nothing. Stored names do not have it."""


def storable(name: str) -> str:
    """A foreign text as every store can keep it: PostgreSQL takes no zero character, and UTF-8 no half of a pair."""
    text = name[:_LONGEST_UNUSABLE].replace("\0", "\ufffd").replace(LAST_CHARACTER, "\ufffd")
    return text.encode(errors="replace").decode()


class ChangeType(IntEnum):
    """The numbers are stored, and are those of the contract (`Event.Type`)."""

    TAG_CREATED = 1
    TAG_MOVED = 2
    TAG_DELETED = 3
    REPOSITORY_CREATED = 4
    REPOSITORY_DELETED = 5


@dataclass(frozen=True, slots=True)
class Change:
    """One change that the index saw. `sequence` numbers have no gaps, and their order is that of the commits.

    `notified_at` and `actor` are what a notification said, if one announced this change. Nothing proves them.
    """

    sequence: int
    type: ChangeType
    repository: str
    tag: str
    digest: Digest | None
    previous_digest: Digest | None
    observed_at: float
    notified_at: float | None = None
    actor: str = ""


@dataclass(frozen=True, slots=True)
class Hint:
    """What a notification says about a tag. `digest` is None for the delete of a tag."""

    tag: str
    digest: Digest | None
    notified_at: float | None = None
    actor: str = ""


@dataclass(frozen=True, slots=True)
class Notice:
    """A repository to look at, because a notification named it; `hint` where it named a tag, too."""

    repository: str
    hint: Hint | None = None


@dataclass(frozen=True, slots=True)
class KnownTag:
    """What the index knows of a tag.

    `digest` is None if the registry did not resolve the tag, or has not been asked (`checked_at` is None then).
    """

    digest: Digest | None
    checked_at: float | None


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to write what a read of one repository finds. Whoever claims the repository later ends it.

    `began_at` is the time of the claim: before the first request. `attempts` is how often a read did not settle it.
    """

    id: int
    repository: str
    fence: int
    dirty: int
    began_at: float
    attempts: int
    by_walk: bool
    """Whether nothing but the walk asked for the read."""
    tags: Mapping[str, KnownTag]
    hints: Sequence[Hint]


@dataclass(frozen=True, slots=True)
class Reading:
    """What a read of a repository found: all names of tags, and the digests of those that were asked for.

    A name without an entry in `digests` keeps the digest that the index has. None: the registry does not resolve it.
    """

    names: frozenset[str]
    digests: Mapping[str, Digest | None]
    exists: bool = True
    """False: the registry says that there is no such repository."""
    unread: int = 0
    """How many digests are still to be asked for."""


@dataclass(frozen=True, slots=True)
class Applied:
    """What the store did with a reading. `settled`: there is nothing left to look at.

    `unconfirmed` counts hints that were given up because the registry never showed what they said.
    """

    changes: int
    settled: bool
    unconfirmed: int = 0
    delays: Sequence[float] = ()
    """Of each change that a notification had announced: how many seconds after the event it was written."""


@dataclass(frozen=True, slots=True)
class IndexState:
    """The index as a whole. `oldest` is the sequence number before the first change that is kept."""

    epoch: str
    head: int
    oldest: int
    now: float
    walk_started: float | None
    """When the last complete walk began; None before the first one."""
    walk_ended: float | None
    walk_requested: bool
    ready: bool
    """Whether every repository of the first walk has been read, or could not be read."""
    repositories: int = 0
    tags: int = 0
    dirty: int = 0
    oldest_dirty: float | None = None
    oldest_check: float | None = None
    """When the digest that was checked longest ago was checked."""


class IndexedRepository(NamedTuple):
    """A repository and its tags in lexical order, as they were at `read_at`. None: not read yet.

    `resolved`: the registry resolved each of the tags, so that their names, and that of the repository, are valid.
    `characters` counts those of all tags. A tuple, because an answer has thousands of them.
    """

    name: str
    read_at: float | None
    tags: tuple[str, ...] = ()
    resolved: bool = False
    characters: int = 0


@dataclass(frozen=True, slots=True)
class TagEntry:
    """A tag of a repository, what it points to, and when that was last checked."""

    repository: str
    tag: str
    digest: Digest | None
    checked_at: float | None
    read_at: float | None = None


@dataclass(frozen=True, eq=False)
class CatalogPage:
    """Repositories in the order of their names. `more` says whether others follow.

    What holds for all of them is found out once: a store answers with the same object while nothing has changed.
    """

    repositories: tuple[IndexedRepository, ...]
    more: bool

    @cached_property
    def resolved(self) -> bool:
        """Whether all of them are `resolved`."""
        return all(repository.resolved for repository in self.repositories)

    @cached_property
    def oldest_read(self) -> float | None:
        """When the repository was read that was read longest ago. None: one was not read, or there is none."""
        times = [repository.read_at for repository in self.repositories]
        return min((time for time in times if time is not None), default=None) if None not in times else None

    @cached_property
    def latest_read(self) -> float | None:
        """When the repository was read that was read last. None: none was."""
        return max((each.read_at for each in self.repositories if each.read_at is not None), default=None)

    @cached_property
    def tags(self) -> int:
        """How many tags they have."""
        return sum(len(repository.tags) for repository in self.repositories)

    @cached_property
    def characters(self) -> int:
        """How many characters all tags have."""
        return sum(repository.characters for repository in self.repositories)


@dataclass(frozen=True, slots=True)
class CatalogRows:
    """A page of the catalog, and the state of the index before it was read."""

    page: CatalogPage
    state: IndexState

    @property
    def repositories(self) -> tuple[IndexedRepository, ...]:
        return self.page.repositories


@dataclass(frozen=True, slots=True)
class TagRows:
    """A page of the tags of one repository. `read_at` is None if the index has not read the repository."""

    tags: tuple[TagEntry, ...]
    read_at: float | None
    state: IndexState


@dataclass(frozen=True, slots=True)
class FoundTags:
    """Tags of several repositories, by repository and tag. `following` is the repository and the tag after which the
    search continues; None at its end.
    """

    tags: tuple[TagEntry, ...]
    state: IndexState
    following: tuple[str, str] | None


@dataclass(frozen=True, slots=True)
class ChangeRows:
    """Changes in order, and the state of the index after they were read."""

    changes: tuple[Change, ...]
    state: IndexState


@dataclass(frozen=True, slots=True)
class WalkEnd:
    """How many repositories the index has that the walk did not find. `held`: too many to believe a single walk."""

    missing: int
    held: bool


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to lead. `fence` grows each time that another process takes it."""

    fence: int


@dataclass(frozen=True, slots=True)
class StoreLimits:
    """How much a store takes in."""

    repositories: int = 1_500_000
    """Repositories of the catalog. A walk reads 1,000,000 names at most, and some may be gone since the last walk."""

    unknown_repositories: int = 10_000
    """Repositories that only notifications named."""
    hints: int = 1000
    """Tags that notifications named, for one repository."""
    delays: Sequence[float] = (0.1, 0.5, 2.0, 10.0)
    """Seconds before a repository is read again because a hint is not confirmed. After the last one it is given up."""
    marked_at_once: int = 10_000
    """Repositories that the end of a walk marks in one transaction."""


class IndexStore(Protocol):
    """Keeps the index. They raise `StoreError` and nothing else.

    Each method is one transaction, except `end_walk` and `forget_unfinished_walk`.
    """

    async def state(self, *, counted: bool = False) -> IndexState:
        """The index as a whole. With `counted`, with the numbers of what it has, which takes longer."""
        ...

    async def notify(self, notices: Sequence[Notice], instances: Sequence[str] = ()) -> int:
        """Marks repositories dirty, and keeps the hints. Returns how many repositories were not taken in.

        A registry's instance that was not known before asks for a walk: notifications are lost when a registry starts.
        """
        ...

    async def request_read(self, repositories: Sequence[str]) -> None:
        """Marks known repositories dirty, as the walk does."""
        ...

    async def claim(self, most: int, seconds: float) -> list[Claim]:
        """Claims up to `most` dirty repositories for `seconds`: those that were notified first, then the walk's."""
        ...

    async def apply(self, claim: Claim, reading: Reading) -> Applied | None:
        """Writes what was read, with its changes. None: the claim was taken over, and nothing was written."""
        ...

    async def extend(self, claim: Claim, seconds: float) -> bool:
        """Keeps a claim for `seconds` from now. False: it was taken over."""
        ...

    async def failed(self, claim: Claim, problem: str, retry_in: float) -> None:
        """The read failed: nothing changes, and the repository is read again after `retry_in` seconds."""
        ...

    async def deleted(self, repository: str, *, tag: str | None = None, digest: Digest | None = None) -> None:
        """Takes in a delete by this gateway: the tag is gone, or all tags that the index knows on the digest.

        A read that began before does not count, and the repository is read again. Other tags that were on the digest
        are not known: until then, the repository counts as not read.
        """
        ...

    async def lead(self, holder: str, seconds: float) -> Lease | None:
        """Takes or extends the lead, for `seconds`. None: another process leads."""
        ...

    async def resign(self, holder: str) -> None:
        """Gives the lead back."""
        ...

    async def walk_page(self, started: float, names: Sequence[str], unusable: Sequence[str] = ()) -> None:
        """A walk that began at `started` found these repositories, and these names that are not valid."""
        ...

    async def end_walk(self, started: float) -> WalkEnd:
        """The walk found the end of the catalog. All repositories are to be read again: marked some at a time."""
        ...

    async def has_room(self) -> bool:
        """Whether the store has fewer repositories of the catalog than it takes in."""
        ...

    async def forget_unfinished_walk(self) -> None:
        """Forgets repositories that nothing but walks without an end have named, and that were not read.

        Without this, each walk over a catalog that has no end would leave its repositories.
        """
        ...

    async def request_walk(self) -> None:
        """Asks the leader for a walk."""
        ...

    async def check_ready(self) -> bool:
        """Notes that the index is ready, if it is."""
        ...

    async def forget(self, before: float, most: int = 10_000) -> int:
        """Deletes changes that were observed before `before`, up to `most`. Returns how many."""
        ...

    async def catalog(self, after: str, prefix: str, size: int, *, tags: bool) -> CatalogRows:
        """The next `size` repositories after a name, with their tags if wanted."""
        ...

    async def tags(self, repository: str, after: str, size: int) -> TagRows:
        """The next `size` tags of a repository after a name."""
        ...

    async def repository_tags(self, after: tuple[str, str], prefix: str, size: int) -> list[TagEntry]:
        """The next `size` tags after one by repository and tag, of all repositories that were read.

        A repository without tags has one entry, whose tag is empty.
        """
        ...

    async def changes(self, after: int, most: int = MOST_CHANGES) -> ChangeRows:
        """The changes after a sequence number, in order."""
        ...

    async def history(self, repository: str, tag: str, before: int, size: int) -> ChangeRows:
        """The latest `size` changes of one tag before a sequence number, latest first."""
        ...

    async def find_by_digest(self, digest: Digest, prefix: str, after: tuple[str, str], size: int) -> FoundTags:
        """At most `size` tags on a digest, after one by repository and tag."""
        ...

    async def tags_containing(
        self, text: str, prefix: str, after: tuple[str, str], size: int, looked_at: int
    ) -> FoundTags:
        """At most `size` of the tags whose names contain `text`, after one by repository and tag.

        It looks at some `looked_at` tags, so that it ends soon. Other reads do not wait for it.
        """
        ...

    async def rebuild(self) -> None:
        """Forgets everything, and begins with a new epoch: cursors from before are not known any more."""
        ...

    async def close(self) -> None: ...
