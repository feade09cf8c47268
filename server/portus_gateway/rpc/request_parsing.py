"""Reads requests: each RPC's request becomes an object whose fields are all valid.

If a field is not valid, `InvalidFields` names all bad fields at once. Nothing was sent to the registry then.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, TypeAlias, TypeVar

from google.protobuf.duration_pb2 import Duration

from portus.registry.v1 import manifest_pb2, registry_service_pb2, tag_history_pb2, watch_pb2
from portus_gateway.distribution.digest import Digest
from portus_gateway.distribution.errors import InvalidName
from portus_gateway.distribution.manifest import Platform
from portus_gateway.distribution.names import REPOSITORY_MAX_LENGTH, Repository, Tag, known_tag
from portus_gateway.errors import FieldViolation
from portus_gateway.index.watch_cursor import SealedCursor
from portus_gateway.operations import index_search
from portus_gateway.operations.deletion import BatchDeletion, BlobDeletion, ManifestDeletion, TagDeletion
from portus_gateway.operations.referrers import WantedReferrers
from portus_gateway.operations.tag_details import View
from portus_gateway.operations.tag_listing import WantedTags
from portus_gateway.operations.watching import WantedEvents
from portus_gateway.registry.protocol import Cursor, Part, Reference
from portus_gateway.rpc.call_errors import InvalidFields
from portus_gateway.rpc.limits import DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE
from portus_gateway.rpc.page_tokens import Argument, InvalidPageToken, PageTokens

MAX_EXPECTED_TAGS = 1000
MAX_BATCH = 1000
MAX_WATCHED = 1000
MAX_ARTIFACT_TYPE = 255
LONGEST_TAG = 128
# In seconds.
_HEARTBEAT: Final = 15.0
_SHORTEST_HEARTBEAT: Final = 1.0
_LONGEST_HEARTBEAT: Final = 300.0
_NANOSECONDS = 1_000_000_000
_VIEWS: Final = {
    registry_service_pb2.ListTagsRequest.NAMES: View.NAMES,
    registry_service_pb2.ListTagsRequest.DESCRIPTORS: View.DESCRIPTORS,
    registry_service_pb2.ListTagsRequest.FULL: View.FULL,
}
# Whether the newest come first.
_TAG_ORDERS: Final = {"": False, "name": False, "name asc": False, "created desc": True}
_LONGEST_SHOWN_ORDER: Final = 80

ReadRequest: TypeAlias = (
    registry_service_pb2.ResolveManifestRequest
    | registry_service_pb2.GetManifestRequest
    | registry_service_pb2.GetImageConfigRequest
)
"""A request about the manifest that a reference points to."""

Name = TypeVar("Name", Repository, Tag, Digest)
Request = TypeVar("Request")

# The same names come in many requests. To find a name in a cache is faster than to check it.
_REMEMBERED_NAMES = 4096
_repository = lru_cache(_REMEMBERED_NAMES)(Repository)
_digest = lru_cache(_REMEMBERED_NAMES)(Digest)


@dataclass(frozen=True, slots=True)
class CatalogPage:
    size: int
    after: Cursor | None
    include_tags: bool
    prefix: str
    max_staleness: float


@dataclass(frozen=True, slots=True)
class WholeCatalog:
    include_tags: bool
    prefix: str
    max_staleness: float


@dataclass(frozen=True, slots=True)
class ManifestRead:
    """`max_staleness` is in seconds. Without a `platform`, an index itself is read, not one of its manifests."""

    repository: Repository
    reference: Reference
    platform: Platform | None
    max_staleness: float


@dataclass(frozen=True, slots=True)
class BlobRead:
    repository: Repository
    digest: Digest
    part: Part


def catalog_page(request: registry_service_pb2.CatalogRequest, tokens: PageTokens) -> CatalogPage:
    fields = _Fields()
    size = fields.page_size(request.page_size)
    prefix = fields.prefix(request.prefix)
    max_staleness = fields.not_negative("max_staleness", request.max_staleness)
    after = fields.page_token(tokens, request.page_token, "Catalog", request.include_tags, request.prefix)
    fields.check()
    return CatalogPage(size, after, request.include_tags, prefix, max_staleness)


def catalog_token(cursor: Cursor | None, request: CatalogPage, tokens: PageTokens) -> str:
    return tokens.encode(cursor, "Catalog", request.include_tags, request.prefix)


def whole_catalog(request: registry_service_pb2.StreamCatalogRequest) -> WholeCatalog:
    fields = _Fields()
    prefix = fields.prefix(request.prefix)
    max_staleness = fields.not_negative("max_staleness", request.max_staleness)
    fields.check()
    return WholeCatalog(request.include_tags, prefix, max_staleness)


def tag_page(request: registry_service_pb2.ListTagsRequest, tokens: PageTokens) -> WantedTags:
    fields = _Fields()
    repository = fields.name("repository", _repository, request.repository)
    size = fields.page_size(request.page_size)
    max_staleness = fields.not_negative("max_staleness", request.max_staleness)
    view = fields.view(request.view)
    digest = fields.name("digest", _digest, request.digest) if request.digest else None
    newest_first = fields.tag_order(request.order_by, view)
    arguments = _tag_arguments(request.repository, view, request.digest, request.omit_referrer_tags, newest_first)
    after = fields.page_token(tokens, request.page_token, "ListTags", *arguments)
    if repository is None or fields.violations:
        raise fields.error()
    return WantedTags(
        repository=repository,
        size=size,
        after=after,
        view=view,
        digest=digest,
        omit_referrer_tags=request.omit_referrer_tags,
        newest_first=newest_first,
        max_staleness=max_staleness,
    )


def tag_token(cursor: Cursor | None, wanted: WantedTags, tokens: PageTokens) -> str:
    digest = "" if wanted.digest is None else wanted.digest.text
    arguments = _tag_arguments(
        wanted.repository.name, wanted.view, digest, wanted.omit_referrer_tags, wanted.newest_first
    )
    return tokens.encode(cursor, "ListTags", *arguments)


def _tag_arguments(
    repository: str, view: View, digest: str, omit_referrer_tags: bool, newest_first: bool
) -> tuple[Argument, ...]:
    return repository, view.name, digest, omit_referrer_tags, newest_first


def wanted_events(request: watch_pb2.WatchEventsRequest) -> WantedEvents:
    fields = _Fields()
    prefix = fields.prefix(request.prefix)
    if len(request.repositories) > MAX_WATCHED:
        fields.refuse(
            "repositories", f"has {len(request.repositories)} names; at most {MAX_WATCHED} are allowed: use `prefix`"
        )
        raise fields.error()
    for position, name in enumerate(request.repositories):
        fields.name(f"repositories[{position}]", _repository, name)
    cursor = None
    if request.WhichOneof("start") == "after_cursor":
        try:
            cursor = SealedCursor.decode(request.after_cursor)
        except ValueError as error:
            fields.refuse("after_cursor", str(error))
    heartbeat = _HEARTBEAT
    if request.HasField("heartbeat_interval"):
        heartbeat = _seconds(request.heartbeat_interval)
        if not _SHORTEST_HEARTBEAT <= heartbeat <= _LONGEST_HEARTBEAT:
            fields.refuse(
                "heartbeat_interval", f"must be {_SHORTEST_HEARTBEAT:g} second to {_LONGEST_HEARTBEAT:g} seconds"
            )
    fields.check()
    return WantedEvents(prefix, frozenset(request.repositories), cursor, request.current_state, heartbeat)


@dataclass(frozen=True, slots=True)
class TagHistoryPage:
    repository: Repository
    tag: Tag
    size: int
    after: Cursor | None


def tag_history(request: tag_history_pb2.ListTagHistoryRequest, tokens: PageTokens) -> TagHistoryPage:
    fields = _Fields()
    repository = fields.name("repository", _repository, request.repository)
    tag = fields.name("tag", known_tag, request.tag)
    size = fields.page_size(request.page_size)
    after = fields.page_token(tokens, request.page_token, "ListTagHistory", request.repository, request.tag)
    if repository is None or tag is None or fields.violations:
        raise fields.error()
    return TagHistoryPage(repository, tag, size, after)


def tag_history_token(cursor: Cursor | None, page: TagHistoryPage, tokens: PageTokens) -> str:
    return tokens.encode(cursor, "ListTagHistory", page.repository.name, page.tag.name)


def find_tags(request: tag_history_pb2.FindTagsRequest, tokens: PageTokens) -> index_search.WantedTags:
    fields = _Fields()
    digest = None
    match request.WhichOneof("wanted"):
        case "digest":
            digest = fields.name("digest", _digest, request.digest)
        case "name_contains":
            if not 1 <= len(request.name_contains) <= LONGEST_TAG:
                fields.refuse("name_contains", f"must have 1 to {LONGEST_TAG} characters")
        case None:
            fields.refuse("wanted", "required: set `digest` or `name_contains`")
    prefix = fields.prefix(request.prefix)
    size = fields.page_size(request.page_size)
    after = fields.page_token(
        tokens, request.page_token, "FindTags", request.digest, request.name_contains, request.prefix
    )
    fields.check()
    return index_search.WantedTags(digest, request.name_contains, prefix, size, after)


def find_tags_token(cursor: Cursor | None, request: tag_history_pb2.FindTagsRequest, tokens: PageTokens) -> str:
    return tokens.encode(cursor, "FindTags", request.digest, request.name_contains, request.prefix)


def manifest_read(request: ReadRequest) -> ManifestRead:
    fields = _Fields()
    repository = fields.name("repository", _repository, request.repository)
    reference = fields.reference(request)
    platform = fields.platform(request.platform) if request.HasField("platform") else None
    max_staleness = fields.not_negative("max_staleness", request.max_staleness)
    if repository is None or reference is None or fields.violations:
        raise fields.error()
    return ManifestRead(repository, reference, platform, max_staleness)


def batch(requests: Sequence[Request]) -> Sequence[Request]:
    """The requests of a batch. Each is parsed by itself later, so that a bad one does not affect the others."""
    fields = _Fields()
    if not 1 <= len(requests) <= MAX_BATCH:
        fields.refuse("requests", f"has {len(requests)} requests; it must have 1 to {MAX_BATCH}")
    fields.check()
    return requests


def manifest_deletion(request: registry_service_pb2.DeleteManifestRequest) -> ManifestDeletion:
    fields = _Fields()
    repository = fields.name("repository", _repository, request.repository)
    digest = fields.name("digest", _digest, request.digest)
    if len(request.expected_tags) > MAX_EXPECTED_TAGS:
        fields.refuse(
            "expected_tags", f"has {len(request.expected_tags)} tags; at most {MAX_EXPECTED_TAGS} are allowed"
        )
        raise fields.error()
    tags = [
        fields.name(f"expected_tags[{position}]", known_tag, tag) for position, tag in enumerate(request.expected_tags)
    ]
    if repository is None or digest is None or fields.violations:
        raise fields.error()
    return ManifestDeletion(
        repository=repository,
        digest=digest,
        expected_tags=frozenset(tag for tag in tags if tag is not None),
        force=request.force,
        validate_only=request.validate_only,
    )


def manifest_batch_deletion(
    request: registry_service_pb2.BatchDeleteManifestsRequest,
) -> BatchDeletion:
    """All mistakes in all requests are reported together: nothing may be deleted then."""
    batch(request.requests)
    fields = _Fields()
    fields.name("repository", _repository, request.repository)
    wanted: list[ManifestDeletion] = []
    first_of: dict[str, int] = {}
    for position, part in enumerate(request.requests):
        within = f"requests[{position}]"
        if part.repository not in ("", request.repository):
            fields.refuse(f"{within}.repository", "must be empty or the repository of the batch")
        if part.validate_only:
            fields.refuse(f"{within}.validate_only", "must not be set: the batch has it")
        if (first := first_of.setdefault(part.digest, position)) != position:
            fields.refuse(f"{within}.digest", f"is the digest of requests[{first}]")
        whole = registry_service_pb2.DeleteManifestRequest(
            repository=request.repository,
            digest=part.digest,
            expected_tags=part.expected_tags,
            force=part.force,
            validate_only=request.validate_only,
        )
        try:
            wanted.append(manifest_deletion(whole))
        except InvalidFields as error:
            for violation in error.field_violations:
                if violation.field != "repository":
                    fields.refuse(f"{within}.{violation.field}", violation.description)
    fields.check()
    return BatchDeletion(tuple(wanted))


def tag_deletion(request: registry_service_pb2.DeleteTagRequest) -> TagDeletion:
    fields = _Fields()
    repository = fields.name("repository", _repository, request.repository)
    tag = fields.name("tag", known_tag, request.tag)
    expected = fields.name("expected_digest", _digest, request.expected_digest) if request.expected_digest else None
    if repository is None or tag is None or fields.violations:
        raise fields.error()
    return TagDeletion(repository=repository, tag=tag, expected_digest=expected, validate_only=request.validate_only)


def referrers_page(request: registry_service_pb2.ListReferrersRequest, tokens: PageTokens) -> WantedReferrers:
    fields = _Fields()
    repository = fields.name("repository", _repository, request.repository)
    digest = fields.name("digest", _digest, request.digest)
    if len(request.artifact_type) > MAX_ARTIFACT_TYPE:
        fields.refuse(
            "artifact_type",
            f"has {len(request.artifact_type)} characters; at most {MAX_ARTIFACT_TYPE} are allowed",
        )
    size = fields.page_size(request.page_size)
    after = fields.page_token(
        tokens, request.page_token, "ListReferrers", request.repository, request.digest, request.artifact_type
    )
    if repository is None or digest is None or fields.violations:
        raise fields.error()
    return WantedReferrers(
        repository=repository, digest=digest, size=size, artifact_type=request.artifact_type, after=after
    )


def referrers_token(cursor: Cursor | None, wanted: WantedReferrers, tokens: PageTokens) -> str:
    return tokens.encode(cursor, "ListReferrers", wanted.repository.name, wanted.digest.text, wanted.artifact_type)


def blob_read(request: registry_service_pb2.ReadBlobRequest) -> BlobRead:
    fields = _Fields()
    repository = fields.name("repository", _repository, request.repository)
    digest = fields.name("digest", _digest, request.digest)
    for field, value in (("offset", request.offset), ("limit", request.limit)):
        if value < 0:
            fields.refuse(field, f"{value} is negative")
    if repository is None or digest is None or fields.violations:
        raise fields.error()
    return BlobRead(repository, digest, Part(request.offset, request.limit or None))


def blob_deletion(request: registry_service_pb2.DeleteBlobRequest) -> BlobDeletion:
    fields = _Fields()
    repository = fields.name("repository", _repository, request.repository)
    digest = fields.name("digest", _digest, request.digest)
    if repository is None or digest is None:
        raise fields.error()
    return BlobDeletion(repository=repository, digest=digest, validate_only=request.validate_only)


class _Fields:
    """Reads fields and collects their mistakes, so that a caller learns all of them at once."""

    def __init__(self) -> None:
        self.violations: list[FieldViolation] = []

    def refuse(self, field: str, description: str) -> None:
        self.violations.append(FieldViolation(field, description))

    def error(self) -> InvalidFields:
        return InvalidFields(self.violations)

    def check(self) -> None:
        if self.violations:
            raise self.error()

    def name(self, field: str, kind: Callable[[str], Name], text: str) -> Name | None:
        try:
            return kind(text)
        except InvalidName as error:
            self.refuse(field, str(error))
            return None

    def reference(self, request: ReadRequest) -> Reference | None:
        match request.WhichOneof("reference"):
            case "tag":
                return self.name("tag", known_tag, request.tag)
            case "digest":
                return self.name("digest", _digest, request.digest)
            case None:
                self.refuse("reference", "required: set `tag` or `digest`")
                return None

    def prefix(self, text: str) -> str:
        if len(text) > REPOSITORY_MAX_LENGTH:
            self.refuse("prefix", f"has {len(text)} characters; at most {REPOSITORY_MAX_LENGTH} are allowed")
        return text

    def page_size(self, size: int) -> int:
        if size < 0:
            self.refuse("page_size", f"{size} is negative; 0 takes the default of {DEFAULT_PAGE_SIZE}")
        return min(size or DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE)

    def page_token(self, tokens: PageTokens, token: str, rpc: str, *arguments: Argument) -> Cursor | None:
        try:
            return tokens.decode(token, rpc, *arguments)
        except InvalidPageToken as error:
            self.refuse("page_token", str(error))
            return None

    def view(self, view: registry_service_pb2.ListTagsRequest.View.ValueType) -> View:
        if view not in _VIEWS:
            self.refuse("view", f"{view} is no view that this gateway knows")
        return _VIEWS.get(view, View.NAMES)

    def tag_order(self, order_by: str, view: View) -> bool:
        """Whether the newest come first. Spaces count as in AIP-132: between words only."""
        order = " ".join(order_by.split())
        if order not in _TAG_ORDERS:
            shown = order_by if len(order_by) <= _LONGEST_SHOWN_ORDER else f"{order_by[:_LONGEST_SHOWN_ORDER]}…"
            self.refuse("order_by", f"{shown!r} is no order of tags: write `name` or `created desc`")
            return False
        newest_first = _TAG_ORDERS[order]
        if newest_first and view is not View.FULL:
            self.refuse("order_by", "`created desc` needs the view FULL")
        return newest_first

    def platform(self, platform: manifest_pb2.Platform) -> Platform:
        for field, value in (("os", platform.os), ("architecture", platform.architecture)):
            if not value:
                self.refuse(f"platform.{field}", "is required in a platform")
        return Platform(
            os=platform.os,
            architecture=platform.architecture,
            variant=platform.variant,
            os_version=platform.os_version,
            os_features=tuple(platform.os_features),
        )

    def not_negative(self, field: str, duration: Duration) -> float:
        seconds = _seconds(duration)
        if seconds < 0:
            self.refuse(field, "must be 0 or more")
        return seconds


def _seconds(duration: Duration) -> float:
    """The duration in seconds. Less than 0 if it is negative or not valid."""
    if not 0 <= duration.nanos < _NANOSECONDS:
        return -1.0
    return duration.seconds + duration.nanos / _NANOSECONDS
