"""What the registry held at every instant of a run."""

import asyncio
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

import pytest

from portus_gateway.devregistry import DevRegistry
from portus_gateway.devregistry.storage import Repository, Storage

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Contents:
    """One repository at one instant."""

    tags: Mapping[str, str]
    manifests: frozenset[str]

    def tags_on(self, digest: str) -> frozenset[str]:
        return frozenset(tag for tag, target in self.tags.items() if target == digest)


State = Mapping[str, Contents]
NOTHING = Contents({}, frozenset())


@dataclass(frozen=True, slots=True)
class Delete:
    """A manifest that went, with its tags, and when."""

    repository: str
    digest: str
    tags: frozenset[str]
    at: float
    by_mutator: bool


@dataclass(frozen=True, slots=True)
class Untag:
    """A tag that went, alone, and when."""

    repository: str
    tag: str
    digest: str
    at: float
    by_mutator: bool


@dataclass(slots=True)
class History:
    """The states of a registry, each with the instant from which it was true (the event loop's clock)."""

    times: list[float] = field(default_factory=list)
    states: list[State] = field(default_factory=list)
    deletes: list[Delete] = field(default_factory=list)
    untags: list[Untag] = field(default_factory=list)
    mutating: bool = False
    """Whether the mutator is at work: what changes now is its doing."""

    def add(self, state: State) -> None:
        self.times.append(asyncio.get_running_loop().time())
        self.states.append(state)

    def between(self, start: float, end: float) -> list[State]:
        """All states that were true at some instant from `start` to `end`."""
        first = max(0, bisect_right(self.times, start) - 1)
        return self.states[first : bisect_right(self.times, end)]


@contextmanager
def recorded(registry: DevRegistry) -> Iterator[History]:
    """Records every change of the registry's content for as long as the block runs."""
    history = History()
    storage = registry._storage

    def contents(repository: Repository) -> Contents:
        return Contents(dict(repository.tags), frozenset(repository.manifests))

    def name_of(repository: Repository) -> str:
        return next(name for name in storage.catalog() if storage.repository(name) is repository)

    def record() -> None:
        names = storage.catalog()
        found = {name: repository for name in names if (repository := storage.repository(name)) is not None}
        history.add({name: contents(repository) for name, repository in found.items()})

    def recording(method: Callable[..., Result]) -> Callable[..., Result]:
        def changed(*arguments: object) -> Result:
            result = method(*arguments)
            record()
            return result

        return changed

    def deleting(method: Callable[[Repository, str], bool]) -> Callable[[Repository, str], bool]:
        def changed(repository: Repository, digest: str) -> bool:
            tags = contents(repository).tags_on(digest)
            done = method(repository, digest)
            if done:
                at = asyncio.get_running_loop().time()
                history.deletes.append(Delete(name_of(repository), digest, tags, at, history.mutating))
            record()
            return done

        return changed

    def untagging(method: Callable[[Repository, str], bool]) -> Callable[[Repository, str], bool]:
        def changed(repository: Repository, tag: str) -> bool:
            digest = repository.tags.get(tag, "")
            done = method(repository, tag)
            if done:
                at = asyncio.get_running_loop().time()
                history.untags.append(Untag(name_of(repository), tag, digest, at, history.mutating))
            record()
            return done

        return changed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Repository, "tag", recording(Repository.tag))
        patch.setattr(Repository, "untag", untagging(Repository.untag))
        patch.setattr(Storage, "put_manifest", recording(Storage.put_manifest))
        patch.setattr(Repository, "delete_manifest", deleting(Repository.delete_manifest))
        record()
        yield history
