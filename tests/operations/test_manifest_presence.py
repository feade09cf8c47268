"""A look that failed never makes a manifest a blob."""

import pytest

from portus_gateway.distribution.digest import Digest
from portus_gateway.distribution.errors import AnswerTooLarge, NotFound, RegistryFault
from portus_gateway.distribution.names import Repository
from portus_gateway.operations.deletion import BlobDeletion, ManifestDeletion
from portus_gateway.operations.guarded_deletion import GuardedDeletion
from portus_gateway.operations.manifest_presence import require_manifest
from tests.scripted_registry import ScriptedRegistry, manifest_of

APP = Repository("team/app")
BLOB = Digest.of(b"a layer")
MANIFEST = manifest_of("untagged").descriptor.digest
TAGGED = manifest_of("one").descriptor.digest
# The mistake that distribution 2.8 makes of a blob, and any registry of anything for a moment.
FAULT = RegistryFault("500")


def registry_with(*, tags: dict[str, str] | None = None, blobs: set[Digest]) -> ScriptedRegistry:
    registry = ScriptedRegistry({"team/app": {"1.0": "one"} if tags is None else tags}, blobs=blobs)
    for digest in (BLOB, MANIFEST, TAGGED):
        registry.failures[f"team/app@{digest}"] = FAULT
    return registry


async def is_blob(registry: ScriptedRegistry, digest: Digest) -> None:
    """Both deletes take the digest for a blob."""
    with pytest.raises(NotFound, match="is a blob") as caught:
        await require_manifest(registry, APP, digest)
    assert caught.value.reason == "MANIFEST_UNKNOWN"
    await GuardedDeletion(registry, True, 4).delete(BlobDeletion(repository=APP, digest=digest))
    assert registry.deleted == [f"team/app@{digest}"]


async def cannot_be_told(registry: ScriptedRegistry, digest: Digest) -> None:
    """Neither delete takes the digest for anything: the error is passed on."""
    deletion = GuardedDeletion(registry, True, 4)
    with pytest.raises(RegistryFault) as caught:
        await deletion.delete(ManifestDeletion(repository=APP, digest=digest, force=True))
    assert caught.value is FAULT
    with pytest.raises(RegistryFault) as caught:
        await deletion.delete(BlobDeletion(repository=APP, digest=digest))
    assert caught.value is FAULT
    assert registry.deleted == []


async def test_a_blob_of_a_registry_that_keeps_manifests_apart_is_a_blob() -> None:
    registry = registry_with(blobs={BLOB})
    await is_blob(registry, BLOB)
    # Whatever is in it: it was found where no manifest is.
    registry = registry_with(blobs={BLOB})
    registry.contents[BLOB] = b'{"schemaVersion": 2}'
    registry.failures["content"] = AnswerTooLarge("large")
    await is_blob(registry, BLOB)


@pytest.mark.parametrize("digest", [MANIFEST, TAGGED, BLOB], ids=["manifest", "tagged", "blob"])
async def test_nothing_is_a_blob_for_certain_where_manifests_are_among_the_blobs(digest: Digest) -> None:
    registry = registry_with(blobs={BLOB, MANIFEST, TAGGED})
    await cannot_be_told(registry, digest)


async def test_what_is_not_even_a_blob_is_an_error() -> None:
    await cannot_be_told(registry_with(blobs=set()), MANIFEST)


@pytest.mark.parametrize(
    "content", [b"\x1f\x8b a layer", b'{"architecture": "amd64", "config": {"layers": 1}}', b"[]", b"1"]
)
async def test_without_a_tag_content_that_is_no_manifest_is_a_blob(content: bytes) -> None:
    registry = registry_with(tags={}, blobs={BLOB})
    registry.contents[BLOB] = content
    await is_blob(registry, BLOB)


@pytest.mark.parametrize(
    ("beginning", "is_manifest"),
    [
        (b"\x1f\x8b a layer", False),
        (b"[1, ", False),
        (b' {"architecture": "amd64", ', False),
        (b'{"Layers": [], ', True),
        (b'{"l\\u0061yers": [], ', True),
        ('{"layer\u017f": [], '.encode(), True),
    ],
)
async def test_large_content_is_judged_without_being_read(beginning: bytes, is_manifest: bool) -> None:
    registry = registry_with(tags={}, blobs={BLOB})
    registry.contents[BLOB] = beginning + b'"padding": "' + b"x" * 64 * 1024
    await (cannot_be_told if is_manifest else is_blob)(registry, BLOB)


@pytest.mark.parametrize("key", ["schemaVersion", "MEDIATYPE", "manifests", "Layers", "fsLayers", "blobs"])
async def test_without_a_tag_content_that_may_be_a_manifest_is_an_error(key: str) -> None:
    registry = registry_with(tags={}, blobs={MANIFEST})
    registry.contents[MANIFEST] = f'{{"{key}": 2}}'.encode()
    await cannot_be_told(registry, MANIFEST)


@pytest.mark.parametrize("failure", [AnswerTooLarge("large"), RegistryFault("307")])
async def test_without_a_tag_content_that_cannot_be_read_is_an_error(failure: RegistryFault) -> None:
    registry = registry_with(tags={}, blobs={BLOB})
    registry.failures["content"] = failure
    await cannot_be_told(registry, BLOB)


async def test_a_tag_that_went_and_a_repository_without_tags_are_no_evidence() -> None:
    registry = registry_with(blobs={BLOB})
    registry.failures["team/app:1.0"] = NotFound("gone", reason="MANIFEST_UNKNOWN")
    registry.contents[BLOB] = b'{"layers": []}'
    await cannot_be_told(registry, BLOB)
    registry.failures["team/app"] = NotFound("never tagged", reason="NAME_UNKNOWN")
    await cannot_be_told(registry, BLOB)


async def test_a_name_that_is_no_tag_is_no_evidence() -> None:
    registry = registry_with(tags={"-latest": "one"}, blobs={BLOB})
    await is_blob(registry, BLOB)
    registry = registry_with(tags={"-latest": "one"}, blobs={MANIFEST})
    registry.contents[MANIFEST] = b'{"layers": []}'
    await cannot_be_told(registry, MANIFEST)
