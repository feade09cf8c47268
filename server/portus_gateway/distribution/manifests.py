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

# Up to this size in bytes, a manifest is parsed in the event loop. Ordinary manifests have at most about 20 KiB.
_PARSED_IN_LOOP = 32 * 1024
_SCHEMA_1 = "application/vnd.docker.distribution.manifest.v1+"


class Manifests:
    """The manifests of one registry, of up to `size_limit` bytes each. Large ones are parsed on `thread`."""

    def __init__(self, transport: Transport, deletion: Deletion, size_limit: int, thread: OneThread) -> None:
        self._thread = thread
        self._transport = transport
        self._deletion = deletion
        self._size_limit = size_limit

    async def get(self, repository: Repository, reference: Reference, known: Manifest | None = None) -> Manifest:
        """The manifest, its bytes verified against the requested digest, or against the one that the registry states.

        With `known`, the registry is asked whether the manifest has changed, and sends no bytes if it has not.
        """
        answer = await self._read("GET", repository, reference, None if known is None else known.descriptor.digest)
        if answer.status == 304 and known is not None:
            return known
        if answer.status != 200:
            raise failure(answer, f"get manifest {_named(repository, reference)}")
        media_type = _media_type(answer)
        if media_type.startswith(_SCHEMA_1):
            raise Unsupported(
                f"{_named(repository, reference)} is a manifest of Docker's schema 1, whose digest is not that of its"
                " bytes: push the image again with a current client",
                reason="SCHEMA_1",
            )
        expected = reference if isinstance(reference, Digest) else _announced(answer)
        if len(answer.body) <= _PARSED_IN_LOOP:
            manifest = _verified_manifest(answer.body, expected, media_type)
        else:
            manifest = await self._thread.run(lambda body: _verified_manifest(body, expected, media_type), answer.body)
        if expected is None and manifest.kind is None and media_type not in MANIFEST_MEDIA_TYPES:
            shown = answer.concealment.for_callers(media_type) or "no media type"
            raise UntrustedAnswer(
                f"{_named(repository, reference)}: the registry answered with {shown!r} and no digest, which is no"
                " manifest",
                concern=Concern.REGISTRY_URL,
            )
        return manifest

    async def revalidate(self, repository: Repository, reference: Reference, known: Manifest) -> Manifest:
        """The manifest that `reference` points to now. If it is unchanged, this is `known`, and no bytes are sent."""
        if isinstance(reference, Digest):
            # Registries answer 304 to `If-None-Match` with the requested digest even if the manifest does not exist.
            await self.resolve(repository, reference)
            return known
        return await self.get(repository, reference, known)

    async def tag_digest(self, repository: Repository, tag: Tag, known: Digest | None) -> Digest:
        """The digest that a tag points to. Where it is still `known`, the registry sends no notification of a pull."""
        answer = await self._read("HEAD", repository, tag, known)
        if answer.status == 304 and known is not None:
            return known
        return (await self._resolved(answer, repository, tag)).digest

    async def resolve(self, repository: Repository, reference: Reference) -> Descriptor:
        """What `reference` points to. Asks with HEAD, and with GET if the answer to HEAD says too little."""
        return await self._resolved(await self._read("HEAD", repository, reference), repository, reference)

    async def _resolved(self, answer: Answer, repository: Repository, reference: Reference) -> Descriptor:
        announced = _announced(answer) if answer.status == 200 else None
        if answer.status == 200 and isinstance(reference, Digest) and announced not in (None, reference):
            raise UntrustedAnswer(f"the registry announces {announced}, but {reference} was requested")
        digest = reference if isinstance(reference, Digest) else announced
        if answer.status >= 500 or answer.status == 429:
            raise failure(answer, f"resolve {_named(repository, reference)}")
        generic = _media_type(answer) in GENERIC_MEDIA_TYPES
        said = announced is not None or _media_type(answer) in MANIFEST_MEDIA_TYPES
        if answer.status != 200 or digest is None or generic or not said:
            # Only a body says what is missing, which kind a manifest of a generic type is, and whether this is the
            # registry: a login page also has the status 200.
            return (await self.get(repository, reference)).descriptor
        return Descriptor(media_type=_media_type(answer), digest=digest, size=_content_length(answer))

    async def delete(self, repository: Repository, digest: Digest) -> None:
        await self._delete(repository, digest)

    async def delete_tag(self, repository: Repository, tag: Tag) -> None:
        """Deletes the tag alone. Raises `Unsupported` if the registry deletes by digest only."""
        try:
            await self._delete(repository, tag)
        except InvalidRequest as error:
            raise _by_digest_only(error) from error

    async def _delete(self, repository: Repository, reference: Reference) -> None:
        async def still_there() -> bool:
            try:
                await self.resolve(repository, reference)
            except NotFound:
                return False
            return True

        await self._deletion.delete(repository, _target(repository, reference), "manifests", still_there)

    async def check_deletion(self, repository: Repository) -> None:
        """Asks to delete a digest that cannot exist. 404, or 202, says that a delete would be carried out."""
        # Nothing that anyone has ever pushed has 256 random bits as its digest.
        impossible = Digest(f"sha256:{secrets.token_hex(32)}")
        await self._check(repository, impossible, f"check that manifests of {repository} can be deleted")

    async def check_tag_deletion(self, repository: Repository) -> None:
        """Asks to delete a tag that cannot exist. 404, or 202, says that a tag would be deleted."""
        impossible = Tag(f"no-such-tag-{secrets.token_hex(32)}")
        try:
            await self._check(repository, impossible, f"check that tags of {repository} can be deleted")
        except InvalidRequest as error:
            raise _by_digest_only(error) from error

    async def _check(self, repository: Repository, impossible: Reference, action: str) -> None:
        answer = await self._deletion.attempt(repository, _target(repository, impossible), "manifests")
        if 200 <= answer.status < 300:
            return
        error = failure(answer, action)
        if not isinstance(error, NotFound):
            raise error

    async def _read(
        self, method: str, repository: Repository, reference: Reference, known: Digest | None = None
    ) -> Answer:
        return await self._transport.send(
            RegistryRequest(
                method=method,
                target=_target(repository, reference),
                route="manifests",
                scope=f"repository:{repository}:pull",
                body_limit=self._size_limit,
                accept=MANIFEST_MEDIA_TYPES,
                if_none_match=f'"{known}"' if known else "",
            )
        )


def _by_digest_only(error: InvalidRequest) -> Unsupported:
    """The error where a tag was to be deleted. Distribution 2.8 takes it for a digest: 400 DIGEST_INVALID."""
    return Unsupported(f"{error}: it deletes manifests by their digests only")


def _target(repository: Repository, reference: Reference) -> str:
    return f"/v2/{repository}/manifests/{reference}"


def _named(repository: Repository, reference: Reference) -> str:
    return f"{repository}{'@' if isinstance(reference, Digest) else ':'}{reference}"


def _announced(answer: Answer) -> Digest | None:
    text = answer.headers.get("Docker-Content-Digest")
    if text is None:
        return None
    try:
        return Digest(text)
    except InvalidName as error:
        raise UntrustedAnswer("the registry's Docker-Content-Digest is not a digest that can be verified") from error


def _media_type(answer: Answer) -> str:
    return answer.headers.get("Content-Type", "").partition(";")[0].strip().lower()


def _content_length(answer: Answer) -> int | None:
    """The size in the answer to a HEAD. Some proxies send 0 if they do not know it: no manifest is empty."""
    text = answer.headers.get("Content-Length", "")
    return int(text) or None if text.isascii() and text.isdigit() and len(text) < 19 else None


def _verified_manifest(raw: bytes, expected: Digest | None, media_type: str) -> Manifest:
    """Parses `raw`. Raises `DigestMismatch` if its digest is not `expected`."""
    if expected is None:
        expected = Digest.of(raw)
    else:
        expected.verify(raw)
    return parse_manifest(raw, digest=expected, media_type=media_type)
