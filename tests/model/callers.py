"""Callers that use every RPC, again and again, and record the answers."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING

import grpc
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status

from portus.registry.v1.registry_service_pb2 import (
    BatchDeleteManifestsRequest,
    BatchGetManifestsRequest,
    BatchResolveManifestsRequest,
    CatalogRequest,
    DeleteBlobRequest,
    DeleteManifestRequest,
    DeleteTagRequest,
    GetImageConfigRequest,
    GetManifestRequest,
    GetRegistryInfoRequest,
    ListReferrersRequest,
    ListTagsRequest,
    ReadBlobRequest,
    Repository,
    ResolveManifestRequest,
    StreamCatalogRequest,
)
from portus.registry.v1.tag_details_pb2 import TagDetails
from tests.model.calls import CallRecord, DeleteRequest, Failure, Page, TagDeleteRequest, Tagged
from tests.model.content import BLOBS, BY_DIGEST, CONFIG_OF, REPOSITORIES, SIGNED, TAGS

if TYPE_CHECKING:
    from portus.registry.v1.registry_service_pb2_grpc import RegistryServiceAsyncStub

DEADLINE = 4.0


def failure_of(error: grpc.aio.AioRpcError) -> Failure:
    details = dict(error.trailing_metadata() or ()).get("grpc-status-details-bin")
    status = Status.FromString(details) if isinstance(details, bytes) else None
    return Failure(error.code(), None if status is None else reason_of(status), str(error.details()))


def reason_of(status: Status) -> str | None:
    information = ErrorInfo()
    found = any(detail.Unpack(information) for detail in status.details if detail.TypeName() == "google.rpc.ErrorInfo")
    return information.reason if found else None


def failure_in(status: Status) -> Failure:
    code = next(code for code in grpc.StatusCode if code.value[0] == status.code)
    return Failure(code, reason_of(status), status.message)


class Caller:
    """Makes random calls, one after the other. What it does is decided by `choice` alone."""

    def __init__(self, stub: "RegistryServiceAsyncStub", choice: random.Random, records: list[CallRecord]) -> None:
        self._stub = stub
        self._choice = choice
        self._records = records

    async def call_for_ever(self) -> None:
        kinds: list[tuple[Callable[[], Awaitable[None]], int]] = [
            (self._resolve, 4),
            (self._batch_resolve, 2),
            (self._get, 5),
            (self._batch, 2),
            (self._config, 3),
            (self._read_blob, 3),
            (self._referrers, 2),
            (self._list_tags, 3),
            (self._newest_tags, 1),
            (self._tags_on_digest, 1),
            (self._catalog, 1),
            (self._stream, 1),
            (self._delete, 3),
            (self._batch_delete, 2),
            (self._delete_tag, 2),
            (self._delete_blob, 1),
            (self._info, 1),
        ]
        while True:
            (call,) = self._choice.choices([kind for kind, _ in kinds], [weight for _, weight in kinds])
            await call()
            await asyncio.sleep(self._choice.uniform(0, 0.02))

    def _begin(self, rpc: str, **about: object) -> CallRecord:
        record = CallRecord(rpc, asyncio.get_running_loop().time(), **about)  # type: ignore[arg-type]
        self._records.append(record)
        return record

    async def _end(self, record: CallRecord, answer: Awaitable[object]) -> object | None:
        """The answer, whose failure is written into the record. Now and then the caller does not wait for it."""
        work = asyncio.ensure_future(answer)
        impatient = self._choice.random() < 0.05
        try:
            async with asyncio.timeout(self._choice.uniform(0, 0.05) if impatient else None):
                return await work
        except TimeoutError:
            record.given_up = True
        except grpc.aio.AioRpcError as error:
            record.answer = failure_of(error)
        finally:
            record.end = asyncio.get_running_loop().time()
        return None

    def _reference(self) -> tuple[str, str, str]:
        """A repository, and a tag or a digest in it, the other one empty."""
        repository = self._choice.choice(REPOSITORIES)
        if self._choice.random() < 0.6:
            return repository, self._choice.choice(TAGS), ""
        return repository, "", self._choice.choice(list(BY_DIGEST))

    async def _resolve(self) -> None:
        request, staleness = self._resolve_request()
        record = self._begin(
            "ResolveManifest",
            repository=request.repository,
            reference=request.tag or request.digest,
            max_staleness=staleness,
        )
        answer = await self._end(record, self._stub.ResolveManifest(request, timeout=DEADLINE))
        if answer is not None:
            record.answer = answer.descriptor.digest  # type: ignore[attr-defined]

    def _resolve_request(self) -> tuple[ResolveManifestRequest, float]:
        request, staleness = self._get_request()
        return ResolveManifestRequest.FromString(request.SerializeToString()), staleness

    async def _batch_resolve(self) -> None:
        asked = [self._resolve_request() for _ in range(self._choice.randint(1, 6))]
        records = [
            self._begin(
                "BatchResolveManifests",
                repository=request.repository,
                reference=request.tag or request.digest,
                max_staleness=staleness,
            )
            for request, staleness in asked
        ]
        batch = BatchResolveManifestsRequest(requests=[request for request, _ in asked])

        async def results() -> list[object]:
            stream = self._stub.BatchResolveManifests(batch, timeout=DEADLINE)
            return [result async for message in stream for result in message.results]

        answer = await self._end(records[0], results())
        for record in records[1:]:
            record.end, record.answer, record.given_up = records[0].end, records[0].answer, records[0].given_up
        if answer is None:
            return
        for result in answer:  # type: ignore[attr-defined]
            failed = result.HasField("status")
            records[result.request_index].answer = failure_in(result.status) if failed else result.descriptor.digest

    def _get_request(self) -> tuple[GetManifestRequest, float]:
        repository, tag, digest = self._reference()
        staleness = self._choice.choice((0.0, 0.0, 0.05, 1.0))
        duration = Duration()
        duration.FromMilliseconds(int(staleness * 1000))
        request = GetManifestRequest(repository=repository, max_staleness=duration)
        _refer(request, tag, digest)
        return request, staleness

    async def _get(self) -> None:
        request, staleness = self._get_request()
        record = self._begin(
            "GetManifest",
            repository=request.repository,
            reference=request.tag or request.digest,
            max_staleness=staleness,
        )
        answer = await self._end(record, self._stub.GetManifest(request, timeout=DEADLINE))
        if answer is not None:
            manifest = answer.manifest  # type: ignore[attr-defined]
            record.answer = manifest.descriptor.digest
            self._check_bytes(record, manifest.raw)

    async def _config(self) -> None:
        """The configuration of an image, or of the image for amd64 in an index."""
        asked, staleness = self._get_request()
        request = GetImageConfigRequest.FromString(asked.SerializeToString())
        request.platform.os, request.platform.architecture = "linux", "amd64"
        record = self._begin(
            "GetImageConfig",
            repository=request.repository,
            reference=request.tag or request.digest,
            max_staleness=staleness,
        )
        answer = await self._end(record, self._stub.GetImageConfig(request, timeout=DEADLINE))
        if answer is not None:
            config = answer.image_config  # type: ignore[attr-defined]
            record.answer = config.manifest.digest
            if config.raw != CONFIG_OF.get(config.manifest.digest):
                record.notes.append("the configuration is not the one that the manifest names")

    async def _read_blob(self) -> None:
        repository, digest = self._choice.choice(REPOSITORIES), self._choice.choice(list(BLOBS))
        whole = BLOBS[digest]
        offset = self._choice.choice((0, 0, 0, self._choice.randint(0, len(whole))))
        limit = self._choice.choice((0, 0, self._choice.randint(1, len(whole))))
        record = self._begin("ReadBlob", repository=repository, reference=digest)
        request = ReadBlobRequest(repository=repository, digest=digest, offset=offset, limit=limit)

        async def content() -> bytes:
            return b"".join([message.chunk async for message in self._stub.ReadBlob(request, timeout=DEADLINE)])

        answer = await self._end(record, content())
        if answer is not None:
            is_right = answer == whole[offset : offset + limit if limit else None]
            is_whole = offset == 0 and limit == 0
            record.answer = "right" if is_right else "wrong" if is_whole else "wrong part"

    async def _referrers(self) -> None:
        record = self._begin("ListReferrers", repository=self._choice.choice(REPOSITORIES), reference=SIGNED)
        request = ListReferrersRequest(repository=record.repository, digest=SIGNED)
        answer = await self._end(record, self._stub.ListReferrers(request, timeout=DEADLINE))
        if answer is not None:
            record.answer = frozenset(each.descriptor.digest for each in answer.referrers)  # type: ignore[attr-defined]

    async def _batch(self) -> None:
        asked = [self._get_request() for _ in range(self._choice.randint(1, 6))]
        records = [
            self._begin(
                "BatchGetManifests",
                repository=request.repository,
                reference=request.tag or request.digest,
                max_staleness=staleness,
            )
            for request, staleness in asked
        ]
        batch = BatchGetManifestsRequest(requests=[request for request, _ in asked])

        async def results() -> list[object]:
            stream = self._stub.BatchGetManifests(batch, timeout=DEADLINE)
            return [result async for message in stream for result in message.results]

        answer = await self._end(records[0], results())
        for record in records[1:]:
            record.end, record.answer, record.given_up = records[0].end, records[0].answer, records[0].given_up
        if answer is None:
            return
        for result in answer:  # type: ignore[attr-defined]
            record = records[result.request_index]
            if result.HasField("status"):
                record.answer = failure_in(result.status)
            else:
                record.answer = result.manifest.descriptor.digest
                self._check_bytes(record, result.manifest.raw)

    def _check_bytes(self, record: CallRecord, raw: bytes) -> None:
        if raw != BY_DIGEST[str(record.answer)].manifest:
            record.notes.append("the bytes are not those of the digest")

    async def _list_tags(self) -> None:
        repository = self._choice.choice(REPOSITORIES)
        size = self._choice.choice((1, 2, 3, 100))
        view = self._choice.choice((ListTagsRequest.NAMES, ListTagsRequest.DESCRIPTORS, ListTagsRequest.FULL))
        token, after = "", ""
        while True:
            record = self._begin("ListTags", repository=repository)
            request = ListTagsRequest(repository=repository, page_size=size, page_token=token, view=view)
            answer = await self._end(record, self._stub.ListTags(request, timeout=DEADLINE))
            if answer is None:
                return
            self._check_details(record, answer, view)
            tags = tuple(answer.tags)  # type: ignore[attr-defined]
            token = answer.next_page_token  # type: ignore[attr-defined]
            record.answer = Page(tags, after, last=not token)
            after = tags[-1] if tags else after
            if not token:
                return

    async def _newest_tags(self) -> None:
        repository = self._choice.choice(REPOSITORIES)
        record = self._begin("ListTags", repository=repository)
        request = ListTagsRequest(repository=repository, view=ListTagsRequest.FULL, order_by="created desc")
        answer = await self._end(record, self._stub.ListTags(request, timeout=DEADLINE))
        if answer is not None:
            self._check_details(record, answer, ListTagsRequest.FULL)
            record.answer = Page(tuple(sorted(answer.tags)), "", last=True)  # type: ignore[attr-defined]

    async def _tags_on_digest(self) -> None:
        """With descriptors, so that a failure is the status of a tag."""
        repository, digest = self._choice.choice(REPOSITORIES), self._choice.choice(list(BY_DIGEST))
        record = self._begin("ListTags of a digest", repository=repository, reference=digest)
        request = ListTagsRequest(repository=repository, view=ListTagsRequest.DESCRIPTORS, digest=digest)
        answer = await self._end(record, self._stub.ListTags(request, timeout=DEADLINE))
        if answer is not None:
            details = answer.details  # type: ignore[attr-defined]
            if any(not one.HasField("status") and one.descriptor.digest != digest for one in details):
                record.notes.append("a tag on another digest is listed")
            self._add_details(record, details)
            record.answer = frozenset(one.tag for one in details if not one.HasField("status"))

    def _check_details(self, record: CallRecord, answer: object, view: int) -> None:
        tags, details = list(answer.tags), answer.details  # type: ignore[attr-defined]
        if [one.tag for one in details] != (tags if view else []):
            record.notes.append("the details are not those of the tags")
        self._add_details(record, details)

    def _add_details(self, record: CallRecord, details: Sequence[TagDetails]) -> None:
        """Each tag's descriptor, or its failure, is an answer of its own."""
        for one in details:
            own = self._begin("details", repository=record.repository, reference=one.tag)
            own.start, own.end = record.start, record.end
            if one.HasField("descriptor"):
                own.answer = one.descriptor.digest
                if not one.HasField("status") and one.HasField("created") and not one.platforms:
                    own.notes.append("a date without a platform")
            else:
                own.answer = failure_in(one.status)

    async def _catalog(self) -> None:
        token, after = "", ""
        while True:
            record = self._begin("Catalog")
            request = CatalogRequest(page_size=self._choice.choice((1, 2, 100)), include_tags=True, page_token=token)
            answer = await self._end(record, self._stub.Catalog(request, timeout=DEADLINE))
            if answer is None:
                return
            token = answer.next_page_token  # type: ignore[attr-defined]
            entries = answer.repositories  # type: ignore[attr-defined]
            record.answer = tuple(map(_tagged, entries))
            names = self._begin("catalog page", max_staleness=0)
            names.start, names.end = record.start, record.end
            names.answer = Page(tuple(entry.name for entry in entries), after, last=not token)
            after = entries[-1].name if entries else after
            if not token:
                return

    async def _stream(self) -> None:
        record = self._begin("StreamCatalog")

        async def entries() -> tuple[Tagged, ...]:
            stream = self._stub.StreamCatalog(StreamCatalogRequest(include_tags=True), timeout=DEADLINE)
            return tuple([_tagged(entry) async for message in stream for entry in message.repositories])

        answer = await self._end(record, entries())
        if answer is not None:
            record.answer = answer  # type: ignore[assignment]
            names = self._begin("catalog page")
            names.start, names.end = record.start, record.end
            names.answer = Page(tuple(entry.repository for entry in answer), "", last=True)  # type: ignore[attr-defined]

    async def _delete(self) -> None:
        repository = self._choice.choice(REPOSITORIES)
        expected = frozenset(self._choice.sample(TAGS, self._choice.randint(0, 3)))
        wanted = DeleteRequest(
            digest=self._choice.choice(list(BY_DIGEST)),
            expected_tags=expected,
            force=self._choice.random() < 0.15,
            validate_only=self._choice.random() < 0.25,
        )
        request = DeleteManifestRequest(
            repository=repository,
            digest=wanted.digest,
            expected_tags=sorted(expected),
            force=wanted.force,
            validate_only=wanted.validate_only,
        )
        record = self._begin("DeleteManifest", repository=repository, reference=wanted.digest, delete=wanted)
        answer = await self._end(record, self._stub.DeleteManifest(request, timeout=DEADLINE))
        if answer is not None:
            record.answer = frozenset(answer.deleted_tags)  # type: ignore[attr-defined]

    async def _batch_delete(self) -> None:
        repository, validate_only = self._choice.choice(REPOSITORIES), self._choice.random() < 0.25
        wanted = [
            DeleteRequest(
                digest=digest,
                expected_tags=frozenset(self._choice.sample(TAGS, self._choice.randint(0, 4))),
                force=self._choice.random() < 0.1,
                validate_only=validate_only,
            )
            for digest in self._choice.sample(list(BY_DIGEST), self._choice.randint(1, 5))
        ]
        records = [
            self._begin("BatchDeleteManifests", repository=repository, reference=one.digest, delete=one)
            for one in wanted
        ]
        request = BatchDeleteManifestsRequest(
            repository=repository,
            validate_only=validate_only,
            requests=[
                DeleteManifestRequest(digest=one.digest, expected_tags=sorted(one.expected_tags), force=one.force)
                for one in wanted
            ],
        )

        async def results() -> list[object]:
            stream = self._stub.BatchDeleteManifests(request, timeout=DEADLINE)
            return [result async for message in stream for result in message.results]

        answer = await self._end(records[0], results())
        for record in records[1:]:
            record.end, record.answer, record.given_up = records[0].end, records[0].answer, records[0].given_up
        if answer is None:
            return
        for result in answer:  # type: ignore[attr-defined]
            record = records[result.request_index]
            if result.HasField("status"):
                record.answer = failure_in(result.status)
            else:
                record.answer = frozenset(result.deleted.deleted_tags)

    async def _delete_tag(self) -> None:
        repository, tag = self._choice.choice(REPOSITORIES), self._choice.choice(TAGS)
        wanted = TagDeleteRequest(
            expected=self._choice.choice(["", "", "", *BY_DIGEST]), validate_only=self._choice.random() < 0.25
        )
        request = DeleteTagRequest(
            repository=repository, tag=tag, expected_digest=wanted.expected, validate_only=wanted.validate_only
        )
        record = self._begin("DeleteTag", repository=repository, reference=tag, tag_delete=wanted)
        answer = await self._end(record, self._stub.DeleteTag(request, timeout=DEADLINE))
        if answer is not None:
            record.answer = answer.digest  # type: ignore[attr-defined]

    async def _delete_blob(self) -> None:
        repository, digest = self._choice.choice(REPOSITORIES), self._choice.choice(list(BY_DIGEST))
        record = self._begin("DeleteBlob", repository=repository, reference=digest)
        request = DeleteBlobRequest(repository=repository, digest=digest)
        if await self._end(record, self._stub.DeleteBlob(request, timeout=DEADLINE)) is not None:
            record.answer = frozenset[str]()

    async def _info(self) -> None:
        record = self._begin("GetRegistryInfo")
        answer = await self._end(record, self._stub.GetRegistryInfo(GetRegistryInfoRequest(), timeout=DEADLINE))
        if answer is not None:
            record.answer = "reachable" if answer.reachable else "unreachable"  # type: ignore[attr-defined]


def _refer(request: GetManifestRequest, tag: str, digest: str) -> None:
    if tag:
        request.tag = tag
    else:
        request.digest = digest


def _tagged(entry: Repository) -> Tagged:
    if entry.HasField("tags_status"):
        return Tagged(entry.name, failure_in(entry.tags_status))
    return Tagged(entry.name, tuple(entry.tags))
