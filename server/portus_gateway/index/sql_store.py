"""An index store over a database: each method runs one transaction of `transactions`."""

import secrets
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import partial
from types import TracebackType
from typing import Self, TypeVar

from portus_gateway.distribution.digest import Digest
from portus_gateway.index.store import (
    MOST_CHANGES,
    Applied,
    CatalogRows,
    ChangeRows,
    Claim,
    FoundTags,
    IndexState,
    Lease,
    Notice,
    Reading,
    StoreLimits,
    TagEntry,
    TagRows,
    WalkEnd,
    storable,
)
from portus_gateway.index.transactions import Dialect, Transaction, Transactions

Result = TypeVar("Result")


class SqlStore(ABC):
    """An `IndexStore` for the registry at an address; an async context manager that opens and closes it."""

    def __init__(self, registry: str, dialect: Dialect, limits: StoreLimits | None) -> None:
        self._registry = registry
        self._transactions = Transactions(dialect, limits or StoreLimits())

    async def __aenter__(self) -> Self:
        try:
            await self._open()
            await self._write(partial(self._transactions.begin, self._registry, _new_epoch()), durable=True)
        except BaseException:
            await self.close()
            raise
        return self

    async def rebuild_unopened(self) -> None:
        """Makes an empty index of this registry, also where the store has that of another. Not within `async with`."""
        try:
            await self._open()
            await self.rebuild()
        finally:
            await self.close()

    async def __aexit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    @abstractmethod
    async def _open(self) -> None:
        """Opens the database and brings its schema up to date."""

    @abstractmethod
    async def close(self) -> None:
        """Closes the database."""

    @abstractmethod
    async def _write(self, make: Callable[[], Transaction[Result]], *, durable: bool = False) -> Result:
        """Runs a transaction that writes. `make` is called again for each try.

        If `durable`, it is on the disk afterwards; else it may get lost when the machine fails.
        """

    @abstractmethod
    async def _read(self, make: Callable[[], Transaction[Result]], *, slow: bool = False) -> Result:
        """Runs a transaction that only reads. If it is `slow`, others do not wait for it."""

    async def state(self, *, counted: bool = False) -> IndexState:
        return await self._read(partial(self._transactions.state, counted), slow=counted)

    async def notify(self, notices: Sequence[Notice], instances: Sequence[str] = ()) -> int:
        return await self._write(partial(self._transactions.notify, notices, instances))

    async def request_read(self, repositories: Sequence[str]) -> None:
        await self._write(partial(self._transactions.request_read, repositories))

    async def claim(self, most: int, seconds: float) -> list[Claim]:
        return await self._write(partial(self._transactions.claim, most, seconds))

    async def apply(self, claim: Claim, reading: Reading) -> Applied | None:
        # Changes that watchers were told must not get lost: their numbers would be given again.
        durable = not _is_as_before(claim, reading)
        return await self._write(partial(self._transactions.apply, claim, reading), durable=durable)

    async def failed(self, claim: Claim, problem: str, retry_in: float) -> None:
        await self._write(partial(self._transactions.failed, claim, storable(problem), retry_in))

    async def extend(self, claim: Claim, seconds: float) -> bool:
        return await self._write(partial(self._transactions.extend, claim, seconds))

    async def deleted(self, repository: str, *, tag: str | None = None, digest: Digest | None = None) -> None:
        await self._write(partial(self._transactions.deleted, repository, tag, digest), durable=True)

    async def lead(self, holder: str, seconds: float) -> Lease | None:
        return await self._write(partial(self._transactions.lead, holder, seconds))

    async def resign(self, holder: str) -> None:
        await self._write(partial(self._transactions.resign, holder))

    async def walk_page(self, started: float, names: Sequence[str], unusable: Sequence[str] = ()) -> None:
        await self._write(partial(self._transactions.walk_page, started, names, [storable(name) for name in unusable]))

    async def end_walk(self, started: float) -> WalkEnd:
        found = await self._write(partial(self._transactions.missing, started))
        last: int | None = 0
        while last is not None:
            last = await self._write(partial(self._transactions.mark_after_walk, started, found.held, last))
        # The last of all: if this process ends before, another one walks again.
        await self._write(partial(self._transactions.end_walk, started, found.held))
        return found

    async def has_room(self) -> bool:
        return await self._read(self._transactions.has_room, slow=True)

    async def forget_unfinished_walk(self) -> None:
        last: int | None = 0
        while last is not None:
            last = await self._write(partial(self._transactions.forget_unfinished_walk, last))

    async def request_walk(self) -> None:
        await self._write(self._transactions.request_walk)

    async def check_ready(self) -> bool:
        return await self._write(self._transactions.check_ready)

    async def forget(self, before: float, most: int = 10_000) -> int:
        return await self._write(partial(self._transactions.forget, before, most))

    async def catalog(self, after: str, prefix: str, size: int, *, tags: bool) -> CatalogRows:
        return await self._read(partial(self._transactions.catalog, after, prefix, size, tags))

    async def tags(self, repository: str, after: str, size: int) -> TagRows:
        return await self._read(partial(self._transactions.tags, repository, after, size))

    async def repository_tags(self, after: tuple[str, str], prefix: str, size: int) -> list[TagEntry]:
        return await self._read(partial(self._transactions.repository_tags, after, prefix, size), slow=True)

    async def changes(self, after: int, most: int = MOST_CHANGES) -> ChangeRows:
        return await self._read(partial(self._transactions.changes, after, most))

    async def history(self, repository: str, tag: str, before: int, size: int) -> ChangeRows:
        return await self._read(partial(self._transactions.history, repository, tag, before, size))

    async def find_by_digest(self, digest: Digest, prefix: str, after: tuple[str, str], size: int) -> FoundTags:
        return await self._read(partial(self._transactions.find_by_digest, digest, prefix, after, size))

    async def tags_containing(
        self, text: str, prefix: str, after: tuple[str, str], size: int, looked_at: int
    ) -> FoundTags:
        search = partial(self._transactions.tags_containing, text, prefix, after, size, looked_at)
        return await self._read(search, slow=True)

    async def rebuild(self) -> None:
        await self._write(partial(self._transactions.rebuild, self._registry, _new_epoch()), durable=True)


def _is_as_before(claim: Claim, reading: Reading) -> bool:
    """Whether a reading changes nothing. Nobody else writes the tags of a repository that is claimed."""
    tags = claim.tags
    return (
        reading.exists
        # Without tags, the repository itself may be new.
        and bool(tags)
        and reading.names == tags.keys()
        and all(tags[tag].digest == digest for tag, digest in reading.digests.items())
    )


def _new_epoch() -> str:
    return secrets.token_hex(16)
