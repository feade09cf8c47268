"""What happened to a manifest's tags when it was deleted.

Distribution deletes them with it. Other registries, go-containerregistry's among them, keep a tag and what it points
to until the tag is deleted by its name.
"""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from typing import Final

import structlog

from portus_gateway.access.errors import Hidden
from portus_gateway.aio.in_parallel import for_each
from portus_gateway.distribution.digest import Digest
from portus_gateway.distribution.errors import DeleteOutcomeUnknown, NotFound, Unsupported
from portus_gateway.distribution.names import Repository, Tag, UnusableName
from portus_gateway.distribution.paging import walk
from portus_gateway.errors import GatewayError
from portus_gateway.registry.protocol import Registry

_log = structlog.get_logger(__name__)

# From this number of tags on, they are listed first: most registries have none of them any more.
_MANY: Final = 50
_LONGEST_SECONDS: Final = 60.0


class RemainingTags:
    """Looks at tags in `registry`, with up to `concurrency` requests at a time. Deletes those that should be gone."""

    def __init__(self, registry: Registry, concurrency: int) -> None:
        self._registry = registry
        self._concurrency = concurrency

    async def after_delete(self, repository: Repository, digest: Digest, tags: Sequence[Tag]) -> tuple[Tag, ...]:
        """Those of `tags`, which pointed to the deleted manifest, that still lead to a manifest, in lexical order.

        A tag that still points to the deleted manifest is deleted by its name, where the registry can. Takes a minute
        at most. Raises `DeleteOutcomeUnknown` if the tags cannot be looked at.
        """
        try:
            return tuple(sorted(await self.after_deletes(repository, {digest: tags})))
        except (GatewayError, TimeoutError) as error:
            raise tags_unseen(repository, digest, tags, error) from error

    async def after_deletes(self, repository: Repository, deleted: Mapping[Digest, Sequence[Tag]]) -> frozenset[Tag]:
        """The same for the tags of several manifests. Raises `GatewayError`, `TimeoutError`."""
        pointed_to = {tag: digest for digest, tags in deleted.items() for tag in tags}
        async with asyncio.timeout(_LONGEST_SECONDS):
            remaining = await self._found(repository, await self._still_listed(repository, tuple(pointed_to)))
            stale = [tag for tag, target in remaining.items() if target == pointed_to[tag]]
            if await self._deleted_by_name(repository, stale):
                remaining = await self._found(repository, tuple(remaining))
        return frozenset(remaining)

    async def _still_listed(self, repository: Repository, tags: Sequence[Tag]) -> Sequence[Tag]:
        """Those of `tags` that may still be there, by the registry's list if they are many."""
        if len(tags) < _MANY:
            return tags
        listed: set[Tag | UnusableName] = set()
        try:
            async with aclosing(walk(lambda cursor: self._registry.list_tags(repository, None, cursor))) as pages:
                async for page in pages:
                    listed.update(page.items)
        except Hidden:
            raise
        except NotFound:
            # The repository went with its last tag.
            return ()
        return [tag for tag in tags if tag in listed]

    async def _found(self, repository: Repository, tags: Sequence[Tag]) -> dict[Tag, Digest]:
        """What each tag points to that still points to something."""
        found: dict[Tag, Digest] = {}

        async def look(tag: Tag) -> None:
            try:
                found[tag] = (await self._registry.resolve_manifest(repository, tag)).digest
            except Hidden:
                # The policy changed meanwhile: this says nothing about the tag.
                raise
            except NotFound:
                # It went with the manifest.
                pass

        await for_each(tags, look, at_once=self._concurrency)
        return found

    async def _deleted_by_name(self, repository: Repository, tags: Sequence[Tag]) -> bool:
        """Deletes the tags, one after the other, and says whether any delete was carried out."""
        some = False
        for tag in tags:
            try:
                await self._registry.delete_tag(repository, tag)
            except Unsupported:
                return some
            except GatewayError as error:
                # The next check shows whether the tag still exists, and the caller learns it.
                _log.warning("a tag could not be deleted", repository=repository.name, tag=tag.name, problem=str(error))
            some = True
        return some


def tags_unseen(
    repository: Repository, digest: Digest, tags: Sequence[Tag], error: GatewayError | TimeoutError
) -> DeleteOutcomeUnknown:
    """The error for a deleted manifest whose tags could not be looked at afterwards, because of `error`."""
    unknown = DeleteOutcomeUnknown(
        f"{repository}@{digest} was deleted, but its tags could not be checked"
        f" ({str(error) or 'it took too long'}). List the tags before you try again"
    )
    unknown.tags = tuple(tag.name for tag in tags)
    return unknown
