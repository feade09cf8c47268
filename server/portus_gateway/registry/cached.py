"""Remembers manifests, so that the registry need not send again what has not changed."""

import time
from collections import OrderedDict
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

from portus_gateway.distribution.digest import Digest
from portus_gateway.distribution.errors import NotFound
from portus_gateway.distribution.manifest import Manifest
from portus_gateway.distribution.names import Repository, Tag
from portus_gateway.registry.forwarding import ForwardingRegistry
from portus_gateway.registry.protocol import Reference, Registry

Outcome = Literal["hit", "revalidated", "miss"]

# What a manifest takes besides its bytes: its parts as objects, about as many bytes again for each form that is kept.
_COST_FACTOR = 8
_COST_OF_ENTRY = 2048

# A repository's name, and a tag or a digest in it: plain text, which is found faster than the values that it is of.
_Key: TypeAlias = tuple[str, str]


class CacheObserver(Protocol):
    """Is told how the cache fares. Must return at once and never raise."""

    def manifest_answered(self, outcome: Outcome) -> None:
        """`hit`: without the registry; `revalidated`: the registry said that it is the same; `miss`: fetched."""
        ...

    def cache_resized(self, size: int, entries: int) -> None:
        """The cache holds `entries` manifests, some `size` bytes of memory."""
        ...


@dataclass(frozen=True, slots=True)
class _Entry:
    manifest: Manifest
    checked_at: float
    """When the registry was asked last (`time.monotonic`)."""
    cost: int


class CachedRegistry(ForwardingRegistry):
    """Remembers the manifests of `registry`, in about `limit` bytes; those longest unused go first.

    An answer is never older than the `max_staleness` that it was asked with. At 0 the registry is asked each time, but
    sends no bytes for what is the same (`If-None-Match`). A digest's content cannot change, so that for it, too, only
    whether it still exists is asked. What belongs to one repository is never the answer for another.
    """

    def __init__(self, registry: Registry, limit: int, observer: CacheObserver) -> None:
        super().__init__(registry)
        self._limit = limit
        self._observer = observer
        self._entries: OrderedDict[_Key, _Entry] = OrderedDict()
        self._size = 0
        self._deletes = 0

    async def get_manifest(
        self,
        repository: Repository,
        reference: Reference,
        max_staleness: float = 0,
        known: Manifest | None = None,
    ) -> Manifest:
        key = _key(repository, reference)
        entry = self._entries.get(key)
        now = time.monotonic()
        if entry is not None and max_staleness > 0 and now - entry.checked_at <= max_staleness:
            self._entries.move_to_end(key)
            self._observer.manifest_answered("hit")
            return _known_or(entry.manifest, known)
        deletes = self._deletes
        try:
            kept = known if entry is None else entry.manifest
            manifest = await self._registry.get_manifest(repository, reference, known=kept)
        except NotFound:
            self._forget(key)
            raise
        same = manifest is kept
        self._observer.manifest_answered("revalidated" if same else "miss")
        # An answer from before a delete must not outlive it.
        if deletes == self._deletes:
            # The request to the registry began after this call came.
            self._keep(key, manifest, now)
            self._keep(_key(repository, manifest.descriptor.digest), manifest, now)
            self._make_room()
        return _known_or(manifest, known)

    async def delete_manifest(self, repository: Repository, digest: Digest) -> None:
        await self._forgetting(repository, self._registry.delete_manifest(repository, digest))

    async def delete_tag(self, repository: Repository, tag: Tag) -> None:
        await self._forgetting(repository, self._registry.delete_tag(repository, tag))

    async def _forgetting(self, repository: Repository, delete: Awaitable[None]) -> None:
        self._deletes += 1
        try:
            await delete
        finally:
            # Whatever became of it: what is not known any more is asked anew.
            self._deletes += 1
            for key in list(self._entries):
                # All of the repository's: one manifest has a digest in each algorithm.
                if key[0] == repository.name:
                    self._forget(key)
            self._observer.cache_resized(self._size, len(self._entries))

    def _keep(self, key: _Key, manifest: Manifest, checked_at: float) -> None:
        entry = self._entries.get(key)
        if entry is not None and entry.checked_at > checked_at:
            # Another call asked later than this one, and was answered sooner.
            return
        self._forget(key)
        cost = _COST_FACTOR * len(manifest.raw) + _COST_OF_ENTRY
        self._entries[key] = _Entry(manifest, checked_at, cost)
        self._size += cost

    def _make_room(self) -> None:
        while self._size > self._limit and self._entries:
            self._forget(next(iter(self._entries)))
        self._observer.cache_resized(self._size, len(self._entries))

    def _forget(self, key: _Key) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._size -= entry.cost


def _known_or(manifest: Manifest, known: Manifest | None) -> Manifest:
    """`known` itself where it is the same manifest, as `Registry.get_manifest` promises."""
    return known if known is not None and known.descriptor == manifest.descriptor else manifest


def _key(repository: Repository, reference: Reference) -> _Key:
    return repository.name, reference.text if isinstance(reference, Digest) else reference.name
