"""Remembers manifests and configurations, so that the registry need not send again what has not changed."""

import time
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Final, Literal, Protocol, TypeAlias

from cachetools import LRUCache

from portus_gateway.distribution.digest import Digest
from portus_gateway.distribution.errors import NotFound
from portus_gateway.distribution.image_config import ImageConfig
from portus_gateway.distribution.manifest import Descriptor, Manifest
from portus_gateway.distribution.names import Repository, Tag
from portus_gateway.registry.forwarding import ForwardingRegistry
from portus_gateway.registry.protocol import Reference, Registry

Outcome = Literal["hit", "revalidated", "miss"]

# What a document takes in memory, in bytes and at most: its bytes, as they are and parsed, here and in the response to
# callers that is kept with it; and for each of its entries and for itself, the objects around them.
_COST_OF_BYTE: Final = 4
_COST_OF_ENTRY: Final = 256
_COST_OF_DOCUMENT: Final = 2048

# A repository's name, and a tag or a digest in it: plain text is found faster than the values.
_Key: TypeAlias = tuple[str, str]
# The same for a tag or a digest whose manifest was only resolved, not read.
_ResolvedKey: TypeAlias = tuple[str, str, None]
# The same for a configuration: the digest's own type keeps it apart from a manifest of the same bytes.
_ConfigKey: TypeAlias = tuple[str, Digest]


class CacheObserver(Protocol):
    """Observes the cache. Its methods must return at once and never raise."""

    def manifest_answered(self, outcome: Outcome) -> None:
        """`hit`: without the registry; `revalidated`: the registry said that it is the same; `miss`: fetched."""
        ...

    def cache_resized(self, size: int, entries: int) -> None:
        """The cache holds `entries` manifests and configurations, in about `size` bytes of memory."""
        ...


@dataclass(slots=True)
class _Entry:
    manifest: Manifest
    checked_at: float
    """When the last call that asked the registry came (`time.monotonic`). The request itself began then or later."""
    cost: int


@dataclass(frozen=True, slots=True)
class _Resolved:
    descriptor: Descriptor
    checked_at: float
    cost: int = _COST_OF_DOCUMENT


@dataclass(frozen=True, slots=True)
class _ConfigEntry:
    config: ImageConfig
    cost: int


_AnyKey: TypeAlias = "_Key | _ResolvedKey | _ConfigKey"
_AnyEntry: TypeAlias = "_Entry | _Resolved | _ConfigEntry"


class CachedRegistry(ForwardingRegistry):
    """Remembers manifests, configurations and what tags point to, in about `limit` bytes.

    The least recently used go first. An answer is never older than the `max_staleness` of its call. At 0 the registry
    is asked each time, but sends no bytes for what is the same (`If-None-Match`). A digest's content cannot change, so
    for a digest only whether it still exists is asked. A configuration is not even asked for: the manifest that names
    it was. What belongs to one repository is never the answer for another.
    """

    def __init__(self, registry: Registry, limit: int, observer: CacheObserver) -> None:
        super().__init__(registry)
        self._observer = observer
        self._entries: LRUCache[_AnyKey, _AnyEntry] = LRUCache(limit, getsizeof=_cost)
        self._deletes = 0

    async def resolve_manifest(
        self, repository: Repository, reference: Reference, max_staleness: float = 0
    ) -> Descriptor:
        now = time.monotonic()
        entry = self._manifest(_key(repository, reference))
        resolved = self._resolved(repository, reference, entry)
        if max_staleness > 0:
            if resolved is not None and now - resolved.checked_at <= max_staleness:
                return resolved.descriptor
            if entry is not None and now - entry.checked_at <= max_staleness:
                return entry.manifest.descriptor
        deletes = self._deletes
        try:
            descriptor = await self._registry.resolve_manifest(repository, reference)
        except NotFound:
            self._forget(repository, reference)
            raise
        # An answer from before a delete must not be remembered after it. A digest needs no place, unless callers accept
        # that its existence is remembered.
        if deletes == self._deletes and (max_staleness > 0 or isinstance(reference, Tag)):
            self._keep_resolved(_resolved_key(repository, reference), _Resolved(descriptor, now))
        return descriptor

    async def get_manifest(
        self,
        repository: Repository,
        reference: Reference,
        max_staleness: float = 0,
        known: Manifest | None = None,
    ) -> Manifest:
        key = _key(repository, reference)
        entry = self._manifest(key)
        now = time.monotonic()
        if max_staleness > 0:
            young = self._young_manifest(repository, reference, entry, now - max_staleness)
            if young is not None:
                self._observer.manifest_answered("hit")
                return _known_or(young, known)
        deletes = self._deletes
        kept = known if entry is None else entry.manifest
        try:
            manifest = await self._registry.get_manifest(repository, reference, known=kept)
        except NotFound:
            self._forget(repository, reference)
            raise
        self._observer.manifest_answered("revalidated" if manifest is kept else "miss")
        # An answer from before a delete must not be remembered after it.
        if deletes == self._deletes:
            self._keep(key, manifest, now)
            self._keep(_key(repository, manifest.descriptor.digest), manifest, now)
        return _known_or(manifest, known)

    async def get_image_config(self, repository: Repository, config: Descriptor) -> ImageConfig:
        key = (repository.name, config.digest)
        entry = self._entries.get(key)
        if isinstance(entry, _ConfigEntry):
            return entry.config
        deletes = self._deletes
        found = await self._registry.get_image_config(repository, config)
        cost = _cost_of(found)
        # An answer from before a delete must not be remembered after it.
        if deletes == self._deletes and cost <= self._entries.maxsize:
            self._entries[key] = _ConfigEntry(found, cost)
            self._observer.cache_resized(int(self._entries.currsize), len(self._entries))
        return found

    async def delete_manifest(self, repository: Repository, digest: Digest) -> None:
        await self._forgetting(repository, self._registry.delete_manifest(repository, digest))

    async def delete_tag(self, repository: Repository, tag: Tag) -> None:
        await self._forgetting(repository, self._registry.delete_tag(repository, tag))

    async def push_manifest(self, repository: Repository, tag: Tag, manifest: bytes, media_type: str) -> None:
        await self._forgetting(repository, self._registry.push_manifest(repository, tag, manifest, media_type))

    async def delete_blob(self, repository: Repository, digest: Digest) -> None:
        await self._forgetting(repository, self._registry.delete_blob(repository, digest))

    async def _forgetting(self, repository: Repository, delete: Awaitable[None]) -> None:
        """Deletes, and then forgets all of the repository, whatever the outcome was."""
        try:
            await delete
        finally:
            # What was asked before this, and is not answered yet, is not remembered.
            self._deletes += 1
            # Not the digest alone: one manifest has a digest in each algorithm.
            for key in [key for key in self._entries if key[0] == repository.name]:
                del self._entries[key]
            self._observer.cache_resized(int(self._entries.currsize), len(self._entries))

    def _manifest(self, key: _Key) -> _Entry | None:
        entry = self._entries.get(key)
        return entry if isinstance(entry, _Entry) else None

    def _resolved(self, repository: Repository, reference: Reference, entry: _Entry | None) -> _Resolved | None:
        """What `reference` was last resolved to, if that is known from a later call than `entry`."""
        resolved = self._entries.get(_resolved_key(repository, reference))
        if not isinstance(resolved, _Resolved):
            return None
        return resolved if entry is None or resolved.checked_at > entry.checked_at else None

    def _young_manifest(
        self, repository: Repository, reference: Reference, entry: _Entry | None, since: float
    ) -> Manifest | None:
        """The manifest that `reference` was last known to point to, if that was `since` then or later."""
        resolved = self._resolved(repository, reference, entry)
        if resolved is None:
            return entry.manifest if entry is not None and entry.checked_at >= since else None
        target = self._manifest(_key(repository, resolved.descriptor.digest))
        return target.manifest if target is not None and resolved.checked_at >= since else None

    def _forget(self, repository: Repository, reference: Reference) -> None:
        self._entries.pop(_key(repository, reference), None)
        self._entries.pop(_resolved_key(repository, reference), None)

    def _keep_resolved(self, key: _ResolvedKey, entry: _Resolved) -> None:
        known = self._entries.get(key)
        if isinstance(known, _Resolved) and known.checked_at > entry.checked_at:
            # A call that came later has been answered already.
            return
        if entry.cost <= self._entries.maxsize:
            self._entries[key] = entry
            self._observer.cache_resized(int(self._entries.currsize), len(self._entries))

    def _keep(self, key: _Key, manifest: Manifest, checked_at: float) -> None:
        entry = self._manifest(key)
        if entry is not None and entry.checked_at > checked_at:
            # A call that came later has been answered already.
            return
        if entry is not None and entry.manifest is manifest:
            # Nothing else has changed. To add it again takes 3 % of the time of a call.
            entry.checked_at = checked_at
            return
        cost = _cost_of(manifest)
        if cost > self._entries.maxsize:
            self._entries.pop(key, None)
        else:
            self._entries[key] = _Entry(manifest, checked_at, cost)
        self._observer.cache_resized(int(self._entries.currsize), len(self._entries))


def _cost(entry: _AnyEntry) -> int:
    return entry.cost


def _cost_of(document: Manifest | ImageConfig) -> int:
    return _COST_OF_BYTE * len(document.raw) + _COST_OF_ENTRY * document.entries + _COST_OF_DOCUMENT


def _known_or(manifest: Manifest, known: Manifest | None) -> Manifest:
    """`known` itself where it is the same manifest, as `Registry.get_manifest` promises."""
    return known if known is not None and known.descriptor == manifest.descriptor else manifest


def _key(repository: Repository, reference: Reference) -> _Key:
    return repository.name, reference.text if isinstance(reference, Digest) else reference.name


def _resolved_key(repository: Repository, reference: Reference) -> _ResolvedKey:
    return *_key(repository, reference), None
