"""Checks that what a manifest refers to is in its repository."""

import re

from portus_gateway.devregistry.digests import is_digest
from portus_gateway.devregistry.errors import RegistryError
from portus_gateway.devregistry.flavours import Traits
from portus_gateway.devregistry.manifest_documents import Descriptor, ManifestDocument
from portus_gateway.devregistry.media_types import (
    DOCKER_FOREIGN_LAYER,
    DOCKER_MANIFEST,
    INDEXES,
    OCI_LAYERS,
    OCI_NON_DISTRIBUTABLE_LAYERS,
    OCI_NON_DISTRIBUTABLE_ZSTD_LAYER,
)
from portus_gateway.devregistry.storage import Repository

# The form of a digest of any algorithm.
_DIGEST_FORM = re.compile(r"[a-z0-9]+(?:[.+_-][a-z0-9]+)*:[a-zA-Z0-9=_-]+")
_HEX_LENGTHS = {"sha256": 64, "sha384": 96, "sha512": 128}
# What distribution accepts with `validation.manifests.urls.allow: ["^https?://"]`: a port that is a number, no
# control character, no fragment, a blank in the path only, and a percent sign before two hexadecimal digits.
_URL = re.compile(
    r"https?://(?:[^/?#\x00-\x20\x7f%:\[]|%[0-9A-Fa-f]{2}|\[[^\]]*\]|:(?=[^/?#]*@))*(?::[0-9]*)?"
    r"(?:/(?:[^?#\x00-\x1f\x7f%]|%[0-9A-Fa-f]{2})*)?(?:\?[^#\x00-\x1f\x7f]*)?#?"
)


def check_references(document: ManifestDocument, repository: Repository | None, traits: Traits) -> None:
    """Raises `RegistryError`, with an error or more for each reference that is missing or malformed."""
    errors = [error for reference in document.references for error in _errors(document, reference, repository, traits)]
    if errors:
        raise RegistryError(errors[0].code, errors[0].detail, further=errors[1:])


def _errors(
    document: ManifestDocument, reference: Descriptor, repository: Repository | None, traits: Traits
) -> tuple[RegistryError, ...]:
    missing = RegistryError("MANIFEST_BLOB_UNKNOWN", reference.digest)
    malformed = _malformed(reference.digest, traits)
    if document.media_type in INDEXES:
        return () if not malformed and _has_child(repository, reference.digest, traits) else (*malformed, missing)
    if malformed and traits.checks_digests_first:
        return (*malformed, missing)
    if bad_urls := _bad_urls(document.media_type, reference, traits):
        return (*bad_urls, missing)
    if _may_be_missing(document.media_type, reference, traits):
        return ()
    if not malformed and repository is not None and repository.has_blob(reference.digest):
        return ()
    return (*malformed, missing)


def _malformed(digest: str, traits: Traits) -> tuple[RegistryError, ...]:
    if is_digest(digest):
        return ()
    algorithm, _, encoded = digest.partition(":")
    length = _HEX_LENGTHS.get(algorithm)
    if not encoded or length == len(encoded) or (length is None and not _DIGEST_FORM.fullmatch(digest)):
        return (RegistryError("DIGEST_INVALID"),)
    return _bad_content(traits, f"unsupported digest {digest}")


def _bad_urls(media_type: str, reference: Descriptor, traits: Traits) -> tuple[RegistryError, ...]:
    if traits.may_be_missing == "non-distributable":
        return ()
    if media_type == DOCKER_MANIFEST:
        if reference.media_type != DOCKER_FOREIGN_LAYER:
            return ()
        if not reference.urls:
            return _bad_content(traits, "missing URL on layer")
    elif reference.media_type not in (*OCI_LAYERS, *OCI_NON_DISTRIBUTABLE_LAYERS):
        return ()
    if all(_URL.fullmatch(url) for url in reference.urls):
        return ()
    return _bad_content(traits, "invalid URL on layer")


def _may_be_missing(media_type: str, reference: Descriptor, traits: Traits) -> bool:
    match traits.may_be_missing:
        case "non-distributable":
            return reference.media_type in (
                DOCKER_FOREIGN_LAYER,
                *OCI_NON_DISTRIBUTABLE_LAYERS,
                OCI_NON_DISTRIBUTABLE_ZSTD_LAYER,
            )
        case "non-distributable with URLs":
            known = (DOCKER_FOREIGN_LAYER,) if media_type == DOCKER_MANIFEST else OCI_NON_DISTRIBUTABLE_LAYERS
            return bool(reference.urls) and reference.media_type in known
        case "with URLs":
            return bool(reference.urls)


def _has_child(repository: Repository | None, digest: str, traits: Traits) -> bool:
    if repository is None:
        return False
    return digest in repository.manifests or (traits.manifest_route_finds_blobs and repository.has_blob(digest))


def _bad_content(traits: Traits, detail: str) -> tuple[RegistryError, ...]:
    # Distribution counts them as two errors of its own.
    first = RegistryError(traits.bad_content_code, detail)
    return (first, RegistryError("UNKNOWN")) if traits.bad_content_code == "UNKNOWN" else (first,)
