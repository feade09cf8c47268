"""The client for threads."""

import threading
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from functools import partial
from types import TracebackType
from typing import Self, TypeVar

import grpc

from portus.registry.v1.registry_service_pb2_grpc import RegistryServiceStub
from portus_client import batch, channel, conversion, errors, requests
from portus_client.batch import BatchResult, Chunk, ManifestRequest
from portus_client.blob_reader import BlobReader
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
from portus_client.silence import SilenceGuard
from portus_client.tag import TagDetails, TagPage, TagView
from portus_client.tag_search import FoundTag, found_tag
from portus_client.watch import GIVE_UP_AFTER, LONGEST_WATCH, Event, WatchProgress, WatchUpdate, watch_event

Request = TypeVar("Request")
Response = TypeVar("Response")
Item = TypeVar("Item")


class RegistryClient(Connection):
    """A client of a gateway. Use it in a `with`, or call `close`. Threads can share one client.

    `Connection` documents the settings. Every method takes a `timeout` in seconds and raises only `RegistryError`; the
    .proto documents the reasons. While the gateway is unavailable, a read is tried up to four times. A delete is never
    repeated.
    """

    _channels: tuple[grpc.Channel, ...] = ()

    def _open(self, credentials: grpc.ChannelCredentials | None) -> None:
        if credentials is None:
            opened = grpc.insecure_channel(self.address, channel.options())
        else:
            opened = grpc.secure_channel(self.address, credentials, channel.options())
        if not self._channels:
            self._closed = threading.Event()
        # Calls on the channel before go on. One that is still older is closed by gRPC, after its last call.
        self._channels = (*self._channels[-1:], opened)
        self._newest_stub = RegistryServiceStub(opened)

    @property
    def _stub(self) -> RegistryServiceStub:
        self._renew()
        return self._newest_stub

    def close(self) -> None:
        """Closes the connection. Calls that are still running raise `Cancelled`."""
        self._closed.set()
        for opened in self._channels:
            opened.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def info(self, *, timeout: float | None = None) -> RegistryInfo:
        """Returns the state of the registry and the gateway's limits, even if the registry does not answer."""
        response = self._call(self._stub.GetRegistryInfo, requests.registry_info(), self._terms(timeout))
        return conversion.registry_info(response)

    def catalog(
        self,
        *,
        include_tags: bool = False,
        prefix: str = "",
        max_staleness: timedelta | None = None,
        timeout: float | None = None,
    ) -> Iterator[Repository]:
        """Lists all repositories, or those whose names begin with `prefix`, each as soon as the gateway knows it.

        With `max_staleness`, the answer may be so old; it then comes from the gateway's index, if it has one.

        An error ends the listing; the repositories before it are valid. If the tags of a repository cannot be listed,
        it has a `tags_error` and the listing continues. `timeout` is for the whole listing.
        """
        request = requests.catalog(include_tags=include_tags, prefix=prefix, max_staleness=max_staleness)
        return self._stream(
            self._stub.StreamCatalog,
            request,
            self._stream_terms(timeout),
            lambda response: conversion.repositories(response, include_tags=include_tags),
        )

    def catalog_page(
        self,
        page_token: str = "",
        *,
        page_size: int = 0,
        include_tags: bool = False,
        prefix: str = "",
        max_staleness: timedelta | None = None,
        timeout: float | None = None,
    ) -> CatalogPage:
        """Returns one page of the repositories, for programs that show pages. `catalog` lists all repositories.

        `page_token` is the `next_page_token` of the page before; the other arguments must stay the same. A `page_size`
        of 0 is the gateway's default.
        """
        request = requests.catalog_page(
            page_token=page_token,
            page_size=page_size,
            include_tags=include_tags,
            prefix=prefix,
            max_staleness=max_staleness,
        )
        response = self._call(self._stub.Catalog, request, self._terms(timeout))
        return conversion.catalog_page(response, include_tags=include_tags)

    def tags(
        self,
        repository: str,
        *,
        digest: str = "",
        omit_referrer_tags: bool = False,
        max_staleness: timedelta | None = None,
        timeout: float | None = None,
    ) -> Iterator[str]:
        """Lists the tags of a repository. Names that are not valid tags are left out. `timeout` is for each page.

        `digest`: list only the tags that point to it. `omit_referrer_tags`: leave out the tags of signatures and other
        referrers (`sha256-…`). With `max_staleness`, the answer may be so old; it then comes from the gateway's index,
        if it has one.
        """
        pages = self.tag_pages(
            repository,
            digest=digest,
            omit_referrer_tags=omit_referrer_tags,
            max_staleness=max_staleness,
            timeout=timeout,
        )
        for page in pages:
            yield from page.tags

    def tag_details(
        self,
        repository: str,
        *,
        digest: str = "",
        omit_referrer_tags: bool = False,
        order_by: str = "",
        timeout: float | None = None,
    ) -> Iterator[TagDetails]:
        """Lists the tags of a repository with what they point to, and the date, size and platforms of the images.

        If the details of a tag cannot be read, it has an `error`, and the listing continues. `order_by` is `name` or
        `created desc`, the newest image first; the latter raises `FailedPrecondition` if there are more than 1000 tags.
        The other arguments are as for `tags`.
        """
        pages = self.tag_pages(
            repository,
            view=TagView.FULL,
            digest=digest,
            omit_referrer_tags=omit_referrer_tags,
            order_by=order_by,
            timeout=timeout,
        )
        for page in pages:
            yield from page.details

    def tag_pages(
        self,
        repository: str,
        *,
        view: TagView = TagView.NAMES,
        digest: str = "",
        omit_referrer_tags: bool = False,
        order_by: str = "",
        max_staleness: timedelta | None = None,
        timeout: float | None = None,
    ) -> Iterator[TagPage]:
        """Lists the tags of a repository page by page, with the names that are not valid tags.

        `view` says how much each page says of its tags. The other arguments are as for `tag_details`.
        With `max_staleness`, names may be so old, as for `tags`.
        """
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
            page = self._call(self._stub.ListTags, pages.request, self._terms(timeout))
            yield conversion.tag_page(page)
            pages.advance(page)

    def watch(
        self,
        *,
        prefix: str = "",
        repositories: Iterable[str] = (),
        after_cursor: str = "",
        current_state: bool = False,
        heartbeat_interval: timedelta | None = None,
        give_up_after: timedelta | None = GIVE_UP_AFTER,
    ) -> Iterator[WatchUpdate]:
        """Sends what changes in the registry, as the gateway's index sees it, without an end.

        `prefix` and `repositories` choose what to watch. The watch begins now; after the cursor of an earlier update or
        of a `catalog_page`; or, with `current_state`, with all that there is. While nothing happens, an update without
        events comes every `heartbeat_interval` (default: 15 s).

        The watch continues by itself at its last cursor when the gateway stops, when the connection is lost, when a
        limit of the gateway is reached, when its credential has expired and there is a newer one, and when nothing
        comes for three heartbeats. If this fails for `give_up_after`, the last error is raised (None: never). If no
        gateway has answered yet, it is raised after the client's `timeout`. Errors that would come again are raised at
        once, such as `PermissionDenied` and `InvalidArgument`.

        If the gateway does not have the changes since the cursor any more, an update with `list_again` says so, and the
        current state follows. `close` ends the watch with `Cancelled`.
        """
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
            try:
                yield from self._watch_once(progress)
                pause = progress.ended()
            except RegistryError as error:
                self._check_open()
                update, pause = progress.failed(error)
                if update is not None:
                    yield update
            self._closed.wait(pause)
            self._check_open()

    def _watch_once(self, progress: WatchProgress) -> Iterator[WatchUpdate]:
        terms = self._with_deadline(LONGEST_WATCH)
        call = self._stub.WatchEvents(progress.request(), timeout=terms.timeout, metadata=terms.metadata)
        try:
            with SilenceGuard(call.cancel, progress.longest_silence) as silence:
                messages = iter(call)
                while True:
                    silence.begins()
                    try:
                        with errors.raised_for(terms.request_id):
                            message = next(messages, None)
                    except RegistryError as error:
                        raise (progress.is_silent() if silence.has_ended else error) from error
                    silence.received()
                    if message is None:
                        return
                    yield progress.received(message)
        finally:
            # If the caller stops early, the gateway stops too.
            call.cancel()

    def _check_open(self) -> None:
        if self._closed.is_set():
            raise errors.client_error(grpc.StatusCode.CANCELLED, "the client was closed")

    def tag_history(self, repository: str, tag: str, *, timeout: float | None = None) -> Iterator[Event]:
        """Lists what happened to a tag, the latest first, as the gateway's index saw it. It need not exist any more."""
        pages = Pages(requests.tag_history(repository, tag))
        while pages.request is not None:
            page = self._call(self._stub.ListTagHistory, pages.request, self._terms(timeout))
            for event in page.events:
                yield watch_event(event)
            pages.advance(page)

    def find_tags(
        self,
        *,
        digest: str = "",
        name_contains: str = "",
        prefix: str = "",
        timeout: float | None = None,
    ) -> Iterator[FoundTag]:
        """Finds tags of all repositories in the gateway's index: on `digest`, or whose names contain `name_contains`.

        Tags of repositories whose tags you may not list are left out. `timeout` is for each page."""
        pages = Pages(requests.find_tags(digest, name_contains, prefix))
        while pages.request is not None:
            page = self._call(self._stub.FindTags, pages.request, self._terms(timeout))
            for tag in page.tags:
                yield found_tag(tag)
            pages.advance(page)

    def resolve(
        self,
        repository: str,
        reference: str,
        *,
        platform: Platform | None = None,
        max_staleness: timedelta | None = None,
        timeout: float | None = None,
    ) -> Descriptor:
        """Returns the descriptor of a tag or a digest, without the manifest. Raises `NotFound` if it does not exist.

        `platform`: for an index, return the descriptor of the manifest for this platform. `max_staleness` is as for
        `manifest`.
        """
        request = requests.resolve(repository, reference, platform, max_staleness)
        response = self._call(self._stub.ResolveManifest, request, self._terms(timeout))
        return conversion.descriptor(response.descriptor)

    def batch_resolve(
        self, wanted: Iterable[ManifestRequest | tuple[str, str]], *, timeout: float | None = None
    ) -> Iterator[BatchResult[Descriptor]]:
        """Resolves many references. Like `batch_manifests`, but the outcome is a descriptor."""
        return self._batch(
            wanted, timeout, self._stub.BatchResolveManifests, Chunk.references, Chunk.descriptor_results
        )

    def manifest(
        self,
        repository: str,
        reference: str,
        *,
        platform: Platform | None = None,
        max_staleness: timedelta | None = None,
        timeout: float | None = None,
    ) -> Manifest:
        """Fetches a manifest by tag or digest.

        `platform`: for an index, return the manifest for this platform. Without it, the index itself is returned.
        `max_staleness`: how old the gateway's knowledge of a tag may be. None checks with the registry.
        """
        request = requests.manifest(repository, reference, platform, max_staleness)
        response = self._call(self._stub.GetManifest, request, self._terms(timeout))
        return conversion.manifest(response.manifest)

    def batch_manifests(
        self, wanted: Iterable[ManifestRequest | tuple[str, str]], *, timeout: float | None = None
    ) -> Iterator[BatchResult[Manifest]]:
        """Fetches many manifests, each given as a `ManifestRequest` or as a pair of repository and reference.

        Results come in the order in which the gateway has them; `index` is the position in `wanted`. If a manifest
        cannot be fetched, the `outcome` is the error and the batch continues. Every 1,000 manifests are one call, and
        `timeout` is for each call. If a call as a whole fails, its `RegistryError` is raised.
        """
        return self._batch(wanted, timeout, self._stub.BatchGetManifests, Chunk.manifests, Chunk.manifest_results)

    def image_config(
        self,
        repository: str,
        reference: str,
        *,
        platform: Platform | None = None,
        max_staleness: timedelta | None = None,
        timeout: float | None = None,
    ) -> ImageConfig:
        """Fetches the configuration of an image: when it was built, its labels, what it runs.

        For an index, a `platform` is required. `max_staleness` is as for `manifest`.
        """
        request = requests.image_config(repository, reference, platform, max_staleness)
        response = self._call(self._stub.GetImageConfig, request, self._terms(timeout))
        return conversion.image_config(response.image_config)

    def batch_image_configs(
        self, wanted: Iterable[ManifestRequest | tuple[str, str]], *, timeout: float | None = None
    ) -> Iterator[BatchResult[ImageConfig]]:
        """Fetches the configurations of many images. Like `batch_manifests`."""
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
    ) -> BlobReader:
        """Reads a blob: a layer, a configuration, an SBOM. Returns a file that verifies the bytes of a whole blob.

        `offset` and `limit` choose a part of it, which is not verified. `timeout` is for each call to the gateway: a
        read that takes longer goes on in another call, as long as bytes come. Raises `NotFound` if it does not exist.
        """
        return BlobReader(
            lambda request, terms: self._stub.ReadBlob(request, timeout=terms.timeout, metadata=terms.metadata),
            lambda: self._stream_terms(timeout),
            requests.read_blob(repository, digest, offset=offset, limit=limit),
        )

    def referrers(
        self, repository: str, digest: str, *, artifact_type: str = "", timeout: float | None = None
    ) -> Iterator[Referrer]:
        """Lists what refers to a manifest: signatures, attestations, SBOMs. `timeout` is for each page.

        With an `artifact_type`, only those of this type. If a referrer's manifest cannot be read, it has an `error`,
        and the listing continues.
        """
        pages = Pages(requests.referrers(repository, digest, artifact_type=artifact_type))
        while pages.request is not None:
            page = self._call(self._stub.ListReferrers, pages.request, self._terms(timeout))
            yield from map(conversion.referrer, page.referrers)
            pages.advance(page)

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
        """Deletes a manifest and every tag that points to it.

        Unless `force` is set, raises `Tagged` if a tag that is not in `expected_tags` points to it, and `Referenced` if
        a tagged index contains it. With `validate_only`, all checks are made and nothing is deleted.

        After `Unavailable` and `DeadlineExceeded`, the manifest may or may not be deleted: check before the next try.
        """
        request = requests.delete_manifest(
            repository, digest, expected_tags=expected_tags, force=force, validate_only=validate_only
        )
        response = self._call(self._stub.DeleteManifest, request, self._delete_terms(timeout))
        return conversion.deleted_manifest(response)

    def batch_delete(
        self,
        repository: str,
        wanted: Iterable[ManifestDeletion | str],
        *,
        validate_only: bool = False,
        timeout: float | None = None,
    ) -> Iterator[DeletionResult]:
        """Deletes up to 1,000 manifests of a repository, each given as a `ManifestDeletion` or as a digest.

        The batch is judged as a whole: an index is deleted before the manifests in it, and those that only indexes of
        the batch contain may be deleted. Results come in the order in which the gateway has them. If a delete fails,
        the `outcome` is the error that `delete_manifest` would raise, and the batch continues. If the call as a whole
        fails, its `RegistryError` is raised. If you stop early, deletes that were already sent are still carried out.
        """
        deletes = DeletionBatch(repository, wanted, validate_only=validate_only)
        if deletes.is_empty:
            return
        yield from self._stream(
            self._stub.BatchDeleteManifests, deletes.request(), self._batch_delete_terms(timeout), deletes.results
        )
        deletes.check_complete()

    def delete_tag(
        self,
        repository: str,
        tag: str,
        *,
        expected_digest: str | None = None,
        validate_only: bool = False,
        timeout: float | None = None,
    ) -> DeletedTag:
        """Deletes a tag and keeps its manifest.

        Raises `FailedPrecondition` with the reason `TAG_MOVED` if the tag does not point to `expected_digest`, and with
        the reason `UNSUPPORTED` if the registry cannot do this, as distribution 2. With `validate_only`, all checks are
        made and nothing is deleted. A push of the same tag during the call can be lost, with `expected_digest` too.

        After `Unavailable` and `DeadlineExceeded`, the tag may or may not be deleted: check before the next try.
        """
        request = requests.delete_tag(repository, tag, expected_digest=expected_digest, validate_only=validate_only)
        response = self._call(self._stub.DeleteTag, request, self._delete_terms(timeout))
        return conversion.deleted_tag(response)

    def delete_blob(
        self, repository: str, digest: str, *, validate_only: bool = False, timeout: float | None = None
    ) -> DeletedBlob:
        """Deletes a blob from a repository. Images in the repository that use it can no longer be pulled.

        With `validate_only`, all checks are made and nothing is deleted. After `Unavailable` and `DeadlineExceeded`
        the blob may or may not be deleted.
        """
        request = requests.delete_blob(repository, digest, validate_only=validate_only)
        response = self._call(self._stub.DeleteBlob, request, self._delete_terms(timeout))
        return conversion.deleted_blob(response)

    def _call(
        self, method: "grpc.UnaryUnaryMultiCallable[Request, Response]", request: Request, terms: CallTerms
    ) -> Response:
        with errors.raised_for(terms.request_id):
            return method(request, timeout=terms.timeout, metadata=terms.metadata)

    def _batch(
        self,
        wanted: Iterable[ManifestRequest | tuple[str, str]],
        timeout: float | None,
        method: "grpc.UnaryStreamMultiCallable[Request, Response]",
        message: Callable[[Chunk], Request],
        results: Callable[[Chunk, Response], Iterable[Item]],
    ) -> Iterator[Item]:
        for chunk in batch.chunks(wanted):
            yield from self._stream(method, message(chunk), self._stream_terms(timeout), partial(results, chunk))
            chunk.check_complete()

    def _stream(
        self,
        method: "grpc.UnaryStreamMultiCallable[Request, Response]",
        request: Request,
        terms: CallTerms,
        items: Callable[[Response], Iterable[Item]],
    ) -> Iterator[Item]:
        call = method(request, timeout=terms.timeout, metadata=terms.metadata)
        try:
            with errors.raised_for(terms.request_id):
                for response in call:
                    yield from items(response)
        finally:
            # If the caller stops early, the gateway stops too.
            call.cancel()
