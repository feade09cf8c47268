"""A fake gateway for the tests of the client: fixed content on a free port, and failures on demand."""

import hashlib
import json
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import NoReturn, Self

import grpc
from google.protobuf.any_pb2 import Any
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc.error_details_pb2 import ErrorInfo, PreconditionFailure, RetryInfo
from google.rpc.status_pb2 import Status
from grpc_status import rpc_status

from portus.registry.v1 import (
    image_config_pb2,
    manifest_pb2,
    referrer_pb2,
    registry_service_pb2,
    tag_details_pb2,
    tag_history_pb2,
    watch_pb2,
)
from portus.registry.v1.registry_service_pb2_grpc import (
    RegistryServiceServicer,
    add_RegistryServiceServicer_to_server,
)

IMAGE_TYPE = "application/vnd.oci.image.manifest.v1+json"
INDEX_TYPE = "application/vnd.oci.image.index.v1+json"
UNKNOWN_TYPE = "application/vnd.example.unknown"
LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar+gzip"
CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"

CONFIG_DIGEST = "sha256:" + "c" * 64
LAYER_DIGEST = "sha256:" + "b" * 64
TAGS_PER_PAGE = 1000
REFERRERS_PER_PAGE = 2
BLOB = bytes(range(256)) * 1200
BLOB_DIGEST = f"sha256:{hashlib.sha256(BLOB).hexdigest()}"
BLOB_CHUNK = 64 * 1024

# For `failures` and `silent`: after the results of a batch instead of before them.
BATCH_END = "BatchGetManifests' end"


def status(code: grpc.StatusCode, message: str, reason: str = "", *details: Message, **metadata: str) -> Status:
    """A status with ErrorInfo, if there is a reason, and the `details`."""
    number: int = code.value[0]
    answer = Status(code=number, message=message)
    information = [ErrorInfo(domain="portus-gateway", reason=reason, metadata=metadata)] if reason else []
    for detail in (*information, *details):
        packed = Any()
        packed.Pack(detail)
        answer.details.append(packed)
    return answer


def retry_after(seconds: int) -> RetryInfo:
    return RetryInfo(retry_delay=Duration(seconds=seconds))


def tagged(tags: Iterable[str], count: int | None = None) -> Status:
    listed = list(tags)
    violations = [PreconditionFailure.Violation(type="TAGGED", subject=tag) for tag in listed]
    return status(
        grpc.StatusCode.FAILED_PRECONDITION,
        "unexpected tags point to the digest",
        "TAGGED",
        PreconditionFailure(violations=violations),
        tags=str(len(listed) if count is None else count),
    )


def referenced_by(tags: Iterable[str]) -> Status:
    violations = [PreconditionFailure.Violation(type="REFERENCED", subject=tag) for tag in tags]
    return status(
        grpc.StatusCode.FAILED_PRECONDITION,
        "tagged indexes contain the manifest",
        "REFERENCED",
        PreconditionFailure(violations=violations),
    )


TAGS_UNKNOWN = status(grpc.StatusCode.UNAVAILABLE, "the registry took too long", "UPSTREAM_TIMEOUT")


def digest_of(raw: bytes) -> str:
    return f"sha256:{hashlib.sha256(raw).hexdigest()}"


def image(name: str) -> manifest_pb2.Manifest:
    raw = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": IMAGE_TYPE,
            "config": {"mediaType": CONFIG_TYPE, "digest": CONFIG_DIGEST, "size": 1000},
            "layers": [{"mediaType": LAYER_TYPE, "digest": LAYER_DIGEST, "size": 2_500_000}],
            "annotations": {"name": name},
        }
    ).encode()
    return manifest_pb2.Manifest(
        descriptor=manifest_pb2.Descriptor(media_type=IMAGE_TYPE, digest=digest_of(raw), size=len(raw)),
        raw=raw,
        image=manifest_pb2.Image(
            config=manifest_pb2.Descriptor(media_type=CONFIG_TYPE, digest=CONFIG_DIGEST, size=1000),
            layers=[manifest_pb2.Descriptor(media_type=LAYER_TYPE, digest=LAYER_DIGEST, size=2_500_000)],
            annotations={"name": name},
            image_id=CONFIG_DIGEST,
            total_size=2_501_000,
        ),
    )


def index(children: dict[str, manifest_pb2.Manifest]) -> manifest_pb2.Manifest:
    descriptors = []
    for platform, child in children.items():
        os, _, architecture = platform.partition("/")
        described = manifest_pb2.Descriptor(platform=manifest_pb2.Platform(os=os, architecture=architecture))
        described.MergeFrom(child.descriptor)
        descriptors.append(described)
    raw = json.dumps({"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": list(children)}).encode()
    return manifest_pb2.Manifest(
        descriptor=manifest_pb2.Descriptor(media_type=INDEX_TYPE, digest=digest_of(raw), size=len(raw)),
        raw=raw,
        index=manifest_pb2.Index(manifests=descriptors),
    )


def unknown_content(raw: bytes) -> manifest_pb2.Manifest:
    return manifest_pb2.Manifest(
        descriptor=manifest_pb2.Descriptor(media_type=UNKNOWN_TYPE, digest=digest_of(raw)), raw=raw
    )


CONFIG_RAW = json.dumps(
    {
        "created": "2026-11-28T04:30:00.123456789Z",
        "os": "linux",
        "architecture": "amd64",
        "config": {"Labels": {"version": "1.0"}, "Env": ["PATH=/bin"], "Entrypoint": ["/app"], "Cmd": ["--serve"]},
    }
).encode()
CONFIG = image_config_pb2.ImageConfig(
    config=manifest_pb2.Descriptor(media_type=CONFIG_TYPE, digest=digest_of(CONFIG_RAW), size=len(CONFIG_RAW)),
    created=Timestamp(seconds=1795840200, nanos=123456789),
    author="team",
    platform=manifest_pb2.Platform(os="linux", architecture="amd64"),
    labels={"version": "1.0"},
    env=["PATH=/bin"],
    entrypoint=["/app"],
    cmd=["--serve"],
    user="nobody",
    working_dir="/srv",
    exposed_ports=["8080/tcp"],
    volumes=["/data"],
    stop_signal="SIGTERM",
    diff_ids=[LAYER_DIGEST],
    history=[image_config_pb2.ImageHistory(created=Timestamp(seconds=1), created_by="COPY app /app", empty_layer=True)],
    raw=CONFIG_RAW,
)
IMAGE = image("app")
AMD64 = image("amd64")
ARM64 = image("arm64")
INDEX = index({"linux/amd64": AMD64, "linux/arm64": ARM64})
IMAGE_DIGEST = IMAGE.descriptor.digest
MANY_TAGS = tuple(f"v{number:04}" for number in range(2500))


SIGNATURE_TYPE = "application/vnd.dev.cosign.simplesigning.v1+json"
SBOM_TYPE = "application/spdx+json"
REFERRERS = (
    referrer_pb2.Referrer(
        descriptor=manifest_pb2.Descriptor(
            media_type=IMAGE_TYPE, digest="sha256:" + "d" * 64, size=500, artifact_type=SBOM_TYPE
        ),
        source=referrer_pb2.Referrer.REFERRERS_API,
        layers=[manifest_pb2.Descriptor(media_type=SBOM_TYPE, digest=BLOB_DIGEST, size=len(BLOB))],
    ),
    referrer_pb2.Referrer(
        descriptor=manifest_pb2.Descriptor(media_type=IMAGE_TYPE, digest="sha256:" + "e" * 64, size=600),
        source=referrer_pb2.Referrer.FALLBACK_TAG,
        tag=IMAGE_DIGEST.replace(":", "-"),
        layers_status=status(grpc.StatusCode.NOT_FOUND, "there is no such manifest", "MANIFEST_UNKNOWN"),
    ),
    referrer_pb2.Referrer(
        descriptor=manifest_pb2.Descriptor(
            media_type=IMAGE_TYPE,
            digest="sha256:" + "f" * 64,
            size=700,
            artifact_type=SIGNATURE_TYPE,
            annotations={"who": "me"},
        ),
        source=referrer_pb2.Referrer.COSIGN_TAG,
        tag=f"{IMAGE_DIGEST.replace(':', '-')}.sig",
        layers=[manifest_pb2.Descriptor(media_type=SIGNATURE_TYPE, digest=BLOB_DIGEST, size=len(BLOB))],
    ),
)


class Gateway(RegistryServiceServicer):
    """Serves `repositories` (their tags, or a status instead) and `manifests` until it is closed.

    `referenced` are digests that a tagged index contains. `kept_tags` remain when their manifest is deleted.
    `unusable_tags` are names of a repository that are not valid tags. `tag_details` replaces what is made of manifests.
    `failures` are the errors of the next calls of an RPC. An RPC in `silent` never responds.
    `next_page_token`, if set, is the token of every page of tags. `caller` is the name in the client certificate of the
    last call.
    """

    def __init__(self, credentials: grpc.ServerCredentials | None = None) -> None:
        self.repositories: dict[str, tuple[str, ...] | Status] = {
            "empty": (),
            "many": MANY_TAGS,
            "team/app": ("1.0", "latest", "multi"),
        }
        self.manifests = {IMAGE_DIGEST: IMAGE, INDEX.descriptor.digest: INDEX}
        self.manifests |= {child.descriptor.digest: child for child in (AMD64, ARM64)}
        self.tags = {"1.0": IMAGE_DIGEST, "latest": IMAGE_DIGEST, "multi": INDEX.descriptor.digest}
        self.image_config = CONFIG
        self.tag_details: dict[str, tag_details_pb2.TagDetails] = {}
        self.blobs = {LAYER_DIGEST}
        self.info = registry_service_pb2.GetRegistryInfoResponse(
            reachable=True,
            api_version="registry/2.0",
            gateway_version="1.2.3",
            deletion_enabled=True,
            limits=registry_service_pb2.Limits(
                default_page_size=100, max_page_size=1000, max_call_duration=Duration(seconds=60)
            ),
        )
        self.failures: dict[str, list[Status]] = {}
        self.history = [watch_pb2.Event.TAG_CREATED]
        self.watches: list[list[watch_pb2.WatchEventsResponse | Status | None]] = []
        """What each call of WatchEvents sends; a status ends the call with it, and None is silence until it ends."""
        self.referenced: set[str] = set()
        self.unusable_tags: dict[str, tuple[str, ...]] = {}
        self.kept_tags: set[str] = set()
        self.silent: set[str] = set()
        self.next_page_token = ""
        self.requests: list[tuple[str, Message]] = []
        self.metadata: dict[str, str | bytes] = {}
        self.time_given = 0.0
        self.caller = ""
        self.referrers = [*REFERRERS]
        self.blob_contents = {BLOB_DIGEST: BLOB}
        self.blob_breaks: list[int] = []
        """The positions at which the next reads of a blob break, in this order."""
        self.listing_ended = threading.Event()
        self.blob_ended = threading.Event()
        self.watch_ended = threading.Event()
        self.batch_ended = threading.Event()
        self._closed = threading.Event()
        self._server = grpc.server(ThreadPoolExecutor(8), options=[("grpc.so_reuseport", 0)])
        add_RegistryServiceServicer_to_server(self, self._server)
        if credentials is None:
            self.port = self._server.add_insecure_port("127.0.0.1:0")
        else:
            self.port = self._server.add_secure_port("127.0.0.1:0", credentials)

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._closed.set()
        self._server.stop(None).wait()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def called(self, rpc: str) -> int:
        """Number of calls of an RPC."""
        return sum(name == rpc for name, _ in self.requests)

    def GetRegistryInfo(  # noqa: N802
        self, request: registry_service_pb2.GetRegistryInfoRequest, context: grpc.ServicerContext
    ) -> registry_service_pb2.GetRegistryInfoResponse:
        self._begin("GetRegistryInfo", request, context)
        return self.info

    def Catalog(  # noqa: N802
        self, request: registry_service_pb2.CatalogRequest, context: grpc.ServicerContext
    ) -> registry_service_pb2.CatalogResponse:
        self._begin("Catalog", request, context)
        names = self._names(request.prefix)
        start = int(request.page_token or 0)
        end = start + (request.page_size or 100)
        return registry_service_pb2.CatalogResponse(
            repositories=[self._repository(name, request.include_tags) for name in names[start:end]],
            next_page_token=str(end) if end < len(names) else "",
        )

    def StreamCatalog(  # noqa: N802
        self, request: registry_service_pb2.StreamCatalogRequest, context: grpc.ServicerContext
    ) -> Iterator[registry_service_pb2.StreamCatalogResponse]:
        context.add_callback(self.listing_ended.set)
        names = self._names(request.prefix)
        # Several in one message.
        for start in range(0, len(names), 2):
            repositories = [self._repository(name, request.include_tags) for name in names[start : start + 2]]
            yield registry_service_pb2.StreamCatalogResponse(repositories=repositories)
        # An error comes after the repositories.
        self._begin("StreamCatalog", request, context)

    def ListTags(  # noqa: N802
        self, request: registry_service_pb2.ListTagsRequest, context: grpc.ServicerContext
    ) -> registry_service_pb2.ListTagsResponse:
        self._begin("ListTags", request, context)
        tags = self.repositories.get(request.repository)
        if not isinstance(tags, tuple):
            _fail(context, status(grpc.StatusCode.NOT_FOUND, "there is no such repository", "NAME_UNKNOWN"))
        if self.next_page_token and self.called("ListTags") < 10:  # an endless listing would make the test hang
            return registry_service_pb2.ListTagsResponse(tags=tags, next_page_token=self.next_page_token)
        if request.digest:
            tags = tuple(tag for tag in tags if self.tags.get(tag) == request.digest)
        start = int(request.page_token or 0)
        end = start + min(request.page_size or 100, TAGS_PER_PAGE)
        named = request.view == registry_service_pb2.ListTagsRequest.NAMES
        # The API allows an empty page before the end.
        return registry_service_pb2.ListTagsResponse(
            tags=tags[start:end],
            details=[] if named else [self._details(tag, request.view) for tag in tags[start:end]],
            next_page_token=str(end) if start < len(tags) else "",
            unusable_tags=self.unusable_tags.get(request.repository, ()) if start == 0 else (),
        )

    def ListTagHistory(  # noqa: N802
        self, request: tag_history_pb2.ListTagHistoryRequest, context: grpc.ServicerContext
    ) -> tag_history_pb2.ListTagHistoryResponse:
        self._begin("ListTagHistory", request, context)
        number = int(request.page_token or 0)
        event = watch_pb2.Event(type=self.history[number], repository=request.repository, tag=request.tag)
        # One event on each page.
        following = str(number + 1) if number + 1 < len(self.history) else ""
        return tag_history_pb2.ListTagHistoryResponse(events=[event], next_page_token=following)

    def FindTags(  # noqa: N802
        self, request: tag_history_pb2.FindTagsRequest, context: grpc.ServicerContext
    ) -> tag_history_pb2.FindTagsResponse:
        self._begin("FindTags", request, context)
        tags = [tag_history_pb2.FoundTag(repository="team/app", tag="1.0", digest=IMAGE_DIGEST)]
        return tag_history_pb2.FindTagsResponse(tags=[] if request.page_token else tags)

    def WatchEvents(  # noqa: N802
        self, request: watch_pb2.WatchEventsRequest, context: grpc.ServicerContext
    ) -> Iterator[watch_pb2.WatchEventsResponse]:
        ended = threading.Event()
        context.add_callback(ended.set)
        context.add_callback(self.watch_ended.set)
        self._begin("WatchEvents", request, context)
        for step in self.watches.pop(0) if self.watches else ():
            if step is None:
                ended.wait()
                return
            if isinstance(step, Status):
                _fail(context, step)
            yield step

    def ResolveManifest(  # noqa: N802
        self, request: registry_service_pb2.ResolveManifestRequest, context: grpc.ServicerContext
    ) -> registry_service_pb2.ResolveManifestResponse:
        self._begin("ResolveManifest", request, context)
        outcome = self._chosen(request)
        if isinstance(outcome, Status):
            _fail(context, outcome)
        return registry_service_pb2.ResolveManifestResponse(descriptor=outcome.descriptor)

    def BatchResolveManifests(  # noqa: N802
        self, request: registry_service_pb2.BatchResolveManifestsRequest, context: grpc.ServicerContext
    ) -> Iterator[registry_service_pb2.BatchResolveManifestsResponse]:
        self._begin("BatchResolveManifests", request, context)
        for index, item in reversed(list(enumerate(request.requests))):
            result = registry_service_pb2.BatchResolveManifestsResult(request_index=index)
            outcome = self._chosen(item)
            if isinstance(outcome, Status):
                result.status.CopyFrom(outcome)
            else:
                result.descriptor.CopyFrom(outcome.descriptor)
            yield registry_service_pb2.BatchResolveManifestsResponse(results=[result])

    def GetManifest(  # noqa: N802
        self, request: registry_service_pb2.GetManifestRequest, context: grpc.ServicerContext
    ) -> registry_service_pb2.GetManifestResponse:
        self._begin("GetManifest", request, context)
        outcome = self._chosen(request)
        if isinstance(outcome, Status):
            _fail(context, outcome)
        return registry_service_pb2.GetManifestResponse(manifest=outcome)

    def BatchGetManifests(  # noqa: N802
        self, request: registry_service_pb2.BatchGetManifestsRequest, context: grpc.ServicerContext
    ) -> Iterator[registry_service_pb2.BatchGetManifestsResponse]:
        context.add_callback(self.batch_ended.set)
        self._begin("BatchGetManifests", request, context)
        # The API promises no order, so the results come in reverse, and several in one message.
        results = [self._batch_result(index, item) for index, item in enumerate(request.requests)][::-1]
        for start in range(0, len(results), 3):
            yield registry_service_pb2.BatchGetManifestsResponse(results=results[start : start + 3])
        self._fail_if_asked(BATCH_END, context)

    def GetImageConfig(  # noqa: N802
        self, request: registry_service_pb2.GetImageConfigRequest, context: grpc.ServicerContext
    ) -> registry_service_pb2.GetImageConfigResponse:
        self._begin("GetImageConfig", request, context)
        outcome = self._image_config(request)
        if isinstance(outcome, Status):
            _fail(context, outcome)
        return registry_service_pb2.GetImageConfigResponse(image_config=outcome)

    def BatchGetImageConfigs(  # noqa: N802
        self, request: registry_service_pb2.BatchGetImageConfigsRequest, context: grpc.ServicerContext
    ) -> Iterator[registry_service_pb2.BatchGetImageConfigsResponse]:
        self._begin("BatchGetImageConfigs", request, context)
        for index, item in reversed(list(enumerate(request.requests))):
            result = registry_service_pb2.BatchGetImageConfigsResult(request_index=index)
            outcome = self._image_config(item)
            if isinstance(outcome, Status):
                result.status.CopyFrom(outcome)
            else:
                result.image_config.CopyFrom(outcome)
            yield registry_service_pb2.BatchGetImageConfigsResponse(results=[result])

    def ListReferrers(  # noqa: N802
        self, request: registry_service_pb2.ListReferrersRequest, context: grpc.ServicerContext
    ) -> registry_service_pb2.ListReferrersResponse:
        self._begin("ListReferrers", request, context)
        found = [
            referrer
            for referrer in self.referrers
            if request.artifact_type in ("", referrer.descriptor.artifact_type) and request.digest == IMAGE_DIGEST
        ]
        start = int(request.page_token or 0)
        end = start + min(request.page_size or 100, REFERRERS_PER_PAGE)
        return registry_service_pb2.ListReferrersResponse(
            referrers=found[start:end], next_page_token=str(end) if end < len(found) else ""
        )

    def ReadBlob(  # noqa: N802
        self, request: registry_service_pb2.ReadBlobRequest, context: grpc.ServicerContext
    ) -> Iterator[registry_service_pb2.ReadBlobResponse]:
        context.add_callback(self.blob_ended.set)
        self._begin("ReadBlob", request, context)
        content = self.blob_contents.get(request.digest)
        if content is None:
            _fail(context, status(grpc.StatusCode.NOT_FOUND, "there is no such blob", "BLOB_UNKNOWN"))
        if request.offset > len(content):
            _fail(context, status(grpc.StatusCode.OUT_OF_RANGE, "the blob is smaller", "RANGE_INVALID"))
        yield registry_service_pb2.ReadBlobResponse(size=len(content))
        end = request.offset + request.limit if request.limit else len(content)
        for start in range(request.offset, min(end, len(content)), BLOB_CHUNK):
            if self.blob_breaks and start >= self.blob_breaks[0]:
                del self.blob_breaks[0]
                _fail(context, status(grpc.StatusCode.UNAVAILABLE, "it broke", "UPSTREAM_UNREACHABLE"))
            yield registry_service_pb2.ReadBlobResponse(chunk=content[start : min(start + BLOB_CHUNK, end)])

    def DeleteManifest(  # noqa: N802
        self, request: registry_service_pb2.DeleteManifestRequest, context: grpc.ServicerContext
    ) -> registry_service_pb2.DeleteManifestResponse:
        self._begin("DeleteManifest", request, context)
        outcome = self._deleted(request, validate_only=request.validate_only)
        if isinstance(outcome, Status):
            _fail(context, outcome)
        return outcome

    def BatchDeleteManifests(  # noqa: N802
        self, request: registry_service_pb2.BatchDeleteManifestsRequest, context: grpc.ServicerContext
    ) -> Iterator[registry_service_pb2.BatchDeleteManifestsResponse]:
        self._begin("BatchDeleteManifests", request, context)
        # The API promises no order.
        for index, item in reversed(list(enumerate(request.requests))):
            result = registry_service_pb2.BatchDeleteManifestsResult(request_index=index)
            outcome = self._deleted(item, validate_only=request.validate_only)
            if isinstance(outcome, Status):
                result.status.CopyFrom(outcome)
            else:
                result.deleted.CopyFrom(outcome)
            yield registry_service_pb2.BatchDeleteManifestsResponse(results=[result])

    def DeleteTag(  # noqa: N802
        self, request: registry_service_pb2.DeleteTagRequest, context: grpc.ServicerContext
    ) -> registry_service_pb2.DeleteTagResponse:
        self._begin("DeleteTag", request, context)
        digest = self.tags.get(request.tag)
        if digest is None:
            _fail(context, status(grpc.StatusCode.NOT_FOUND, "there is no such tag", "MANIFEST_UNKNOWN"))
        if request.expected_digest not in ("", digest):
            _fail(context, status(grpc.StatusCode.FAILED_PRECONDITION, f"it points to {digest}", "TAG_MOVED"))
        if not request.validate_only:
            del self.tags[request.tag]
        return registry_service_pb2.DeleteTagResponse(digest=digest)

    def DeleteBlob(  # noqa: N802
        self, request: registry_service_pb2.DeleteBlobRequest, context: grpc.ServicerContext
    ) -> registry_service_pb2.DeleteBlobResponse:
        self._begin("DeleteBlob", request, context)
        if request.digest not in self.blobs:
            _fail(context, status(grpc.StatusCode.NOT_FOUND, "there is no such blob", "BLOB_UNKNOWN"))
        if not request.validate_only:
            self.blobs.remove(request.digest)
        return registry_service_pb2.DeleteBlobResponse(digest=request.digest)

    def _deleted(
        self, request: registry_service_pb2.DeleteManifestRequest, *, validate_only: bool
    ) -> registry_service_pb2.DeleteManifestResponse | Status:
        if request.digest not in self.manifests:
            return status(grpc.StatusCode.NOT_FOUND, "there is no such manifest", "MANIFEST_UNKNOWN")
        tags = sorted(tag for tag, digest in self.tags.items() if digest == request.digest)
        unexpected = [tag for tag in tags if tag not in request.expected_tags]
        if unexpected and not request.force:
            return tagged(unexpected)
        if request.digest in self.referenced and not request.force:
            return referenced_by(["multi"])
        if not validate_only:
            del self.manifests[request.digest]
            for tag in tags:
                del self.tags[tag]
        return registry_service_pb2.DeleteManifestResponse(
            digest=request.digest,
            deleted_tags=[tag for tag in tags if validate_only or tag not in self.kept_tags],
            remaining_tags=[tag for tag in tags if tag in self.kept_tags and not validate_only],
        )

    def _begin(self, rpc: str, request: Message, context: grpc.ServicerContext) -> None:
        self.requests.append((rpc, request))
        self.metadata = dict(context.invocation_metadata())
        self.caller = "".join(bytes(name).decode() for name in context.auth_context().get("x509_common_name", ()))
        self.time_given = context.time_remaining()
        context.set_trailing_metadata((("x-request-id", str(self.metadata.get("x-request-id", ""))),))
        self._fail_if_asked(rpc, context)

    def _fail_if_asked(self, when: str, context: grpc.ServicerContext) -> None:
        if when in self.silent:
            self._closed.wait()
        if self.failures.get(when):
            _fail(context, self.failures[when].pop(0))

    def _details(
        self, tag: str, view: registry_service_pb2.ListTagsRequest.View.ValueType
    ) -> tag_details_pb2.TagDetails:
        if tag in self.tag_details:
            return self.tag_details[tag]
        details = tag_details_pb2.TagDetails(tag=tag)
        manifest = self.manifests.get(self.tags.get(tag, ""))
        if manifest is None:
            details.status.CopyFrom(status(grpc.StatusCode.NOT_FOUND, "there is no such manifest", "MANIFEST_UNKNOWN"))
            return details
        details.descriptor.CopyFrom(manifest.descriptor)
        if view == registry_service_pb2.ListTagsRequest.FULL:
            details.created.CopyFrom(self.image_config.created)
            details.total_size = 2_501_000
            children = manifest.index.manifests
            details.platforms.extend([child.platform for child in children] or [self.image_config.platform])
        return details

    def _names(self, prefix: str) -> list[str]:
        return sorted(name for name in self.repositories if name.startswith(prefix))

    def _repository(self, name: str, include_tags: bool) -> registry_service_pb2.Repository:
        tags = self.repositories[name]
        if not include_tags:
            return registry_service_pb2.Repository(name=name)
        if isinstance(tags, Status):
            return registry_service_pb2.Repository(name=name, tags_status=tags)
        unusable = self.unusable_tags.get(name, ())
        return registry_service_pb2.Repository(name=name, tags=tags, unusable_tags=unusable)

    def _batch_result(
        self, index: int, request: registry_service_pb2.GetManifestRequest
    ) -> registry_service_pb2.BatchGetManifestsResult:
        outcome = self._chosen(request)
        if isinstance(outcome, Status):
            return registry_service_pb2.BatchGetManifestsResult(request_index=index, status=outcome)
        return registry_service_pb2.BatchGetManifestsResult(request_index=index, manifest=outcome)

    def _image_config(
        self, request: registry_service_pb2.GetImageConfigRequest
    ) -> image_config_pb2.ImageConfig | Status:
        manifest = self._chosen(request)
        if isinstance(manifest, Status):
            return manifest
        if manifest.HasField("index"):
            return status(grpc.StatusCode.FAILED_PRECONDITION, "a platform is required", "PLATFORM_REQUIRED")
        config = image_config_pb2.ImageConfig()
        config.CopyFrom(self.image_config)
        config.manifest.CopyFrom(manifest.descriptor)
        return config

    def _chosen(
        self,
        request: registry_service_pb2.ResolveManifestRequest
        | registry_service_pb2.GetManifestRequest
        | registry_service_pb2.GetImageConfigRequest,
    ) -> manifest_pb2.Manifest | Status:
        manifest = self._manifest(request)
        if isinstance(manifest, Status) or not (request.HasField("platform") and manifest.HasField("index")):
            return manifest
        for child in manifest.index.manifests:
            if child.platform == request.platform:
                return self.manifests[child.digest]
        return status(grpc.StatusCode.NOT_FOUND, "no manifest for the platform", "PLATFORM_UNKNOWN")

    def _manifest(
        self,
        request: registry_service_pb2.ResolveManifestRequest
        | registry_service_pb2.GetManifestRequest
        | registry_service_pb2.GetImageConfigRequest,
    ) -> manifest_pb2.Manifest | Status:
        if request.repository not in self.repositories:
            return status(grpc.StatusCode.NOT_FOUND, "there is no such repository", "NAME_UNKNOWN")
        digest = request.digest if request.WhichOneof("reference") == "digest" else self.tags.get(request.tag, "")
        if digest not in self.manifests:
            return status(grpc.StatusCode.NOT_FOUND, "there is no such manifest", "MANIFEST_UNKNOWN")
        return self.manifests[digest]


def _fail(context: grpc.ServicerContext, answer: Status) -> NoReturn:
    context.abort_with_status(rpc_status.to_status(answer))
