"""What still needs a manifest: the tags that point to it, and the tagged indexes that contain it.

Nothing else counts. An index that no tag leads to cannot be found. A signature or another referrer (`subject`) points
to its image, not the other way round, so referrers do not keep an image. The index under a referrers tag
(`sha256-...`, OCI distribution 1.1, "Referrers Tag Schema") is an index like any other: it keeps the referrers that
it lists.
"""

import asyncio
import json
import math
from collections.abc import Iterable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from functools import partial

from portus_gateway.access.errors import Hidden
from portus_gateway.aio.in_parallel import for_each
from portus_gateway.distribution.digest import Digest
from portus_gateway.distribution.errors import NotFound, RegistryFault, Unsupported, UntrustedAnswer
from portus_gateway.distribution.manifest import (
    DOCKER_MANIFEST,
    DOCKER_MANIFEST_LIST,
    OCI_INDEX,
    OCI_MANIFEST,
    Descriptor,
    Image,
    Index,
    Manifest,
)
from portus_gateway.distribution.names import Repository, Tag, UnusableName
from portus_gateway.distribution.paging import walk
from portus_gateway.operations.large_documents import LARGE, may_be_object, may_have_member
from portus_gateway.registry.protocol import Registry

_INDEX_TYPES = frozenset({OCI_INDEX, DOCKER_MANIFEST_LIST})
_IMAGE_TYPES = frozenset({OCI_MANIFEST, DOCKER_MANIFEST})
_SCHEMA_1 = "application/vnd.docker.distribution.manifest.v1+"
# Types that say nothing about the content. An index may be listed in another under one of them.
_GENERIC_TYPES = frozenset({"", "application/json", "application/octet-stream", "text/plain"})
# How many indexes within indexes are followed. Real repositories have a handful.
_MOST_NESTED = 10_000


@dataclass(frozen=True, slots=True)
class Dependents:
    """What needs a manifest. Each tuple is in lexical order."""

    tags: tuple[Tag, ...]
    """Tags that point to the manifest."""
    index_tags: tuple[Tag, ...] = ()
    """Tags of indexes that contain the manifest, directly or through an index in them."""
    unreadable_index_tags: tuple[Tag, ...] = ()
    """Tags of indexes whose content cannot be read: they may contain the manifest."""
    unusable_tags: tuple[UnusableName, ...] = ()
    """Names among the tags that are no valid tags: they may point to the manifest, and nobody can ask."""
    kept_indexes: tuple[Digest, ...] = ()
    """Indexes that contain the manifest and that the same batch should have deleted, but did not."""


class ManifestDependents:
    """Looks in `registry`, with up to `concurrency` requests at a time."""

    def __init__(self, registry: Registry, concurrency: int) -> None:
        self._registry = registry
        self._concurrency = concurrency

    async def of(self, repository: Repository, digest: Digest, *, with_indexes: bool) -> Dependents:
        """What needs the manifest, which has to exist. Without `with_indexes` no index is read.

        Costs a HEAD for each tag, and a GET for each index that is not in the cache. Raises what the registry raises:
        a tag or an index that cannot be looked at now is an error, never 'does not need it'.
        """
        look = Look(self._registry, self._concurrency, repository, frozenset({digest}))
        await look.look_at_tags()
        if with_indexes:
            await look.read_indexes()
        return look.dependents(digest)

    async def look(self, repository: Repository, manifests: Mapping[Digest, Descriptor]) -> "Look":
        """The tags of the repository, and what they point to, for `manifests`, which have to exist.

        Whether indexes are read (`Look.read_indexes`) is left to the caller. Raises as `of` does.
        """
        indexes = {digest for digest, found in manifests.items() if may_be_index(found.media_type)}
        look = Look(self._registry, self._concurrency, repository, frozenset(manifests), candidates=indexes)
        await look.look_at_tags()
        return look


@dataclass(slots=True)
class Look:
    """One look at the tags of one repository, and the indexes that they lead to, for the manifests in `wanted`."""

    registry: Registry
    concurrency: int
    repository: Repository
    wanted: frozenset[Digest]
    candidates: set[Digest] = field(default_factory=set)
    """Manifests that may be indexes, and are to be read."""
    names: dict[Digest, set[Digest]] = field(default_factory=dict)
    """Which of `wanted` a digest names. A manifest has a digest in each algorithm."""
    aliases: dict[Digest, set[Digest]] = field(default_factory=dict)
    """The digests of each of `wanted`."""
    algorithms: set[str] = field(default_factory=set)
    """Of which `names` has all."""
    targets: dict[Tag, Digest] = field(default_factory=dict)
    tags: dict[Digest, set[Tag]] = field(default_factory=dict)
    """The other way round."""
    unusable: list[UnusableName] = field(default_factory=list)
    read: set[Digest] = field(default_factory=set)
    parents: dict[Digest, list[Digest]] = field(default_factory=dict)
    """For an index in others, those others."""
    links: int = 0
    """How many `parents` there are in all."""
    containing: dict[Digest, set[Digest]] = field(default_factory=dict)
    """For each of `wanted`, the indexes that list it."""
    unreadable: set[Digest] = field(default_factory=set)
    _naming: asyncio.Lock = field(default_factory=asyncio.Lock)

    def __post_init__(self) -> None:
        for digest in self.wanted:
            self._add_name(digest, digest)

    async def look_at_tags(self) -> None:
        pages = walk(lambda cursor: self.registry.list_tags(self.repository, None, cursor))
        is_first = True
        try:
            async with aclosing(pages):
                async for page in pages:
                    is_first = False
                    self.unusable.extend(name for name in page.items if isinstance(name, UnusableName))
                    tags = [tag for tag in page.items if isinstance(tag, Tag)]
                    await for_each(tags, self._look_at_tag, at_once=self.concurrency)
        except NotFound as error:
            # The manifest is there, so the repository is: nothing in it ever had a tag. A policy that changed
            # meanwhile, or a list that ends in the middle, says nothing about the tags.
            if isinstance(error, Hidden) or not is_first:
                raise
        for target in tuple(self.tags):
            await self._named(target)

    async def _look_at_tag(self, tag: Tag) -> None:
        try:
            target = await self.registry.resolve_manifest(self.repository, tag)
        except Hidden:
            raise
        except NotFound:
            # It was listed. It was deleted since, or it points to nothing.
            return
        self.targets[tag] = target.digest
        self.tags.setdefault(target.digest, set()).add(tag)
        if may_be_index(target.media_type):
            self.candidates.add(target.digest)

    async def read_indexes(self) -> None:
        """Reads the tagged indexes, and the indexes in them, level by level. Each is read once."""
        # What a single manifest contains does not matter for it.
        own = set(self.names) if len(self.wanted) == 1 else set()
        waiting = tuple(self.candidates - own)
        while waiting:
            self.read.update(waiting)
            await for_each(waiting, self._read_index, at_once=self.concurrency)
            waiting = tuple(self.parents.keys() - self.read)

    async def _read_index(self, digest: Digest) -> None:
        children = await self._children(digest)
        if children is None:
            self.unreadable.add(digest)
            return
        for child in children:
            named = await self._named(child.digest)
            for manifest in named:
                self.containing.setdefault(manifest, set()).add(digest)
            # One of several may be an index itself, whose own children matter.
            if (not named or len(self.wanted) > 1) and _child_may_be_index(child.media_type):
                if self.links < _MOST_NESTED:
                    self.links += 1
                    self.parents.setdefault(child.digest, []).append(digest)
                else:
                    self.unreadable.add(digest)

    async def _children(self, digest: Digest) -> tuple[Descriptor, ...] | None:
        """The manifests that the index lists; none if it is not an index. None if its content cannot be read."""
        try:
            # A digest's content cannot change, so a remembered answer is as good as a new one.
            manifest = await self.registry.get_manifest(self.repository, digest, math.inf)
        except Hidden:
            raise
        except NotFound:
            # An index may list what is not there. But a tag that pointed to it a moment ago may have moved since, to an
            # index that was not read.
            return None if self.tags.get(digest) else ()
        except Unsupported as error:
            if error.reason == "SCHEMA_1":
                return ()
            raise
        except (UntrustedAnswer, RegistryFault):
            return None
        match manifest.content:
            case Index() as index:
                return index.manifests
            case Image():
                return ()
            case None:
                return None if _may_list_manifests(manifest) else ()

    async def _named(self, digest: Digest) -> set[Digest]:
        """Which of `wanted` the digest names. Each has a digest in each algorithm, and only its bytes tell them."""
        algorithm = digest.algorithm
        async with self._naming:
            if algorithm not in self.algorithms:
                await for_each(
                    [wanted for wanted in self.wanted if wanted.algorithm != algorithm],
                    partial(self._name, algorithm),
                    at_once=self.concurrency,
                )
                self.algorithms.add(algorithm)
        return self.names.get(digest, set())

    async def _name(self, algorithm: str, wanted: Digest) -> None:
        manifest = await self.registry.get_manifest(self.repository, wanted, math.inf)
        self._add_name(Digest.of(manifest.raw, algorithm), wanted)

    def _add_name(self, name: Digest, wanted: Digest) -> None:
        self.names.setdefault(name, set()).add(wanted)
        self.aliases.setdefault(wanted, set()).add(name)

    def dependents(self, digest: Digest) -> Dependents:
        """What needs `digest`, one of `wanted`."""
        names = self.aliases[digest]
        containing = self._with_ancestors(self.containing.get(digest, set()))
        unreadable = self._with_ancestors(self.unreadable) - containing
        return Dependents(
            tags=self._tags_on(names),
            index_tags=self._tags_on(containing - names),
            unreadable_index_tags=self._tags_on(unreadable - names),
            unusable_tags=tuple(self.unusable),
        )

    def before(self, digest: Digest) -> set[Digest]:
        """Those of `wanted` that contain `digest`, or may contain it: they have to be deleted first."""
        containing = self._with_ancestors(self.containing.get(digest, set()) | self.unreadable)
        return {wanted for index in containing for wanted in self.names.get(index, ())} - {digest}

    def forget(self, tags: Iterable[Tag]) -> None:
        """Notes that `tags` are gone."""
        for tag in tags:
            target = self.targets.pop(tag, None)
            if target is not None:
                self.tags[target].discard(tag)

    def _with_ancestors(self, indexes: set[Digest]) -> set[Digest]:
        """`indexes`, and every index that contains one of them, however deep."""
        reached = set(indexes)
        waiting = list(indexes)
        while waiting:
            for parent in self.parents.get(waiting.pop(), ()):
                if parent not in reached:
                    reached.add(parent)
                    waiting.append(parent)
        return reached

    def _tags_on(self, digests: set[Digest]) -> tuple[Tag, ...]:
        return tuple(sorted(tag for digest in digests for tag in self.tags.get(digest, ())))


def may_be_index(media_type: str) -> bool:
    """Whether a manifest of this type may be an index."""
    return media_type not in _IMAGE_TYPES and not media_type.startswith(_SCHEMA_1)


def _child_may_be_index(media_type: str) -> bool:
    # What has another type may be anything, a blob too. Runtimes pass over it.
    return media_type in _INDEX_TYPES or media_type in _GENERIC_TYPES


def _may_list_manifests(manifest: Manifest) -> bool:
    """Whether a manifest that cannot be understood may be an index. Go's JSON accepts a key in any case."""
    if len(manifest.raw) >= LARGE:
        return not may_be_object(manifest.raw) or may_have_member(manifest.raw, ["manifests"])
    try:
        document = json.loads(manifest.raw)
    except (ValueError, RecursionError):
        return True
    return not isinstance(document, dict) or any(key.casefold() == "manifests" for key in document)
