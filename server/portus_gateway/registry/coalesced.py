"""One request where many ask for the same at the same time."""

from collections.abc import Awaitable, Callable, Hashable
from types import TracebackType
from typing import Self, TypeVar, cast

from portus_gateway.aio.single_flight import SingleFlight
from portus_gateway.distribution.digest import Digest
from portus_gateway.distribution.manifest import Descriptor, Manifest
from portus_gateway.distribution.names import Repository, Tag, UnusableName
from portus_gateway.registry.forwarding import ForwardingRegistry
from portus_gateway.registry.protocol import Cursor, Page, Reference, Registry, RegistryVersion

Result = TypeVar("Result")

SHARED_WITHIN = 0.1
"""How long a read may have been under way for others to join it, in seconds."""


class CoalescedRegistry(ForwardingRegistry):
    """Shares each read of `registry` among those who ask for the same at the same time; an async context manager.

    The same time is `SHARED_WITHIN`: whoever comes later than that after a read began gets one of its own, so that no
    answer is older than the call by more. Each caller keeps its own deadline, and its leaving disturbs nobody: a read
    ends early when the last of them has left. Whoever asks after a delete began never shares a read from before it.
    Deletes are not shared.
    """

    def __init__(self, registry: Registry) -> None:
        super().__init__(registry)
        self._flights: SingleFlight[Hashable, object] = SingleFlight(
            ends_when_abandoned=True, joined_within=SHARED_WITHIN
        )
        self._deletes = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._flights.close()

    async def ping(self) -> RegistryVersion:
        return await self._shared(("ping",), self._registry.ping)

    async def list_repositories(self, size: int, after: Cursor | None = None) -> Page[Repository | UnusableName]:
        return await self._shared(
            ("list_repositories", size, after), lambda: self._registry.list_repositories(size, after)
        )

    async def list_tags(self, repository: Repository, size: int, after: Cursor | None = None) -> Page[Tag]:
        return await self._shared(
            ("list_tags", repository, size, after), lambda: self._registry.list_tags(repository, size, after)
        )

    async def resolve_manifest(self, repository: Repository, reference: Reference) -> Descriptor:
        return await self._shared(
            ("resolve_manifest", repository, reference),
            lambda: self._registry.resolve_manifest(repository, reference),
        )

    async def get_manifest(
        self,
        repository: Repository,
        reference: Reference,
        max_staleness: float = 0,
        known: Manifest | None = None,
    ) -> Manifest:
        return await self._shared(
            # By identity: `known` itself is the answer where the registry still has it.
            ("get_manifest", repository, reference, max_staleness, None if known is None else id(known)),
            lambda: self._registry.get_manifest(repository, reference, max_staleness, known),
        )

    async def get_blob(self, repository: Repository, digest: Digest) -> bytes:
        return await self._shared(("get_blob", repository, digest), lambda: self._registry.get_blob(repository, digest))

    async def delete_manifest(self, repository: Repository, digest: Digest) -> None:
        self._deletes += 1
        try:
            await self._registry.delete_manifest(repository, digest)
        finally:
            self._deletes += 1

    async def delete_tag(self, repository: Repository, tag: Tag) -> None:
        self._deletes += 1
        try:
            await self._registry.delete_tag(repository, tag)
        finally:
            self._deletes += 1

    async def delete_blob(self, repository: Repository, digest: Digest) -> None:
        self._deletes += 1
        try:
            await self._registry.delete_blob(repository, digest)
        finally:
            self._deletes += 1

    async def _shared(self, request: tuple[Hashable, ...], work: Callable[[], Awaitable[Result]]) -> Result:
        # What a request answers with is in its first word, which a type cannot say.
        return cast("Result", await self._flights.run((self._deletes, request), work))
