"""The manifest that a tag is moved to before it is deleted, where the registry deletes by digest only.

It is like no other manifest, so that its delete takes this one tag. It says what the tag pointed to, so that a delete
that was interrupted can be completed.
"""

import json
import secrets
from dataclasses import dataclass
from typing import Final, Self

from portus_gateway.distribution.digest import Digest
from portus_gateway.distribution.errors import InvalidName
from portus_gateway.distribution.manifest import OCI_MANIFEST, Image, Manifest
from portus_gateway.distribution.names import Tag

BLOB: Final = b"{}"
"""OCI image specification 1.1, "Guidance for an Empty Descriptor"."""
_EMPTY: Final = {"mediaType": "application/vnd.oci.empty.v1+json", "digest": Digest.of(BLOB).text, "size": len(BLOB)}
_ARTIFACT_TYPE: Final = "application/vnd.portus-gateway.deleted-tag.v1"
_PREFIX: Final = "io.github.portus-gateway.deleted-tag."


@dataclass(frozen=True, slots=True)
class Placeholder:
    """Stands in for the manifest `replaced`, to which `tag` pointed."""

    tag: Tag
    replaced: Digest
    nonce: str

    @classmethod
    def new(cls, tag: Tag, replaced: Digest) -> Self:
        return cls(tag, replaced, secrets.token_hex(16))

    @classmethod
    def found_in(cls, manifest: Manifest) -> Self | None:
        """The placeholder that these bytes are exactly; None if they are none."""
        content = manifest.content
        if not isinstance(content, Image):
            return None
        stated = {name: content.annotations.get(f"{_PREFIX}{name}", "") for name in ("tag", "digest", "nonce")}
        try:
            found = cls(Tag(stated["tag"]), Digest(stated["digest"]), stated["nonce"])
        except InvalidName:
            return None
        return found if found.manifest == manifest.raw else None

    media_type = OCI_MANIFEST

    @property
    def manifest(self) -> bytes:
        document = {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "artifactType": _ARTIFACT_TYPE,
            "config": _EMPTY,
            "layers": [_EMPTY],
            "annotations": {
                f"{_PREFIX}tag": self.tag.name,
                f"{_PREFIX}digest": self.replaced.text,
                f"{_PREFIX}nonce": self.nonce,
            },
        }
        return json.dumps(document, separators=(",", ":")).encode()

    @property
    def digest(self) -> Digest:
        return Digest.of(self.manifest)
