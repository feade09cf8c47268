"""Tells of every delete, before its caller has the answer."""

from collections.abc import Awaitable, Callable
from typing import Protocol

from portus_gateway.distribution.digest import Digest
from portus_gateway.distribution.names import Repository, Tag
from portus_gateway.registry.forwarding import ForwardingRegistry
from portus_gateway.registry.protocol import Registry


class DeleteListener(Protocol):
    """Observes deletes. Must not raise."""

    async def deleted(self, repository: Repository, *, tag: Tag | None = None, digest: Digest | None = None) -> None:
        """The tag is gone, or the manifest with all tags on it."""
        ...

    async def refresh(self, repositories: list[str]) -> None:
        """It is not known what a delete did in these repositories."""
        ...


class NotedDeletes(ForwardingRegistry):
    """Does what `registry` does, and tells `listener` of each delete."""

    def __init__(self, registry: Registry, listener: DeleteListener) -> None:
        super().__init__(registry)
        self._listener = listener

    async def delete_manifest(self, repository: Repository, digest: Digest) -> None:
        await self._noted(
            repository,
            self._registry.delete_manifest(repository, digest),
            lambda: self._listener.deleted(repository, digest=digest),
        )

    async def delete_tag(self, repository: Repository, tag: Tag) -> None:
        await self._noted(
            repository, self._registry.delete_tag(repository, tag), lambda: self._listener.deleted(repository, tag=tag)
        )

    async def _noted(
        self, repository: Repository, delete: Awaitable[None], note: Callable[[], Awaitable[None]]
    ) -> None:
        try:
            await delete
        except BaseException:
            await self._listener.refresh([repository.name])
            raise
        await note()
