"""Compares the index with the registry."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final

from portus_gateway.aio.in_parallel import for_each
from portus_gateway.distribution.digest import Digest
from portus_gateway.distribution.errors import NotFound
from portus_gateway.distribution.names import Repository, Tag
from portus_gateway.distribution.paging import walk
from portus_gateway.index.source import Source
from portus_gateway.index.store import IndexStore

# Tags that are read from the store at a time.
_AT_ONCE: Final = 10_000


@dataclass(frozen=True, slots=True)
class Difference:
    """What is different about a repository, or about one of its tags. None: it is not there, or not resolved."""

    repository: str
    tag: str
    in_index: str | None
    in_registry: str | None

    def __str__(self) -> str:
        name = f"{self.repository}:{self.tag}" if self.tag else self.repository
        return f"{name}: index {self.in_index or 'nothing'}, registry {self.in_registry or 'nothing'}"


async def compared(store: IndexStore, source: Source, concurrency: int) -> AsyncGenerator[Difference, None]:
    """The differences, in the order of names. Asks up to `concurrency` questions at a time.

    Raises `DistributionError`, `StoreError`.
    """
    indexed = await _indexed(store)
    listed: set[str] = set()
    async with aclosing(walk(lambda cursor: source.list_repositories(None, cursor))) as pages:
        async for page in pages:
            listed |= {name.name for name in page.items if isinstance(name, Repository)}
    for name in sorted(listed | indexed.keys()):
        if name not in listed:
            yield Difference(name, "", "repository", None)
            continue
        if name not in indexed:
            yield Difference(name, "", None, "repository")
        known = indexed.get(name, {})
        found = await _tags(source, Repository(name), known, concurrency)
        for tag in sorted(known.keys() | found.keys()):
            ours, theirs = known.get(tag), found.get(tag)
            if ours != theirs or (tag in known) != (tag in found):
                yield Difference(name, tag, _shown(ours, tag in known), _shown(theirs, tag in found))


async def _indexed(store: IndexStore) -> dict[str, dict[str, Digest | None]]:
    found: dict[str, dict[str, Digest | None]] = {}
    after = ("", "")
    while entries := await store.repository_tags(after, "", _AT_ONCE):
        for entry in entries:
            tags = found.setdefault(entry.repository, {})
            if entry.tag:
                tags[entry.tag] = entry.digest
        after = (entries[-1].repository, entries[-1].tag)
    return found


async def _tags(
    source: Source, repository: Repository, known: dict[str, Digest | None], concurrency: int
) -> dict[str, Digest | None]:
    found: dict[str, Digest | None] = {}
    names: list[Tag] = []
    try:
        async with aclosing(walk(lambda cursor: source.list_tags(repository, None, cursor))) as pages:
            async for page in pages:
                names += [name for name in page.items if isinstance(name, Tag)]
                found |= {str(name): None for name in page.items}
    except NotFound:
        # The catalog lists it, and nothing in it was ever tagged.
        return found

    async def ask(tag: Tag) -> None:
        try:
            found[tag.name] = await source.tag_digest(repository, tag, known.get(tag.name))
        except NotFound:
            found[tag.name] = None

    await for_each(names, ask, at_once=concurrency)
    return found


def _shown(digest: Digest | None, exists: bool) -> str | None:
    if digest is not None:
        return digest.text
    return "a tag without a manifest" if exists else None
