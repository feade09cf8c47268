"""The client for asyncio."""
# ruff: noqa: ASYNC109 -- the timeout is the call's deadline: it goes to the gateway, which stops with it.

from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from datetime import timedelta
from types import TracebackType
from typing import Self, TypeVar

import grpc

from portus.registry.v1.registry_service_pb2 import StreamCatalogRequest
from portus.registry.v1.registry_service_pb2_grpc import RegistryServiceStub
from portus_client import batch, channel, conversion, errors, requests
from portus_client.batch import BatchResult, Chunk, ManifestRequest
from portus_client.connection import CallTerms, Connection
from portus_client.deletion import DeletedBlob, DeletedManifest
from portus_client.descriptor import Descriptor, Platform
from portus_client.manifest import Manifest
from portus_client.registry_info import RegistryInfo
from portus_client.repository import CatalogPage, Repository

Request = TypeVar("Request")
Response = TypeVar("Response")


class AsyncRegistryClient(Connection):
    """`RegistryClient` for asyncio: the same settings, methods, answers and errors.

    To be made inside of the event loop that uses it, and used in an `async with` or closed with `close`.
    """

    def _open(self, credentials: grpc.ChannelCredentials | None) -> None:
        if credentials is None:
            self._channel = grpc.aio.insecure_channel(self.address, channel.options())
        else:
            self._channel = grpc.aio.secure_channel(self.address, credentials, channel.options())
        self._stub = RegistryServiceStub(self._channel)

    async def close(self) -> None:
        """Ends the connection, and every call that is under way."""
        await self._channel.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def info(self, *, timeout: float | None = None) -> RegistryInfo:
        """See `RegistryClient.info`."""
        return conversion.registry_info(await self._call(self._stub.GetRegistryInfo, requests.registry_info(), timeout))

    def catalog(
        self, *, include_tags: bool = False, prefix: str = "", timeout: float | None = None
    ) -> AsyncGenerator[Repository, None]:
        """See `RegistryClient.catalog`. With `contextlib.aclosing`, stopping early ends the listing at once."""
        request = requests.catalog(include_tags=include_tags, prefix=prefix)
        return self._listed(request, self._terms(timeout, stream=True))

    async def catalog_page(
        self,
        page_token: str = "",
        *,
        page_size: int = 0,
        include_tags: bool = False,
        prefix: str = "",
        timeout: float | None = None,
    ) -> CatalogPage:
        """See `RegistryClient.catalog_page`."""
        request = requests.catalog_page(
            page_token=page_token, page_size=page_size, include_tags=include_tags, prefix=prefix
        )
        return conversion.catalog_page(
            await self._call(self._stub.Catalog, request, timeout), include_tags=include_tags
        )

    async def tags(self, repository: str, *, timeout: float | None = None) -> AsyncGenerator[str, None]:
        """See `RegistryClient.tags`."""
        request = requests.tags(repository)
        while True:
            page = await self._call(self._stub.ListTags, request, timeout)
            for tag in page.tags:
                yield tag
            if not page.next_page_token:
                return
            request = requests.tags(repository, page.next_page_token)

    async def resolve(self, repository: str, reference: str, *, timeout: float | None = None) -> Descriptor:
        """See `RegistryClient.resolve`."""
        request = requests.resolve(repository, reference)
        return conversion.descriptor((await self._call(self._stub.ResolveManifest, request, timeout)).descriptor)

    async def manifest(
        self,
        repository: str,
        reference: str,
        *,
        platform: Platform | None = None,
        max_staleness: timedelta | None = None,
        timeout: float | None = None,
    ) -> Manifest:
        """See `RegistryClient.manifest`."""
        request = requests.manifest(repository, reference, platform, max_staleness)
        return conversion.manifest((await self._call(self._stub.GetManifest, request, timeout)).manifest)

    async def batch_manifests(
        self, wanted: Iterable[ManifestRequest | tuple[str, str]], *, timeout: float | None = None
    ) -> AsyncGenerator[BatchResult, None]:
        """See `RegistryClient.batch_manifests`. With `contextlib.aclosing`, stopping early ends the call at once."""
        for chunk in batch.chunks(wanted):
            async with aclosing(self._batched(chunk, self._terms(timeout, stream=True))) as results:
                async for result in results:
                    yield result

    async def delete_manifest(
        self,
        repository: str,
        digest: str,
        *,
        expected_tags: Iterable[str] = (),
        force: bool = False,
        validate_only: bool = False,
        timeout: float | None = None,
    ) -> DeletedManifest:
        """See `RegistryClient.delete_manifest`. A delete that is cancelled can have happened or not."""
        request = requests.delete_manifest(
            repository, digest, expected_tags=expected_tags, force=force, validate_only=validate_only
        )
        return conversion.deleted_manifest(
            await self._call(self._stub.DeleteManifest, request, self._of_delete(timeout))
        )

    async def delete_blob(
        self, repository: str, digest: str, *, validate_only: bool = False, timeout: float | None = None
    ) -> DeletedBlob:
        """See `RegistryClient.delete_blob`. A delete that is cancelled can have happened or not."""
        request = requests.delete_blob(repository, digest, validate_only=validate_only)
        return conversion.deleted_blob(await self._call(self._stub.DeleteBlob, request, self._of_delete(timeout)))

    async def _call(
        self, method: grpc.aio.UnaryUnaryMultiCallable[Request, Response], request: Request, timeout: float | None
    ) -> Response:
        terms = self._terms(timeout)
        try:
            return await method(request, timeout=terms.timeout, metadata=terms.metadata)
        except grpc.aio.AioRpcError as error:
            raise errors.from_call(error, terms.request_id) from error

    async def _listed(self, request: StreamCatalogRequest, terms: CallTerms) -> AsyncGenerator[Repository, None]:
        call = self._stub.StreamCatalog(request, timeout=terms.timeout, metadata=terms.metadata)
        try:
            async for response in call:
                yield conversion.repository(response.repository, include_tags=request.include_tags)
        except grpc.aio.AioRpcError as error:
            raise errors.from_call(error, terms.request_id) from error
        finally:
            # For whoever stops listening early: the gateway stops listing.
            call.cancel()

    async def _batched(self, chunk: Chunk, terms: CallTerms) -> AsyncGenerator[BatchResult, None]:
        call = self._stub.BatchGetManifests(chunk.message(), timeout=terms.timeout, metadata=terms.metadata)
        try:
            async for response in call:
                for result in chunk.results(response):
                    yield result
        except grpc.aio.AioRpcError as error:
            raise errors.from_call(error, terms.request_id) from error
        finally:
            call.cancel()
        chunk.check_complete()
