"""/v2/<name>/manifests/<reference>: GET, HEAD and DELETE (OCI distribution 1.1, "Pulling" and "Deleting manifests")."""

import secrets

from portus_gateway.aio.one_thread import OneThread
from portus_gateway.distribution.concern import Concern
from portus_gateway.distribution.deletion import Deletion
from portus_gateway.distribution.digest import Digest
from portus_gateway.distribution.errors import (
    InvalidName,
    InvalidRequest,
    NotFound,
    Unsupported,
    UntrustedAnswer,
)
from portus_gateway.distribution.exchange import Answer
from portus_gateway.distribution.failures import failure
from portus_gateway.distribution.manifest import GENERIC_MEDIA_TYPES, MANIFEST_MEDIA_TYPES, Descriptor, Manifest
from portus_gateway.distribution.manifest_parsing import parse_manifest
from portus_gateway.distribution.names import Repository, Tag
from portus_gateway.distribution.reference import Reference
from portus_gateway.distribution.registry_request import RegistryRequest
from portus_gateway.distribution.transport import Transport

# Bytes of a manifest that are read in place. The largest ones of every day have some 20 KiB.
_READ_AT_ONCE = 32 * 1024
_SCHEMA_1 = "application/vnd.docker.distribution.manifest.v1+"


class Manifests:
    """The manifests of one registry, of up to `size_limit` bytes each. Large ones are read on `thread`."""

    def __init__(self, transport: Transport, deletion: Deletion, size_limit: int, thread: OneThread) -> None:
        self._thread = thread
        self._transport = transport
        self._deletion = deletion
        self._size_limit = size_limit

    async def get(self, repository: Repository, reference: Reference, known: Manifest | None = None) -> Manifest:
        """The manifest. Its bytes are verified against the digest asked for, else against the one announced.

        With `known`, the registry is asked whether it is still that one, and sends no bytes where it is.
        """
        answer = await self._read("GET", repository, reference, known)
        if answer.status == 304 and known is not None:
            return known
        if answer.status != 200:
            raise failure(answer, f"get manifest {_at(repository, reference)}")
        media_type = _media_type(answer)
        if media_type.startswith(_SCHEMA_1):
            raise Unsupported(
                f"{_at(repository, reference)} is a manifest of Docker's schema 1, whose digest is not that of its"
                " bytes: push the image again with a current client",
                reason="SCHEMA_1",
            )
        due = reference if isinstance(reference, Digest) else _announced(answer)
        if len(answer.body) <= _READ_AT_ONCE:
            manifest = _read_manifest(answer.body, due, media_type)
        else:
            # To check and to read some MiB takes longer than other calls should have to wait.
            manifest = await self._thread.run(lambda body: _read_manifest(body, due, media_type), answer.body)
        if due is None and manifest.kind is None and media_type not in MANIFEST_MEDIA_TYPES:
            shown = answer.concealment.for_callers(media_type) or "no media type"
            raise UntrustedAnswer(
                f"{_at(repository, reference)}: the registry answered with {shown!r} and no digest, which is no"
                " manifest",
                concern=Concern.REGISTRY_URL,
            )
        return manifest

    async def revalidate(self, repository: Repository, reference: Reference, known: Manifest) -> Manifest:
        """The manifest that `reference` points to now: `known` itself, unsent, where that is still it."""
        if isinstance(reference, Digest):
            # Registries answer `If-None-Match` with the digest asked for by 304, be the manifest there or not.
            await self.resolve(repository, reference)
            return known
        return await self.get(repository, reference, known)

    async def resolve(self, repository: Repository, reference: Reference) -> Descriptor:
        """What `reference` points to. HEAD first; GET where a HEAD leaves open what is the matter."""
        answer = await self._read("HEAD", repository, reference)
        announced = _announced(answer) if answer.status == 200 else None
        if answer.status == 200 and isinstance(reference, Digest) and announced not in (None, reference):
            raise UntrustedAnswer(f"the registry announces {announced} where {reference} was asked for")
        digest = reference if isinstance(reference, Digest) else announced
        if answer.status >= 500 or answer.status == 429:
            raise failure(answer, f"resolve {_at(repository, reference)}")
        generic = _media_type(answer) in GENERIC_MEDIA_TYPES
        said = announced is not None or _media_type(answer) in MANIFEST_MEDIA_TYPES
        if answer.status != 200 or digest is None or generic or not said:
            # A HEAD has no body that says what is missing, what a manifest of a generic type is, or whether it is the
            # registry that answers: a login page is 200, too.
            return (await self.get(repository, reference)).descriptor
        return Descriptor(media_type=_media_type(answer), digest=digest, size=_content_length(answer))

    async def delete(self, repository: Repository, digest: Digest) -> None:
        await self._delete(repository, digest)

    async def delete_tag(self, repository: Repository, tag: Tag) -> None:
        """Deletes the tag alone. Raises `Unsupported` where the registry deletes by digest only."""
        try:
            await self._delete(repository, tag)
        except InvalidRequest as error:
            # Distribution 2.8 answers 400 DIGEST_INVALID: it takes the tag for a digest.
            raise Unsupported(f"{error}: it deletes manifests by their digests only") from error

    async def _delete(self, repository: Repository, reference: Reference) -> None:
        async def still_there() -> bool:
            try:
                await self.resolve(repository, reference)
            except NotFound:
                return False
            return True

        await self._deletion.delete(repository, _target(repository, reference), "manifests", still_there)

    async def check_deletion(self, repository: Repository) -> None:
        """Asks to delete a digest that cannot exist: 404 says that a delete would be carried out."""
        # 256 random bits are the digest of nothing that anyone has ever pushed.
        impossible = Digest(f"sha256:{secrets.token_hex(32)}")
        answer = await self._deletion.attempt(repository, _target(repository, impossible), "manifests")
        error = failure(answer, f"check that manifests of {repository} can be deleted")
        if not isinstance(error, NotFound):
            raise error

    async def _read(
        self, method: str, repository: Repository, reference: Reference, known: Manifest | None = None
    ) -> Answer:
        return await self._transport.send(
            RegistryRequest(
                method=method,
                target=_target(repository, reference),
                route="manifests",
                scope=f"repository:{repository}:pull",
                body_limit=self._size_limit,
                accept=MANIFEST_MEDIA_TYPES,
                if_none_match=f'"{known.descriptor.digest}"' if known else "",
            )
        )


def _target(repository: Repository, reference: Reference) -> str:
    return f"/v2/{repository}/manifests/{reference}"


def _at(repository: Repository, reference: Reference) -> str:
    return f"{repository}{'@' if isinstance(reference, Digest) else ':'}{reference}"


def _announced(answer: Answer) -> Digest | None:
    text = answer.headers.get("Docker-Content-Digest")
    if text is None:
        return None
    try:
        return Digest(text)
    except InvalidName as error:
        raise UntrustedAnswer("the registry's Docker-Content-Digest is no digest that can be verified") from error


def _media_type(answer: Answer) -> str:
    return answer.headers.get("Content-Type", "").partition(";")[0].strip().lower()


def _content_length(answer: Answer) -> int | None:
    """The size that a HEAD announces. 0 is no size of a manifest: some proxies say it where they do not know."""
    text = answer.headers.get("Content-Length", "")
    return int(text) or None if text.isascii() and text.isdigit() and len(text) < 19 else None


def _read_manifest(raw: bytes, due: Digest | None, media_type: str) -> Manifest:
    """Raises `DigestMismatch` where the digest of `raw` is not the one that is `due`."""
    if due is None:
        due = Digest.of(raw)
    else:
        due.verify(raw)
    return parse_manifest(raw, digest=due, media_type=media_type)
