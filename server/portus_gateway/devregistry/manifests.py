"""`GET`, `HEAD`, `PUT` and `DELETE /v2/<name>/manifests/<reference>`."""

from collections.abc import Collection

from aiohttp import web

from portus_gateway.devregistry.behaviour import Behaviour
from portus_gateway.devregistry.bodies import BodyTooLarge, read_body
from portus_gateway.devregistry.digests import digest_of, is_digest
from portus_gateway.devregistry.documents import object_of, objects_of, parse_object, text_of
from portus_gateway.devregistry.errors import Json, RegistryError
from portus_gateway.devregistry.media_types import (
    DOCKER_LIST,
    DOCKER_MANIFEST,
    INDEXES,
    MANIFESTS,
    OCI_INDEX,
    OCI_MANIFEST,
)
from portus_gateway.devregistry.schema_1 import SCHEMA_1_TYPE, NotConvertible, schema_1
from portus_gateway.devregistry.storage import Manifest, Repository, Storage
from portus_gateway.devregistry.urls import absolute_url

MAXIMUM_BYTES = 4 * 1024 * 1024
# Content that means one thing as a manifest and another as an index is refused (CVE-2021-41190).
_FOREIGN_FIELDS = {OCI_MANIFEST: ("manifests",), OCI_INDEX: ("config", "layers")}


def get_manifest(
    storage: Storage, behaviour: Behaviour, request: web.BaseRequest, name: str, reference: str
) -> web.Response:
    """The manifest in one of the accepted media types, converted the way the version does it."""
    repository = storage.repository(name)
    digest = _resolve(repository, behaviour, reference)
    if _has_etag(request, digest):
        return web.Response(status=304)
    manifest = None if repository is None else repository.manifests.get(digest)
    if repository is None or manifest is None:
        if behaviour.flavour == "2.8" and repository is not None and digest in repository.blobs:
            # It finds the blob and cannot read it as a manifest.
            raise RegistryError("UNKNOWN")
        raise _unknown_revision(behaviour, name, digest)
    accepted = _accepted(request, behaviour)
    if manifest.media_type == OCI_MANIFEST and OCI_MANIFEST not in accepted:
        raise RegistryError(
            "MANIFEST_UNKNOWN",
            message="OCI manifest found, but accept header does not support OCI manifests",
        )
    # 3.1 looks for an OCI index among the Docker lists only, and so hands it to anybody.
    if behaviour.flavour == "2.8" and manifest.media_type == OCI_INDEX and OCI_INDEX not in accepted:
        raise RegistryError(
            "MANIFEST_UNKNOWN", message="OCI index found, but accept header does not support OCI indexes"
        )
    if is_digest(reference):
        return _answer(digest, manifest)
    if manifest.media_type == DOCKER_LIST and DOCKER_LIST not in accepted:
        digest, manifest = _default_child(repository, behaviour, name, manifest)
        if behaviour.flavour != "2.8" and manifest.media_type == DOCKER_MANIFEST not in accepted:
            raise RegistryError("MANIFEST_INVALID", message="Schema 2 manifest not supported by client")
    if behaviour.flavour == "2.8" and manifest.media_type == DOCKER_MANIFEST not in accepted:
        return _rewritten(storage, name, reference, manifest)
    return _answer(digest, manifest)


async def put_manifest(storage: Storage, request: web.BaseRequest, name: str, reference: str) -> web.Response:
    """Takes a manifest whose blobs and children are there."""
    try:
        content = await read_body(request, MAXIMUM_BYTES)
    except BodyTooLarge:
        raise RegistryError("MANIFEST_INVALID", "http: request body too large") from None
    media_type = request.headers.get("Content-Type", "").partition(";")[0].strip()
    if media_type not in INDEXES and media_type not in MANIFESTS:
        raise RegistryError(
            "MANIFEST_INVALID",
            f"unsupported manifest media type and no default available: {media_type}",
        )
    try:
        document = parse_object(content)
    except ValueError as error:
        raise RegistryError("MANIFEST_INVALID", str(error)) from None
    stated = document.get("mediaType")
    if stated not in (None, "", media_type):
        raise RegistryError("MANIFEST_INVALID", f"mediaType in manifest should be '{media_type}' not '{stated}'")
    if any(document.get(name) is not None for name in _FOREIGN_FIELDS.get(media_type, ())):
        raise RegistryError("MANIFEST_INVALID", "an index and a manifest in one")
    digest = digest_of(content)
    # Whatever algorithm a digest is of, it is compared with the SHA-256.
    if is_digest(reference) and digest != reference:
        raise RegistryError("DIGEST_INVALID")
    if document.get("schemaVersion") != 2:
        raise RegistryError("UNKNOWN", f"unrecognized manifest schema version {document.get('schemaVersion')}")
    _check_references(storage.repository(name), media_type, document)
    if ":" in reference and not is_digest(reference):
        raise _invalid_path(reference)
    storage.put_manifest(name, digest, Manifest(content, media_type))
    if not is_digest(reference):
        stored = storage.repository(name)
        if stored is not None:
            stored.tag(reference, digest)
    location = absolute_url(request, f"/v2/{name}/manifests/{digest}")
    return web.Response(status=201, headers={"Location": location, "Docker-Content-Digest": digest})


def delete_manifest(storage: Storage, behaviour: Behaviour, name: str, reference: str) -> web.Response:
    """Deletes by digest, with every tag on it; 3.1 also takes a tag away, and nothing else."""
    if not behaviour.deletion_enabled:
        raise RegistryError("UNSUPPORTED")
    repository = storage.repository(name)
    if not is_digest(reference):
        if behaviour.flavour == "2.8":
            raise RegistryError("DIGEST_INVALID")
        if ":" in reference:
            raise _invalid_path(reference)
        if repository is None or not repository.untag(reference):
            raise RegistryError("MANIFEST_UNKNOWN", f"unknown tag={reference}")
        return web.Response(status=202)
    if repository is not None:
        if repository.delete_manifest(reference):
            return web.Response(status=202)
        # 2.8 looks through the links of blobs as well.
        if behaviour.flavour == "2.8" and reference in repository.blobs:
            repository.blobs.discard(reference)
            return web.Response(status=202)
    raise RegistryError("MANIFEST_UNKNOWN")


def _resolve(repository: Repository | None, behaviour: Behaviour, reference: str) -> str:
    if is_digest(reference):
        return reference
    if ":" in reference:
        raise _invalid_path(reference)
    digest = None if repository is None else repository.tags.get(reference)
    if digest is None:
        detail: Json = {"Tag": reference} if behaviour.flavour == "2.8" else f"unknown tag={reference}"
        raise RegistryError("MANIFEST_UNKNOWN", detail)
    return digest


def _invalid_path(reference: str) -> RegistryError:
    # What only looks like a digest is taken for a tag, and the storage has no path for it.
    return RegistryError("UNKNOWN", f"invalid path: tags/{reference}/current/link")


def _unknown_revision(behaviour: Behaviour, name: str, digest: str) -> RegistryError:
    if behaviour.flavour == "2.8":
        return RegistryError("MANIFEST_UNKNOWN", {"Name": name, "Revision": digest})
    return RegistryError("MANIFEST_UNKNOWN", f"unknown manifest name={name} revision={digest}")


def _answer(digest: str, manifest: Manifest) -> web.Response:
    return web.Response(
        body=manifest.content,
        headers={
            "Content-Type": manifest.media_type,
            "Docker-Content-Digest": digest,
            "Etag": f'"{digest}"',
        },
    )


def _rewritten(storage: Storage, name: str, tag: str, manifest: Manifest) -> web.Response:
    config = storage.blob(name, text_of(object_of(parse_object(manifest.content).get("config")).get("digest")))
    try:
        content, digest = schema_1(name, tag, manifest.content, config)
    except NotConvertible as error:
        raise RegistryError("MANIFEST_INVALID", str(error)) from None
    return _answer(digest, Manifest(content, SCHEMA_1_TYPE))


def _default_child(repository: Repository, behaviour: Behaviour, name: str, manifest: Manifest) -> tuple[str, Manifest]:
    for child in objects_of(parse_object(manifest.content).get("manifests")):
        platform = object_of(child.get("platform"))
        if platform.get("architecture") == "amd64" and platform.get("os") == "linux":
            digest = text_of(child.get("digest"))
            found = repository.manifests.get(digest)
            if found is None:
                raise _unknown_revision(behaviour, name, digest)
            return digest, found
    raise RegistryError("MANIFEST_UNKNOWN")


def _has_etag(request: web.BaseRequest, digest: str) -> bool:
    return any(value in (digest, f'"{digest}"') for value in request.headers.getall("If-None-Match", ()))


def _accepted(request: web.BaseRequest, behaviour: Behaviour) -> set[str]:
    accepted = {
        media_type.partition(";")[0].strip()
        for line in request.headers.getall("Accept", ())
        for media_type in line.split(",")
    }
    return accepted if behaviour.flavour == "2.8" else {media_type.lower() for media_type in accepted}


def _check_references(repository: Repository | None, media_type: str, document: dict[str, Json]) -> None:
    known: Collection[str] = ()
    if repository is not None:
        known = repository.manifests if media_type in INDEXES else repository.blobs
    errors: list[RegistryError] = []
    for digest in _references(media_type, document):
        if digest not in known:
            if not digest:
                errors.append(RegistryError("DIGEST_INVALID"))
            errors.append(RegistryError("MANIFEST_BLOB_UNKNOWN", digest))
    if errors:
        raise RegistryError(errors[0].code, errors[0].detail, further=errors[1:])


def _references(media_type: str, document: dict[str, Json]) -> list[str]:
    if media_type in INDEXES:
        return [text_of(child.get("digest")) for child in objects_of(document.get("manifests"))]
    blobs = (object_of(document.get("config")), *objects_of(document.get("layers")))
    return [text_of(blob.get("digest")) for blob in blobs]
