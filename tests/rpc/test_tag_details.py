"""ListTags with a view, a digest, an order, and without the tags of referrers."""

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

import grpc
import pytest

from portus.registry.v1.registry_service_pb2 import (
    GetImageConfigRequest,
    GetManifestRequest,
    ListTagsRequest,
    ListTagsResponse,
)
from portus.registry.v1.tag_details_pb2 import TagDetails
from portus_gateway.devregistry import (
    Content,
    DevRegistry,
    Fault,
    artifact,
    image,
    index,
    multi_platform,
    raw_manifest,
)
from portus_gateway.devregistry.digests import digest_of
from portus_gateway.distribution import (
    Configuration,
    Credentials,
    DistributionClient,
    RetryPolicy,
    StaticPassword,
    Timeouts,
)
from portus_gateway.distribution.manifest import OCI_INDEX, OCI_MANIFEST
from portus_gateway.operations import tag_listing
from portus_gateway.registry.cached import CachedRegistry, Outcome
from tests.rpc.failures import Failure, failure_of, read
from tests.rpc.gateways import LIMITS, Gateway, serve

DESCRIPTORS, FULL = ListTagsRequest.DESCRIPTORS, ListTagsRequest.FULL
VIEWS = [ListTagsRequest.NAMES, DESCRIPTORS, FULL]
CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
CREATED = "2024-05-01T12:00:00Z"
HEX = "0123456789abcdef" * 4


class Unobserved:
    def manifest_answered(self, outcome: Outcome) -> None:
        """Nobody counts."""

    def cache_resized(self, size: int, entries: int) -> None:
        """Nobody counts."""


@asynccontextmanager
async def cached_gateway(registry: DevRegistry) -> AsyncIterator[Gateway]:
    """A gateway over `registry` that remembers manifests and configurations."""
    configuration = Configuration(
        url=registry.url,
        credentials=Credentials(registry.username, StaticPassword(registry.password)),
        token_realm=registry.realm,
        timeouts=Timeouts(connect=2, read=5, total=5, delete=5),
        retries=RetryPolicy(attempts=1),
    )
    async with (
        DistributionClient(configuration) as client,
        serve(CachedRegistry(client, 64 * 1024 * 1024, Unobserved())) as gateway,
    ):
        yield gateway


@pytest.fixture
async def gateway(registry: DevRegistry) -> AsyncIterator[Gateway]:
    async with cached_gateway(registry) as running:
        yield running


async def page(gateway: Gateway, **asked: object) -> ListTagsResponse:
    asked = {"repository": "team/app", "view": FULL, **asked}
    return await gateway.stub.ListTags(ListTagsRequest(**asked), timeout=20)  # type: ignore[arg-type]


async def pages(gateway: Gateway, **asked: object) -> list[ListTagsResponse]:
    """All pages."""
    got = [await page(gateway, **asked)]
    while got[-1].next_page_token:
        assert len(got) < 1000, "the listing has no end"
        got.append(await page(gateway, page_token=got[-1].next_page_token, **asked))
    return got


async def details(gateway: Gateway, tag: str = "1.0") -> TagDetails:
    """The details of a tag in the view FULL."""
    answer = await page(gateway)
    assert list(answer.tags) == [one.tag for one in answer.details]
    return next(one for one in answer.details if one.tag == tag)


def platforms(of: TagDetails) -> list[str]:
    return ["/".join(filter(None, (one.os, one.architecture, one.variant))) for one in of.platforms]


def problem(of: TagDetails) -> Failure | None:
    return read(of.status) if of.HasField("status") else None


def outcome(of: TagDetails) -> tuple[grpc.StatusCode, str] | None:
    failure = problem(of)
    return None if failure is None else failure.outcome


def sizes(*contents: Content) -> int:
    """The size of all blobs of some images, each once."""
    blobs = {digest: data for content in contents for digest, data in content.blobs.items()}
    return sum(map(len, blobs.values()))


def with_config(raw: bytes) -> Content:
    """An image with this configuration and no layer."""
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": {"mediaType": CONFIG_TYPE, "digest": digest_of(raw), "size": len(raw)},
        "layers": [],
    }
    return replace(raw_manifest(json.dumps(document).encode(), OCI_MANIFEST), blobs={digest_of(raw): raw})


def changed(content: Content, change: Mapping[str, object]) -> Content:
    """The same content with other fields of the manifest."""
    document = {**json.loads(content.manifest), **change}
    return replace(content, manifest=json.dumps(document).encode())


def with_children(content: Content, children: Sequence[Content], entries: Sequence[Mapping[str, object]]) -> Content:
    """The index with more manifests, whose descriptors have these entries too."""
    document = json.loads(content.manifest)
    for child, more in zip(children, entries, strict=True):
        described = {"mediaType": child.media_type, "digest": child.digest, "size": len(child.manifest)}
        document["manifests"].append({**described, **more})
    return replace(content, manifest=json.dumps(document).encode(), children=(*content.children, *children))


# --- What there is to know --------------------------------------------------------------------------------------


async def test_an_image_has_its_descriptor_date_size_and_platform(registry: DevRegistry, gateway: Gateway) -> None:
    content = image("app", layers=2, platform="linux/arm/v7", created="2026-01-02T03:04:05.123456789+01:00")
    registry.push("team/app", "1.0", content=content)
    found = await details(gateway)
    assert (found.descriptor.digest, found.descriptor.media_type) == (content.digest, OCI_MANIFEST)
    assert found.descriptor.size == len(content.manifest)
    assert found.created.ToJsonString() == "2026-01-02T02:04:05.123456789Z"
    assert found.total_size == sizes(content)
    assert platforms(found) == ["linux/arm/v7"]
    assert outcome(found) is None


async def test_the_details_are_what_the_other_rpcs_answer(registry: DevRegistry, gateway: Gateway) -> None:
    registry.push("team/app", "1.0", content=image("app", layers=3))
    found = await details(gateway)
    manifest = (await gateway.stub.GetManifest(GetManifestRequest(repository="team/app", tag="1.0"))).manifest
    config = (await gateway.stub.GetImageConfig(GetImageConfigRequest(repository="team/app", tag="1.0"))).image_config
    assert found.descriptor == manifest.descriptor
    assert found.total_size == manifest.image.total_size
    assert found.created == config.created
    assert list(found.platforms) == [config.platform]


@pytest.mark.parametrize("view", VIEWS)
async def test_each_view_says_what_the_one_before_it_says_and_more(
    registry: DevRegistry, gateway: Gateway, view: ListTagsRequest.View.ValueType
) -> None:
    content = image("app")
    registry.push("team/app", "1.0", "2.0", content=content)
    answer = await page(gateway, view=view)
    assert list(answer.tags) == ["1.0", "2.0"]
    if view == ListTagsRequest.NAMES:
        assert not answer.details
        return
    assert [one.tag for one in answer.details] == ["1.0", "2.0"]
    for one in answer.details:
        assert one.descriptor.digest == content.digest
        assert one.HasField("created") is (view == FULL)
        assert one.HasField("total_size") is (view == FULL)
        assert bool(one.platforms) is (view == FULL)
    assert registry.requests.count(route="manifests", method="GET") == (2 if view == FULL else 0)


async def test_an_index_has_its_platforms_the_date_of_its_newest_image_and_the_size_of_all(
    registry: DevRegistry, gateway: Gateway
) -> None:
    children = [
        image("app", platform="linux/arm64", created="2025-01-01T00:00:00Z"),
        image("app", platform="linux/amd64", created="2026-01-01T00:00:00Z"),
        image("app", platform="windows/amd64", created=None),
    ]
    registry.push("team/app", "1.0", content=index(children))
    found = await details(gateway)
    assert platforms(found) == ["linux/arm64", "linux/amd64", "windows/amd64"]
    assert found.created.ToJsonString() == "2026-01-01T00:00:00Z"
    assert found.total_size == sizes(*children)
    assert found.descriptor.media_type == OCI_INDEX


async def test_a_layer_of_several_images_counts_once(registry: DevRegistry, gateway: Gateway) -> None:
    one = image("app", platform="linux/amd64", layers=2)
    layers = json.loads(one.manifest)["layers"]
    other = image("other", platform="linux/arm64")
    shared = changed(other, {"layers": layers})
    shared = replace(shared, blobs={**one.blobs, **other.blobs})
    registry.push("team/app", "1.0", content=index([one, shared]))
    config = json.loads(shared.manifest)["config"]
    assert (await details(gateway)).total_size == sizes(one) + config["size"]


async def test_a_size_of_more_than_63_bits_is_unset(registry: DevRegistry, gateway: Gateway) -> None:
    layers = [{"mediaType": "x", "digest": f"sha256:{number:064}", "size": 2**62} for number in range(3)]
    registry.push("team/app", "1.0", content=changed(image("app"), {"layers": layers}))
    found = await details(gateway)
    assert not found.HasField("total_size")
    assert (found.created.ToJsonString(), outcome(found)) == (CREATED, None)


async def test_images_in_an_index_in_an_index_count(registry: DevRegistry, gateway: Gateway) -> None:
    inner = multi_platform("inner", ["linux/amd64", "linux/arm64"])
    outer = index([inner, image("outer", platform="linux/s390x", created="2025-02-03T00:00:00Z")])
    registry.push("team/app", "1.0", content=outer)
    found = await details(gateway)
    assert platforms(found) == ["linux/amd64", "linux/arm64", "linux/s390x"]
    assert found.created.ToJsonString() == "2025-02-03T00:00:00Z"
    assert found.total_size == sizes(*inner.children, outer.children[1])


ATTESTATION = {"annotations": {"vnd.docker.reference.type": "attestation-manifest"}}
UNKNOWN = {"platform": {"os": "unknown", "architecture": "unknown"}}


@pytest.mark.parametrize("marks", [ATTESTATION, UNKNOWN, {**ATTESTATION, **UNKNOWN}])
async def test_attestations_are_no_images_of_an_index(
    registry: DevRegistry, gateway: Gateway, marks: Mapping[str, object]
) -> None:
    app = image("app", platform="linux/amd64")
    attestation = replace(
        image("attestation", layers=1, layer_size=5000, platform="unknown/unknown", created="2030-01-01T00:00:00Z"),
        platform="",
    )
    registry.push("team/app", "1.0", content=with_children(index([app]), [attestation], [marks]))
    found = await details(gateway)
    assert platforms(found) == ["linux/amd64"]
    assert found.total_size == sizes(app)
    assert found.created.ToJsonString() == CREATED
    assert registry.requests.count(route="manifests", method="GET") == 2


async def test_an_index_that_states_no_platform_has_those_of_its_images(
    registry: DevRegistry, gateway: Gateway
) -> None:
    children = [replace(image("app", platform=name), platform="") for name in ("linux/amd64", "linux/arm64/v8")]
    registry.push("team/app", "1.0", content=index(children))
    assert platforms(await details(gateway)) == ["linux/amd64", "linux/arm64/v8"]


async def test_an_artifact_has_its_size_and_the_date_in_its_annotations(
    registry: DevRegistry, gateway: Gateway
) -> None:
    chart = artifact(
        "application/vnd.cncf.helm.config.v1+json",
        {"chart.tgz": b"x" * 1000},
        annotations={"org.opencontainers.image.created": "2026-03-04T05:06:07+01:00"},
    )
    registry.push("team/app", "1.0", content=chart)
    registry.push("team/app", "2.0", content=artifact("application/spdx+json", {"sbom": b"x"}))
    odd = artifact("application/x", annotations={"org.opencontainers.image.created": "yesterday"})
    registry.push("team/app", "3.0", content=odd)
    found = await details(gateway)
    assert found.created.ToJsonString() == "2026-03-04T04:06:07Z"
    assert found.total_size == sizes(chart)
    assert (platforms(found), outcome(found)) == ([], None)
    for tag in ("2.0", "3.0"):
        found = await details(gateway, tag)
        assert not found.HasField("created")
        assert outcome(found) is None


@pytest.mark.parametrize("created", [None, "0001-01-01T00:00:00Z"])
async def test_an_image_without_a_date_has_none(registry: DevRegistry, gateway: Gateway, created: str | None) -> None:
    # Go programs, cosign among them, write the first instant of year 1 if they have no time.
    registry.push("team/app", "1.0", content=image("app", created=created))
    found = await details(gateway)
    assert not found.HasField("created")
    assert outcome(found) is None


# --- What cannot be found out -----------------------------------------------------------------------------------


BROKEN: dict[str, tuple[Content, grpc.StatusCode, str]] = {
    "ambiguous manifest": (
        changed(image("a"), {"Layers": []}),
        grpc.StatusCode.FAILED_PRECONDITION,
        "CONTENT_AMBIGUOUS",
    ),
    "invalid manifest": (
        changed(image("b"), {"layers": [{"mediaType": "x", "size": -1}]}),
        grpc.StatusCode.FAILED_PRECONDITION,
        "CONTENT_INVALID",
    ),
    "unknown media type": (
        raw_manifest(b'{"schemaVersion": 2}', "application/vnd.example.unknown"),
        grpc.StatusCode.FAILED_PRECONDITION,
        "CONTENT_TYPE_UNKNOWN",
    ),
    "no configuration": (
        replace(image("c"), blobs={}),
        grpc.StatusCode.NOT_FOUND,
        "BLOB_UNKNOWN",
    ),
    "ambiguous configuration": (
        with_config(b'{"os": "linux", "OS": "linux", "architecture": "amd64"}'),
        grpc.StatusCode.FAILED_PRECONDITION,
        "CONTENT_AMBIGUOUS",
    ),
    "date": (
        with_config(b'{"os": "linux", "architecture": "amd64", "created": "yesterday"}'),
        grpc.StatusCode.FAILED_PRECONDITION,
        "CONTENT_INVALID",
    ),
    "child": (
        replace(multi_platform("d"), children=()),
        grpc.StatusCode.NOT_FOUND,
        "MANIFEST_UNKNOWN",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
async def test_a_tag_that_cannot_be_read_has_a_status_and_the_others_their_details(
    registry: DevRegistry, gateway: Gateway, name: str
) -> None:
    content, code, reason = BROKEN[name]
    registry.push("team/app", "0.9", "1.1", content=image("app"))
    registry.push("team/app", "1.0", content=content)
    answer = await page(gateway)
    assert list(answer.tags) == ["0.9", "1.0", "1.1"]
    before, found, after = answer.details
    assert [outcome(one) for one in (before, found, after)] == [None, (code, reason), None]
    assert platforms(before) == platforms(after) == ["linux/amd64"]
    # What can be known is there.
    assert found.descriptor.digest == content.digest
    assert not found.HasField("created")
    failure = problem(found)
    assert failure is not None
    assert failure.resource == ("manifest", "team/app:1.0")


async def test_the_size_is_known_without_the_configuration_and_the_platforms_without_the_images(
    registry: DevRegistry, gateway: Gateway
) -> None:
    content = image("app")
    registry.push("team/app", "image", content=replace(content, blobs={}))
    registry.push("team/app", "index", content=replace(multi_platform("other"), children=()))
    found = await details(gateway, "image")
    assert (found.total_size, platforms(found)) == (sizes(content), [])
    found = await details(gateway, "index")
    assert not found.HasField("total_size")
    assert platforms(found) == ["linux/amd64", "linux/arm64"]


@pytest.mark.parametrize("view", [DESCRIPTORS, FULL])
@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (Fault(route="manifests", status=500, after=1, times=1), (grpc.StatusCode.INTERNAL, "UPSTREAM_ERROR")),
        (
            Fault(route="manifests", reset="before", after=1, times=1),
            (grpc.StatusCode.UNAVAILABLE, "UPSTREAM_UNREACHABLE"),
        ),
    ],
)
async def test_a_failure_of_one_request_is_the_status_of_one_tag(
    registry: DevRegistry,
    gateway: Gateway,
    view: ListTagsRequest.View.ValueType,
    fault: Fault,
    expected: tuple[grpc.StatusCode, str],
) -> None:
    registry.push("team/app", *(f"{number}.0" for number in range(5)))
    with registry.inject(fault):
        answer = await page(gateway, view=view)
    assert len(answer.tags) == len(answer.details) == 5
    assert [outcome(one) for one in answer.details if one.HasField("status")] == [expected]


@pytest.mark.parametrize("view", [DESCRIPTORS, FULL])
async def test_a_tag_that_is_gone_and_a_registry_that_refuses_are_statuses(
    registry: DevRegistry, gateway: Gateway, view: ListTagsRequest.View.ValueType
) -> None:
    registry.push("team/app", "1.0")
    body = json.dumps({"name": "team/app", "tags": ["1.0", "gone"]})
    with registry.inject(Fault(route="tags", status=200, body=body)):
        answer = await page(gateway, view=view)
    assert list(answer.tags) == ["1.0", "gone"]
    assert [outcome(one) for one in answer.details] == [None, (grpc.StatusCode.NOT_FOUND, "MANIFEST_UNKNOWN")]
    with registry.inject(Fault(route="manifests", status=403)):
        answer = await page(gateway, view=view)
    assert [outcome(one) for one in answer.details] == [(grpc.StatusCode.PERMISSION_DENIED, "DENIED")]


async def test_an_image_of_schema_1_and_a_damaged_one_have_their_descriptor(
    registry: DevRegistry, gateway: Gateway
) -> None:
    digest = registry.push("team/app", "1.0")
    with registry.inject(Fault(route="manifests", method="GET", corrupt=True)):
        found = await details(gateway)
    assert outcome(found) == (grpc.StatusCode.DATA_LOSS, "DIGEST_MISMATCH")
    assert found.descriptor.digest == digest
    assert not found.HasField("total_size")
    schema_1 = Fault(
        route="manifests",
        method="GET",
        headers=(("Content-Type", "application/vnd.docker.distribution.manifest.v1+prettyjws"),),
    )
    with registry.inject(schema_1):
        found = await details(gateway)
    assert outcome(found) == (grpc.StatusCode.FAILED_PRECONDITION, "SCHEMA_1")
    assert found.descriptor.digest == digest


async def test_an_index_of_very_many_images_is_not_read(registry: DevRegistry, gateway: Gateway) -> None:
    app = image("app")
    content = with_children(index([]), [app] * 65, [{"platform": {"os": "linux", "architecture": "amd64"}}] * 65)
    registry.push("team/app", "1.0", content=content)
    found = await details(gateway)
    assert outcome(found) == (grpc.StatusCode.FAILED_PRECONDITION, "CONTENT_TOO_LARGE")
    assert registry.requests.count(route="manifests", method="GET") == 1
    assert platforms(found) == ["linux/amd64"]


async def test_indexes_inside_one_another_are_read_to_a_limit(registry: DevRegistry, gateway: Gateway) -> None:
    content = image("app")
    for depth in range(1, 6):
        content = index([content])
        registry.push("team/app", str(depth), content=content)
    answer = await page(gateway)
    assert [outcome(one) for one in answer.details] == [None] * 4 + [
        (grpc.StatusCode.FAILED_PRECONDITION, "CONTENT_TOO_LARGE")
    ]


async def test_platforms_with_very_long_names_are_left_out(registry: DevRegistry, gateway: Gateway) -> None:
    children = [replace(image("app", platform="linux/amd64"), platform="")]
    entries = [{"platform": {"os": f"{number}" * 1000, "architecture": "amd64"}} for number in range(20)]
    registry.push("team/app", "1.0", content=with_children(index([]), children * 20, entries))
    found = await details(gateway)
    assert outcome(found) == (grpc.StatusCode.FAILED_PRECONDITION, "CONTENT_TOO_LARGE")
    assert (platforms(found), found.created.ToJsonString()) == ([], CREATED)


async def test_the_failure_of_the_list_itself_is_the_failure_of_the_call(
    registry: DevRegistry, gateway: Gateway
) -> None:
    registry.push("team/app", "1.0")
    with registry.inject(Fault(route="tags", status=503)):
        failed = await failure_of(page(gateway))
    assert failed.outcome == (grpc.StatusCode.UNAVAILABLE, "UPSTREAM_UNAVAILABLE")
    failed = await failure_of(page(gateway, repository="team/none"))
    assert failed.outcome == (grpc.StatusCode.NOT_FOUND, "NAME_UNKNOWN")


# --- What it costs ----------------------------------------------------------------------------------------------


async def test_the_second_listing_costs_one_conditional_request_for_each_tag(
    registry: DevRegistry, gateway: Gateway
) -> None:
    for number in range(10):
        registry.push("team/app", f"{number}.0", content=image(f"app {number}"))
    for number in range(3):
        registry.push("team/app", f"multi-{number}", content=multi_platform(f"multi {number}"))
    first = await page(gateway)
    assert registry.requests.count(route="blobs") == 10 + 3 * 2
    assert registry.requests.count(route="manifests") == 10 + 3 * (1 + 2)
    registry.requests.clear()
    assert (await page(gateway)).details == first.details
    asked = registry.requests.select(route="manifests")
    assert len(asked) == 13
    assert [record.status for record in asked] == [304] * 13
    assert registry.requests.count(route="blobs") == 0


async def test_a_tag_that_moved_has_its_new_details(registry: DevRegistry, gateway: Gateway) -> None:
    registry.push("team/app", "1.0", content=image("app"))
    await page(gateway)
    content = image("other", created="2026-01-01T00:00:00Z")
    registry.push("team/app", "1.0", content=content)
    found = await details(gateway)
    assert (found.descriptor.digest, found.created.ToJsonString()) == (content.digest, "2026-01-01T00:00:00Z")


async def test_the_registry_gets_a_bounded_number_of_requests_at_a_time(
    registry: DevRegistry, gateway: Gateway
) -> None:
    for number in range(100):
        registry.push("team/app", f"{number:03}", content=multi_platform(f"app {number}"))
    registry.requests.clear()
    with registry.inject(Fault(route="manifests", delay=0.02)):
        assert len((await page(gateway)).details) == 100
    assert registry.requests.max_concurrent == LIMITS.max_upstream_requests


# --- Only some tags ---------------------------------------------------------------------------------------------


async def test_only_the_tags_on_a_digest(registry: DevRegistry, gateway: Gateway) -> None:
    other, app = image("other"), image("app")
    registry.push("team/app", *(f"0.{number}" for number in range(5)), content=other)
    registry.push("team/app", "1.0", "latest", content=app)
    for view in VIEWS:
        answer = await page(gateway, view=view, digest=app.digest)
        assert list(answer.tags) == ["1.0", "latest"]
        assert [one.tag for one in answer.details] == ([] if view == ListTagsRequest.NAMES else ["1.0", "latest"])
        assert not answer.next_page_token
    assert {one.created.ToJsonString() for one in (await page(gateway, digest=app.digest)).details} == {CREATED}
    none = await page(gateway, digest=f"sha256:{HEX}")
    assert (list(none.tags), none.next_page_token) == ([], "")


async def test_details_of_the_tags_on_a_digest_cost_one_request_for_each_tag_the_second_time(
    registry: DevRegistry, gateway: Gateway
) -> None:
    app = image("app")
    registry.push("team/app", "1.0", "latest", content=app)
    registry.push("team/app", "2.0", content=image("other"))
    await page(gateway, digest=app.digest)
    registry.requests.clear()
    answer = await page(gateway, digest=app.digest)
    assert list(answer.tags) == ["1.0", "latest"]
    assert registry.requests.count(route="manifests", method="HEAD") == 3
    assert registry.requests.count(route="manifests") == 3
    assert registry.requests.count(route="blobs") == 0


async def test_the_digest_may_have_another_algorithm_than_the_registry_states(
    registry: DevRegistry, gateway: Gateway
) -> None:
    app = image("app")
    registry.push("team/app", "1.0", content=app)
    registry.push("team/app", "2.0", content=replace(app, algorithm="sha512"))
    for digest in (app.digest, replace(app, algorithm="sha512").digest):
        assert list((await page(gateway, digest=digest)).tags) == ["1.0", "2.0"]


async def test_tags_on_a_digest_come_in_pages(registry: DevRegistry, gateway: Gateway) -> None:
    app = image("app")
    due = [f"v{number:04}" for number in range(0, 300, 3)]
    registry.push("team/app", *(f"v{number:04}" for number in range(300)), content=image("other"))
    registry.push("team/app", *due, content=app)
    for size in (7, 100, 1000):
        got = await pages(gateway, view=DESCRIPTORS, digest=app.digest, page_size=size)
        assert [tag for one in got for tag in one.tags] == due
        assert all(len(one.tags) <= size for one in got)


async def test_one_call_asks_about_1000_tags_at_most(registry: DevRegistry, gateway: Gateway) -> None:
    registry.push("team/app", *(f"v{number:04}" for number in range(1500)), content=image("other"))
    last = image("app")
    registry.push("team/app", "z", content=last)
    first = await page(gateway, view=DESCRIPTORS, digest=last.digest)
    assert (list(first.tags), bool(first.next_page_token)) == ([], True)
    assert registry.requests.count(route="manifests") == 1000
    got = await pages(gateway, view=DESCRIPTORS, digest=last.digest)
    assert [tag for one in got for tag in one.tags] == ["z"]


async def test_a_tag_that_may_be_on_the_digest_is_listed_with_a_status(registry: DevRegistry, gateway: Gateway) -> None:
    app = image("app")
    registry.push("team/app", "1.0", "2.0", content=app)
    with registry.inject(Fault(route="manifests", status=500, times=1)):
        answer = await page(gateway, view=DESCRIPTORS, digest=app.digest)
    assert list(answer.tags) == ["1.0", "2.0"]
    assert sorted(map(str, map(outcome, answer.details))) == sorted(
        [str(None), str((grpc.StatusCode.INTERNAL, "UPSTREAM_ERROR"))]
    )
    # Names alone have no place for it.
    with registry.inject(Fault(route="manifests", status=500, times=1)):
        failed = await failure_of(page(gateway, view=ListTagsRequest.NAMES, digest=app.digest))
    assert failed.outcome == (grpc.StatusCode.INTERNAL, "UPSTREAM_ERROR")
    # A tag that points to nothing is not on it.
    with registry.inject(Fault(route="manifests", status=404)):
        assert list((await page(gateway, view=ListTagsRequest.NAMES, digest=app.digest)).tags) == []


REFERRER_TAGS = [
    f"sha256-{HEX}",
    f"sha256-{HEX}.att",
    f"sha256-{HEX}.sbom",
    f"sha256-{HEX}.sig",
    f"sha512-{HEX}",
]
ORDINARY_TAGS = [f"sha256-{HEX}.signature", f"sha256-{HEX[1:]}", f"v-sha256-{HEX}.sig", "sha256-1.0"]


async def test_the_tags_of_referrers_can_be_left_out(registry: DevRegistry, gateway: Gateway) -> None:
    registry.push("team/app", *REFERRER_TAGS, *ORDINARY_TAGS)
    assert list((await page(gateway)).tags) == sorted([*REFERRER_TAGS, *ORDINARY_TAGS])
    for view in VIEWS:
        answer = await page(gateway, view=view, omit_referrer_tags=True)
        assert list(answer.tags) == sorted(ORDINARY_TAGS)
        assert not answer.next_page_token


async def test_pages_without_the_tags_of_referrers(registry: DevRegistry, gateway: Gateway) -> None:
    signatures = [f"sha256-{number:064x}.sig" for number in range(2500)]
    due = ["a", "b", "z1", "z2", "z3"]
    registry.push("team/app", *signatures, *due)
    got = await pages(gateway, view=ListTagsRequest.NAMES, omit_referrer_tags=True, page_size=2)
    assert [tag for one in got for tag in one.tags] == due
    assert all(len(one.tags) <= 2 for one in got)


async def test_a_call_passes_a_bounded_number_of_tags_that_are_left_out(
    registry: DevRegistry, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tag_listing, "_MOST_NAMES_READ", 2000)
    registry.push("team/app", *(f"sha256-{number:064x}.sig" for number in range(2500)), "z")
    got = await pages(gateway, view=ListTagsRequest.NAMES, omit_referrer_tags=True)
    assert [list(one.tags) for one in got] == [[], ["z"]]


# --- In the order of dates --------------------------------------------------------------------------------------


def push_dated(registry: DevRegistry, count: int) -> list[str]:
    """Pushes tags whose alphabetical order is not that of their dates. Returns them, the newest first."""
    due = []
    for number in range(count):
        tag = f"v{(number * 7) % count:04}"
        content = image(f"app {number}", created=f"2026-01-{28 - number:02}T00:00:00Z")
        registry.push("team/app", tag, content=content)
        due.append(tag)
    return due


@pytest.mark.parametrize("size", [1, 4, 100])
async def test_the_newest_come_first_and_those_without_a_date_last(
    registry: DevRegistry, gateway: Gateway, size: int
) -> None:
    due = push_dated(registry, 10)
    registry.push("team/app", "also-newest", content=image("app 0", created="2026-01-28T00:00:00Z"))
    registry.push("team/app", "undated-2", "undated-1", content=image("app", created=None))
    registry.push("team/app", "broken", content=replace(image("broken", created="2027-01-01T00:00:00Z"), blobs={}))
    got = await pages(gateway, order_by="created desc", page_size=size)
    tags = [tag for one in got for tag in one.tags]
    assert tags == ["also-newest", *due, "broken", "undated-1", "undated-2"]
    assert [one.tag for answer in got for one in answer.details] == tags
    assert all(len(one.tags) <= size for one in got)


async def test_a_tag_that_comes_between_two_pages_neither_doubles_nor_hides_another(
    registry: DevRegistry, gateway: Gateway
) -> None:
    due = push_dated(registry, 8)
    first = await page(gateway, order_by="created desc", page_size=4)
    registry.push("team/app", "new", content=image("new", created="2027-01-01T00:00:00Z"))
    registry.untag("team/app", due[3])
    second = await page(gateway, order_by="created desc", page_size=4, page_token=first.next_page_token)
    assert [*first.tags, *second.tags] == due


@pytest.mark.parametrize("order", ["created desc", " created   desc ", "created\tdesc"])
async def test_spaces_in_the_order_do_not_matter(registry: DevRegistry, gateway: Gateway, order: str) -> None:
    due = push_dated(registry, 4)
    first = await page(gateway, order_by=order, page_size=2)
    second = await page(gateway, order_by="created desc", page_size=2, page_token=first.next_page_token)
    assert [*first.tags, *second.tags] == due


@pytest.mark.parametrize("order", ["", "name", " name ", "name asc"])
async def test_by_name_is_the_default_order(registry: DevRegistry, gateway: Gateway, order: str) -> None:
    due = sorted(push_dated(registry, 4))
    assert list((await page(gateway, order_by=order)).tags) == due


@pytest.mark.parametrize(
    ("order", "view", "words"),
    [
        ("created", FULL, "write `name` or `created desc`"),
        ("created desc, name", FULL, "write `name` or `created desc`"),
        ("size desc", FULL, "'size desc' is no order"),
        ("createddesc", FULL, "is no order"),
        ("x" * 500, FULL, "xxx…' is no order"),
        ("created desc", DESCRIPTORS, "needs the view FULL"),
        ("created desc", ListTagsRequest.NAMES, "needs the view FULL"),
    ],
)
async def test_another_order_is_refused(
    registry: DevRegistry, gateway: Gateway, order: str, view: ListTagsRequest.View.ValueType, words: str
) -> None:
    failed = await failure_of(page(gateway, order_by=order, view=view))
    assert failed.outcome == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")
    assert words in failed.fields["order_by"]
    assert registry.requests.total == 0


async def test_more_than_1000_tags_are_not_sorted_and_the_error_names_the_way_out(
    registry: DevRegistry, gateway: Gateway
) -> None:
    app = image("app")
    registry.push("team/app", *(f"v{number:04}" for number in range(1000)), content=app)
    assert len((await page(gateway, order_by="created desc", page_size=1000)).tags) == 1000
    registry.push("team/app", *REFERRER_TAGS, content=app)
    registry.requests.clear()
    failed = await failure_of(page(gateway, order_by="created desc"))
    assert failed.outcome == (grpc.StatusCode.FAILED_PRECONDITION, "TOO_MANY_TAGS")
    assert "order_by `name`" in failed.message
    assert "omit_referrer_tags" in failed.message
    assert registry.requests.count(route="manifests") == 0
    # Those that are left out do not count.
    answer = await page(gateway, order_by="created desc", omit_referrer_tags=True, page_size=1000)
    assert len(answer.tags) == 1000


async def test_the_newest_of_the_tags_on_a_digest(registry: DevRegistry, gateway: Gateway) -> None:
    push_dated(registry, 5)
    app = image("app")
    registry.push("team/app", "b", "a", content=app)
    assert list((await page(gateway, order_by="created desc", digest=app.digest)).tags) == ["a", "b"]


# --- Pages ------------------------------------------------------------------------------------------------------


async def test_a_token_belongs_to_all_arguments_but_the_size(registry: DevRegistry, gateway: Gateway) -> None:
    digest = registry.push("team/app", *(f"v{number:02}" for number in range(20)))
    asked: dict[str, object] = {"view": DESCRIPTORS}
    token = (await page(gateway, page_size=5, **asked)).next_page_token
    for other in (
        {"view": FULL},
        {"view": ListTagsRequest.NAMES},
        {"digest": digest},
        {"omit_referrer_tags": True},
        {"view": FULL, "order_by": "created desc"},
    ):
        failed = await failure_of(page(gateway, page_token=token, **{**asked, **other}))
        assert failed.outcome == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")
        assert list(failed.fields) == ["page_token"]
    same = await page(gateway, page_token=token, page_size=7, order_by="name", **asked)
    assert list(same.tags) == [f"v{number:02}" for number in range(5, 12)]


async def test_a_page_fits_into_a_message_of_4_mib(registry: DevRegistry, gateway: Gateway) -> None:
    long = "ä" * 240
    platforms = [{"os": f"{number:02}{long}", "architecture": long, "variant": long} for number in range(20)]
    entries = [{"platform": platform} for platform in platforms]
    app = image("app")
    content = with_children(index([]), [app] * 20, entries)
    tags = [f"v{number:04}" for number in range(160)]
    registry.push("team/app", *tags, content=content)
    for order in ("name", "created desc"):
        got = await pages(gateway, order_by=order, page_size=1000)
        assert [tag for one in got for tag in one.tags] == tags
        assert len(got) > 1
        assert all(one.ByteSize() < 4 * 1024 * 1024 for one in got)
        assert all(len(one.details[0].platforms) == 20 for one in got)


async def test_a_page_of_1000_failures_fits_into_a_message(registry: DevRegistry, gateway: Gateway) -> None:
    tags = [f"v{number:04}" + "x" * 120 for number in range(1000)]
    registry.push("team/app", *tags, content=replace(image("app"), blobs={}))
    got = await pages(gateway, page_size=1000)
    assert [tag for one in got for tag in one.tags] == tags
    assert all(one.ByteSize() < 4 * 1024 * 1024 for one in got)
    assert all(one.HasField("status") for answer in got for one in answer.details)


async def test_names_that_are_no_tags_have_no_details(registry: DevRegistry, gateway: Gateway) -> None:
    digest = registry.push("team/app", "1.0")
    body = json.dumps({"name": "team/app", "tags": ["1.0", "not a tag", "-x"]})
    with registry.inject(Fault(route="tags", status=200, body=body)):
        for asked in ({}, {"order_by": "created desc"}, {"digest": digest}, {"omit_referrer_tags": True}):
            answer = await page(gateway, **asked)
            assert (list(answer.tags), list(answer.unusable_tags)) == (["1.0"], ["-x", "not a tag"])
            assert [one.tag for one in answer.details] == ["1.0"]


async def test_a_repository_without_tags(registry: DevRegistry, gateway: Gateway) -> None:
    registry.push("team/app", "1.0")
    registry.untag("team/app", "1.0")
    for asked in ({}, {"order_by": "created desc"}, {"digest": f"sha256:{HEX}"}, {"omit_referrer_tags": True}):
        answer = await page(gateway, **asked)
        assert (list(answer.tags), list(answer.details), answer.next_page_token) == ([], [], "")


@pytest.mark.parametrize("flavour", ["2.8", "3.1", "oci-1.1"])
async def test_every_flavour_of_registry(flavour: str) -> None:
    async with DevRegistry(flavour=flavour) as registry, cached_gateway(registry) as gateway:  # type: ignore[arg-type]
        due = push_dated(registry, 8)
        content = multi_platform("app")
        registry.push("team/app", "multi", content=content)
        got = await pages(gateway, order_by="created desc", page_size=3)
        assert [tag for one in got for tag in one.tags] == [*due, "multi"]
        got = await pages(gateway, page_size=3)
        assert [tag for one in got for tag in one.tags] == sorted([*due, "multi"])
        assert list((await page(gateway, digest=content.digest)).tags) == ["multi"]


async def test_an_unknown_view_is_refused(gateway: Gateway) -> None:
    failed = await failure_of(page(gateway, view=17))
    assert failed.outcome == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")
    assert list(failed.fields) == ["view"]
