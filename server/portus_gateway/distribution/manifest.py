"""What a manifest says: images, other artifacts and indexes, of OCI and of Docker.

Follows the OCI image specification 1.1 (manifest, index, descriptor) and Docker's image manifest V2, schema 2.
Fields that a manifest lacks are None or empty, never an error (Portus #2215).
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TypeAlias

from portus_gateway.distribution.digest import Digest
from portus_gateway.distribution.errors import InvalidName, UntrustedAnswer

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_MANIFEST_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"

# Every request for a manifest names all four. Without them a registry rewrites the manifest, or answers with
# one child of an index, under a digest that cannot be deleted (Portus #718, #725).
MANIFEST_MEDIA_TYPES = (OCI_MANIFEST, OCI_INDEX, DOCKER_MANIFEST, DOCKER_MANIFEST_LIST)


Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"


@dataclass(frozen=True, slots=True)
class Platform:
    """The platform that an image was built for."""

    os: str
    architecture: str
    variant: str = ""
    os_version: str = ""
    os_features: tuple[str, ...] = ()

    def admits(self, other: "Platform") -> bool:
        """Whether `other` is this platform, as far as this one says: what is empty here matches anything."""
        return (
            self.os == other.os
            and self.architecture == other.architecture
            and self.variant in ("", other.variant)
            and self.os_version in ("", other.os_version)
            and set(self.os_features) <= set(other.os_features)
        )

    def __str__(self) -> str:
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)


@dataclass(frozen=True, slots=True)
class Descriptor:
    """A pointer to content: what it is, its digest, and its size in bytes where known."""

    media_type: str
    digest: Digest
    size: int | None = None
    platform: Platform | None = None
    artifact_type: str = ""
    annotations: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Image:
    """The manifest of one image or other artifact."""

    config: Descriptor | None
    layers: tuple[Descriptor, ...]
    subject: Descriptor | None = None
    artifact_type: str = ""
    annotations: Mapping[str, str] = field(default_factory=dict)

    @property
    def image_id(self) -> Digest | None:
        """The configuration's digest: what `docker images` shows as the image's id."""
        return self.config.digest if self.config else None

    @property
    def total_size(self) -> int | None:
        """Bytes of configuration and layers together; None where one of them does not say."""
        total = 0
        for part in (*((self.config,) if self.config else ()), *self.layers):
            if part.size is None:
                return None
            total += part.size
        return total


@dataclass(frozen=True, slots=True)
class Index:
    """A manifest that names others: an OCI image index or a Docker manifest list."""

    manifests: tuple[Descriptor, ...]
    subject: Descriptor | None = None
    artifact_type: str = ""
    annotations: Mapping[str, str] = field(default_factory=dict)

    def child(self, platform: Platform) -> Descriptor | None:
        """The first manifest for `platform`, in the index's order; None where there is none."""
        return next((child for child in self.manifests if child.platform and platform.admits(child.platform)), None)


@dataclass(frozen=True, slots=True, weakref_slot=True)
class Manifest:
    """A manifest: the exact bytes, which hash to `descriptor.digest`, and what they say.

    `content` is None for a media type that is none of `MANIFEST_MEDIA_TYPES`.
    """

    descriptor: Descriptor
    raw: bytes = field(repr=False)
    content: Image | Index | None

    @classmethod
    def parse(cls, raw: bytes, *, digest: Digest, media_type: str) -> "Manifest":
        """Reads `raw`, whose digest the caller has verified.

        Raises `UntrustedAnswer` where it is no JSON object or a field has the wrong type.
        """
        document = _document(raw)
        stated = document.string("mediaType")
        if stated != media_type and stated in MANIFEST_MEDIA_TYPES and media_type in MANIFEST_MEDIA_TYPES:
            # Whoever takes it for the one sees other content than who takes it for the other (CVE-2021-41190).
            raise UntrustedAnswer(f"the manifest says that it is {stated}, and the registry that it is {media_type}")
        kind = media_type if media_type in MANIFEST_MEDIA_TYPES or not stated else stated
        content: Image | Index | None
        if kind in (OCI_INDEX, DOCKER_MANIFEST_LIST):
            content = Index(
                manifests=tuple(_descriptor(child) for child in document.objects("manifests")),
                subject=_optional_descriptor(document, "subject"),
                artifact_type=document.string("artifactType"),
                annotations=document.strings("annotations"),
            )
        elif kind in (OCI_MANIFEST, DOCKER_MANIFEST):
            content = Image(
                config=_optional_descriptor(document, "config"),
                layers=tuple(_descriptor(layer) for layer in document.objects("layers")),
                subject=_optional_descriptor(document, "subject"),
                artifact_type=document.string("artifactType"),
                annotations=document.strings("annotations"),
            )
        else:
            content = None
        artifact_type = content.artifact_type if content else ""
        return cls(
            descriptor=Descriptor(media_type=kind, digest=digest, size=len(raw), artifact_type=artifact_type),
            raw=raw,
            content=content,
        )


@dataclass(frozen=True, slots=True)
class _Object:
    """A JSON object whose fields are read by type. `null` counts as absent."""

    path: str
    fields: Mapping[str, Json]

    def string(self, name: str) -> str:
        value = self.fields.get(name)
        if value is None:
            return ""
        if not isinstance(value, str):
            raise self._wrong(name, "a string")
        return value

    def size(self, name: str) -> int | None:
        value = self.fields.get(name)
        if value is None:
            return None
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**63:
            raise self._wrong(name, "a size in bytes")
        return value

    def object(self, name: str) -> "_Object | None":
        value = self.fields.get(name)
        if value is None:
            return None
        if not isinstance(value, dict):
            raise self._wrong(name, "an object")
        return _Object(f"{self.path}{name}.", value)

    def objects(self, name: str) -> "list[_Object]":
        value = self.fields.get(name)
        if value is None:
            return []
        if not isinstance(value, list):
            raise self._wrong(name, "a list")
        items = []
        for position, item in enumerate(value):
            if not isinstance(item, dict):
                raise self._wrong(f"{name}[{position}]", "an object")
            items.append(_Object(f"{self.path}{name}[{position}].", item))
        return items

    def strings(self, name: str) -> Mapping[str, str]:
        value = self.object(name)
        if value is None:
            return {}
        return MappingProxyType({key: value.string(key) for key in value.fields})

    def string_list(self, name: str) -> tuple[str, ...]:
        value = self.fields.get(name)
        if value is None:
            return ()
        if not isinstance(value, list):
            raise self._wrong(name, "a list of strings")
        items = [item for item in value if isinstance(item, str)]
        if len(items) != len(value):
            raise self._wrong(name, "a list of strings")
        return tuple(items)

    def digest(self, name: str) -> Digest:
        try:
            return Digest(self.string(name))
        except InvalidName as error:
            raise self._wrong(name, "a digest") from error

    def _wrong(self, name: str, due: str) -> UntrustedAnswer:
        return UntrustedAnswer(f"the manifest's field {self.path}{name} is not {due}")


def _document(raw: bytes) -> _Object:
    try:
        value: Json = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise UntrustedAnswer("the manifest is not JSON") from error
    if not isinstance(value, dict):
        raise UntrustedAnswer("the manifest is not a JSON object")
    return _Object("", value)


def _descriptor(value: _Object) -> Descriptor:
    platform = value.object("platform")
    return Descriptor(
        media_type=value.string("mediaType"),
        digest=value.digest("digest"),
        size=value.size("size"),
        platform=_platform(platform) if platform else None,
        artifact_type=value.string("artifactType"),
        annotations=value.strings("annotations"),
    )


def _optional_descriptor(parent: _Object, name: str) -> Descriptor | None:
    value = parent.object(name)
    # Some builders write `"config": {}` for an artifact that has none.
    return _descriptor(value) if value and value.fields else None


def _platform(value: _Object) -> Platform:
    return Platform(
        os=value.string("os"),
        architecture=value.string("architecture"),
        variant=value.string("variant"),
        os_version=value.string("os.version"),
        os_features=value.string_list("os.features"),
    )
