"""The content of manifests: what a registry reads of it when it is pushed, and what it refuses.

The flavours 2.8 and 3.1 do as distribution 2.8.2 and 3.1.1 do (`manifest/` and `registry/storage/*handler.go` there);
both are compared with them in `tests/real/test_manifest_acceptance.py`.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from portus_gateway.devregistry.flavours import Traits
from portus_gateway.devregistry.go_json import NotReadable, Record
from portus_gateway.devregistry.media_types import (
    DOCKER_LIST,
    DOCKER_MANIFEST,
    INDEXES,
    MANIFESTS,
    OCI_INDEX,
    OCI_MANIFEST,
)

# Content that is a manifest for one reader and an index for another is refused (CVE-2021-41190).
_FIELDS_OF_OTHERS: Mapping[str, tuple[str, ...]] = {OCI_MANIFEST: ("manifests",), OCI_INDEX: ("config", "layers")}


class InvalidManifest(ValueError):
    """The content is not a manifest of its type. The message says what is wrong."""


@dataclass(frozen=True, slots=True)
class Descriptor:
    """A reference of a manifest."""

    media_type: str
    digest: str
    urls: tuple[str, ...]
    architecture: str = ""
    os: str = ""


@dataclass(frozen=True, slots=True)
class ManifestDocument:
    """What a registry reads of a manifest."""

    media_type: str
    """The type as which the manifest is sent."""
    schema_version: int
    references: tuple[Descriptor, ...]
    """An index's children, an image's config and layers."""
    subject: str
    """The digest of the manifest that this one refers to, or empty."""
    artifact_type: str
    annotations: Mapping[str, str]


def read_manifest(content: bytes, media_type: str, traits: Traits) -> ManifestDocument:
    """The manifest that was pushed as `media_type`. Raises `InvalidManifest`."""
    if media_type not in (*INDEXES, *MANIFESTS):
        raise InvalidManifest(f"unsupported manifest media type and no default available: {media_type}")
    try:
        document = Record.of(content)
        _check_type(document, media_type)
        return _read(document, media_type, traits)
    except NotReadable as error:
        raise InvalidManifest(str(error)) from None


def _check_type(document: Record, media_type: str) -> None:
    stated = document.text("mediaType")
    if stated != media_type and (stated or media_type in (DOCKER_LIST, DOCKER_MANIFEST)):
        raise InvalidManifest(f"mediaType in manifest should be '{media_type}' not '{stated}'")
    for name in _FIELDS_OF_OTHERS.get(media_type, ()):
        if document.has(name):
            raise InvalidManifest(f"{media_type} with the field {name}")


def _read(document: Record, media_type: str, traits: Traits) -> ManifestDocument:
    annotations: Mapping[str, str] = {}
    if media_type == OCI_MANIFEST or (media_type == OCI_INDEX and traits.descriptors_of_1_1):
        annotations = document.text_map("annotations")
    if media_type in INDEXES:
        # Docker's platforms have one field more, and 2.8 reads OCI's indexes as Docker's lists.
        has_features = media_type == DOCKER_LIST or not traits.descriptors_of_1_1
        children = document.records("manifests")
        references = tuple(_descriptor(child, traits, has_features=has_features) for child in children)
    else:
        described = (document.record("config"), *document.records("layers"))
        references = tuple(_descriptor(each, traits, has_features=False) for each in described)
    subject = artifact_type = ""
    if traits.lists_referrers:
        subject = _descriptor(document.record("subject"), traits, has_features=False).digest
        artifact_type = document.text("artifactType")
        if not artifact_type and media_type not in INDEXES:
            artifact_type = references[0].media_type
    return ManifestDocument(
        media_type=_stored_type(document, media_type, traits),
        schema_version=document.integer("schemaVersion"),
        references=references,
        subject=subject,
        artifact_type=artifact_type,
        annotations=annotations,
    )


def _stored_type(document: Record, media_type: str, traits: Traits) -> str:
    if document.text("mediaType") or not traits.tells_type_by_fields:
        return media_type
    return OCI_INDEX if document.has("manifests") else OCI_MANIFEST


def _descriptor(described: Record, traits: Traits, *, has_features: bool) -> Descriptor:
    described.integer("size")
    described.text_map("annotations")
    if traits.descriptors_of_1_1:
        described.check_bytes("data")
        described.text("artifactType")
    platform = described.record("platform")
    for name in ("os.version", "variant"):
        platform.text(name)
    platform.texts("os.features")
    if has_features:
        platform.texts("features")
    return Descriptor(
        media_type=described.text("mediaType"),
        digest=described.text("digest"),
        urls=described.texts("urls"),
        architecture=platform.text("architecture"),
        os=platform.text("os"),
    )
