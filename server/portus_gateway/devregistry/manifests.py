"""`GET`, `HEAD`, `PUT` and `DELETE /v2/<name>/manifests/<reference>`."""

from aiohttp import web

from portus_gateway.devregistry.behaviour import Behaviour
from portus_gateway.devregistry.bodies import BodyTooLarge, read_body
from portus_gateway.devregistry.digests import digest_of, is_digest, matches
from portus_gateway.devregistry.errors import Json, RegistryError
from portus_gateway.devregistry.manifest_documents import InvalidManifest, ManifestDocument, read_manifest
from portus_gateway.devregistry.manifest_references import check_references
from portus_gateway.devregistry.media_types import (
    DOCKER_LIST,
    DOCKER_MANIFEST,
    OCI_INDEX,
    OCI_MANIFEST,
)
from portus_gateway.devregistry.notifications import Announcement, Notifications
from portus_gateway.devregistry.schema_1 import SCHEMA_1_TYPE, NotConvertible, config_digest, schema_1
from portus_gateway.devregistry.storage import Manifest, Repository, Storage
from portus_gateway.devregistry.urls import absolute_url

MAXIMUM_BYTES = 4 * 1024 * 1024


def get_manifest(
    storage: Storage,
    behaviour: Behaviour,
    notifications: Notifications,
    request: web.BaseRequest,
    name: str,
    reference: str,
) -> web.Response:
    """The manifest. Distribution converts or withholds one whose type the client does not accept."""
    answer = _found(storage, behaviour, request, name, reference)
    if answer.status == 200 and isinstance(answer.body, bytes):
        digest, media_type = answer.headers["Docker-Content-Digest"], answer.headers["Content-Type"]
        tag = "" if is_digest(reference) else reference
        notifications.emit(Announcement("pull", request.method, name, tag, digest, media_type, len(answer.body)))
    return answer


def _found(storage: Storage, behaviour: Behaviour, request: web.BaseRequest, name: str, reference: str) -> web.Response:
    traits = behaviour.traits
    repository = storage.repository(name)
    digest = _resolve(repository, behaviour, reference)
    if _has_etag(request, digest):
        return web.Response(status=304)
    manifest = None if repository is None else repository.manifests.get(digest)
    if repository is None or manifest is None:
        if traits.manifest_route_finds_blobs and repository is not None and repository.has_blob(digest):
            # It finds the blob and cannot read it as a manifest.
            raise RegistryError("UNKNOWN")
        raise _unknown_revision(behaviour, name, digest)
    if not traits.negotiates:
        return _answer(digest, manifest)
    accepted = _accepted(request, behaviour)
    if manifest.media_type == OCI_MANIFEST and OCI_MANIFEST not in accepted:
        raise RegistryError(
            "MANIFEST_UNKNOWN",
            message="OCI manifest found, but accept header does not support OCI manifests",
        )
    if traits.index_needs_accept and manifest.media_type == OCI_INDEX and OCI_INDEX not in accepted:
        raise RegistryError(
            "MANIFEST_UNKNOWN", message="OCI index found, but accept header does not support OCI indexes"
        )
    if is_digest(reference):
        return _answer(digest, manifest)
    if manifest.media_type == DOCKER_LIST and DOCKER_LIST not in accepted:
        digest, manifest = _default_child(repository, behaviour, name, manifest)
        if not traits.rewrites_to_schema_1 and manifest.media_type == DOCKER_MANIFEST not in accepted:
            raise RegistryError("MANIFEST_INVALID", message="Schema 2 manifest not supported by client")
    if traits.rewrites_to_schema_1 and manifest.media_type == DOCKER_MANIFEST not in accepted:
        return _rewritten(storage, name, reference, manifest)
    return _answer(digest, manifest)


async def put_manifest(
    storage: Storage,
    behaviour: Behaviour,
    notifications: Notifications,
    request: web.BaseRequest,
    name: str,
    reference: str,
) -> web.Response:
    """Stores a manifest whose blobs and children are in the repository."""
    traits = behaviour.traits
    try:
        content = await read_body(request, MAXIMUM_BYTES)
    except BodyTooLarge:
        raise RegistryError("MANIFEST_INVALID", "http: request body too large") from None
    try:
        document = read_manifest(content, _media_type(request), traits)
    except InvalidManifest as error:
        raise RegistryError("MANIFEST_INVALID", str(error)) from None
    digest = digest_of(content)
    if is_digest(reference):
        if not traits.digests_are_sha256 and matches(content, reference):
            digest = reference
        if digest != reference:
            raise RegistryError("DIGEST_INVALID")
    if document.schema_version != 2:
        raise RegistryError(traits.bad_content_code, f"unrecognized manifest schema version {document.schema_version}")
    check_references(document, storage.repository(name), traits)
    if ":" in reference and not is_digest(reference):
        raise _invalid_reference(behaviour, reference)
    storage.put_manifest(name, digest, Manifest(content, document.media_type))
    tag = "" if is_digest(reference) else reference
    # Distribution announces a push before it writes the tag.
    notifications.emit(Announcement("push", "PUT", name, tag, digest, document.media_type, len(content)))
    if tag:
        await notifications.before_tag()
        stored = storage.repository(name)
        if stored is not None:
            stored.tag(tag, digest)
    headers = {
        "Location": absolute_url(request, f"/v2/{name}/manifests/{digest}"),
        "Docker-Content-Digest": digest,
    }
    if document.subject:
        headers["OCI-Subject"] = document.subject
    return web.Response(status=201, headers=headers)


def delete_manifest(
    storage: Storage, behaviour: Behaviour, notifications: Notifications, name: str, reference: str
) -> web.Response:
    """Deletes a manifest by digest, with all of its tags; or one tag, where the registry can."""
    traits = behaviour.traits
    if not behaviour.deletion_enabled:
        raise RegistryError("UNSUPPORTED")
    repository = storage.repository(name)
    if not is_digest(reference):
        if not traits.deletes_tags:
            raise RegistryError("DIGEST_INVALID")
        if ":" in reference:
            raise _invalid_reference(behaviour, reference)
        if repository is None or not repository.untag(reference):
            raise RegistryError("MANIFEST_UNKNOWN", f"unknown tag={reference}")
        notifications.emit(Announcement("delete", "DELETE", name, tag=reference))
        return web.Response(status=202)
    if repository is not None:
        tags = [tag for tag, target in repository.tags.items() if target == reference]
        if repository.delete_manifest(reference):
            notifications.emit(Announcement("delete", "DELETE", name, digest=reference))
            for tag in tags:
                notifications.emit(Announcement("delete", "DELETE", name, tag=tag))
            return web.Response(status=202)
        if traits.manifest_route_finds_blobs and repository.unlink_blob(reference):
            return web.Response(status=202)
    raise RegistryError("MANIFEST_UNKNOWN")


def _media_type(request: web.BaseRequest) -> str:
    """Of the body. Go compares media types in lower case."""
    media_type, separator, parameters = request.headers.get("Content-Type", "").partition(";")
    if separator and parameters.strip() and "=" not in parameters:
        raise RegistryError("MANIFEST_INVALID", "mime: invalid media parameter")
    return media_type.strip().lower()


def _resolve(repository: Repository | None, behaviour: Behaviour, reference: str) -> str:
    if is_digest(reference):
        return reference
    if ":" in reference:
        raise _invalid_reference(behaviour, reference)
    digest = None if repository is None else repository.tags.get(reference)
    if digest is None:
        detail: Json = {"Tag": reference} if behaviour.traits.details_are_objects else f"unknown tag={reference}"
        raise RegistryError("MANIFEST_UNKNOWN", detail)
    return digest


def _invalid_reference(behaviour: Behaviour, reference: str) -> RegistryError:
    return RegistryError(behaviour.traits.bad_reference_code, f"invalid path: tags/{reference}/current/link")


def _unknown_revision(behaviour: Behaviour, name: str, digest: str) -> RegistryError:
    if behaviour.traits.details_are_objects:
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
    try:
        config = storage.blob(name, config_digest(manifest.content))
        content, digest = schema_1(name, tag, manifest.content, None if config is None else config[1])
    except NotConvertible as error:
        raise RegistryError("MANIFEST_INVALID", str(error)) from None
    return _answer(digest, Manifest(content, SCHEMA_1_TYPE))


def _default_child(repository: Repository, behaviour: Behaviour, name: str, manifest: Manifest) -> tuple[str, Manifest]:
    """The child for linux/amd64: what distribution sends to a client that does not accept lists."""
    for child in _read_stored(behaviour, manifest).references:
        if (child.os, child.architecture) == ("linux", "amd64"):
            found = repository.manifests.get(child.digest)
            if found is None:
                raise _unknown_revision(behaviour, name, child.digest)
            return child.digest, found
    raise RegistryError("MANIFEST_UNKNOWN")


def _read_stored(behaviour: Behaviour, manifest: Manifest) -> ManifestDocument:
    try:
        return read_manifest(manifest.content, manifest.media_type, behaviour.traits)
    except InvalidManifest as error:
        # Content that was seeded without a check.
        raise RegistryError("UNKNOWN", str(error)) from None


def _has_etag(request: web.BaseRequest, digest: str) -> bool:
    return any(value in (digest, f'"{digest}"') for value in request.headers.getall("If-None-Match", ()))


def _accepted(request: web.BaseRequest, behaviour: Behaviour) -> set[str]:
    accepted = {
        media_type.partition(";")[0].strip()
        for line in request.headers.getall("Accept", ())
        for media_type in line.split(",")
    }
    return {media_type.lower() for media_type in accepted} if behaviour.traits.accepts_in_any_case else accepted
