"""Pushes of a small manifest under a tag (OCI distribution 1.1, "Pushing Content").

The gateway pushes nothing but what it needs to delete a tag where the registry deletes by digest only.
"""

from yarl import URL

from portus_gateway.distribution.blobs import Blobs
from portus_gateway.distribution.digest import Digest
from portus_gateway.distribution.errors import RegistryFault
from portus_gateway.distribution.exchange import Answer
from portus_gateway.distribution.failures import failure
from portus_gateway.distribution.names import Repository, Tag
from portus_gateway.distribution.registry_request import SMALL_BODY, RegistryRequest
from portus_gateway.distribution.transport import Transport

_API = "/v2/"


class Pushes:
    """Pushes over `transport`, which has to open a new connection for each request: each is sent once."""

    def __init__(self, transport: Transport, blobs: Blobs) -> None:
        self._transport = transport
        self._blobs = blobs

    async def push(self, repository: Repository, tag: Tag, manifest: bytes, media_type: str) -> None:
        """Stores `manifest`, whose blobs have to be there, and points the tag to it.

        Raises `Denied` if the account may not push, and what `Transport.send` raises. If `Unavailable.sent`, or after a
        `RegistryFault`, the tag may have moved.
        """
        answer = await self._send(
            repository,
            "PUT",
            f"{_API}{repository}/manifests/{tag}",
            "manifests",
            content=manifest,
            media_type=media_type,
        )
        if answer.status not in (200, 201):
            raise failure(answer, f"push manifest {repository}:{tag}")

    async def push_blob(self, repository: Repository, blob: bytes) -> None:
        """Stores a small blob, unless it is there."""
        digest = Digest.of(blob)
        if await self._blobs.exists(repository, digest):
            return
        action = f"push blob {repository}@{digest}"
        begun = await self._send(repository, "POST", f"{_API}{repository}/blobs/uploads/", "uploads")
        if begun.status != 202:
            raise failure(begun, action)
        target = _upload_target(begun, digest)
        stored = await self._send(
            repository, "PUT", target, "uploads", content=blob, media_type="application/octet-stream"
        )
        if stored.status not in (200, 201):
            raise failure(stored, action)

    async def _send(
        self,
        repository: Repository,
        method: str,
        target: str,
        route: str,
        *,
        content: bytes = b"",
        media_type: str = "",
    ) -> Answer:
        return await self._transport.send(
            RegistryRequest(
                method=method,
                target=target,
                route=route,
                scope=f"repository:{repository}:pull,push",
                body_limit=SMALL_BODY,
                content=content,
                content_type=media_type,
            )
        )


def _upload_target(begun: Answer, digest: Digest) -> str:
    """Where the content of an upload goes: the path and query in `Location`, at the registry's own address."""
    try:
        location = URL(begun.headers.get("Location", ""), encoded=True)
    except ValueError as error:
        raise RegistryFault("the registry named no address for an upload") from error
    # A proxy in front of the registry may have put a prefix before the path.
    _, api, path = location.raw_path.partition(_API)
    if not api:
        raise RegistryFault("the registry named no address for an upload")
    query = f"{location.raw_query_string}&" if location.raw_query_string else ""
    return f"{_API}{path}?{query}digest={digest}"
