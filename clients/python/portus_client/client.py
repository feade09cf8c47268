"""The client for programs without asyncio."""

from collections.abc import Iterable, Iterator
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


class RegistryClient(Connection):
    """A client of a gateway, to be used in a `with` or closed with `close`. Threads can share one.

    Its settings are those of `Connection`. Every call takes a `timeout` of its own, in seconds, and raises
    `RegistryError` alone; the .proto has the reasons that each can give. A read is tried again, up to four times in
    all, while the gateway is unavailable; a delete never is.
    """

    def _open(self, credentials: grpc.ChannelCredentials | None) -> None:
        if credentials is None:
            self._channel = grpc.insecure_channel(self.address, channel.options())
        else:
            self._channel = grpc.secure_channel(self.address, credentials, channel.options())
        self._stub = RegistryServiceStub(self._channel)

    def close(self) -> None:
        """Ends the connection, and every call that is under way with `Cancelled`."""
        self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def info(self, *, timeout: float | None = None) -> RegistryInfo:
        """Says whether the registry answers, and what the gateway allows. A silent registry is no error here."""
        return conversion.registry_info(self._call(self._stub.GetRegistryInfo, requests.registry_info(), timeout))

    def catalog(
        self, *, include_tags: bool = False, prefix: str = "", timeout: float | None = None
    ) -> Iterator[Repository]:
        """Lists all repositories, or those whose names begin with `prefix`, each as soon as the gateway knows it.

        An error ends the listing; what came before it stands. A repository whose tags could not be listed comes with
        its `tags_error`, and ends nothing. `timeout` is for the whole listing.
        """
        request = requests.catalog(include_tags=include_tags, prefix=prefix)
        return self._listed(request, self._terms(timeout, stream=True))

    def catalog_page(
        self,
        page_token: str = "",
        *,
        page_size: int = 0,
        include_tags: bool = False,
        prefix: str = "",
        timeout: float | None = None,
    ) -> CatalogPage:
        """Lists one page of the repositories, for those who show pages. `catalog` is the way to all of them.

        `page_token` is the `next_page_token` of the page before, asked for with the same other arguments. A
        `page_size` of 0 is the gateway's default.
        """
        request = requests.catalog_page(
            page_token=page_token, page_size=page_size, include_tags=include_tags, prefix=prefix
        )
        return conversion.catalog_page(self._call(self._stub.Catalog, request, timeout), include_tags=include_tags)

    def tags(self, repository: str, *, timeout: float | None = None) -> Iterator[str]:
        """Lists the tags of a repository, page after page. `timeout` is for each page."""
        request = requests.tags(repository)
        while True:
            page = self._call(self._stub.ListTags, request, timeout)
            yield from page.tags
            if not page.next_page_token:
                return
            request = requests.tags(repository, page.next_page_token)

    def resolve(self, repository: str, reference: str, *, timeout: float | None = None) -> Descriptor:
        """Says what a tag points to now, or that a digest exists, without fetching the manifest."""
        request = requests.resolve(repository, reference)
        return conversion.descriptor(self._call(self._stub.ResolveManifest, request, timeout).descriptor)

    def manifest(
        self,
        repository: str,
        reference: str,
        *,
        platform: Platform | None = None,
        max_staleness: timedelta | None = None,
        timeout: float | None = None,
    ) -> Manifest:
        """Fetches the manifest that a tag points to, or that has a digest.

        `platform` picks from an index the manifest for that platform; without it an index is answered as it is.
        `max_staleness` is how old the gateway's knowledge of a tag may be; None is: checked with the registry.
        """
        request = requests.manifest(repository, reference, platform, max_staleness)
        return conversion.manifest(self._call(self._stub.GetManifest, request, timeout).manifest)

    def batch_manifests(
        self, wanted: Iterable[ManifestRequest | tuple[str, str]], *, timeout: float | None = None
    ) -> Iterator[BatchResult]:
        """Fetches many manifests, each asked for by a `ManifestRequest`, or by repository and reference alone.

        They come as the gateway knows them, not in the order of `wanted`: `index` says which one it is. What fails is
        that one's `outcome`, and ends nothing. Every 1,000 are a call, and `timeout` is for each; `RegistryError` is
        raised where such a call fails as a whole.
        """
        for chunk in batch.chunks(wanted):
            yield from self._batched(chunk, self._terms(timeout, stream=True))

    def delete_manifest(
        self,
        repository: str,
        digest: str,
        *,
        expected_tags: Iterable[str] = (),
        force: bool = False,
        validate_only: bool = False,
        timeout: float | None = None,
    ) -> DeletedManifest:
        """Deletes a manifest, and with it every tag that points to it.

        Raises `Tagged` while a tag outside of `expected_tags` points to it, unless `force` is set. `validate_only`
        checks everything, fails as the delete would, and deletes nothing. After `Unavailable` and
        `DeadlineExceeded` it can be gone or not: look before the next try.
        """
        request = requests.delete_manifest(
            repository, digest, expected_tags=expected_tags, force=force, validate_only=validate_only
        )
        return conversion.deleted_manifest(self._call(self._stub.DeleteManifest, request, self._of_delete(timeout)))

    def delete_blob(
        self, repository: str, digest: str, *, validate_only: bool = False, timeout: float | None = None
    ) -> DeletedBlob:
        """Deletes a blob from a repository; images that use it can no longer be pulled from there.

        `validate_only` checks everything, fails as the delete would, and deletes nothing. After `Unavailable` and
        `DeadlineExceeded` it can be gone or not.
        """
        request = requests.delete_blob(repository, digest, validate_only=validate_only)
        return conversion.deleted_blob(self._call(self._stub.DeleteBlob, request, self._of_delete(timeout)))

    def _call(
        self, method: "grpc.UnaryUnaryMultiCallable[Request, Response]", request: Request, timeout: float | None
    ) -> Response:
        terms = self._terms(timeout)
        try:
            return method(request, timeout=terms.timeout, metadata=terms.metadata)
        except grpc.RpcError as error:
            raise errors.from_call(error, terms.request_id) from error

    def _listed(self, request: StreamCatalogRequest, terms: CallTerms) -> Iterator[Repository]:
        call = self._stub.StreamCatalog(request, timeout=terms.timeout, metadata=terms.metadata)
        try:
            for response in call:
                yield conversion.repository(response.repository, include_tags=request.include_tags)
        except grpc.RpcError as error:
            raise errors.from_call(error, terms.request_id) from error
        finally:
            # For whoever stops listening early: the gateway stops listing.
            call.cancel()

    def _batched(self, chunk: Chunk, terms: CallTerms) -> Iterator[BatchResult]:
        call = self._stub.BatchGetManifests(chunk.message(), timeout=terms.timeout, metadata=terms.metadata)
        try:
            for response in call:
                yield from chunk.results(response)
        except grpc.RpcError as error:
            raise errors.from_call(error, terms.request_id) from error
        finally:
            call.cancel()
        chunk.check_complete()
