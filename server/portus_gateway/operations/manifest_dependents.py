"""What still needs a manifest: the tags that point to it, and the tagged indexes that contain it.

Nothing else counts. An index that no tag leads to cannot be found. A signature or another referrer (`subject`) points
to its image, not the other way round, so referrers do not keep an image. The index under a referrers tag
(`sha256-...`, OCI distribution 1.1, "Referrers Tag Schema") is an index like any other: it keeps the referrers that
it lists.
"""

import json
import math
from contextlib import aclosing
from dataclasses import dataclass, field

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
from portus_gateway.registry.protocol import Registry

_INDEX_TYPES = frozenset({OCI_INDEX, DOCKER_MANIFEST_LIST})
_IMAGE_TYPES = frozenset({OCI_MANIFEST, DOCKER_MANIFEST})
_SCHEMA_1 = "application/vnd.docker.distribution.manifest.v1+"
# Types that say nothing about the content. An index may be listed in another under one of them.
_GENERIC_TYPES = frozenset({"", "application/json", "application/octet-stream", "text/plain"})
# How many indexes within indexes are followed for one delete. Real ones have a handful.
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
        search = _Search(self._registry, self._concurrency, repository, digest)
        await search.look_at_tags()
        if with_indexes:
            await search.read_indexes()
        return search.result()


@dataclass(slots=True)
class _Search:
    """One look at one repository."""

    registry: Registry
    concurrency: int
    repository: Repository
    digest: Digest
    names: dict[str, Digest] = field(default_factory=dict)
    """The manifest's digest in each algorithm that was met."""
    targets: dict[Tag, Digest] = field(default_factory=dict)
    unusable: list[UnusableName] = field(default_factory=list)
    candidates: set[Digest] = field(default_factory=set)
    """Tagged manifests that may be indexes."""
    read: set[Digest] = field(default_factory=set)
    parents: dict[Digest, list[Digest]] = field(default_factory=dict)
    """For an index in others, those others."""
    links: int = 0
    """How many `parents` there are in all."""
    containing: set[Digest] = field(default_factory=set)
    unreadable: set[Digest] = field(default_factory=set)

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
        for target in {target.algorithm: target for target in self.targets.values()}.values():
            # So that `names` has the digest in the algorithm of each tag.
            await self._is_the_manifest(target)

    async def _look_at_tag(self, tag: Tag) -> None:
        try:
            target = await self.registry.resolve_manifest(self.repository, tag)
        except Hidden:
            raise
        except NotFound:
            # It was listed. It was deleted since, or it points to nothing.
            return
        self.targets[tag] = target.digest
        if target.media_type not in _IMAGE_TYPES and not target.media_type.startswith(_SCHEMA_1):
            self.candidates.add(target.digest)

    async def read_indexes(self) -> None:
        """Reads the tagged indexes, and the indexes in them, level by level. Each is read once."""
        waiting = tuple(self.candidates - {self.digest, *self.names.values()})
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
            if await self._is_the_manifest(child.digest):
                self.containing.add(digest)
            elif _child_may_be_index(child.media_type):
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
        except NotFound:
            # An index may list what is not there, and a tag may have moved meanwhile.
            return ()
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

    async def _is_the_manifest(self, digest: Digest) -> bool:
        """Whether `digest` names the manifest. It has a digest in each algorithm, and only its bytes tell them."""
        algorithm = digest.algorithm
        if algorithm == self.digest.algorithm:
            return digest == self.digest
        if algorithm not in self.names:
            manifest = await self.registry.get_manifest(self.repository, self.digest, math.inf)
            self.names[algorithm] = Digest.of(manifest.raw, algorithm)
        return digest == self.names[algorithm]

    def result(self) -> Dependents:
        names = {self.digest, *self.names.values()}
        containing = self._with_ancestors(self.containing)
        unreadable = self._with_ancestors(self.unreadable) - containing
        return Dependents(
            tags=self._tags_on(names),
            index_tags=self._tags_on(containing - names),
            unreadable_index_tags=self._tags_on(unreadable - names),
            unusable_tags=tuple(self.unusable),
        )

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
        return tuple(sorted(tag for tag, target in self.targets.items() if target in digests))


def _child_may_be_index(media_type: str) -> bool:
    # What has another type may be anything, a blob too. Runtimes pass over it.
    return media_type in _INDEX_TYPES or media_type in _GENERIC_TYPES


def _may_list_manifests(manifest: Manifest) -> bool:
    """Whether a manifest that cannot be understood may be an index. Go's JSON accepts a key in any case."""
    try:
        document = json.loads(manifest.raw)
    except (ValueError, RecursionError):
        return True
    return not isinstance(document, dict) or any(key.casefold() == "manifests" for key in document)
