"""Whether a digest is a manifest of a repository. A failed check never means that it is not."""

import json
from typing import Final

from portus_gateway.distribution.digest import Digest
from portus_gateway.distribution.errors import AnswerTooLarge, NotFound, RegistryFault
from portus_gateway.distribution.manifest import Descriptor
from portus_gateway.distribution.names import Repository, Tag
from portus_gateway.operations.large_documents import LARGE, may_be_object, may_have_member
from portus_gateway.registry.protocol import Registry

# A manifest has one of these keys: OCI's and Docker's manifests and indexes, and the artifact manifests of OCI 1.1's
# drafts. Configurations and other JSON that is kept in blobs have none. Go's JSON accepts a key in any case.
_KEYS_OF_MANIFESTS: Final = frozenset({"schemaversion", "mediatype", "manifests", "layers", "fslayers", "blobs"})


async def require_manifest(registry: Registry, repository: Repository, digest: Digest) -> Descriptor:
    """The manifest's descriptor. Raises `NotFound` if the digest is a blob, or nothing in the repository; and what the
    registry raises.

    Distribution 2.8 answers 500 where a blob is asked for as a manifest. So does any registry that fails for a moment.
    The 500 counts as 'a blob' only if there is such a blob that is not a manifest; else it is raised.
    """
    try:
        return await registry.resolve_manifest(repository, digest)
    except RegistryFault as fault:
        if not await _is_plain_blob(registry, repository, digest):
            raise
        raise NotFound(f"{repository}@{digest} is a blob, not a manifest", reason="MANIFEST_UNKNOWN") from fault


async def _is_plain_blob(registry: Registry, repository: Repository, digest: Digest) -> bool:
    """Whether the digest is certainly a blob and no manifest."""
    if not await registry.blob_exists(repository, digest):
        return False
    keeps_apart = await _keeps_manifests_apart(registry, repository)
    if keeps_apart is not None:
        return keeps_apart
    try:
        content = await registry.get_blob(repository, digest)
    except (AnswerTooLarge, RegistryFault):
        return False
    return not _may_be_manifest(content)


async def _keeps_manifests_apart(registry: Registry, repository: Repository) -> bool | None:
    """Whether the registry keeps manifests out of its blobs, tried with one of its manifests. None: no tag has one."""
    try:
        page = await registry.list_tags(repository, 1)
    except NotFound:
        return None
    for tag in page.items:
        if not isinstance(tag, Tag):
            continue
        try:
            manifest = await registry.resolve_manifest(repository, tag)
        except NotFound:
            continue
        return not await registry.blob_exists(repository, manifest.digest)
    return None


def _may_be_manifest(content: bytes) -> bool:
    if len(content) >= LARGE:
        return may_be_object(content) and may_have_member(content, _KEYS_OF_MANIFESTS)
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        return False
    return isinstance(document, dict) and not _KEYS_OF_MANIFESTS.isdisjoint(map(str.casefold, document))
