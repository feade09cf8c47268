"""/v2/<name>/blobs/<digest>: GET, HEAD and DELETE (OCI distribution 1.1, "Pulling" and "Deleting blobs")."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from functools import partial

from portus_gateway.distribution.configuration import RetryPolicy
from portus_gateway.distribution.deletion import Deletion
from portus_gateway.distribution.digest import Digest
from portus_gateway.distribution.download import Download, Part
from portus_gateway.distribution.errors import AnswerTooLarge, NotFound
from portus_gateway.distribution.exchange import Answer
from portus_gateway.distribution.failures import failure
from portus_gateway.distribution.names import Repository
from portus_gateway.distribution.open_body import OpenBody
from portus_gateway.distribution.registry_request import RegistryRequest
from portus_gateway.distribution.transport import REDIRECTS, Transport

_BODY_LIMIT = 64 * 1024


class Blobs:
    """The blobs of one registry. `get` reads up to `size_limit` bytes, `open` any number of them."""

    def __init__(self, transport: Transport, deletion: Deletion, size_limit: int, retries: RetryPolicy) -> None:
        self._transport = transport
        self._retries = retries
        self._deletion = deletion
        self._size_limit = size_limit

    async def exists(self, repository: Repository, digest: Digest) -> bool:
        """Whether the repository has the blob. Raises `NotFound` if there is no such repository."""
        answer = await self._read("HEAD", repository, digest)
        if 400 <= answer.status < 500:
            # A HEAD's answer has no body that says why, or whether it is the registry that says so.
            try:
                answer = await self._read("GET", repository, digest)
            except AnswerTooLarge:
                return True
        # A redirect leads to where the storage keeps it: the registry has looked.
        if answer.status in (200, 206) or answer.status in REDIRECTS:
            return True
        error = failure(answer, f"look for blob {repository}@{digest}")
        if isinstance(error, NotFound) and error.reason == "BLOB_UNKNOWN":
            return False
        raise error

    async def get(self, repository: Repository, digest: Digest) -> bytes:
        """The blob's bytes, verified against its digest.

        If the registry redirects to its storage, the request goes there without any credential. Raises `NotFound`,
        `AnswerTooLarge`, `DigestMismatch`, `RedirectRefused`.
        """
        request = _request("GET", repository, digest, self._size_limit)
        answer = await self._transport.send(request)
        if answer.status in REDIRECTS:
            answer = await self._transport.fetch_from_storage(request, answer)
        if answer.status != 200:
            raise failure(answer, f"get blob {repository}@{digest}")
        digest.verify(answer.body)
        return answer.body

    @asynccontextmanager
    async def open(self, repository: Repository, digest: Digest, part: Part) -> AsyncGenerator[Download, None]:
        """The blob, or a part of it, to be read piece by piece within the block. It has begun: its size is known.

        Redirects are followed as by `get`. Raises what `Download.begin` raises.
        """
        with closing(OpenBody()) as body:
            action = f"read blob {repository}@{digest}"
            ask = partial(self._ask, repository, digest, body)
            download = Download(ask, body, digest, part, self._retries, action)
            await download.begin()
            yield download

    async def _ask(self, repository: Repository, digest: Digest, body: OpenBody, method: str, asked: str) -> Answer:
        request = replace(
            _request(method, repository, digest, _BODY_LIMIT), range=asked, open_body=body if method == "GET" else None
        )
        answer = await self._transport.send(request)
        return await self._transport.fetch_from_storage(request, answer) if answer.status in REDIRECTS else answer

    async def delete(self, repository: Repository, digest: Digest) -> None:
        await self._deletion.delete(
            repository, _target(repository, digest), "blobs", lambda: self.exists(repository, digest)
        )

    async def _read(self, method: str, repository: Repository, digest: Digest) -> Answer:
        return await self._transport.send(_request(method, repository, digest, _BODY_LIMIT))


def _request(method: str, repository: Repository, digest: Digest, body_limit: int) -> RegistryRequest:
    return RegistryRequest(
        method=method,
        target=_target(repository, digest),
        route="blobs",
        scope=f"repository:{repository}:pull",
        body_limit=body_limit,
        accept=("*/*",),
        follow_redirects=False,
    )


def _target(repository: Repository, digest: Digest) -> str:
    return f"/v2/{repository}/blobs/{digest}"
