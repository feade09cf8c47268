"""Deletes that remove only what their caller meant.

Deleting a digest deletes every tag on it (Portus #974) and breaks every index that contains it. Distribution 2.8
answers 202 to a delete of a *blob's* digest as a manifest. So the gateway looks first, and any doubt refuses the
delete. Between the look and the delete somebody may push a tag: a registry has no compare-and-delete, so this window
stays.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import zip_longest
from typing import Protocol

from portus_gateway.distribution.digest import Digest
from portus_gateway.distribution.errors import DeleteOutcomeUnknown, NotFound
from portus_gateway.distribution.names import Repository, Tag
from portus_gateway.errors import GatewayError, PreconditionViolation
from portus_gateway.operations.manifest_dependents import Dependents, ManifestDependents
from portus_gateway.operations.manifest_presence import require_manifest
from portus_gateway.registry.protocol import Registry

_MOST_NAMED = 10


class DeletionRefused(GatewayError):
    """A delete that the guard refused. Nothing was deleted."""

    reason = "DELETION_REFUSED"


class ManifestInUse(DeletionRefused):
    """Tags or tagged indexes still need the manifest.

    `TAGGED`: tags that the caller did not expect point to it, and would be deleted with it (Portus #974). `REFERENCED`:
    only tagged indexes contain it, or may contain it, and could not be pulled without it. The violations name all of
    both kinds.
    """

    reason = "TAGGED"

    def __init__(
        self,
        message: str,
        *,
        tags: Iterable[str] = (),
        index_tags: Iterable[str] = (),
        unreadable_index_tags: Iterable[str] = (),
    ) -> None:
        self.tags = tuple(tags)
        self.index_tags = tuple(index_tags)
        self.unreadable_index_tags = tuple(unreadable_index_tags)
        super().__init__(message, reason="TAGGED" if self.tags else "REFERENCED")
        counts = {
            "tags": len(self.tags),
            "index_tags": len(self.index_tags),
            "unreadable_index_tags": len(self.unreadable_index_tags),
        }
        self.facts = {name: str(count) for name, count in counts.items() if count}
        self.precondition_violations = tuple(
            _in_turn(
                [PreconditionViolation("TAGGED", tag) for tag in self.tags],
                [
                    PreconditionViolation("REFERENCED", tag, "its index contains the manifest")
                    for tag in self.index_tags
                ],
                [
                    PreconditionViolation("REFERENCED", tag, "its index cannot be read and may contain the manifest")
                    for tag in self.unreadable_index_tags
                ],
            )
        )


class IsManifest(DeletionRefused):
    """DeleteBlob was given the digest of a manifest."""

    reason = "IS_MANIFEST"


class DeletionDisabled(DeletionRefused):
    """This gateway does not delete."""

    reason = "DELETION_DISABLED"


class Deletion(Protocol):
    """What `GuardedDeletion` does, for whoever wraps it."""

    async def delete_manifest(
        self,
        repository: Repository,
        digest: Digest,
        *,
        expected_tags: Collection[Tag],
        force: bool,
        validate_only: bool,
    ) -> tuple[Tag, ...]: ...

    async def delete_blob(self, repository: Repository, digest: Digest, *, validate_only: bool) -> None: ...


class GuardedDeletion:
    """Deletes from `registry`, if `enabled`. Asks about up to `concurrency` tags at a time."""

    def __init__(self, registry: Registry, enabled: bool, concurrency: int) -> None:
        self._registry = registry
        self._enabled = enabled
        self._dependents = ManifestDependents(registry, concurrency)

    async def delete_manifest(
        self,
        repository: Repository,
        digest: Digest,
        *,
        expected_tags: Collection[Tag],
        force: bool,
        validate_only: bool,
    ) -> tuple[Tag, ...]:
        """Deletes the manifest, and answers with the tags that went with it, in lexical order.

        Raises `DeletionDisabled`; `NotFound` where there is no such manifest; unless `force`, `ManifestInUse` where a
        tag outside `expected_tags` points to it, or a tagged index contains it; `Unsupported` where the registry does
        not delete. With `validate_only` all of that, and nothing is deleted. A tag or an index that cannot be looked at
        is an error, never 'does not need it'.
        """
        self._check_enabled()
        await require_manifest(self._registry, repository, digest)
        dependents = await self._dependents.of(repository, digest, with_indexes=not force)
        tags = dependents.tags
        unexpected = replace(dependents, tags=tuple(tag for tag in tags if tag not in expected_tags))
        if not force and unexpected != Dependents(()):
            raise _in_use(f"{repository}@{digest}", unexpected)
        if validate_only:
            await self._registry.check_deletion(repository)
        else:
            try:
                await self._registry.delete_manifest(repository, digest)
            except DeleteOutcomeUnknown as unknown:
                unknown.tags = tuple(tag.name for tag in tags)
                raise
        return tags

    async def delete_blob(self, repository: Repository, digest: Digest, *, validate_only: bool) -> None:
        """Deletes the blob from the repository.

        Raises `DeletionDisabled`, `NotFound`, `Unsupported`; `IsManifest` where the digest is a manifest, since some
        registries keep manifests among their blobs; the error of the look where it cannot be told whether it is one.
        With `validate_only` all of that, and nothing is deleted.
        """
        self._check_enabled()
        if await self._is_manifest(repository, digest):
            raise IsManifest(
                f"{repository}@{digest} is a manifest: delete it with DeleteManifest, which looks at its tags"
            )
        if not await self._registry.blob_exists(repository, digest):
            raise NotFound(f"{repository} has no blob {digest}", reason="BLOB_UNKNOWN")
        if validate_only:
            await self._registry.check_deletion(repository)
        else:
            await self._registry.delete_blob(repository, digest)

    def _check_enabled(self) -> None:
        if not self._enabled:
            raise DeletionDisabled("this gateway does not delete: its operator has not set PORTUS_ALLOW_DELETE=true")

    async def _is_manifest(self, repository: Repository, digest: Digest) -> bool:
        try:
            await require_manifest(self._registry, repository, digest)
        except NotFound as error:
            if error.reason == "NAME_UNKNOWN":
                raise
            return False
        return True


def _in_use(manifest: str, dependents: Dependents) -> ManifestInUse:
    """Each sentence says first what to do: a long message is cut at its end."""
    tags = _names(dependents.tags)
    index_tags = _names(dependents.index_tags)
    unreadable = _names(dependents.unreadable_index_tags)
    sentences = [f"{manifest} is still needed, so nothing was deleted."]
    if tags:
        sentences.append(
            "To delete it with its tags, name them in expected_tags, or set force to delete whatever tags it has:"
            f" {_shown(tags)}."
        )
    if index_tags:
        sentences.append(
            "Delete the indexes that contain it first, or set force to leave them incomplete. Their tags:"
            f" {_shown(index_tags)}."
        )
    if unreadable:
        sentences.append(
            f"If none of the indexes that cannot be read contains it, set force. Their tags: {_shown(unreadable)}."
        )
    return ManifestInUse(" ".join(sentences), tags=tags, index_tags=index_tags, unreadable_index_tags=unreadable)


def _shown(tags: Sequence[str]) -> str:
    more = f" and {len(tags) - _MOST_NAMED} more" if len(tags) > _MOST_NAMED else ""
    return ", ".join(tags[:_MOST_NAMED]) + more


def _names(tags: Iterable[Tag]) -> tuple[str, ...]:
    return tuple(tag.name for tag in tags)


def _in_turn(*kinds: Sequence[PreconditionViolation]) -> Iterator[PreconditionViolation]:
    """One of each kind in turn: a status has room for some of them alone, and no kind may get lost."""
    return (violation for turn in zip_longest(*kinds) for violation in turn if violation is not None)
