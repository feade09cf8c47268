"""The RegistryService: each RPC parses its request, asks, and maps the answer. What fails is the boundary's."""

# No RPC needs its context: what a call has beside its request is the boundary's.
# ruff: noqa: ARG002

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import aclosing
from typing import cast

import grpc

from portus.registry.v1 import registry_service_pb2, registry_service_pb2_grpc, tag_history_pb2, watch_pb2
from portus_gateway.access.current_call import current_call
from portus_gateway.operations.catalog_listing import CatalogListing
from portus_gateway.operations.deletion import Deletion
from portus_gateway.operations.image_config import image_config_for
from portus_gateway.operations.index_answers import Freshness, IndexAnswers
from portus_gateway.operations.index_search import IndexSearch
from portus_gateway.operations.indexed_tag_listing import IndexedTagListing
from portus_gateway.operations.platform_selection import descriptor_for, manifest_for
from portus_gateway.operations.referrers import ReferrerListing
from portus_gateway.operations.registry_status import registry_status
from portus_gateway.operations.tag_listing import TagListing
from portus_gateway.operations.watching import Watching
from portus_gateway.registry.protocol import Registry
from portus_gateway.rpc import conversion, listed_referrers, listed_tags, request_parsing, watch_messages
from portus_gateway.rpc.conversion_thread import ConversionThread
from portus_gateway.rpc.converted_image_configs import ConvertedImageConfigs
from portus_gateway.rpc.converted_manifests import ConvertedManifests
from portus_gateway.rpc.deletion_results import deletion_result
from portus_gateway.rpc.descriptor_batch import DescriptorBatch
from portus_gateway.rpc.download_places import DownloadPlaces, when_not_read
from portus_gateway.rpc.image_config_batch import ImageConfigBatch
from portus_gateway.rpc.index_status import index_status
from portus_gateway.rpc.limits import ServerLimits
from portus_gateway.rpc.manifest_batch import ManifestBatch
from portus_gateway.rpc.packing import packed
from portus_gateway.rpc.page_tokens import PageTokens
from portus_gateway.rpc.part_failures import part_status
from portus_gateway.rpc.repository_fields import Entries, grouped_repository_fields, repository_fields


class RegistryServicer(registry_service_pb2_grpc.RegistryServiceServicer):
    """Serves `registry`. The .proto says what each RPC does."""

    def __init__(
        self,
        *,
        registry: Registry,
        listing: CatalogListing,
        deletion: Deletion,
        deletion_enabled: bool,
        limits: ServerLimits,
        gateway_version: str,
        page_tokens: PageTokens,
        answers: IndexAnswers,
        watching: Watching,
        search: IndexSearch,
    ) -> None:
        self._page_tokens = page_tokens
        self._answers = answers
        self._watching = watching
        self._search = search
        self._registry = registry
        self._listing = listing
        self._deletion = deletion
        self._deletion_enabled = deletion_enabled
        self._limits = limits
        self._gateway_version = gateway_version
        self._conversion_thread = ConversionThread()
        self._converted_manifests = ConvertedManifests(self._conversion_thread)
        self._converted_image_configs = ConvertedImageConfigs(self._conversion_thread)
        self._tags = TagListing(registry, limits.max_upstream_requests)
        self._indexed_tags = IndexedTagListing(answers, self._tags)
        self._descriptor_batch = DescriptorBatch(registry, limits.max_upstream_requests)
        self._manifest_batch = ManifestBatch(registry, self._converted_manifests, limits.max_upstream_requests)
        self._image_config_batch = ImageConfigBatch(
            registry, self._converted_image_configs, limits.max_upstream_requests
        )
        self._referrers = ReferrerListing(registry, limits.max_upstream_requests)
        self._downloads = DownloadPlaces(limits.max_downloads)

    def drain(self) -> None:
        """Ends watches, which have no end of their own."""
        self._watching.drain()

    def close(self) -> None:
        """Ends what the servicer has beside its calls. No call may be running."""
        self._conversion_thread.close()

    async def GetRegistryInfo(  # noqa: N802
        self, request: registry_service_pb2.GetRegistryInfoRequest, context: object
    ) -> registry_service_pb2.GetRegistryInfoResponse:
        status = await registry_status(self._registry)
        return registry_service_pb2.GetRegistryInfoResponse(
            reachable=status.reachable,
            api_version=conversion.text(status.api_version),
            gateway_version=self._gateway_version,
            limits=conversion.limits(self._limits),
            deletion_enabled=self._deletion_enabled,
            registry_status=None if status.problem is None else part_status(status.problem),
            index=await index_status(self._answers),
        )

    async def Catalog(  # noqa: N802
        self, request: registry_service_pb2.CatalogRequest, context: object
    ) -> registry_service_pb2.CatalogResponse:
        wanted = request_parsing.catalog_page(request, self._page_tokens)
        found = await self._answers.catalog(
            wanted.size,
            wanted.after,
            include_tags=wanted.include_tags,
            prefix=wanted.prefix,
            max_staleness=wanted.max_staleness,
        )
        if found is None:
            freshness = await self._answers.live()
            live = await self._listing.page(
                wanted.size, wanted.after, include_tags=wanted.include_tags, prefix=wanted.prefix
            )
            fields, following = repository_fields(live.items), live.next
        else:
            fields, following, freshness = repository_fields(found.entries), found.following, found.freshness
        response = registry_service_pb2.CatalogResponse(
            next_page_token=request_parsing.catalog_token(following, wanted, self._page_tokens),
            as_of=conversion.timestamp(freshness.as_of),
            cursor=freshness.cursor,
        )
        response.MergeFromString(fields)
        return response

    async def StreamCatalog(  # noqa: N802
        self, request: registry_service_pb2.StreamCatalogRequest, context: object
    ) -> AsyncIterator[registry_service_pb2.StreamCatalogResponse]:
        wanted = request_parsing.whole_catalog(request)
        indexed = await self._answers.stream(
            include_tags=wanted.include_tags, prefix=wanted.prefix, max_staleness=wanted.max_staleness
        )
        if indexed is not None:
            async with aclosing(indexed) as parts:
                async for part, freshness in parts:
                    for message in _streamed(part, freshness):
                        yield message
            return
        freshness = await self._answers.live()
        async with aclosing(self._listing.stream(include_tags=wanted.include_tags, prefix=wanted.prefix)) as entries:
            async for known in entries:
                for message in _streamed(known, freshness):
                    yield message

    async def ListTags(  # noqa: N802
        self, request: registry_service_pb2.ListTagsRequest, context: object
    ) -> registry_service_pb2.ListTagsResponse:
        wanted = request_parsing.tag_page(request, self._page_tokens)
        found = await self._indexed_tags.page(wanted)
        if found is None:
            freshness = await self._answers.live()
            page = await self._tags.page(wanted)
        else:
            page, freshness = found
        token = request_parsing.tag_token(page.next, wanted, self._page_tokens)
        answer = await listed_tags.response(wanted, page, token)
        answer.as_of.CopyFrom(conversion.timestamp(freshness.as_of))
        answer.cursor = freshness.cursor
        return answer

    async def WatchEvents(  # noqa: N802
        self, request: watch_pb2.WatchEventsRequest, context: object
    ) -> AsyncIterator[watch_pb2.WatchEventsResponse]:
        async with aclosing(self._watching.watch(request_parsing.wanted_events(request))) as messages:
            async for message in messages:
                yield watch_messages.response(message)

    async def ListTagHistory(  # noqa: N802
        self, request: tag_history_pb2.ListTagHistoryRequest, context: object
    ) -> tag_history_pb2.ListTagHistoryResponse:
        wanted = request_parsing.tag_history(request, self._page_tokens)
        page = await self._search.history(wanted.repository, wanted.tag, wanted.size, wanted.after)
        return tag_history_pb2.ListTagHistoryResponse(
            events=map(watch_messages.event, page.items),
            next_page_token=request_parsing.tag_history_token(page.next, wanted, self._page_tokens),
        )

    async def FindTags(  # noqa: N802
        self, request: tag_history_pb2.FindTagsRequest, context: object
    ) -> tag_history_pb2.FindTagsResponse:
        page, as_of = await self._search.find(request_parsing.find_tags(request, self._page_tokens))
        return tag_history_pb2.FindTagsResponse(
            tags=map(watch_messages.found_tag, page.items),
            next_page_token=request_parsing.find_tags_token(page.next, request, self._page_tokens),
            as_of=conversion.timestamp(as_of),
        )

    async def ResolveManifest(  # noqa: N802
        self, request: registry_service_pb2.ResolveManifestRequest, context: object
    ) -> registry_service_pb2.ResolveManifestResponse:
        wanted = request_parsing.manifest_read(request)
        descriptor = await descriptor_for(
            wanted.platform, self._registry, wanted.repository, wanted.reference, wanted.max_staleness
        )
        return registry_service_pb2.ResolveManifestResponse(descriptor=conversion.descriptor(descriptor))

    def BatchResolveManifests(  # noqa: N802
        self, request: registry_service_pb2.BatchResolveManifestsRequest, context: object
    ) -> AsyncIterator[registry_service_pb2.BatchResolveManifestsResponse]:
        return self._descriptor_batch.responses(
            request_parsing.batch(request.requests),
            lambda results: registry_service_pb2.BatchResolveManifestsResponse(results=results),
        )

    async def GetManifest(  # noqa: N802
        self, request: registry_service_pb2.GetManifestRequest, context: object
    ) -> registry_service_pb2.GetManifestResponse:
        wanted = request_parsing.manifest_read(request)
        manifest = await manifest_for(
            wanted.platform, self._registry, wanted.repository, wanted.reference, wanted.max_staleness
        )
        return await self._converted_manifests.response(manifest)

    def BatchGetManifests(  # noqa: N802
        self, request: registry_service_pb2.BatchGetManifestsRequest, context: object
    ) -> AsyncIterator[registry_service_pb2.BatchGetManifestsResponse]:
        return self._manifest_batch.responses(
            request_parsing.batch(request.requests),
            lambda results: registry_service_pb2.BatchGetManifestsResponse(results=results),
        )

    async def GetImageConfig(  # noqa: N802
        self, request: registry_service_pb2.GetImageConfigRequest, context: object
    ) -> registry_service_pb2.GetImageConfigResponse:
        wanted = request_parsing.manifest_read(request)
        found = await image_config_for(
            wanted.platform, self._registry, wanted.repository, wanted.reference, wanted.max_staleness
        )
        return await self._converted_image_configs.response(found)

    def BatchGetImageConfigs(  # noqa: N802
        self, request: registry_service_pb2.BatchGetImageConfigsRequest, context: object
    ) -> AsyncIterator[registry_service_pb2.BatchGetImageConfigsResponse]:
        return self._image_config_batch.responses(
            request_parsing.batch(request.requests),
            lambda results: registry_service_pb2.BatchGetImageConfigsResponse(results=results),
        )

    async def ReadBlob(  # noqa: N802
        self, request: registry_service_pb2.ReadBlobRequest, context: object
    ) -> AsyncIterator[registry_service_pb2.ReadBlobResponse]:
        wanted = request_parsing.blob_read(request)
        async with (
            self._downloads.taken(current_call.get().owner) as place,
            self._registry.open_blob(wanted.repository, wanted.digest, wanted.part) as blob,
            aclosing(blob.chunks()) as chunks,
        ):
            message: registry_service_pb2.ReadBlobResponse | None = registry_service_pb2.ReadBlobResponse(
                size=blob.size
            )
            while message is not None:
                with when_not_read(blob.pause, place.leave):
                    yield message
                await place.take()
                chunk = await anext(chunks, None)
                message = None if chunk is None else registry_service_pb2.ReadBlobResponse(chunk=chunk)

    async def ListReferrers(  # noqa: N802
        self, request: registry_service_pb2.ListReferrersRequest, context: object
    ) -> registry_service_pb2.ListReferrersResponse:
        wanted = request_parsing.referrers_page(request, self._page_tokens)
        page = await self._referrers.page(wanted)
        return registry_service_pb2.ListReferrersResponse(
            referrers=[listed_referrers.message(referrer, wanted.repository) for referrer in page.items],
            next_page_token=request_parsing.referrers_token(page.next, wanted, self._page_tokens),
        )

    async def DeleteManifest(  # noqa: N802
        self, request: registry_service_pb2.DeleteManifestRequest, context: object
    ) -> registry_service_pb2.DeleteManifestResponse:
        deleted = await self._deletion.delete(request_parsing.manifest_deletion(request))
        return conversion.deleted_manifest(deleted)

    async def BatchDeleteManifests(  # noqa: N802
        self, request: registry_service_pb2.BatchDeleteManifestsRequest, context: object
    ) -> AsyncIterator[registry_service_pb2.BatchDeleteManifestsResponse]:
        wanted = request_parsing.manifest_batch_deletion(request)
        async with aclosing(self._deletion.delete_batch(wanted)) as outcomes:
            async for known in outcomes:
                for results in packed(known, lambda outcome: deletion_result(wanted, outcome)):
                    yield registry_service_pb2.BatchDeleteManifestsResponse(results=results)

    async def DeleteTag(  # noqa: N802
        self, request: registry_service_pb2.DeleteTagRequest, context: object
    ) -> registry_service_pb2.DeleteTagResponse:
        deleted = await self._deletion.delete(request_parsing.tag_deletion(request))
        return registry_service_pb2.DeleteTagResponse(digest=deleted.digest.text)

    async def DeleteBlob(  # noqa: N802
        self, request: registry_service_pb2.DeleteBlobRequest, context: object
    ) -> registry_service_pb2.DeleteBlobResponse:
        deleted = await self._deletion.delete(request_parsing.blob_deletion(request))
        return registry_service_pb2.DeleteBlobResponse(digest=deleted.digest.text)


def _streamed(entries: Entries, freshness: Freshness) -> Iterator[registry_service_pb2.StreamCatalogResponse]:
    for repositories in grouped_repository_fields(entries):
        response = registry_service_pb2.StreamCatalogResponse(
            as_of=conversion.timestamp(freshness.as_of), cursor=freshness.cursor
        )
        response.MergeFromString(repositories)
        yield response


def registry_service(servicer: RegistryServicer) -> grpc.GenericRpcHandler:
    """The service's methods, as handlers. The code that is generated can only add them to a server."""
    collected = _Collected()
    registry_service_pb2_grpc.add_RegistryServiceServicer_to_server(servicer, cast("grpc.aio.Server", collected))
    return collected.handlers[0]


class _Collected:
    """Takes what is added to a server."""

    def __init__(self) -> None:
        self.handlers: list[grpc.GenericRpcHandler] = []

    def add_generic_rpc_handlers(self, handlers: Sequence[grpc.GenericRpcHandler]) -> None:
        self.handlers += handlers

    def add_registered_method_handlers(self, service: str, handlers: object) -> None:
        """The same handlers in another form, which grpc.aio makes no use of."""
