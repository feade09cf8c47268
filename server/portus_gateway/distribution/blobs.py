"""/v2/<name>/blobs/<digest>: HEAD and DELETE (OCI distribution 1.1, "Pulling" and "Deleting blobs")."""

from portus_gateway.distribution.deletion import Deletion
from portus_gateway.distribution.digest import Digest
from portus_gateway.distribution.errors import AnswerTooLarge, NotFound
from portus_gateway.distribution.exchange import Answer
from portus_gateway.distribution.failures import failure
from portus_gateway.distribution.names import Repository
from portus_gateway.distribution.transport import RegistryRequest, Transport

_BODY_LIMIT = 64 * 1024


class Blobs:
    def __init__(self, transport: Transport, deletion: Deletion) -> None:
        self._transport = transport
        self._deletion = deletion

    async def exists(self, repository: Repository, digest: Digest) -> bool:
        """Whether the repository has the blob. Raises `NotFound` where there is no such repository."""
        answer = await self._read("HEAD", repository, digest)
        if answer.status == 404:
            # A HEAD's 404 has no body that says what is absent, or whether it is the registry that says so.
            try:
                answer = await self._read("GET", repository, digest)
            except AnswerTooLarge:
                return True
        # A redirect leads to where the storage keeps it: the registry has looked.
        if answer.status in (200, 206, 302, 303, 307, 308):
            return True
        error = failure(answer, f"look for blob {repository}@{digest}")
        if isinstance(error, NotFound) and error.reason == "BLOB_UNKNOWN":
            return False
        raise error

    async def delete(self, repository: Repository, digest: Digest) -> None:
        await self._deletion.delete(
            repository, _target(repository, digest), "blobs", lambda: self.exists(repository, digest)
        )

    async def _read(self, method: str, repository: Repository, digest: Digest) -> Answer:
        return await self._transport.send(
            RegistryRequest(
                method=method,
                target=_target(repository, digest),
                route="blobs",
                scope=f"repository:{repository}:pull",
                body_limit=_BODY_LIMIT,
                follow_redirects=False,
            )
        )


def _target(repository: Repository, digest: Digest) -> str:
    return f"/v2/{repository}/blobs/{digest}"
