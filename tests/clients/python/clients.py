"""One interface for both clients, so that one test covers both."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Protocol, TypeVar

from portus_client import (
    AsyncRegistryClient,
    BatchResult,
    CatalogPage,
    DeletedBlob,
    DeletedManifest,
    DeletedTag,
    DeletionResult,
    Descriptor,
    Event,
    FoundTag,
    ImageConfig,
    Manifest,
    ManifestDeletion,
    ManifestRequest,
    Platform,
    Referrer,
    RegistryClient,
    RegistryInfo,
    Repository,
    TagDetails,
    TagPage,
    TagView,
)

Item = TypeVar("Item")


class Client(Protocol):
    """The methods of both clients. Each call of the asynchronous one runs to its end."""

    def info(self, *, timeout: float | None = None) -> RegistryInfo: ...

    def catalog(
        self, *, include_tags: bool = False, prefix: str = "", timeout: float | None = None
    ) -> Iterable[Repository]: ...

    def catalog_page(
        self, page_token: str = "", *, page_size: int = 0, include_tags: bool = False, prefix: str = ""
    ) -> CatalogPage: ...

    def tags(
        self, repository: str, *, digest: str = "", omit_referrer_tags: bool = False, timeout: float | None = None
    ) -> Iterable[str]: ...

    def tag_history(self, repository: str, tag: str, *, timeout: float | None = None) -> Iterable[Event]: ...

    def find_tags(
        self, *, digest: str = "", name_contains: str = "", prefix: str = "", timeout: float | None = None
    ) -> Iterable[FoundTag]: ...

    def tag_details(
        self,
        repository: str,
        *,
        digest: str = "",
        omit_referrer_tags: bool = False,
        order_by: str = "",
        timeout: float | None = None,
    ) -> Iterable[TagDetails]: ...

    def tag_pages(
        self,
        repository: str,
        *,
        view: TagView = TagView.NAMES,
        digest: str = "",
        omit_referrer_tags: bool = False,
        order_by: str = "",
        timeout: float | None = None,
    ) -> Iterable[TagPage]: ...

    def resolve(
        self,
        repository: str,
        reference: str,
        *,
        platform: Platform | None = None,
        max_staleness: timedelta | None = None,
        timeout: float | None = None,
    ) -> Descriptor: ...

    def batch_resolve(
        self, wanted: Iterable[ManifestRequest | tuple[str, str]], *, timeout: float | None = None
    ) -> Iterable[BatchResult[Descriptor]]: ...

    def manifest(
        self, repository: str, reference: str, *, platform: Platform | None = None, timeout: float | None = None
    ) -> Manifest: ...

    def batch_manifests(
        self, wanted: Iterable[ManifestRequest | tuple[str, str]], *, timeout: float | None = None
    ) -> Iterable[BatchResult[Manifest]]: ...

    def image_config(
        self, repository: str, reference: str, *, platform: Platform | None = None, timeout: float | None = None
    ) -> ImageConfig: ...

    def batch_image_configs(
        self, wanted: Iterable[ManifestRequest | tuple[str, str]], *, timeout: float | None = None
    ) -> Iterable[BatchResult[ImageConfig]]: ...

    def referrers(
        self, repository: str, digest: str, *, artifact_type: str = "", timeout: float | None = None
    ) -> Iterable[Referrer]: ...

    def delete_manifest(
        self,
        repository: str,
        digest: str,
        *,
        expected_tags: Iterable[str] = (),
        force: bool = False,
        validate_only: bool = False,
    ) -> DeletedManifest: ...

    def batch_delete(
        self,
        repository: str,
        wanted: Iterable[ManifestDeletion | str],
        *,
        validate_only: bool = False,
        timeout: float | None = None,
    ) -> Iterable[DeletionResult]: ...

    def delete_tag(
        self, repository: str, tag: str, *, expected_digest: str | None = None, validate_only: bool = False
    ) -> DeletedTag: ...

    def delete_blob(
        self, repository: str, digest: str, *, validate_only: bool = False, timeout: float | None = None
    ) -> DeletedBlob: ...


class Driven:
    """An asynchronous client whose methods run to their end when they are called."""

    def __init__(self, client: AsyncRegistryClient, runner: asyncio.Runner) -> None:
        self._client = client
        self._runner = runner

    def __getattr__(self, name: str) -> Callable[..., object]:
        method = getattr(self._client, name)

        def drive(*arguments: object, **options: object) -> object:
            answer: Awaitable[object] | AsyncIterator[object] = method(*arguments, **options)
            if isinstance(answer, AsyncIterator):
                return _Listing(answer, self._runner)
            return self._runner.run(_awaited(answer))

        return drive


class _Listing(Iterator[object]):
    def __init__(self, items: AsyncIterator[object], runner: asyncio.Runner) -> None:
        self._items = items
        self._runner = runner

    def __next__(self) -> object:
        try:
            return self._runner.run(_awaited(anext(self._items)))
        except StopAsyncIteration:
            raise StopIteration from None


async def _awaited(answer: Awaitable[Item]) -> Item:
    return await answer


Open = Callable[..., "Client"]


@contextmanager
def synchronous() -> Iterator[Open]:
    """Makes synchronous clients and closes them."""
    clients: list[RegistryClient] = []

    def make(address: str, **settings: object) -> Client:
        clients.append(RegistryClient(address, **settings))  # type: ignore[arg-type]
        return clients[-1]

    yield make
    for client in clients:
        client.close()


@contextmanager
def asynchronous() -> Iterator[Open]:
    """Makes asynchronous clients in their own loop and closes them."""
    clients: list[AsyncRegistryClient] = []
    with asyncio.Runner() as runner:

        async def made(address: str, **settings: object) -> AsyncRegistryClient:
            return AsyncRegistryClient(address, **settings)  # type: ignore[arg-type]

        def make(address: str, **settings: object) -> Client:
            clients.append(runner.run(made(address, **settings)))
            return Driven(clients[-1], runner)  # type: ignore[return-value]

        yield make
        for client in clients:
            runner.run(client.close())
