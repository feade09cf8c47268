"""The behaviour of both clients."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import grpc
import pytest
from google.rpc.error_details_pb2 import BadRequest, ResourceInfo

from portus.registry.v1 import image_config_pb2, manifest_pb2, registry_service_pb2
from portus_client import (
    CatalogPage,
    DeadlineExceeded,
    DeletedBlob,
    DeletedManifest,
    DeletedTag,
    Descriptor,
    FailedPrecondition,
    Image,
    ImageConfig,
    ImageHistory,
    Index,
    Internal,
    InvalidArgument,
    ManifestDeletion,
    NotFound,
    Platform,
    Referenced,
    RegistryClient,
    RegistryError,
    Repository,
    ResourceExhausted,
    Tagged,
    TagPage,
    Unavailable,
)
from tests.clients.python import gateway as canned
from tests.clients.python.clients import Client, Open
from tests.clients.python.gateway import IMAGE, IMAGE_DIGEST, INDEX, LAYER_DIGEST, MANY_TAGS, Gateway, status

UNAVAILABLE = status(grpc.StatusCode.UNAVAILABLE, "the registry cannot be reached", "UPSTREAM_UNREACHABLE")

CALLS: dict[str, Callable[[Client], object]] = {
    "GetRegistryInfo": lambda client: client.info(),
    "Catalog": lambda client: client.catalog_page(),
    "StreamCatalog": lambda client: list(client.catalog()),
    "ListTags": lambda client: list(client.tags("empty")),
    "ListTagHistory": lambda client: list(client.tag_history("team/app", "1.0")),
    "FindTags": lambda client: list(client.find_tags(name_contains="1.")),
    "ResolveManifest": lambda client: client.resolve("team/app", "1.0"),
    "BatchResolveManifests": lambda client: list(client.batch_resolve([("team/app", "1.0")])),
    "GetManifest": lambda client: client.manifest("team/app", "1.0"),
    "BatchGetManifests": lambda client: list(client.batch_manifests([("team/app", "1.0")])),
    "GetImageConfig": lambda client: client.image_config("team/app", "1.0"),
    "BatchGetImageConfigs": lambda client: list(client.batch_image_configs([("team/app", "1.0")])),
    "ListReferrers": lambda client: list(client.referrers("team/app", INDEX.descriptor.digest)),
    "DeleteManifest": lambda client: client.delete_manifest("team/app", IMAGE_DIGEST, force=True),
    "BatchDeleteManifests": lambda client: list(client.batch_delete("team/app", [canned.AMD64.descriptor.digest])),
    "DeleteTag": lambda client: client.delete_tag("team/app", "multi"),
    "DeleteBlob": lambda client: client.delete_blob("team/app", LAYER_DIGEST),
}
DELETES = ("DeleteManifest", "BatchDeleteManifests", "DeleteTag", "DeleteBlob")


def test_every_rpc_of_the_api_has_a_method(client: Client, gateway: Gateway) -> None:
    for call in CALLS.values():
        call(client)

    service = registry_service_pb2.DESCRIPTOR.services_by_name["RegistryService"]
    # A watch has no end, and a blob is a stream: test_watch.py and test_blob.py have their tests.
    assert {name for name, _ in gateway.requests} == {method.name for method in service.methods} - {
        "WatchEvents",
        "ReadBlob",
    }


def test_info_has_the_response_of_the_gateway(client: Client) -> None:
    info = client.info()

    assert info.reachable
    assert info.api_version == "registry/2.0"
    assert info.deletion_enabled
    assert info.limits.max_call_duration == timedelta(minutes=1)
    assert info.problem is None


def test_info_has_the_problem_of_the_registry(client: Client, gateway: Gateway) -> None:
    gateway.info = registry_service_pb2.GetRegistryInfoResponse(registry_status=UNAVAILABLE)

    info = client.info()

    assert not info.reachable
    assert isinstance(info.problem, Unavailable)
    assert info.problem.reason == "UPSTREAM_UNREACHABLE"


def test_catalog_distinguishes_no_tags_unknown_tags_and_tags_not_requested(client: Client, gateway: Gateway) -> None:
    gateway.repositories = {"broken": canned.TAGS_UNKNOWN, "empty": (), "team/app": ("1.0",)}

    broken, empty, app = client.catalog(include_tags=True)

    assert broken.tags is None
    assert isinstance(broken.tags_error, Unavailable)
    assert broken.tags_error.reason == "UPSTREAM_TIMEOUT"
    assert empty == Repository("empty", tags=())
    assert app == Repository("team/app", tags=("1.0",))
    assert list(client.catalog(prefix="team/")) == [Repository("team/app", tags=None)]


def test_repositories_before_an_error_are_yielded(client: Client, gateway: Gateway) -> None:
    gateway.failures["StreamCatalog"] = [
        status(grpc.StatusCode.DATA_LOSS, "a page is damaged", "UPSTREAM_ANSWER_INVALID")
    ]
    listing = iter(client.catalog())

    assert [next(listing).name for _ in range(3)] == ["empty", "many", "team/app"]
    with pytest.raises(RegistryError, match="a page is damaged") as raised:
        next(listing)
    assert raised.value.reason == "UPSTREAM_ANSWER_INVALID"


def test_each_catalog_page_has_the_token_of_the_next(client: Client) -> None:
    first = client.catalog_page(page_size=2)
    second = client.catalog_page(first.next_page_token, page_size=2, include_tags=True)

    assert [repository.name for repository in first.repositories] == ["empty", "many"]
    assert first.repositories[0].tags is None
    assert second == CatalogPage((Repository("team/app", tags=("1.0", "latest", "multi")),), next_page_token="")


def test_tags_continue_after_an_empty_page(client: Client, gateway: Gateway) -> None:
    assert tuple(client.tags("many")) == MANY_TAGS
    assert gateway.called("ListTags") > len(MANY_TAGS) / canned.TAGS_PER_PAGE


def test_the_configuration_of_an_image(client: Client) -> None:
    config = client.image_config("team/app", "1.0")

    assert config == ImageConfig(
        manifest=Descriptor(canned.IMAGE_TYPE, IMAGE_DIGEST, len(IMAGE.raw)),
        config=Descriptor(canned.CONFIG_TYPE, canned.digest_of(canned.CONFIG_RAW), len(canned.CONFIG_RAW)),
        created=datetime(2026, 11, 28, 4, 30, 0, 123456, tzinfo=UTC),
        author="team",
        platform=Platform("linux", "amd64"),
        labels={"version": "1.0"},
        env=("PATH=/bin",),
        entrypoint=("/app",),
        cmd=("--serve",),
        user="nobody",
        working_dir="/srv",
        exposed_ports=("8080/tcp",),
        volumes=("/data",),
        stop_signal="SIGTERM",
        diff_ids=(LAYER_DIGEST,),
        history=(ImageHistory(datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC), "COPY app /app", empty_layer=True),),
        raw=canned.CONFIG_RAW,
    )
    assert client.image_config("team/app", "multi", platform=Platform("linux", "arm64")).platform is not None
    with pytest.raises(FailedPrecondition) as raised:
        client.image_config("team/app", "multi")
    assert raised.value.reason == "PLATFORM_REQUIRED"


def test_a_configuration_that_is_not_shown_says_why(client: Client, gateway: Gateway) -> None:
    gateway.image_config = image_config_pb2.ImageConfig(
        config=canned.CONFIG.config,
        raw=b"{}",
        content_status=status(grpc.StatusCode.FAILED_PRECONDITION, "two meanings", "CONTENT_AMBIGUOUS"),
    )

    config = client.image_config("team/app", "1.0")

    assert (config.raw, config.platform, config.created) == (b"{}", None, None)
    assert config.content_error is not None
    assert config.content_error.reason == "CONTENT_AMBIGUOUS"


def test_many_configurations(client: Client) -> None:
    wanted = [("team/app", "1.0"), ("team/app", "gone"), ("team/app", "multi")]

    results = sorted(client.batch_image_configs(wanted), key=lambda result: result.index)

    first, gone, multi = (result.outcome for result in results)
    assert isinstance(first, ImageConfig)
    assert first.labels == {"version": "1.0"}
    assert isinstance(gone, NotFound)
    assert isinstance(multi, FailedPrecondition)
    assert [result.request.reference for result in results] == ["1.0", "gone", "multi"]


def test_a_repeated_page_token_is_an_error(client: Client, gateway: Gateway) -> None:
    gateway.next_page_token = "again"

    with pytest.raises(Internal, match="repeats a page token"):
        list(client.tags("many"))

    assert gateway.called("ListTags") == 2


def test_names_that_are_not_valid_tags_are_separate(client: Client, gateway: Gateway) -> None:
    gateway.unusable_tags = {"team/app": ("-bad",)}

    pages = list(client.tag_pages("team/app"))

    assert list(client.tags("team/app")) == ["1.0", "latest", "multi"]
    assert pages[0] == TagPage(("1.0", "latest", "multi"), ("-bad",))
    assert next(iter(client.catalog(include_tags=True, prefix="team/"))).unusable_tags == ("-bad",)


def test_a_repository_without_tags_is_empty_and_a_missing_one_raises(client: Client) -> None:
    assert list(client.tags("empty")) == []
    with pytest.raises(NotFound) as raised:
        list(client.tags("nowhere"))
    assert raised.value.code is grpc.StatusCode.NOT_FOUND
    assert raised.value.reason == "NAME_UNKNOWN"


@pytest.mark.parametrize("reference", ["1.0", IMAGE_DIGEST])
def test_a_reference_is_a_tag_or_a_digest(client: Client, reference: str) -> None:
    assert client.resolve("team/app", reference).digest == IMAGE_DIGEST
    assert client.manifest("team/app", reference).descriptor.digest == IMAGE_DIGEST


def test_resolve_takes_a_platform_and_an_age(client: Client, gateway: Gateway) -> None:
    arm64 = Platform("linux", "arm64")
    resolved = client.resolve("team/app", "multi", platform=arm64, max_staleness=timedelta(seconds=5))

    assert resolved.digest == canned.ARM64.descriptor.digest
    request = gateway.requests[-1][1]
    assert isinstance(request, registry_service_pb2.ResolveManifestRequest)
    assert request.max_staleness.ToTimedelta() == timedelta(seconds=5)
    with pytest.raises(NotFound) as raised:
        client.resolve("team/app", "multi", platform=Platform("windows", "amd64"))
    assert raised.value.reason == "PLATFORM_UNKNOWN"


def test_an_image_has_its_exact_bytes_and_its_parsed_content(client: Client) -> None:
    manifest = client.manifest("team/app", "1.0")

    assert manifest.raw == IMAGE.raw
    assert canned.digest_of(manifest.raw) == manifest.descriptor.digest
    assert manifest.content == Image(
        config=Descriptor(canned.CONFIG_TYPE, canned.CONFIG_DIGEST, 1000),
        layers=(Descriptor(canned.LAYER_TYPE, LAYER_DIGEST, 2_500_000),),
        annotations={"name": "app"},
        image_id=canned.CONFIG_DIGEST,
        total_size=2_501_000,
    )


def test_a_missing_size_config_or_content_is_none_not_zero(client: Client, gateway: Gateway) -> None:
    artifact = canned.image("artifact")
    artifact.descriptor.ClearField("size")
    artifact.image.ClearField("config")
    artifact.image.ClearField("total_size")
    unknown = canned.unknown_content(b"\x00")
    gateway.manifests = {"sha256:a": artifact, "sha256:u": unknown}

    manifest = client.manifest("team/app", "sha256:a")

    assert manifest.descriptor.size is None
    assert isinstance(manifest.content, Image)
    assert manifest.content.config is None
    assert manifest.content.total_size is None
    assert client.manifest("team/app", "sha256:u").content is None


def test_an_index_has_its_platforms_and_a_platform_selects_a_manifest(client: Client) -> None:
    index = client.manifest("team/app", "multi")
    picked = client.manifest("team/app", "multi", platform=Platform("linux", "arm64"))

    assert isinstance(index.content, Index)
    assert [str(child.platform) for child in index.content.manifests] == ["linux/amd64", "linux/arm64"]
    assert picked.descriptor.digest == canned.ARM64.descriptor.digest
    with pytest.raises(NotFound) as raised:
        client.manifest("team/app", "multi", platform=Platform("windows", "amd64"))
    assert raised.value.reason == "PLATFORM_UNKNOWN"


def test_a_manifest_without_parsed_content_has_a_content_error(client: Client, gateway: Gateway) -> None:
    ambiguous = canned.unknown_content(b'{"layers": [], "Layers": []}')
    ambiguous.content_status.CopyFrom(
        status(grpc.StatusCode.FAILED_PRECONDITION, "layers is written in another case", "CONTENT_AMBIGUOUS")
    )
    gateway.manifests["sha256:ambiguous"] = ambiguous
    manifest = client.manifest("team/app", "sha256:ambiguous")
    assert (manifest.content, manifest.raw) == (None, ambiguous.raw)
    assert manifest.content_error is not None
    assert manifest.content_error.reason == "CONTENT_AMBIGUOUS"
    assert client.manifest("team/app", IMAGE_DIGEST).content_error is None


def test_a_descriptor_has_its_addresses_and_its_embedded_content(client: Client, gateway: Gateway) -> None:
    layer = manifest_pb2.Descriptor(digest=LAYER_DIGEST, urls=["https://elsewhere.test/"], data=b"data")
    gateway.manifests["sha256:embedded"] = manifest_pb2.Manifest(
        descriptor=IMAGE.descriptor, image=manifest_pb2.Image(layers=[layer])
    )
    content = client.manifest("team/app", "sha256:embedded").content
    assert isinstance(content, Image)
    assert (content.layers[0].urls, content.layers[0].data) == (("https://elsewhere.test/",), b"data")


def test_a_manifest_of_4_mib_and_its_parsed_content_are_received(client: Client, gateway: Gateway) -> None:
    raw = b" " * (4 * 1024 * 1024)
    layer = manifest_pb2.Descriptor(media_type=canned.LAYER_TYPE, digest=LAYER_DIGEST, annotations={"a": "x" * 1000})
    gateway.manifests["sha256:large"] = manifest_pb2.Manifest(
        descriptor=IMAGE.descriptor, raw=raw, image=manifest_pb2.Image(layers=[layer] * 2000)
    )

    assert len(client.manifest("team/app", "sha256:large").raw) == len(raw)


def test_a_delete_returns_the_deleted_tags(client: Client, gateway: Gateway) -> None:
    planned = client.delete_manifest("team/app", IMAGE_DIGEST, expected_tags=["1.0", "latest"], validate_only=True)
    assert IMAGE_DIGEST in gateway.manifests

    deleted = client.delete_manifest("team/app", IMAGE_DIGEST, expected_tags=["1.0", "latest"])

    assert planned == deleted == DeletedManifest(IMAGE_DIGEST, ("1.0", "latest"))
    assert IMAGE_DIGEST not in gateway.manifests
    assert client.delete_blob("team/app", LAYER_DIGEST, validate_only=True) == DeletedBlob(LAYER_DIGEST)
    assert LAYER_DIGEST in gateway.blobs


def test_a_delete_is_refused_for_unexpected_tags_and_names_them(client: Client, gateway: Gateway) -> None:
    with pytest.raises(Tagged) as raised:
        client.delete_manifest("team/app", IMAGE_DIGEST, expected_tags=["1.0"])

    assert isinstance(raised.value, FailedPrecondition)
    assert raised.value.tags == ("latest",)
    assert raised.value.tag_count == 1
    assert IMAGE_DIGEST in gateway.manifests


def test_a_delete_is_refused_for_a_tagged_index_and_names_it(client: Client, gateway: Gateway) -> None:
    gateway.referenced.add(IMAGE_DIGEST)

    with pytest.raises(Referenced) as raised:
        client.delete_manifest("team/app", IMAGE_DIGEST, expected_tags=["1.0", "latest"])

    assert isinstance(raised.value, FailedPrecondition)
    assert raised.value.index_tags == ("multi",)
    assert client.delete_manifest("team/app", IMAGE_DIGEST, force=True).deleted_tags == ("1.0", "latest")


def test_a_tag_is_deleted_and_its_manifest_stays(client: Client, gateway: Gateway) -> None:
    planned = client.delete_tag("team/app", "latest", expected_digest=IMAGE_DIGEST, validate_only=True)
    assert "latest" in gateway.tags
    deleted = client.delete_tag("team/app", "latest", expected_digest=IMAGE_DIGEST)
    assert planned == deleted == DeletedTag(IMAGE_DIGEST)
    assert "latest" not in gateway.tags
    assert IMAGE_DIGEST in gateway.manifests


def test_a_tag_that_points_elsewhere_is_not_deleted(client: Client, gateway: Gateway) -> None:
    with pytest.raises(FailedPrecondition) as caught:
        client.delete_tag("team/app", "latest", expected_digest=INDEX.descriptor.digest)
    assert caught.value.reason == "TAG_MOVED"
    assert "latest" in gateway.tags


def test_a_batch_of_deletes_has_an_outcome_for_each(client: Client, gateway: Gateway) -> None:
    wanted: list[ManifestDeletion | str] = [
        ManifestDeletion(IMAGE_DIGEST, ["1.0"]),
        INDEX.descriptor.digest,
        ManifestDeletion("sha256:" + "0" * 64),
        ManifestDeletion(canned.AMD64.descriptor.digest, force=True),
    ]
    trial = {result.index: result for result in client.batch_delete("team/app", wanted, validate_only=True)}
    assert len(gateway.manifests) == 4
    results = {result.index: result for result in client.batch_delete("team/app", wanted)}

    assert isinstance(results[0].outcome, Tagged)
    assert results[0].outcome.tags == ("latest",)
    assert isinstance(results[1].outcome, Tagged)
    assert results[1].deletion == ManifestDeletion(INDEX.descriptor.digest)
    assert isinstance(results[2].outcome, NotFound)
    assert results[3].outcome == trial[3].outcome == DeletedManifest(canned.AMD64.descriptor.digest, ())
    assert len(gateway.manifests) == 3
    assert list(client.batch_delete("team/app", [])) == []
    assert gateway.called("BatchDeleteManifests") == 2


def test_a_delete_returns_the_remaining_tags(client: Client, gateway: Gateway) -> None:
    gateway.kept_tags.add("latest")

    deleted = client.delete_manifest("team/app", IMAGE_DIGEST, expected_tags=["1.0", "latest"])

    assert deleted == DeletedManifest(IMAGE_DIGEST, ("1.0",), ("latest",))


@pytest.mark.parametrize("rpc", [rpc for rpc in CALLS if rpc not in DELETES])
def test_a_read_is_retried_while_the_gateway_is_unavailable(client: Client, gateway: Gateway, rpc: str) -> None:
    if rpc == "StreamCatalog":
        gateway.repositories = {}  # Once a repository was received, there is no retry.
    gateway.failures[rpc] = [UNAVAILABLE]

    CALLS[rpc](client)

    assert gateway.called(rpc) == 2


@pytest.mark.parametrize("rpc", DELETES)
def test_a_delete_is_never_retried(client: Client, gateway: Gateway, rpc: str) -> None:
    gateway.failures[rpc] = [UNAVAILABLE]

    with pytest.raises(Unavailable):
        CALLS[rpc](client)

    assert gateway.called(rpc) == 1


def test_other_errors_are_not_retried(client: Client, gateway: Gateway) -> None:
    gateway.failures["GetManifest"] = [status(grpc.StatusCode.INTERNAL, "bug", "BUG")]

    with pytest.raises(Internal):
        client.manifest("team/app", "1.0")

    assert gateway.called("GetManifest") == 1


@pytest.mark.parametrize("rpc", CALLS)
def test_every_call_ends_at_its_deadline_if_the_gateway_never_responds(
    connect: Open, gateway: Gateway, rpc: str
) -> None:
    gateway.silent.add(rpc)
    client = connect(gateway.address, timeout=0.3, stream_timeout=0.3, delete_timeout=0.3)
    began = time.monotonic()

    with pytest.raises(DeadlineExceeded) as raised:
        CALLS[rpc](client)

    assert time.monotonic() - began < 5
    assert raised.value.code is grpc.StatusCode.DEADLINE_EXCEEDED


def test_calls_have_a_deadline_by_default_and_can_set_their_own(client: Client, gateway: Gateway) -> None:
    client.info()
    assert 25 < gateway.time_given < 35
    client.info(timeout=5)
    assert 0 < gateway.time_given < 10
    client.delete_blob("team/app", LAYER_DIGEST)
    assert 100 < gateway.time_given < 125
    list(client.catalog())
    assert 500 < gateway.time_given < 610
    list(client.catalog(timeout=5))
    assert 0 < gateway.time_given < 10


def test_a_batch_of_deletes_has_the_longer_deadline(connect: Open, gateway: Gateway) -> None:
    for deadlines, expected in (({}, 600), ({"stream_timeout": 1}, 120), ({"delete_timeout": 3600}, 3600)):
        list(connect(gateway.address, **deadlines).batch_delete("team/app", [IMAGE_DIGEST]))
        assert abs(gateway.time_given - expected) < 10


def test_a_string_is_not_accepted_as_a_list_of_tags(client: Client, gateway: Gateway) -> None:
    with pytest.raises(TypeError, match="must be a list of tags"):
        client.delete_manifest("team/app", IMAGE_DIGEST, expected_tags="v1")
    assert gateway.requests == []


@pytest.mark.parametrize("timeout", [0, -1, float("inf"), float("nan")])
def test_an_invalid_timeout_is_refused(connect: Open, gateway: Gateway, timeout: float) -> None:
    with pytest.raises(ValueError, match="deadline"):
        connect(gateway.address).info(timeout=timeout)
    with pytest.raises(ValueError, match="deadline"):
        connect(gateway.address, timeout=timeout)


def test_a_refused_connection_fails_soon_and_has_the_grpc_error_as_its_cause(connect: Open) -> None:
    began = time.monotonic()

    with pytest.raises(Unavailable) as raised:
        connect("127.0.0.1:1").info()

    assert time.monotonic() - began < 10
    assert raised.value.reason == ""
    assert isinstance(raised.value.__cause__, grpc.RpcError)
    assert raised.value.__cause__.code() is grpc.StatusCode.UNAVAILABLE


def test_an_error_carries_the_request_id_that_the_gateway_logs(client: Client, gateway: Gateway) -> None:
    with pytest.raises(NotFound) as raised:
        client.resolve("nowhere", "1.0")

    assert raised.value.request_id
    assert raised.value.request_id == gateway.metadata["x-request-id"]


def test_an_error_has_the_invalid_fields_and_the_retry_delay(client: Client, gateway: Gateway) -> None:
    violation = BadRequest.FieldViolation(field="repository", description="no upper case")
    gateway.failures["GetManifest"] = [
        status(
            grpc.StatusCode.INVALID_ARGUMENT,
            "repository: no upper case",
            "INVALID_FIELD",
            BadRequest(field_violations=[violation]),
        ),
        status(
            grpc.StatusCode.RESOURCE_EXHAUSTED,
            "too many calls",
            "TOO_MANY_CALLS",
            canned.retry_after(2),
            ResourceInfo(resource_type="repository", resource_name="team/app"),
        ),
    ]

    with pytest.raises(InvalidArgument) as invalid:
        client.manifest("Team/App", "1.0")
    with pytest.raises(ResourceExhausted) as exhausted:
        client.manifest("team/app", "1.0")

    assert [(found.field, found.description) for found in invalid.value.field_violations] == [
        ("repository", "no upper case")
    ]
    assert exhausted.value.retry_delay == timedelta(seconds=2)
    assert exhausted.value.resource is not None
    assert exhausted.value.resource.name == "team/app"


def test_stopping_a_listing_early_cancels_the_call(gateway: Gateway) -> None:
    gateway.silent.add("StreamCatalog")
    with RegistryClient(gateway.address) as client:
        for repository in client.catalog():
            assert repository.name == "empty"
            break
        assert gateway.listing_ended.wait(10)
