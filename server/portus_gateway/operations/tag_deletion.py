"""Deletes of a tag alone. What it points to stays (OCI distribution 1.1, "Deleting tags").

Distribution 3 and others do this. Distribution 2.8 deletes by digest only. There are registries that delete what the
tag points to, with all of its tags. Nothing tells them apart beforehand, so the gateway looks afterwards, and asks no
such registry again.
"""

import structlog

from portus_gateway.access.errors import Hidden
from portus_gateway.aio.carried_through import carried_through
from portus_gateway.distribution.digest import Digest
from portus_gateway.distribution.errors import DeleteOutcomeUnknown, NotFound, Unsupported
from portus_gateway.distribution.names import Repository, Tag
from portus_gateway.errors import GatewayError
from portus_gateway.operations.deletion import Approval, Deleted, TagDeletion
from portus_gateway.operations.deletion_errors import ExpectedDigestRequired, ManifestDeletedToo, TagMoved
from portus_gateway.operations.emulated_tag_deletion import EmulatedTagDeletion
from portus_gateway.operations.tag_placeholder import Placeholder
from portus_gateway.operations.tag_target import tag_target
from portus_gateway.registry.protocol import Registry

_log = structlog.get_logger(__name__)

_INSTEAD = (
    "Delete the manifest and all its tags with DeleteManifest, or push another image under the tag. The gateway's"
    " operator can also set PORTUS_EMULATE_TAG_DELETE=true, which has risks"
)


class GuardedTagDeletion:
    """Deletes tags from `registry`. With `emulation`, also where the registry deletes by digest only."""

    def __init__(self, registry: Registry, emulation: EmulatedTagDeletion | None) -> None:
        self._registry = registry
        self._emulation = emulation
        self._is_able = False
        """Whether the registry was seen to delete a tag."""
        self._deletes_manifests_too = False
        """Whether the registry was seen to delete a manifest where only its tag was to be deleted."""
        self._keeps_manifests = False
        """Whether it was seen to keep one. Then somebody else deletes those that are gone."""

    async def delete(self, wanted: TagDeletion, approved: Approval) -> Deleted:
        """Deletes the tag, and answers what it pointed to.

        Raises `NotFound`, `TagMoved`, `Unsupported` if the registry cannot, `DeleteOutcomeUnknown` where it is not
        known what became of the tag, `ManifestDeletedToo`, and what the registry raises.
        """
        repository, tag = wanted.repository, wanted.tag
        digest = (await self._registry.resolve_manifest(repository, tag)).digest
        expected = wanted.expected_digest
        if expected is not None and not await self._is(repository, digest, expected):
            if self._emulation is not None:
                left = await self._emulation.interrupted(repository, tag, digest)
                if left is not None and left.replaced == expected:
                    return await self._completed(self._emulation, wanted, left, approved)
            raise TagMoved(f"{repository}:{tag}", expected=expected, actual=digest)
        try:
            await self._delete_by_name(wanted, digest, approved)
        except Unsupported as error:
            # If the registry deletes nothing at all, that is the reason.
            await self._registry.check_deletion(repository)
            if self._emulation is None:
                raise Unsupported(f"{error}, so it cannot delete a tag and keep its manifest. {_INSTEAD}") from error
            if expected is None:
                raise ExpectedDigestRequired from error
            await approved(emulated=True)
            if not wanted.validate_only:
                await carried_through(self._emulation.delete(repository, tag, digest))
            return Deleted(digest=digest, tags=(tag,), emulated=True)
        return Deleted(digest=digest, tags=(tag,))

    async def _completed(
        self, emulation: EmulatedTagDeletion, wanted: TagDeletion, left: Placeholder, approved: Approval
    ) -> Deleted:
        """Completes a delete that was interrupted after the tag had been moved to the placeholder `left`."""
        await emulation.check_completion(wanted.repository, wanted.tag, left)
        await self._registry.check_deletion(wanted.repository)
        await approved(emulated=True)
        if not wanted.validate_only:
            await carried_through(emulation.complete(wanted.repository, wanted.tag, left))
        return Deleted(digest=left.replaced, tags=(wanted.tag,), emulated=True)

    async def _delete_by_name(self, wanted: TagDeletion, digest: Digest, approved: Approval) -> None:
        if self._deletes_manifests_too:
            raise Unsupported("the registry deleted a manifest together with its tag before")
        if wanted.validate_only or not self._is_able:
            await self._registry.check_tag_deletion(wanted.repository)
        await approved()
        if wanted.validate_only:
            return
        await self._registry.delete_tag(wanted.repository, wanted.tag)
        self._is_able = True
        # It is deleted: to find out what that did must not end with the call.
        await carried_through(self._check_afterwards(wanted.repository, wanted.tag, digest))

    async def _check_afterwards(self, repository: Repository, tag: Tag, digest: Digest) -> None:
        name = f"{repository}:{tag}"
        try:
            if await tag_target(self._registry, repository, tag) == digest:
                raise DeleteOutcomeUnknown(
                    f"the registry answered that it deleted {name}, but the tag still existed afterwards. Look again"
                    " before you try again"
                )
            kept = await self._exists(repository, digest)
        except DeleteOutcomeUnknown:
            raise
        except GatewayError as error:
            raise DeleteOutcomeUnknown(
                f"{name} was deleted, but whether that is all could not be seen ({error}). Look at the tag and at"
                f" {digest} before you try again",
                operator_detail=error.operator_detail,
            ) from error
        if kept:
            self._keeps_manifests = True
            return
        refusal = ""
        if not self._keeps_manifests:
            self._deletes_manifests_too = True
            refusal = " The gateway deletes no more single tags."
            _log.error(
                "the registry deleted a manifest where only its tag was to be deleted: no more tags are deleted",
                repository=repository.name,
                tag=tag.name,
                digest=digest.text,
            )
        raise ManifestDeletedToo(
            f"{name} was deleted, but its manifest {digest} does not exist any more: this registry deletes it with the"
            f" tag, or somebody else deleted it.{refusal} Push the image again if it is needed"
        )

    async def _exists(self, repository: Repository, digest: Digest) -> bool:
        try:
            await self._registry.resolve_manifest(repository, digest)
        except Hidden:
            raise
        except NotFound:
            return False
        return True

    async def _is(self, repository: Repository, digest: Digest, expected: Digest) -> bool:
        """Whether `expected` names the manifest with the digest `digest`. It has one in each algorithm."""
        if digest.algorithm == expected.algorithm:
            return digest == expected
        manifest = await self._registry.get_manifest(repository, digest)
        return Digest.of(manifest.raw, expected.algorithm) == expected
