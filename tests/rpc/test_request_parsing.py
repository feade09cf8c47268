"""What is wrong with a request: which field, and that the registry never hears of it."""

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message

from portus.registry.v1.manifest_pb2 import Platform
from portus.registry.v1.registry_service_pb2 import (
    BatchGetImageConfigsRequest,
    BatchGetManifestsRequest,
    CatalogRequest,
    DeleteBlobRequest,
    DeleteManifestRequest,
    GetImageConfigRequest,
    GetManifestRequest,
    ListTagsRequest,
    ReadBlobRequest,
    ResolveManifestRequest,
    StreamCatalogRequest,
)
from portus_gateway.devregistry import DevRegistry
from portus_gateway.distribution import Digest, Repository, Tag
from portus_gateway.distribution import Platform as PlatformValue
from portus_gateway.operations.deletion import BlobDeletion, ManifestDeletion
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
    # Batches. Each of their requests has a status of its own.
    ("BatchGetManifests", BatchGetManifestsRequest(), ["requests"]),
    ("BatchGetManifests", BatchGetManifestsRequest(requests=[GetManifestRequest()] * 1001), ["requests"]),
    ("BatchGetImageConfigs", BatchGetImageConfigsRequest(), ["requests"]),
    ("BatchGetImageConfigs", BatchGetImageConfigsRequest(requests=[GetImageConfigRequest()] * 1001), ["requests"]),
]


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


async def test_a_violation_says_what_would_be_right(gateway: Gateway) -> None:
    failed = await failure_of(
        finish(gateway.channel, "GetManifest", GetManifestRequest(repository="Team", digest="sha256:0"))
    )
    assert failed.fields["repository"].startswith("'Team' is not a valid repository: lower-case letters and digits")
    assert failed.fields["digest"] == (
        "'sha256:0' is not a valid digest: `sha256:` and 64, or `sha512:` and 128 lower-case hexadecimal digits"
    )


def test_every_field_of_every_request_is_here_or_cannot_be_wrong() -> None:
    never_wrong = {"include_tags", "omit_referrer_tags", "force", "validate_only"}
    for kind in {type(request) for _, request, _ in BAD}:
        tried = {
            field.partition(".")[0].partition("[")[0]
            for _, request, fields in BAD
            if type(request) is kind
            for field in fields
        } - {"reference"}
        assert tried == {field.name for field in kind.DESCRIPTOR.fields} - never_wrong, kind


# --- What is right ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "size"), [(0, 100), (1, 1), (999, 999), (1000, 1000), (1001, 1000), (2**31 - 1, 1000)]
)
def test_page_sizes(asked: int, size: int) -> None:
    tokens = PageTokens(KEY)
    assert request_parsing.catalog_page(CatalogRequest(page_size=asked), tokens).size == size
    assert request_parsing.tag_page(ListTagsRequest(repository="a", page_size=asked), tokens).size == size


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
    blob = request_parsing.blob_deletion(DeleteBlobRequest(repository="a", digest=DIGEST))
    assert blob == BlobDeletion(repository=Repository("a"), digest=Digest(DIGEST))


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
