"""Deletes a tag where the registry deletes by digest only, as distribution 2.8 does.

The tag is moved to a small manifest of its own, and that manifest is deleted, with its only tag. regctl does the same.
The registry has no compare-and-swap. If somebody pushes the tag between the last look and the move, that push is lost:
its manifest stays, without the tag. The same holds for a push while the registry deletes the small manifest.
"""

import math

from portus_gateway.access.errors import Hidden
from portus_gateway.distribution.digest import Digest
from portus_gateway.distribution.errors import (
    DeleteOutcomeUnknown,
    DistributionError,
    NotFound,
    RegistryFault,
    Unavailable,
    Unsupported,
    UntrustedAnswer,
)
from portus_gateway.distribution.names import Repository, Tag
from portus_gateway.errors import GatewayError
from portus_gateway.operations.deletion import ManifestDeletion
from portus_gateway.operations.deletion_errors import TagMoved
from portus_gateway.operations.deletion_guard import check_may_be_deleted
from portus_gateway.operations.manifest_dependents import ManifestDependents
from portus_gateway.operations.tag_placeholder import BLOB, Placeholder
from portus_gateway.operations.tag_target import tag_target
from portus_gateway.registry.protocol import Registry

_AGAIN = "Call DeleteTag again with the same expected_digest: that completes the delete"


class EmulatedTagDeletion:
    """Deletes tags from `registry` by deletes of manifests."""

    def __init__(self, registry: Registry, dependents: ManifestDependents) -> None:
        self._registry = registry
        self._dependents = dependents

    async def interrupted(self, repository: Repository, tag: Tag, digest: Digest) -> Placeholder | None:
        """The placeholder that an interrupted delete of the tag has left, if `digest` is one."""
        try:
            manifest = await self._registry.get_manifest(repository, digest, math.inf)
        except (Unsupported, UntrustedAnswer):
            # Its content cannot be told, so it is not one of ours.
            return None
        found = Placeholder.found_in(manifest)
        return found if found is not None and found.tag == tag else None

    async def delete(self, repository: Repository, tag: Tag, digest: Digest) -> None:
        """Deletes the tag, which has to point to `digest`. Must not be cancelled, and bounds its own time.

        Raises `TagMoved`; `DeleteOutcomeUnknown`, which says what is left; and what the registry raises before anything
        was changed.
        """
        placeholder = Placeholder.new(tag, digest)
        name = f"{repository}:{tag}"
        await self._registry.push_blob(repository, BLOB)
        target = await tag_target(self._registry, repository, tag)
        if target != digest:
            raise _gone(name) if target is None else TagMoved(name, expected=digest, actual=target)
        try:
            await self._registry.push_manifest(repository, tag, placeholder.manifest, placeholder.media_type)
        except (Unavailable, RegistryFault, UntrustedAnswer) as error:
            if isinstance(error, Unavailable | UntrustedAnswer) and not error.sent:
                raise
            await self._check_moved(repository, tag, placeholder, error)
        target = await self._target_after(repository, tag, placeholder)
        await self._delete_placeholder(repository, tag, placeholder)
        if target not in (None, placeholder.digest):
            # Somebody pushed the tag after it was moved. It is theirs.
            raise TagMoved(name, expected=digest, actual=target)

    async def check_completion(self, repository: Repository, tag: Tag, placeholder: Placeholder) -> None:
        """Makes sure that nothing else needs a placeholder that an interrupted delete has left.

        Somebody may have given it more tags, or put it into an index, so it is guarded like any manifest.
        """
        wanted = ManifestDeletion(repository=repository, digest=placeholder.digest, expected_tags=frozenset({tag}))
        check_may_be_deleted(wanted, await self._dependents.of(repository, placeholder.digest, with_indexes=True))

    async def complete(self, repository: Repository, tag: Tag, placeholder: Placeholder) -> None:
        """Deletes the placeholder that an interrupted delete has left. Raises as `delete` does."""
        await self._delete_placeholder(repository, tag, placeholder)

    async def _check_moved(
        self, repository: Repository, tag: Tag, placeholder: Placeholder, error: DistributionError
    ) -> None:
        """Raises `DeleteOutcomeUnknown` unless the tag has moved to the placeholder all the same."""
        try:
            if await tag_target(self._registry, repository, tag) == placeholder.digest:
                return
        except GatewayError:
            # What it failed with says nothing about the push.
            pass
        raise DeleteOutcomeUnknown(
            f"{error}. {repository}:{tag} was to be moved to an empty manifest, {placeholder.digest}, and this may"
            f" still happen. It pointed to {placeholder.replaced}. {_AGAIN}",
            operator_detail=error.operator_detail,
        ) from error

    async def _target_after(self, repository: Repository, tag: Tag, placeholder: Placeholder) -> Digest | None:
        try:
            return await tag_target(self._registry, repository, tag)
        except GatewayError as error:
            raise _left(repository, tag, placeholder, error) from error

    async def _delete_placeholder(self, repository: Repository, tag: Tag, placeholder: Placeholder) -> None:
        try:
            await self._registry.delete_manifest(repository, placeholder.digest)
            if await tag_target(self._registry, repository, tag) == placeholder.digest:
                raise RegistryFault("the registry answered that it deleted it, but it still exists")
        except Hidden as error:
            raise _left(repository, tag, placeholder, error) from error
        except NotFound:
            # Somebody else deleted it.
            pass
        except GatewayError as error:
            raise _left(repository, tag, placeholder, error) from error


def _gone(name: str) -> NotFound:
    return NotFound(f"{name} does not exist any more", reason="MANIFEST_UNKNOWN")


def _left(repository: Repository, tag: Tag, placeholder: Placeholder, error: GatewayError) -> DeleteOutcomeUnknown:
    """The error for a tag that was moved, and may not be deleted, because of `error`."""
    return DeleteOutcomeUnknown(
        f"{repository}:{tag} was moved to an empty manifest, {placeholder.digest}, which was not deleted: {error}. It"
        f" pointed to {placeholder.replaced}, which still exists. {_AGAIN}",
        operator_detail=error.operator_detail,
    )
