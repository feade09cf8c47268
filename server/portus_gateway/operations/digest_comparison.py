"""Compares digests that may be of different algorithms."""

import math

from portus_gateway.distribution.digest import Digest
from portus_gateway.distribution.errors import NotFound
from portus_gateway.distribution.names import Repository
from portus_gateway.registry.protocol import Registry


class DigestComparison:
    """Says which digests name the same manifest as `digest`, which has one in each algorithm."""

    def __init__(self, registry: Registry, repository: Repository, digest: Digest) -> None:
        self._registry = registry
        self._repository = repository
        self._digest = digest
        self._others: dict[str, Digest | None] = {}

    async def names(self, other: Digest) -> bool:
        """Whether `other` names the manifest. Of another algorithm, the manifest is read once: its bytes tell.

        False if there is no such manifest. Raises what `Registry.get_manifest` raises.
        """
        if other.algorithm == self._digest.algorithm:
            return other == self._digest
        if other.algorithm not in self._others:
            try:
                manifest = await self._registry.get_manifest(self._repository, self._digest, math.inf)
                self._others[other.algorithm] = Digest.of(manifest.raw, other.algorithm)
            except NotFound:
                self._others[other.algorithm] = None
        return self._others[other.algorithm] == other
