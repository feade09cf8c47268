"""`GET /v2/<name>/referrers/<digest>`: the manifests whose subject has this digest (OCI distribution-spec 1.1)."""

import json
from functools import lru_cache
from urllib.parse import parse_qs, quote, urlencode

from aiohttp import web

from portus_gateway.devregistry.behaviour import Behaviour
from portus_gateway.devregistry.digests import is_digest
from portus_gateway.devregistry.errors import Json, RegistryError
from portus_gateway.devregistry.flavours import TRAITS
from portus_gateway.devregistry.manifest_documents import InvalidManifest, ManifestDocument, read_manifest
from portus_gateway.devregistry.media_types import OCI_INDEX
from portus_gateway.devregistry.storage import Manifest, Storage


def list_referrers(
    storage: Storage, behaviour: Behaviour, name: str, digest: str, path: str, query: str
) -> web.Response:
    """A page of referrers, at most `maximum_page` of them, as an OCI index.

    The filter `artifactType` is applied. An unknown repository or subject has no referrers, which is not an error.
    """
    if not is_digest(digest):
        raise RegistryError("DIGEST_INVALID", digest)
    parameters = parse_qs(query)
    artifact_type = parameters.get("artifactType", [""])[0]
    last = parameters.get("last", [""])[0]
    headers = {"Content-Type": OCI_INDEX}
    if artifact_type:
        headers["OCI-Filters-Applied"] = "artifactType"
    found = [
        (referrer, manifest, document)
        for referrer, manifest, document in _referrers(storage, name, digest)
        if referrer > last and artifact_type in ("", document.artifact_type)
    ]
    page = found[: behaviour.maximum_page]
    if len(found) > len(page):
        kept = {"artifactType": artifact_type} if artifact_type else {}
        headers["Link"] = f'<{path}?{urlencode({**kept, "last": page[-1][0]}, quote_via=quote)}>; rel="next"'
    manifests: list[Json] = [_descriptor(*each) for each in page]
    body = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": manifests}).encode()
    return web.Response(body=body, headers=headers)


def _referrers(storage: Storage, name: str, digest: str) -> list[tuple[str, Manifest, ManifestDocument]]:
    repository = storage.repository(name)
    manifests = {} if repository is None else repository.manifests
    return [
        (referrer, manifest, document)
        for referrer, manifest in sorted(manifests.items())
        if (document := _read(manifest)) is not None and document.subject == digest
    ]


@lru_cache(maxsize=4096)
def _read(manifest: Manifest) -> ManifestDocument | None:
    try:
        return read_manifest(manifest.content, manifest.media_type, TRAITS["oci-1.1"])
    except InvalidManifest:
        # Content that was seeded without a check. It refers to nothing.
        return None


def _descriptor(digest: str, manifest: Manifest, document: ManifestDocument) -> Json:
    descriptor: dict[str, Json] = {
        "mediaType": manifest.media_type,
        "digest": digest,
        "size": len(manifest.content),
    }
    if document.artifact_type:
        descriptor["artifactType"] = document.artifact_type
    if document.annotations:
        descriptor["annotations"] = dict(document.annotations)
    return descriptor
