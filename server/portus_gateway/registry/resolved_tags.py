"""Tags whose digests are known: what they point to is read by its digest, which no request for the tag precedes."""

import math
from dataclasses import dataclass

from portus_gateway.distribution.digest import Digest
from portus_gateway.distribution.errors import NotFound
from portus_gateway.distribution.manifest import Descriptor, Manifest
from portus_gateway.distribution.names import Repository, Tag
from portus_gateway.registry.forwarding import ForwardingRegistry
from portus_gateway.registry.protocol import Reference


@dataclass(frozen=True, slots=True)
class ResolvedTag(Tag):
    """A tag, and the digest that it pointed to a short time ago. Whoever makes it found this time short enough."""

    digest: Digest

    def __str__(self) -> str:
        return self.name


class ResolvedTags(ForwardingRegistry):
    """Does what `registry` does, and reads a `ResolvedTag` by its digest.

    The policy has to be asked before, about the tag: it is what the caller wants to see. If the manifest does not exist
    any more, the tag has moved since, and is asked for by its name.
    """

    async def resolve_manifest(
        self, repository: Repository, reference: Reference, max_staleness: float = 0
    ) -> Descriptor:
        if isinstance(reference, ResolvedTag):
            try:
                return await self._registry.resolve_manifest(repository, reference.digest, math.inf)
            except NotFound:
                reference = Tag(reference.name)
        return await self._registry.resolve_manifest(repository, reference, max_staleness)

    async def get_manifest(
        self,
        repository: Repository,
        reference: Reference,
        max_staleness: float = 0,
        known: Manifest | None = None,
    ) -> Manifest:
        if isinstance(reference, ResolvedTag):
            try:
                return await self._registry.get_manifest(repository, reference.digest, math.inf, known)
            except NotFound:
                reference = Tag(reference.name)
        return await self._registry.get_manifest(repository, reference, max_staleness, known)
