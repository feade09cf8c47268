"""The client for asyncio."""
# ruff: noqa: ASYNC109 -- the timeout is sent to the gateway as the call's deadline, so asyncio.timeout cannot serve.

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import aclosing, suppress
from datetime import timedelta
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeVar

import grpc

from portus.registry.v1.registry_service_pb2_grpc import RegistryServiceStub
from portus.registry.v1.watch_pb2 import WatchEventsResponse
from portus_client import batch, channel, conversion, errors, requests
from portus_client.aio_blob_reader import AsyncBlobReader
from portus_client.batch import BatchResult, Chunk, ManifestRequest
from portus_client.connection import CallTerms, Connection
from portus_client.deletion import DeletedBlob, DeletedManifest, DeletedTag, DeletionResult, ManifestDeletion
from portus_client.deletion_batch import DeletionBatch
from portus_client.descriptor import Descriptor, Platform
from portus_client.errors import RegistryError
from portus_client.image_config import ImageConfig
from portus_client.manifest import Manifest
from portus_client.pages import Pages
from portus_client.referrer import Referrer
from portus_client.registry_info import RegistryInfo
from portus_client.repository import CatalogPage, Repository
from portus_client.tag import TagDetails, TagPage, TagView
from portus_client.tag_search import FoundTag, found_tag
from portus_client.watch import GIVE_UP_AFTER, LONGEST_WATCH, Event, WatchProgress, WatchUpdate, watch_event

if TYPE_CHECKING:
    # Only the type stubs have it.
    from portus.registry.v1.registry_service_pb2_grpc import RegistryServiceAsyncStub

Request = TypeVar("Request")
Response = TypeVar("Response")
Item = TypeVar("Item")


class AsyncRegistryClient(Connection):
    """`RegistryClient` for asyncio: the same settings, methods, results and errors.

    Make it in the event loop that uses it. Use it in an `async with`, or call `close`.
    """

    _channels: tuple[grpc.aio.Channel, ...] = ()

    def _open(self, credentials: grpc.ChannelCredentials | None) -> None:
        if credentials is None:
            opened = grpc.aio.insecure_channel(self.address, channel.options())
        else:
            opened = grpc.aio.secure_channel(self.address, credentials, channel.options())
        if not self._channels:
            self._closed = asyncio.Event()
        # Calls on the channel before go on. One that is still older is closed by gRPC, after its last call.
        self._channels = (*self._channels[-1:], opened)
        self._newest_stub = RegistryServiceStub(opened)

    @property
    def _stub(self) -> "RegistryServiceAsyncStub":
        self._renew()
        return self._newest_stub

    async def close(self) -> None:
        """Closes the connection and cancels calls that are still running."""
        self._closed.set()
        for opened in self._channels:
            await opened.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def info(self, *, timeout: float | None = None) -> RegistryInfo:
        """See `RegistryClient.info`."""
        response = await self._call(self._stub.GetRegistryInfo, requests.registry_info(), self._terms(timeout))
        return conversion.registry_info(response)

    def catalog(
        self,
        *,
        include_tags: bool = False,
        prefix: str = "",
        max_staleness: timedelta | None = None,
        timeout: float | None = None,
    ) -> AsyncGenerator[Repository, None]:
        """See `RegistryClient.catalog`. To end the listing as soon as you stop early, use `contextlib.aclosing`."""
        request = requests.catalog(include_tags=include_tags, prefix=prefix, max_staleness=max_staleness)
        return self._stream(
            self._stub.StreamCatalog,
            request,
            self._stream_terms(timeout),
            lambda response: conversion.repositories(response, include_tags=include_tags),
        )

    async def catalog_page(
        self,
        page_token: str = "",
        *,
        page_size: int = 0,
        include_tags: bool = False,
        prefix: str = "",
        max_staleness: timedelta | None = None,
        timeout: float | None = None,
    ) -> CatalogPage:
        """See `RegistryClient.catalog_page`."""
        request = requests.catalog_page(
            page_token=page_token,
            page_size=page_size,
            include_tags=include_tags,
            prefix=prefix,
            max_staleness=max_staleness,
        )
        response = await self._call(self._stub.Catalog, request, self._terms(timeout))
        return conversion.catalog_page(response, include_tags=include_tags)

    async def tags(
        self,
        repository: str,
        *,
        digest: str = "",
        omit_referrer_tags: bool = False,
        max_staleness: timedelta | None = None,
        timeout: float | None = None,
    ) -> AsyncGenerator[str, None]:
        """See `RegistryClient.tags`."""
        pages = self.tag_pages(
            repository,
            digest=digest,
            omit_referrer_tags=omit_referrer_tags,
            max_staleness=max_staleness,
            timeout=timeout,
        )
        async with aclosing(pages):
            async for page in pages:
                for tag in page.tags:
                    yield tag

    async def tag_details(
        self,
        repository: str,
        *,
        digest: str = "",
        omit_referrer_tags: bool = False,
        order_by: str = "",
        timeout: float | None = None,
    ) -> AsyncGenerator[TagDetails, None]:
        """See `RegistryClient.tag_details`."""
        pages = self.tag_pages(
            repository,
            view=TagView.FULL,
            digest=digest,
            omit_referrer_tags=omit_referrer_tags,
            order_by=order_by,
            timeout=timeout,
        )
        async with aclosing(pages):
            async for page in pages:
                for details in page.details:
                    yield details

    async def tag_pages(
        self,
        repository: str,
        *,
        view: TagView = TagView.NAMES,
        digest: str = "",
        omit_referrer_tags: bool = False,
        order_by: str = "",
        max_staleness: timedelta | None = None,
        timeout: float | None = None,
    ) -> AsyncGenerator[TagPage, None]:
        """See `RegistryClient.tag_pages`."""
        first = requests.tags(
            repository,
            view=view,
            digest=digest,
            omit_referrer_tags=omit_referrer_tags,
            order_by=order_by,
            max_staleness=max_staleness,
        )
        pages = Pages(first)
        while pages.request is not None:
            page = await self._call(self._stub.ListTags, pages.request, self._terms(timeout))
            yield conversion.tag_page(page)
            pages.advance(page)

    async def watch(
        self,
        *,
        prefix: str = "",
        repositories: Iterable[str] = (),
        after_cursor: str = "",
        current_state: bool = False,
        heartbeat_interval: timedelta | None = None,
        give_up_after: timedelta | None = GIVE_UP_AFTER,
    ) -> AsyncGenerator[WatchUpdate, None]:
        """See `RegistryClient.watch`. To end the watch as soon as you stop early, use `contextlib.aclosing`."""
        progress = WatchProgress(
            prefix=prefix,
            repositories=repositories,
            after_cursor=after_cursor,
            current_state=current_state,
            heartbeat_interval=heartbeat_interval,
            give_up_after=give_up_after,
            start_timeout=self._timeout,
        )
        while True:
            updates = self._watch_once(progress)
            try:
                async with aclosing(updates):
                    async for update in updates:
                        yield update
                pause = progress.ended()
            except RegistryError as error:
                self._check_open()
                lost, pause = progress.failed(error)
                if lost is not None:
                    yield lost
            with suppress(TimeoutError):
                await asyncio.wait_for(self._closed.wait(), pause)
            self._check_open()

    async def _watch_once(self, progress: WatchProgress) -> AsyncGenerator[WatchUpdate, None]:
        terms = self._with_deadline(LONGEST_WATCH)
        call = self._stub.WatchEvents(progress.request(), timeout=terms.timeout, metadata=terms.metadata)
        try:
            while True:
                try:
                    async with asyncio.timeout(progress.longest_silence):
                        with errors.raised_for(terms.request_id):
                            message = await call.read()
                except TimeoutError:
                    raise progress.is_silent() from None
                except asyncio.CancelledError:
                    # gRPC raises this when the channel is closed, too.
                    task = asyncio.current_task()
                    if task is None or not task.cancelling():
                        self._check_open()
                    raise
                if not isinstance(message, WatchEventsResponse):
                    return
                yield progress.received(message)
        finally:
            # If the caller stops early, the gateway stops too.
            call.cancel()

    def _check_open(self) -> None:
        if self._closed.is_set():
            raise errors.client_error(grpc.StatusCode.CANCELLED, "the client was closed")

    async def tag_history(
        self, repository: str, tag: str, *, timeout: float | None = None
    ) -> AsyncGenerator[Event, None]:
        """See `RegistryClient.tag_history`."""
        pages = Pages(requests.tag_history(repository, tag))
        while pages.request is not None:
            page = await self._call(self._stub.ListTagHistory, pages.request, self._terms(timeout))
            for event in page.events:
                yield watch_event(event)
            pages.advance(page)

    async def find_tags(
        self,
        *,
        digest: str = "",
        name_contains: str = "",
        prefix: str = "",
        timeout: float | None = None,
    ) -> AsyncGenerator[FoundTag, None]:
        """See `RegistryClient.find_tags`."""
        pages = Pages(requests.find_tags(digest, name_contains, prefix))
        while pages.request is not None:
            page = await self._call(self._stub.FindTags, pages.request, self._terms(timeout))
            for tag in page.tags:
                yield found_tag(tag)
            pages.advance(page)

    async def resolve(
        self,
        repository: str,
        reference: str,
        *,
        platform: Platform | None = None,
        max_staleness: timedelta | None = None,
        timeout: float | None = None,
    ) -> Descriptor:
        """See `RegistryClient.resolve`."""
        request = requests.resolve(repository, reference, platform, max_staleness)
        response = await self._call(self._stub.ResolveManifest, request, self._terms(timeout))
        return conversion.descriptor(response.descriptor)

    def batch_resolve(
        self, wanted: Iterable[ManifestRequest | tuple[str, str]], *, timeout: float | None = None
    ) -> AsyncGenerator[BatchResult[Descriptor], None]:
        """See `RegistryClient.batch_resolve`. To end it as soon as you stop early, use `contextlib.aclosing`."""
        return self._batch(
            wanted, timeout, self._stub.BatchResolveManifests, Chunk.references, Chunk.descriptor_results
        )

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
        response = await self._call(self._stub.GetManifest, request, self._terms(timeout))
        return conversion.manifest(response.manifest)

    def batch_manifests(
        self, wanted: Iterable[ManifestRequest | tuple[str, str]], *, timeout: float | None = None
    ) -> AsyncGenerator[BatchResult[Manifest], None]:
        """See `RegistryClient.batch_manifests`. To end it as soon as you stop early, use `contextlib.aclosing`."""
        return self._batch(wanted, timeout, self._stub.BatchGetManifests, Chunk.manifests, Chunk.manifest_results)

    async def image_config(
        self,
        repository: str,
        reference: str,
        *,
        platform: Platform | None = None,
        max_staleness: timedelta | None = None,
        timeout: float | None = None,
    ) -> ImageConfig:
        """See `RegistryClient.image_config`."""
        request = requests.image_config(repository, reference, platform, max_staleness)
        response = await self._call(self._stub.GetImageConfig, request, self._terms(timeout))
        return conversion.image_config(response.image_config)

    def batch_image_configs(
        self, wanted: Iterable[ManifestRequest | tuple[str, str]], *, timeout: float | None = None
    ) -> AsyncGenerator[BatchResult[ImageConfig], None]:
        """See `RegistryClient.batch_image_configs`. To end it as soon as you stop early, use `contextlib.aclosing`."""
        return self._batch(
            wanted, timeout, self._stub.BatchGetImageConfigs, Chunk.image_configs, Chunk.image_config_results
        )

    def read_blob(
        self,
        repository: str,
        digest: str,
        *,
        offset: int = 0,
        limit: int | None = None,
        timeout: float | None = None,
    ) -> AsyncBlobReader:
        """See `RegistryClient.read_blob`. The call is made by `async with`."""
        return AsyncBlobReader(
            lambda request, terms: self._stub.ReadBlob(request, timeout=terms.timeout, metadata=terms.metadata),
            lambda: self._stream_terms(timeout),
            requests.read_blob(repository, digest, offset=offset, limit=limit),
        )

    async def referrers(
        self, repository: str, digest: str, *, artifact_type: str = "", timeout: float | None = None
    ) -> AsyncGenerator[Referrer, None]:
        """See `RegistryClient.referrers`."""
        pages = Pages(requests.referrers(repository, digest, artifact_type=artifact_type))
        while pages.request is not None:
            page = await self._call(self._stub.ListReferrers, pages.request, self._terms(timeout))
            for item in page.referrers:
                yield conversion.referrer(item)
            pages.advance(page)

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
        """See `RegistryClient.delete_manifest`. If it is cancelled, the manifest may or may not be deleted."""
        request = requests.delete_manifest(
            repository, digest, expected_tags=expected_tags, force=force, validate_only=validate_only
        )
        response = await self._call(self._stub.DeleteManifest, request, self._delete_terms(timeout))
        return conversion.deleted_manifest(response)

    async def batch_delete(
        self,
        repository: str,
        wanted: Iterable[ManifestDeletion | str],
        *,
        validate_only: bool = False,
        timeout: float | None = None,
    ) -> AsyncGenerator[DeletionResult, None]:
        """See `RegistryClient.batch_delete`. To end it as soon as you stop early, use `contextlib.aclosing`."""
        deletes = DeletionBatch(repository, wanted, validate_only=validate_only)
        if deletes.is_empty:
            return
        found = self._stream(
            self._stub.BatchDeleteManifests, deletes.request(), self._batch_delete_terms(timeout), deletes.results
        )
        async with aclosing(found):
            async for item in found:
                yield item
        deletes.check_complete()

    async def delete_tag(
        self,
        repository: str,
        tag: str,
        *,
        expected_digest: str | None = None,
        validate_only: bool = False,
        timeout: float | None = None,
    ) -> DeletedTag:
        """See `RegistryClient.delete_tag`. If it is cancelled, the tag may or may not be deleted."""
        request = requests.delete_tag(repository, tag, expected_digest=expected_digest, validate_only=validate_only)
        response = await self._call(self._stub.DeleteTag, request, self._delete_terms(timeout))
        return conversion.deleted_tag(response)

    async def delete_blob(
        self, repository: str, digest: str, *, validate_only: bool = False, timeout: float | None = None
    ) -> DeletedBlob:
        """See `RegistryClient.delete_blob`. If it is cancelled, the blob may or may not be deleted."""
        request = requests.delete_blob(repository, digest, validate_only=validate_only)
        response = await self._call(self._stub.DeleteBlob, request, self._delete_terms(timeout))
        return conversion.deleted_blob(response)

    async def _call(
        self, method: grpc.aio.UnaryUnaryMultiCallable[Request, Response], request: Request, terms: CallTerms
    ) -> Response:
        with errors.raised_for(terms.request_id):
            return await method(request, timeout=terms.timeout, metadata=terms.metadata)

    async def _batch(
        self,
        wanted: Iterable[ManifestRequest | tuple[str, str]],
        timeout: float | None,
        method: grpc.aio.UnaryStreamMultiCallable[Request, Response],
        message: Callable[[Chunk], Request],
        results: Callable[[Chunk, Response], Iterable[Item]],
    ) -> AsyncGenerator[Item, None]:
        for chunk in batch.chunks(wanted):
            found = self._stream(method, message(chunk), self._stream_terms(timeout), partial(results, chunk))
            async with aclosing(found):
                async for item in found:
                    yield item
            chunk.check_complete()

    async def _stream(
        self,
        method: grpc.aio.UnaryStreamMultiCallable[Request, Response],
        request: Request,
        terms: CallTerms,
        items: Callable[[Response], Iterable[Item]],
    ) -> AsyncGenerator[Item, None]:
        call = method(request, timeout=terms.timeout, metadata=terms.metadata)
        try:
            with errors.raised_for(terms.request_id):
                async for response in call:
                    for item in items(response):
                        yield item
        finally:
            # If the caller stops early, the gateway stops too.
            call.cancel()
