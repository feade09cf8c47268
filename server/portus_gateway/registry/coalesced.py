"""One request to the registry where many callers ask for the same."""

from collections.abc import Awaitable, Callable, Hashable
from typing import Self, TypeVar, cast

from portus_gateway.aio.single_flight import PATIENCE, SingleFlight
from portus_gateway.distribution.digest import Digest
from portus_gateway.distribution.image_config import ImageConfig
from portus_gateway.distribution.manifest import Descriptor, Manifest
from portus_gateway.distribution.names import Repository, Tag, UnusableName
from portus_gateway.registry.forwarding import ForwardingRegistry
from portus_gateway.registry.protocol import Cursor, Page, Reference, ReferrersPage, Registry, RegistryVersion

Result = TypeVar("Result")


class CoalescedRegistry(ForwardingRegistry):
    """Shares each read of `registry` among those who ask for the same at the same time; an async context manager.

    No answer is older than its call: calls that come while a read runs share the next one, which begins when the
    running one ends (`aio.single_flight`). So many callers at once cost two requests at most. Each caller keeps its own
    deadline. A read is cancelled only when its last caller has left. A read that hangs keeps the next one waiting for
    `patience` seconds at most. Deletes are not shared.
    """

    def __init__(self, registry: Registry, *, patience: float = PATIENCE) -> None:
        super().__init__(registry)
        self._flights: SingleFlight[Hashable, object] = SingleFlight("registry read", patience=patience)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._flights.close()

    async def ping(self) -> RegistryVersion:
        return await self._shared(("ping",), self._registry.ping)

    async def list_repositories(self, size: int | None, after: Cursor | None = None) -> Page[Repository | UnusableName]:
        return await self._shared(
            ("list_repositories", size, after), lambda: self._registry.list_repositories(size, after)
        )

    async def list_tags(
        self, repository: Repository, size: int | None, after: Cursor | None = None
    ) -> Page[Tag | UnusableName]:
        return await self._shared(
            ("list_tags", repository.name, size, after), lambda: self._registry.list_tags(repository, size, after)
        )

    async def resolve_manifest(
        self, repository: Repository, reference: Reference, max_staleness: float = 0
    ) -> Descriptor:
        return await self._shared(
            ("resolve_manifest", repository, reference, max_staleness),
            lambda: self._registry.resolve_manifest(repository, reference, max_staleness),
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

    async def list_referrers(
        self, repository: Repository, digest: Digest, artifact_type: str, query: str
    ) -> ReferrersPage | None:
        return await self._shared(
            ("list_referrers", repository, digest, artifact_type, query),
            lambda: self._registry.list_referrers(repository, digest, artifact_type, query),
        )

    async def get_image_config(self, repository: Repository, config: Descriptor) -> ImageConfig:
        return await self._shared(
            # If the bytes are embedded, nothing can fail.
            ("get_image_config", repository, config.digest, bool(config.data)),
            lambda: self._registry.get_image_config(repository, config),
        )

    async def _shared(self, request: tuple[Hashable, ...], work: Callable[[], Awaitable[Result]]) -> Result:
        # The first word of the request decides the type of the answer; the type checker cannot know that.
        return cast("Result", await self._flights.run(request, work))
