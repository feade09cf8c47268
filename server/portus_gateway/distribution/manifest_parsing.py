"""Parses the bytes of a manifest.

The parsed content is what container runtimes read. If readers could see different content, or if the content does not
follow the specification, there is no parsed content, but the reason why (CVE-2021-41190).
"""

from typing import Final

from portus_gateway.distribution.digest import Digest
from portus_gateway.distribution.errors import ContentUnclear
from portus_gateway.distribution.json_reading import read_json_object
from portus_gateway.distribution.manifest import (
    GENERIC_MEDIA_TYPES,
    IMAGE_CONFIGURATION_TYPES,
    IMAGE_MEDIA_TYPES,
    INDEX_MEDIA_TYPES,
    MANIFEST_MEDIA_TYPES,
    OCI_INDEX,
    OCI_MANIFEST,
    ContentProblem,
    Descriptor,
    Image,
    Index,
    Kind,
    Manifest,
)
from portus_gateway.distribution.manifest_fields import EntryCount, Fields, Names, platform_from

_DOCUMENT: Final = "the manifest"
_MANIFEST: Final = Names(
    "schemaVersion",
    "mediaType",
    "artifactType",
    "config",
    "layers",
    "manifests",
    "subject",
    "annotations",
    "fsLayers",
)
_DESCRIPTOR: Final = Names("mediaType", "digest", "size", "urls", "annotations", "data", "platform", "artifactType")
_PLATFORM: Final = Names("os", "architecture", "variant", "os.version", "os.features", "features")


def parse_manifest(raw: bytes, *, digest: Digest, media_type: str) -> Manifest:
    """Parses `raw`, whose digest the caller has verified. `media_type` is the registry's `Content-Type`.

    Does not fail: `Manifest.problem` says why there is no content. Takes about 30 ms for each MiB, and up to half a
    second if there are many entries.
    """
    parsed = _Parsed(media_type)
    try:
        parsed.read(raw)
    except ContentUnclear as error:
        # An error object would keep the whole document in memory.
        parsed.problem = ContentProblem(error.reason, str(error))
    descriptor = Descriptor(
        media_type=parsed.media_type,
        digest=digest,
        size=len(raw),
        artifact_type=parsed.content.artifact_type if parsed.content else "",
    )
    return Manifest(
        descriptor=descriptor,
        raw=raw,
        content=parsed.content,
        problem=parsed.problem,
        kind=parsed.kind,
        entries=parsed.count.entries,
    )


class _Parsed:
    """What is known about a manifest so far."""

    def __init__(self, media_type: str) -> None:
        self.media_type = media_type
        self.kind = _kind_of(media_type)
        self.content: Image | Index | None = None
        self.problem: ContentProblem | None = None
        self.count = EntryCount(_DOCUMENT)

    def read(self, raw: bytes) -> None:
        """Raises `ContentUnclear`. What is known by then stays in the attributes."""
        if self.kind is None and self.media_type not in GENERIC_MEDIA_TYPES:
            raise _unknown_type()
        fields = Fields(read_json_object(raw, _DOCUMENT), _MANIFEST, self.count)
        self._decide_kind(fields)
        fields.integer("schemaVersion")
        if self.kind == "index":
            self.content = Index(
                manifests=tuple(_descriptor(child) for child in fields.objects("manifests", _DESCRIPTOR)),
                subject=_optional_descriptor(fields, "subject"),
                artifact_type=fields.string("artifactType"),
                annotations=fields.string_map("annotations"),
            )
        else:
            config = _optional_descriptor(fields, "config")
            self.content = Image(
                config=config,
                layers=tuple(_descriptor(layer) for layer in fields.objects("layers", _DESCRIPTOR)),
                subject=_optional_descriptor(fields, "subject"),
                artifact_type=fields.string("artifactType") or _type_of_artifact(config),
                annotations=fields.string_map("annotations"),
            )

    def _decide_kind(self, fields: Fields) -> None:
        """Decides whether this is an image or an index. Raises `ContentUnclear` if readers could disagree.

        A member that is `null` counts as present, as in containerd.
        """
        stated = fields.string("mediaType")
        index = "manifests" in fields
        image = "config" in fields and "layers" in fields
        part_of_image = "config" in fields or "layers" in fields
        if self.kind is None:
            if stated:
                self.media_type = stated
            elif index and not part_of_image:
                self.media_type = OCI_INDEX
            elif image and not index:
                self.media_type = OCI_MANIFEST
            self.kind = _kind_of(self.media_type)
        elif stated != self.media_type and stated in MANIFEST_MEDIA_TYPES:
            announced = self.media_type
            self.kind = self.kind if self.kind == _kind_of(stated) else None
            raise _ambiguous(f"it says that it is {stated}, and the registry that it is {announced}")
        if (index and (part_of_image or self.kind == "image")) or (part_of_image and self.kind == "index"):
            self.kind = None
            raise _ambiguous("it has parts of an index and parts of an image")
        if "fsLayers" in fields:
            self.kind = None
            raise _ambiguous("it has fsLayers, as manifests of Docker's schema 1 have")
        if self.kind is None:
            raise _unknown_type()


def _kind_of(media_type: str) -> Kind | None:
    if media_type in IMAGE_MEDIA_TYPES:
        return "image"
    return "index" if media_type in INDEX_MEDIA_TYPES else None


def _descriptor(fields: Fields) -> Descriptor:
    platform = fields.object("platform", _PLATFORM)
    descriptor = Descriptor(
        media_type=fields.string("mediaType"),
        digest=fields.digest("digest"),
        size=fields.size("size"),
        platform=None if platform is None else platform_from(platform),
        artifact_type=fields.string("artifactType"),
        annotations=fields.string_map("annotations"),
        urls=fields.strings("urls"),
        data=fields.bytes("data"),
    )
    if descriptor.data and Digest.of(descriptor.data, descriptor.digest.algorithm) != descriptor.digest:
        raise fields.wrong("data", "the content that its digest names")
    return descriptor


def _optional_descriptor(parent: Fields, name: str) -> Descriptor | None:
    fields = parent.object(name, _DESCRIPTOR)
    # Some builders write `"config": {}` if there is no configuration.
    return _descriptor(fields) if fields else None


def _type_of_artifact(config: Descriptor | None) -> str:
    """The kind of an artifact without `artifactType`: the media type of its configuration (OCI image specification
    1.1, "Guidelines for Artifact Usage"). Empty for an ordinary image.
    """
    return "" if config is None or config.media_type in IMAGE_CONFIGURATION_TYPES else config.media_type


def _ambiguous(problem: str) -> ContentUnclear:
    return ContentUnclear(f"the manifest can be read in more than one way: {problem}", reason="CONTENT_AMBIGUOUS")


def _unknown_type() -> ContentUnclear:
    return ContentUnclear(
        "the gateway does not know this media type: it reads image manifests and indexes of OCI and Docker",
        reason="CONTENT_TYPE_UNKNOWN",
    )
