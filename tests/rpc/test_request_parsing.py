"""What is wrong with a request: which field, and that the registry never hears of it."""

from collections.abc import Sequence
from copy import deepcopy

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message

from portus.registry.v1.manifest_pb2 import Platform
from portus.registry.v1.registry_service_pb2 import (
    BatchDeleteManifestsRequest,
    BatchGetImageConfigsRequest,
    BatchGetManifestsRequest,
    BatchResolveManifestsRequest,
    CatalogRequest,
    DeleteBlobRequest,
    DeleteManifestRequest,
    DeleteTagRequest,
    GetImageConfigRequest,
    GetManifestRequest,
    ListReferrersRequest,
    ListTagsRequest,
    ReadBlobRequest,
    ResolveManifestRequest,
    StreamCatalogRequest,
)
from portus.registry.v1.tag_history_pb2 import FindTagsRequest, ListTagHistoryRequest
from portus.registry.v1.watch_pb2 import WatchEventsRequest
from portus_gateway.devregistry import DevRegistry
from portus_gateway.distribution import Digest, Repository, Tag
from portus_gateway.distribution import Platform as PlatformValue
from portus_gateway.distribution.page import Cursor
from portus_gateway.index.watch_cursor import SealedCursor, WatchCursor
from portus_gateway.operations import index_search
from portus_gateway.operations.deletion import BatchDeletion, BlobDeletion, ManifestDeletion, TagDeletion
from portus_gateway.operations.referrers import WantedReferrers
from portus_gateway.operations.tag_details import View
from portus_gateway.operations.tag_listing import WantedTags
from portus_gateway.operations.watching import WantedEvents
from portus_gateway.registry.protocol import Part
from portus_gateway.rpc import request_parsing
from portus_gateway.rpc.call_errors import InvalidFields
from portus_gateway.rpc.page_tokens import PageTokens
from tests.rpc.failures import failure_of
from tests.rpc.gateways import KEY, Gateway, finish

DIGEST = "sha256:" + "0" * 64
BAD_REPOSITORIES = ["", "/", "Team/App", "team//app", "team/app\n", "-team", "a" * 256, "../v2", "team/app?n=1", "ä"]
BAD_TAGS = ["", "-v1", ".v1", "v 1", "v1\n", "x" * 129, "a/b", "v1?x", "ä"]
BAD_DIGESTS = ["", "sha256:", "sha256:" + "0" * 63, "sha256:" + "A" * 64, f"{DIGEST}\n", "md5:" + "0" * 32, "latest"]

BAD: list[tuple[str, Message, list[str]]] = [
    *[("ListTags", ListTagsRequest(repository=name), ["repository"]) for name in BAD_REPOSITORIES],
    *[
        ("ResolveManifest", ResolveManifestRequest(repository=name, tag="1"), ["repository"])
        for name in BAD_REPOSITORIES
    ],
    *[("GetManifest", GetManifestRequest(repository=name, tag="1"), ["repository"]) for name in BAD_REPOSITORIES],
    *[
        ("DeleteManifest", DeleteManifestRequest(repository=name, digest=DIGEST), ["repository"])
        for name in BAD_REPOSITORIES
    ],
    *[("DeleteBlob", DeleteBlobRequest(repository=name, digest=DIGEST), ["repository"]) for name in BAD_REPOSITORIES],
    *[("ResolveManifest", ResolveManifestRequest(repository="a", tag=tag), ["tag"]) for tag in BAD_TAGS],
    *[("GetManifest", GetManifestRequest(repository="a", tag=tag), ["tag"]) for tag in BAD_TAGS],
    *[("ResolveManifest", ResolveManifestRequest(repository="a", digest=text), ["digest"]) for text in BAD_DIGESTS],
    *[("GetManifest", GetManifestRequest(repository="a", digest=text), ["digest"]) for text in BAD_DIGESTS],
    *[("DeleteManifest", DeleteManifestRequest(repository="a", digest=text), ["digest"]) for text in BAD_DIGESTS],
    *[("DeleteBlob", DeleteBlobRequest(repository="a", digest=text), ["digest"]) for text in BAD_DIGESTS],
    ("ResolveManifest", ResolveManifestRequest(repository="a"), ["reference"]),
    ("GetManifest", GetManifestRequest(repository="a"), ["reference"]),
    ("Catalog", CatalogRequest(page_size=-1), ["page_size"]),
    ("Catalog", CatalogRequest(page_token="x"), ["page_token"]),
    ("Catalog", CatalogRequest(prefix="x" * 256), ["prefix"]),
    ("StreamCatalog", StreamCatalogRequest(prefix="x" * 256), ["prefix"]),
    ("Catalog", CatalogRequest(max_staleness=Duration(seconds=-1)), ["max_staleness"]),
    ("StreamCatalog", StreamCatalogRequest(max_staleness=Duration(seconds=-1)), ["max_staleness"]),
    ("ListTags", ListTagsRequest(repository="a", max_staleness=Duration(seconds=-1)), ["max_staleness"]),
    ("ListTags", ListTagsRequest(repository="a", page_size=-(2**31)), ["page_size"]),
    ("ListTags", ListTagsRequest(repository="a", page_token="x"), ["page_token"]),
    (
        "GetManifest",
        GetManifestRequest(repository="a", tag="1", platform=Platform()),
        ["platform.os", "platform.architecture"],
    ),
    (
        "GetManifest",
        GetManifestRequest(repository="a", tag="1", platform=Platform(os="linux")),
        ["platform.architecture"],
    ),
    (
        "GetManifest",
        GetManifestRequest(repository="a", tag="1", platform=Platform(architecture="arm")),
        ["platform.os"],
    ),
    ("GetManifest", GetManifestRequest(repository="a", tag="1", max_staleness=Duration(seconds=-1)), ["max_staleness"]),
    ("GetManifest", GetManifestRequest(repository="a", tag="1", max_staleness=Duration(nanos=-1)), ["max_staleness"]),
    (
        "GetManifest",
        GetManifestRequest(repository="a", tag="1", max_staleness=Duration(nanos=1_000_000_000)),
        ["max_staleness"],
    ),
    (
        "DeleteManifest",
        DeleteManifestRequest(repository="a", digest=DIGEST, expected_tags=["good", "-bad", "good", ""]),
        ["expected_tags[1]", "expected_tags[3]"],
    ),
    (
        "DeleteManifest",
        DeleteManifestRequest(repository="a", digest=DIGEST, expected_tags=["v"] * 1001),
        ["expected_tags"],
    ),
    # All at once.
    (
        "Catalog",
        CatalogRequest(page_size=-1, page_token="x", prefix="x" * 256),
        ["page_size", "page_token", "prefix"],
    ),
    (
        "ListTags",
        ListTagsRequest(
            repository="A",
            page_size=-1,
            page_token="x",
            view=99,  # type: ignore[arg-type]
            digest="x",
            order_by="size",
        ),
        ["digest", "order_by", "page_size", "page_token", "repository", "view"],
    ),
    (
        "ResolveManifest",
        ResolveManifestRequest(
            repository="A", tag="-", platform=Platform(variant="v8"), max_staleness=Duration(seconds=-1)
        ),
        ["max_staleness", "platform.architecture", "platform.os", "repository", "tag"],
    ),
    (
        "GetManifest",
        GetManifestRequest(
            repository="A", digest="x", platform=Platform(variant="v8"), max_staleness=Duration(seconds=-1)
        ),
        ["digest", "max_staleness", "platform.architecture", "platform.os", "repository"],
    ),
    (
        "DeleteManifest",
        DeleteManifestRequest(repository="A", digest="x", expected_tags=["-"]),
        ["digest", "expected_tags[0]", "repository"],
    ),
    (
        "DeleteManifest",
        DeleteManifestRequest(repository="A", digest="x", expected_tags=["-"] * 1001),
        ["digest", "expected_tags", "repository"],
    ),
    ("DeleteBlob", DeleteBlobRequest(repository="A", digest="x"), ["digest", "repository"]),
    *[("ReadBlob", ReadBlobRequest(repository=name, digest=DIGEST), ["repository"]) for name in BAD_REPOSITORIES],
    *[("ReadBlob", ReadBlobRequest(repository="a", digest=text), ["digest"]) for text in BAD_DIGESTS],
    (
        "ReadBlob",
        ReadBlobRequest(repository="A", digest="x", offset=-1, limit=-(2**63)),
        ["digest", "limit", "offset", "repository"],
    ),
    ("ReadBlob", ReadBlobRequest(repository="a", digest=DIGEST, offset=-1), ["offset"]),
    ("ReadBlob", ReadBlobRequest(repository="a", digest=DIGEST, limit=-1), ["limit"]),
    # Batches. Each of their requests has a status of its own.
    ("BatchGetManifests", BatchGetManifestsRequest(), ["requests"]),
    ("BatchGetManifests", BatchGetManifestsRequest(requests=[GetManifestRequest()] * 1001), ["requests"]),
    ("BatchGetImageConfigs", BatchGetImageConfigsRequest(), ["requests"]),
    ("BatchGetImageConfigs", BatchGetImageConfigsRequest(requests=[GetImageConfigRequest()] * 1001), ["requests"]),
    ("BatchResolveManifests", BatchResolveManifestsRequest(), ["requests"]),
    ("BatchResolveManifests", BatchResolveManifestsRequest(requests=[ResolveManifestRequest()] * 1001), ["requests"]),
    *[("DeleteTag", DeleteTagRequest(repository=name, tag="1"), ["repository"]) for name in BAD_REPOSITORIES],
    *[("DeleteTag", DeleteTagRequest(repository="a", tag=tag), ["tag"]) for tag in BAD_TAGS],
    (
        "DeleteTag",
        DeleteTagRequest(repository="A", tag="-", expected_digest="x"),
        ["expected_digest", "repository", "tag"],
    ),
    ("DeleteTag", DeleteTagRequest(repository="a", tag="1", expected_digest="x"), ["expected_digest"]),
    *[
        ("ListReferrers", ListReferrersRequest(repository=name, digest=DIGEST), ["repository"])
        for name in BAD_REPOSITORIES
    ],
    *[("ListReferrers", ListReferrersRequest(repository="a", digest=text), ["digest"]) for text in BAD_DIGESTS],
    ("ListReferrers", ListReferrersRequest(repository="a", digest=DIGEST, page_size=-1), ["page_size"]),
    ("ListReferrers", ListReferrersRequest(repository="a", digest=DIGEST, page_token="x"), ["page_token"]),
    (
        "ListReferrers",
        ListReferrersRequest(repository="a", digest=DIGEST, artifact_type="x" * 256),
        ["artifact_type"],
    ),
    (
        "ListReferrers",
        ListReferrersRequest(repository="A", digest="x", artifact_type="x" * 256, page_size=-1, page_token="x"),
        ["artifact_type", "digest", "page_size", "page_token", "repository"],
    ),
    # What the index answers.
    ("WatchEvents", WatchEventsRequest(prefix="x" * 256), ["prefix"]),
    ("WatchEvents", WatchEventsRequest(repositories=["a", "A", "b", "-"]), ["repositories[1]", "repositories[3]"]),
    ("WatchEvents", WatchEventsRequest(repositories=["A"] * 1001), ["repositories"]),
    ("WatchEvents", WatchEventsRequest(after_cursor="x"), ["after_cursor"]),
    ("WatchEvents", WatchEventsRequest(after_cursor=""), ["after_cursor"]),
    ("WatchEvents", WatchEventsRequest(heartbeat_interval=Duration()), ["heartbeat_interval"]),
    ("WatchEvents", WatchEventsRequest(heartbeat_interval=Duration(nanos=999_999_999)), ["heartbeat_interval"]),
    ("WatchEvents", WatchEventsRequest(heartbeat_interval=Duration(seconds=300, nanos=1)), ["heartbeat_interval"]),
    ("WatchEvents", WatchEventsRequest(heartbeat_interval=Duration(seconds=9, nanos=-1)), ["heartbeat_interval"]),
    (
        "WatchEvents",
        WatchEventsRequest(
            prefix="x" * 256, repositories=["A"], after_cursor="x", heartbeat_interval=Duration(seconds=-1)
        ),
        ["after_cursor", "heartbeat_interval", "prefix", "repositories[0]"],
    ),
    *[("ListTagHistory", ListTagHistoryRequest(repository=name, tag="1"), ["repository"]) for name in BAD_REPOSITORIES],
    *[("ListTagHistory", ListTagHistoryRequest(repository="a", tag=tag), ["tag"]) for tag in BAD_TAGS],
    ("ListTagHistory", ListTagHistoryRequest(repository="a", tag="1", page_size=-1), ["page_size"]),
    ("ListTagHistory", ListTagHistoryRequest(repository="a", tag="1", page_token="x"), ["page_token"]),
    (
        "ListTagHistory",
        ListTagHistoryRequest(repository="A", tag="-", page_size=-1, page_token="x"),
        ["page_size", "page_token", "repository", "tag"],
    ),
    ("FindTags", FindTagsRequest(), ["wanted"]),
    ("FindTags", FindTagsRequest(name_contains=""), ["name_contains"]),
    ("FindTags", FindTagsRequest(name_contains="x" * 129), ["name_contains"]),
    *[("FindTags", FindTagsRequest(digest=text), ["digest"]) for text in BAD_DIGESTS],
    (
        "FindTags",
        FindTagsRequest(digest="x", prefix="x" * 256, page_size=-1, page_token="x"),
        ["digest", "page_size", "page_token", "prefix"],
    ),
]
BAD_PARTS: list[tuple[BatchDeleteManifestsRequest, list[str]]] = [
    (BatchDeleteManifestsRequest(repository="a"), ["requests"]),
    (BatchDeleteManifestsRequest(repository="a", requests=[DeleteManifestRequest()] * 1001), ["requests"]),
    (BatchDeleteManifestsRequest(repository="A", requests=[DeleteManifestRequest(digest=DIGEST)]), ["repository"]),
    (
        BatchDeleteManifestsRequest(
            repository="a",
            requests=[
                DeleteManifestRequest(repository="a", digest=DIGEST),
                DeleteManifestRequest(repository="b", digest="x", expected_tags=["-"], validate_only=True),
                DeleteManifestRequest(digest=DIGEST),
            ],
        ),
        [
            "requests[1].digest",
            "requests[1].expected_tags[0]",
            "requests[1].repository",
            "requests[1].validate_only",
            "requests[2].digest",
        ],
    ),
]
"""In a batch of deletes, a bad part is reason enough to delete nothing."""


async def test_bad_fields_are_all_named_and_the_registry_is_not_asked(registry: DevRegistry, gateway: Gateway) -> None:
    for rpc, request, fields in BAD:
        failed = await failure_of(finish(gateway.channel, rpc, request))
        assert failed.outcome == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD"), (rpc, request)
        assert sorted(failed.fields) == sorted(fields), (rpc, request)
        # The plain message, which is all that some clients show, names them too.
        assert all(field in failed.message for field in fields), (rpc, request)
        assert all(failed.fields.values()), (rpc, request)
    assert registry.requests.total == 0
    assert registry.tokens.requests.total == 0


async def test_bad_fields_of_all_parts_of_a_batch_of_deletes_are_named_at_once(
    registry: DevRegistry, gateway: Gateway
) -> None:
    for request, fields in BAD_PARTS:
        failed = await failure_of(finish(gateway.channel, "BatchDeleteManifests", request))
        assert failed.outcome == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD"), request
        assert sorted(failed.fields) == fields, request
    assert registry.requests.total == 0


async def test_a_digest_that_is_deleted_twice_in_a_batch_is_named_with_its_first_place(gateway: Gateway) -> None:
    other = f"sha256:{'1' * 64}"
    parts = [DeleteManifestRequest(digest=digest) for digest in (other, DIGEST, DIGEST, DIGEST)]
    request = BatchDeleteManifestsRequest(repository="a", requests=parts)
    failed = await failure_of(finish(gateway.channel, "BatchDeleteManifests", request))
    assert failed.fields == {
        "requests[2].digest": "is the digest of requests[1]",
        "requests[3].digest": "is the digest of requests[1]",
    }


def test_a_batch_of_a_thousand_is_not_too_large() -> None:
    batch = BatchResolveManifestsRequest(requests=[ResolveManifestRequest()] * 1000)
    assert len(request_parsing.batch(batch.requests)) == 1000


async def test_a_heartbeat_is_told_once_and_beside_other_fields(gateway: Gateway) -> None:
    for seconds in (-1, 0, 301):
        request = WatchEventsRequest(prefix="x" * 256, heartbeat_interval=Duration(seconds=seconds))
        failed = await failure_of(finish(gateway.channel, "WatchEvents", request))
        assert failed.fields["heartbeat_interval"] == "must be 1 second to 300 seconds"
        assert failed.message.count("heartbeat_interval") == 1
        assert "prefix" in failed.fields


async def test_an_order_of_tags_that_is_not_known_is_shown_cut(gateway: Gateway) -> None:
    async def refused(order: str, view: ListTagsRequest.View.ValueType = ListTagsRequest.FULL) -> str:
        request = ListTagsRequest(repository="a", order_by=order, view=view)
        return (await failure_of(finish(gateway.channel, "ListTags", request))).fields["order_by"]

    advice = "is no order of tags: write `name` or `created desc`"
    assert await refused("x" * 80) == f"'{'x' * 80}' {advice}"
    assert await refused("x" * 81) == f"'{'x' * 80}…' {advice}"
    assert await refused("created desc", ListTagsRequest.DESCRIPTORS) == "`created desc` needs the view FULL"


async def test_a_violation_says_what_would_be_right(gateway: Gateway) -> None:
    failed = await failure_of(
        finish(gateway.channel, "GetManifest", GetManifestRequest(repository="Team", digest="sha256:0"))
    )
    assert failed.fields["repository"].startswith("'Team' is not a valid repository: lower-case letters and digits")
    assert failed.fields["digest"] == (
        "'sha256:0' is not a valid digest: `sha256:` and 64, or `sha512:` and 128 lower-case hexadecimal digits"
    )


def test_every_field_of_every_request_is_here_or_cannot_be_wrong() -> None:
    never_wrong = {"include_tags", "omit_referrer_tags", "force", "validate_only", "current_state"}
    for kind in {type(request) for _, request, _ in BAD}:
        tried = {
            field.partition(".")[0].partition("[")[0]
            for _, request, fields in BAD
            if type(request) is kind
            for field in fields
        } - {"reference", "wanted"}
        assert tried == {field.name for field in kind.DESCRIPTOR.fields} - never_wrong, kind


# --- What is right ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "size"), [(0, 100), (1, 1), (999, 999), (1000, 1000), (1001, 1000), (2**31 - 1, 1000)]
)
def test_page_sizes(asked: int, size: int) -> None:
    tokens = PageTokens(KEY)
    assert request_parsing.catalog_page(CatalogRequest(page_size=asked), tokens).size == size
    assert request_parsing.tag_page(ListTagsRequest(repository="a", page_size=asked), tokens).size == size
    referrers = ListReferrersRequest(repository="a", digest=DIGEST, page_size=asked)
    assert request_parsing.referrers_page(referrers, tokens).size == size
    history = ListTagHistoryRequest(repository="a", tag="1", page_size=asked)
    assert request_parsing.tag_history(history, tokens).size == size
    assert request_parsing.find_tags(FindTagsRequest(digest=DIGEST, page_size=asked), tokens).size == size


def test_a_prefix_may_be_as_long_as_a_repository_name() -> None:
    prefix = "x" * 255
    assert request_parsing.catalog_page(CatalogRequest(prefix=prefix), PageTokens(KEY)).prefix == prefix
    assert request_parsing.whole_catalog(StreamCatalogRequest(prefix=prefix)).prefix == prefix


def test_a_manifest_read() -> None:
    parsed = request_parsing.manifest_read(
        GetManifestRequest(
            repository="team/app",
            tag="v1",
            platform=Platform(
                os="windows", architecture="arm", variant="v7", os_version="10.0", os_features=["win32k", "other"]
            ),
            max_staleness=Duration(seconds=90, nanos=500_000_000),
        )
    )
    assert parsed == request_parsing.ManifestRead(
        repository=Repository("team/app"),
        reference=Tag("v1"),
        platform=PlatformValue("windows", "arm", "v7", "10.0", ("win32k", "other")),
        max_staleness=90.5,
    )


def test_a_manifest_read_by_digest_without_anything_else() -> None:
    parsed = request_parsing.manifest_read(GetManifestRequest(repository="a", digest=DIGEST))
    assert parsed == request_parsing.ManifestRead(Repository("a"), Digest(DIGEST), None, 0.0)


def test_the_longest_staleness() -> None:
    request = GetManifestRequest(repository="a", tag="b", max_staleness=Duration(seconds=2**63 - 1, nanos=999_999_999))
    assert request_parsing.manifest_read(request).max_staleness == pytest.approx(2**63)


def test_deletions() -> None:
    parsed = request_parsing.manifest_deletion(
        DeleteManifestRequest(
            repository="a", digest=DIGEST, expected_tags=["v1", "v2", "v1"], force=True, validate_only=True
        )
    )
    assert parsed == ManifestDeletion(
        repository=Repository("a"),
        digest=Digest(DIGEST),
        expected_tags=frozenset({Tag("v1"), Tag("v2")}),
        force=True,
        validate_only=True,
    )
    for validate_only in (False, True):
        blob = request_parsing.blob_deletion(
            DeleteBlobRequest(repository="a", digest=DIGEST, validate_only=validate_only)
        )
        assert blob == BlobDeletion(repository=Repository("a"), digest=Digest(DIGEST), validate_only=validate_only)
        tag = request_parsing.tag_deletion(
            DeleteTagRequest(repository="a", tag="1", expected_digest=DIGEST, validate_only=validate_only)
        )
        assert tag == TagDeletion(
            repository=Repository("a"), tag=Tag("1"), expected_digest=Digest(DIGEST), validate_only=validate_only
        )
    any_digest = request_parsing.tag_deletion(DeleteTagRequest(repository="a", tag="1"))
    assert any_digest == TagDeletion(repository=Repository("a"), tag=Tag("1"))


@pytest.mark.parametrize("validate_only", [False, True])
def test_a_batch_of_deletions(validate_only: bool) -> None:
    other = f"sha256:{'1' * 64}"
    parsed = request_parsing.manifest_batch_deletion(
        BatchDeleteManifestsRequest(
            repository="a",
            validate_only=validate_only,
            requests=[
                DeleteManifestRequest(digest=DIGEST, expected_tags=["v1"]),
                DeleteManifestRequest(repository="a", digest=other, force=True),
            ],
        )
    )
    first = ManifestDeletion(
        repository=Repository("a"),
        digest=Digest(DIGEST),
        expected_tags=frozenset({Tag("v1")}),
        validate_only=validate_only,
    )
    second = ManifestDeletion(repository=Repository("a"), digest=Digest(other), force=True, validate_only=validate_only)
    assert parsed == BatchDeletion((first, second))


def test_a_blob_read() -> None:
    parsed = request_parsing.blob_read(ReadBlobRequest(repository="a", digest=DIGEST, offset=3, limit=1))
    assert parsed == request_parsing.BlobRead(Repository("a"), Digest(DIGEST), Part(3, 1))
    whole = request_parsing.blob_read(ReadBlobRequest(repository="a", digest=DIGEST))
    assert whole.part == Part(0, None)


def test_a_page_of_tags() -> None:
    parsed = request_parsing.tag_page(
        ListTagsRequest(
            repository="a",
            view=ListTagsRequest.FULL,
            digest=DIGEST,
            omit_referrer_tags=True,
            order_by="  created   desc ",
            max_staleness=Duration(seconds=9),
        ),
        PageTokens(KEY),
    )
    assert parsed == WantedTags(
        repository=Repository("a"),
        size=100,
        view=View.FULL,
        digest=Digest(DIGEST),
        omit_referrer_tags=True,
        newest_first=True,
        max_staleness=9.0,
    )


@pytest.mark.parametrize("order", ["", " ", "name", "name asc", " name  asc "])
def test_tags_are_in_the_order_of_their_names(order: str) -> None:
    request = ListTagsRequest(repository="a", order_by=order)
    assert request_parsing.tag_page(request, PageTokens(KEY)) == WantedTags(repository=Repository("a"), size=100)


def test_watched_events() -> None:
    plain = request_parsing.wanted_events(WatchEventsRequest())
    assert plain == WantedEvents("", frozenset(), None, current_state=False, heartbeat=15.0)
    state = request_parsing.wanted_events(WatchEventsRequest(prefix="team/", current_state=True))
    assert state == WantedEvents("team/", frozenset(), None, current_state=True, heartbeat=15.0)
    text = WatchCursor("epoch", 7).encode()
    cursor = SealedCursor.decode(text)
    request = WatchEventsRequest(repositories=["b", "a", "b"], after_cursor=text)
    assert request_parsing.wanted_events(request) == WantedEvents(
        "", frozenset({"a", "b"}), cursor, current_state=False, heartbeat=15.0
    )


def test_a_thousand_repositories_can_be_watched() -> None:
    request = WatchEventsRequest(repositories=[f"a{number}" for number in range(1000)])
    assert len(request_parsing.wanted_events(request).repositories) == 1000


@pytest.mark.parametrize("seconds", [1, 300])
def test_the_heartbeat_is_1_to_300_seconds(seconds: int) -> None:
    request = WatchEventsRequest(heartbeat_interval=Duration(seconds=seconds))
    assert request_parsing.wanted_events(request).heartbeat == seconds


def test_tags_are_found_by_digest_or_by_a_part_of_their_names() -> None:
    found = request_parsing.find_tags(FindTagsRequest(digest=DIGEST, prefix="team/"), PageTokens(KEY))
    assert found == index_search.WantedTags(Digest(DIGEST), "", "team/", 100, None)
    for part in ("x", "x" * 128):
        found = request_parsing.find_tags(FindTagsRequest(name_contains=part), PageTokens(KEY))
        assert found == index_search.WantedTags(None, part, "", 100, None)


def test_an_artifact_type_may_have_255_characters() -> None:
    request = ListReferrersRequest(repository="a", digest=DIGEST, artifact_type="x" * 255)
    wanted = request_parsing.referrers_page(request, PageTokens(KEY))
    assert wanted == WantedReferrers(
        repository=Repository("a"), digest=Digest(DIGEST), size=100, artifact_type="x" * 255
    )


TOKENS = PageTokens(KEY)
CURSOR = Cursor("after", "x")
OTHER_DIGEST = f"sha256:{'1' * 64}"


def page_of(request: Message, token: str) -> tuple[str, Cursor | None]:
    """The token of the page after that of `request`, and where the page of `token` begins."""
    request = deepcopy(request)
    match request:
        case CatalogRequest():
            request.page_token = token
            catalog = request_parsing.catalog_page(request, TOKENS)
            return request_parsing.catalog_token(CURSOR, catalog, TOKENS), catalog.after
        case ListTagsRequest():
            request.page_token = token
            tags = request_parsing.tag_page(request, TOKENS)
            return request_parsing.tag_token(CURSOR, tags, TOKENS), tags.after
        case ListReferrersRequest():
            request.page_token = token
            referrers = request_parsing.referrers_page(request, TOKENS)
            return request_parsing.referrers_token(CURSOR, referrers, TOKENS), referrers.after
        case ListTagHistoryRequest():
            request.page_token = token
            history = request_parsing.tag_history(request, TOKENS)
            return request_parsing.tag_history_token(CURSOR, history, TOKENS), history.after
        case FindTagsRequest():
            request.page_token = token
            found = request_parsing.find_tags(request, TOKENS)
            return request_parsing.find_tags_token(CURSOR, request, TOKENS), found.after
    raise AssertionError(request)


FULL = ListTagsRequest.FULL
PAGES: dict[str, Sequence[Message]] = {
    "Catalog": [CatalogRequest(), CatalogRequest(include_tags=True), CatalogRequest(prefix="a")],
    "ListTags": [
        ListTagsRequest(repository="a"),
        ListTagsRequest(repository="b"),
        ListTagsRequest(repository="a", view=ListTagsRequest.DESCRIPTORS),
        ListTagsRequest(repository="a", view=FULL),
        ListTagsRequest(repository="a", view=FULL, order_by="created desc"),
        ListTagsRequest(repository="a", digest=DIGEST),
        ListTagsRequest(repository="a", digest=OTHER_DIGEST),
        ListTagsRequest(repository="a", omit_referrer_tags=True),
    ],
    "ListReferrers": [
        ListReferrersRequest(repository="a", digest=DIGEST),
        ListReferrersRequest(repository="b", digest=DIGEST),
        ListReferrersRequest(repository="a", digest=OTHER_DIGEST),
        ListReferrersRequest(repository="a", digest=DIGEST, artifact_type="a/b"),
    ],
    "ListTagHistory": [
        ListTagHistoryRequest(repository="a", tag="1"),
        ListTagHistoryRequest(repository="b", tag="1"),
        ListTagHistoryRequest(repository="a", tag="2"),
    ],
    "FindTags": [
        FindTagsRequest(name_contains="a"),
        FindTagsRequest(name_contains="b"),
        FindTagsRequest(digest=DIGEST),
        FindTagsRequest(digest=OTHER_DIGEST),
        FindTagsRequest(digest=DIGEST, prefix="a"),
    ],
}


@pytest.mark.parametrize("rpc", PAGES)
def test_a_page_token_is_for_the_request_that_it_was_made_for(rpc: str) -> None:
    tokens = [page_of(request, "")[0] for request in PAGES[rpc]]
    for request, own in zip(PAGES[rpc], tokens, strict=True):
        for token in tokens:
            if token == own:
                assert page_of(request, token) == (own, CURSOR)
            else:
                with pytest.raises(InvalidFields, match="page_token: not valid for this request"):
                    page_of(request, token)


def test_a_page_token_of_one_rpc_is_not_valid_for_another() -> None:
    token, _ = page_of(ListTagHistoryRequest(repository="a", tag="1"), "")
    for rpc, requests in PAGES.items():
        if rpc != "ListTagHistory":
            with pytest.raises(InvalidFields, match="page_token: not valid for this request"):
                page_of(requests[0], token)


def test_a_thousand_expected_tags_are_not_too_many() -> None:
    request = DeleteManifestRequest(repository="a", digest=DIGEST, expected_tags=[f"v{n}" for n in range(1000)])
    assert len(request_parsing.manifest_deletion(request).expected_tags) == 1000


def test_sha_512_is_a_digest_too() -> None:
    text = "sha512:" + "0" * 128
    parsed = request_parsing.manifest_read(ResolveManifestRequest(repository="a", digest=text))
    assert parsed.reference == Digest(text)


def test_the_error_keeps_the_violations_in_the_requests_order() -> None:
    with pytest.raises(InvalidFields) as refused:
        request_parsing.manifest_read(ResolveManifestRequest(repository="A", tag="-"))
    assert [violation.field for violation in refused.value.field_violations] == ["repository", "tag"]
