"""GetImageConfig and BatchGetImageConfigs."""

import base64
import json
from collections.abc import Mapping
from dataclasses import replace

import grpc
import pytest

from portus.registry.v1.image_config_pb2 import ImageConfig
from portus.registry.v1.manifest_pb2 import Platform
from portus.registry.v1.registry_service_pb2 import (
    BatchGetImageConfigsRequest,
    BatchGetImageConfigsResult,
    GetImageConfigRequest,
)
from portus_gateway.devregistry import Content, DevRegistry, Fault, artifact, image, index, multi_platform, raw_manifest
from portus_gateway.devregistry.digests import digest_of
from portus_gateway.distribution.manifest import OCI_INDEX, OCI_MANIFEST
from portus_gateway.distribution.manifest_fields import MOST_ENTRIES
from portus_gateway.rpc.server import ServerLimits
from tests.rpc.failures import failure_of, read
from tests.rpc.gateways import Gateway, serve_over
from tests.rpc.references import with_reference
from tests.rpc.test_large_manifests import LONGEST_STALL, measured

CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
ARM64 = Platform(os="linux", architecture="arm64")


def asking_for(reference: str, platform: Platform | None = None) -> GetImageConfigRequest:
    return with_reference(GetImageConfigRequest(repository="team/app", platform=platform), reference)


async def get(gateway: Gateway, reference: str, platform: Platform | None = None) -> ImageConfig:
    response = await gateway.stub.GetImageConfig(asking_for(reference, platform), timeout=20)
    return response.image_config


async def batch(gateway: Gateway, *requests: GetImageConfigRequest) -> list[BatchGetImageConfigsResult]:
    call = gateway.stub.BatchGetImageConfigs(BatchGetImageConfigsRequest(requests=requests), timeout=20)
    came = [result async for response in call for result in response.results]
    assert sorted(result.request_index for result in came) == list(range(len(requests)))
    return sorted(came, key=lambda result: result.request_index)


def with_config(raw: bytes, *, media_type: str = CONFIG_TYPE, embedded: bytes | None = None) -> Content:
    """An image with this configuration."""
    config: dict[str, object] = {"mediaType": media_type, "digest": digest_of(raw), "size": len(raw)}
    if embedded is not None:
        config["data"] = base64.b64encode(embedded).decode()
    document: Mapping[str, object] = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": config,
        "layers": [],
    }
    return replace(raw_manifest(json.dumps(document).encode(), OCI_MANIFEST), blobs={digest_of(raw): raw})


def config_of(content: Content) -> bytes:
    return content.blobs[json.loads(content.manifest)["config"]["digest"]]


async def test_the_configuration_of_an_image(registry: DevRegistry, gateway: Gateway) -> None:
    content = image("app", layers=2)
    registry.push("team/app", "1.0", content=content)
    raw = config_of(content)
    for reference in ("1.0", content.digest):
        found = await get(gateway, reference)
        assert found.raw == raw
        assert found.manifest.digest == content.digest
        assert (found.manifest.media_type, found.manifest.size) == (OCI_MANIFEST, len(content.manifest))
        assert (found.config.digest, found.config.media_type, found.config.size) == (
            digest_of(raw),
            CONFIG_TYPE,
            len(raw),
        )
        assert found.created.ToJsonString() == "2024-05-01T12:00:00Z"
        assert (found.platform.os, found.platform.architecture) == ("linux", "amd64")
        assert dict(found.labels) == {"seed": "app"}
        assert list(found.env) == ["PATH=/usr/local/bin:/usr/bin:/bin"]
        assert list(found.diff_ids) == json.loads(raw)["rootfs"]["diff_ids"]
        assert [step.created_by for step in found.history] == ["COPY layer-0.txt /", "COPY layer-1.txt /"]
        assert not found.HasField("content_status")


async def test_every_field(registry: DevRegistry, gateway: Gateway) -> None:
    document = {
        "created": "2026-11-28T04:30:00.123456789Z",
        "author": "team",
        "os": "linux",
        "architecture": "arm",
        "variant": "v7",
        "config": {
            "User": "nobody",
            "ExposedPorts": {"80/tcp": {}},
            "Entrypoint": ["/app"],
            "Cmd": ["-v"],
            "Volumes": {"/data": {}},
            "WorkingDir": "/srv",
            "StopSignal": "SIGTERM",
        },
        "history": [{"created_by": "CMD", "author": "me", "comment": "by hand", "empty_layer": True}],
    }
    registry.push("team/app", "1.0", content=with_config(json.dumps(document).encode()))
    found = await get(gateway, "1.0")
    assert (found.created.seconds, found.created.nanos) == (1795840200, 123456789)
    assert (found.author, found.user, found.working_dir, found.stop_signal) == ("team", "nobody", "/srv", "SIGTERM")
    assert (list(found.entrypoint), list(found.cmd)) == (["/app"], ["-v"])
    assert (list(found.exposed_ports), list(found.volumes)) == (["80/tcp"], ["/data"])
    assert found.platform.variant == "v7"
    (step,) = found.history
    assert (step.created_by, step.author, step.comment, step.empty_layer) == ("CMD", "me", "by hand", True)
    assert not step.HasField("created")


async def test_an_index_needs_a_platform(registry: DevRegistry, gateway: Gateway) -> None:
    content = multi_platform("app", ["linux/amd64", "linux/arm64"])
    registry.push("team/app", "1.0", content=content)
    failed = await failure_of(get(gateway, "1.0"))
    assert failed.outcome == (grpc.StatusCode.FAILED_PRECONDITION, "PLATFORM_REQUIRED")
    assert "the index has linux/amd64, linux/arm64" in failed.message
    found = await get(gateway, "1.0", ARM64)
    assert found.manifest.digest == content.children[1].digest
    assert found.raw == config_of(content.children[1])
    failed = await failure_of(get(gateway, "1.0", Platform(os="linux", architecture="s390x")))
    assert failed.outcome == (grpc.StatusCode.NOT_FOUND, "PLATFORM_UNKNOWN")


@pytest.mark.parametrize(
    ("content", "media_type"),
    [
        (artifact("application/vnd.example.sbom", {"a": b"a"}), "application/vnd.example.sbom"),
        (artifact("application/vnd.example.bare", config=False), "application/vnd.example.bare"),
        (with_config(b"{}", media_type="application/vnd.cncf.helm.config.v1+json"), "vnd.cncf.helm.config.v1+json"),
        (raw_manifest(b"{}", "application/x"), "application/x"),
    ],
    ids=["artifact", "without configuration", "Helm chart", "unknown type"],
)
async def test_what_is_no_image_has_no_configuration(
    registry: DevRegistry, gateway: Gateway, content: Content, media_type: str
) -> None:
    registry.push("team/app", "1.0", content=content)
    failed = await failure_of(get(gateway, "1.0"))
    assert failed.outcome == (grpc.StatusCode.FAILED_PRECONDITION, "NOT_AN_IMAGE")
    assert media_type in failed.message


async def test_embedded_bytes_are_used_if_they_verify(registry: DevRegistry, gateway: Gateway) -> None:
    raw = b'{"os": "linux", "architecture": "amd64"}'
    registry.push("team/app", "1.0", content=with_config(raw, embedded=raw))
    with registry.inject(Fault(route="blobs", status=500)):
        found = await get(gateway, "1.0")
    assert found.raw == raw
    assert found.platform.os == "linux"
    assert found.config.data == b""
    registry.push("team/app", "2.0", content=with_config(raw, embedded=b'{"os": "windows"}'))
    failed = await failure_of(get(gateway, "2.0"))
    assert failed.outcome == (grpc.StatusCode.FAILED_PRECONDITION, "CONTENT_INVALID")


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b'{"os": "linux", "rootfS": {"type": "layers"}}', "CONTENT_AMBIGUOUS"),
        (b'{"os": "linux", "os": "windows"}', "CONTENT_AMBIGUOUS"),
        (b'{"os": 1}', "CONTENT_INVALID"),
        (b"no JSON", "CONTENT_INVALID"),
    ],
)
async def test_verified_bytes_without_parsed_content_come_with_the_reason(
    registry: DevRegistry, gateway: Gateway, raw: bytes, reason: str
) -> None:
    registry.push("team/app", "1.0", content=with_config(raw))
    found = await get(gateway, "1.0")
    assert read(found.content_status).outcome == (grpc.StatusCode.FAILED_PRECONDITION, reason)
    shown = {field.name for field, _ in found.ListFields()}
    assert shown == {"manifest", "config", "raw", "content_status"}
    assert found.raw == raw


async def test_a_manifest_that_cannot_be_read_names_no_configuration(registry: DevRegistry, gateway: Gateway) -> None:
    raw = with_config(b"{}").manifest.replace(b'"layers"', b'"config": null, "layers"')
    registry.push("team/app", "1.0", content=raw_manifest(raw, OCI_MANIFEST))
    failed = await failure_of(get(gateway, "1.0"))
    assert failed.outcome == (grpc.StatusCode.FAILED_PRECONDITION, "CONTENT_AMBIGUOUS")
    assert "the configuration is not known" in failed.message
    registry.push("team/app", "2.0", content=raw_manifest(b'{"manifests": 1}', OCI_INDEX))
    failed = await failure_of(get(gateway, "2.0"))
    assert failed.outcome == (grpc.StatusCode.FAILED_PRECONDITION, "CONTENT_INVALID")


@pytest.mark.parametrize(
    ("fault", "code", "reason"),
    [
        (Fault(route="blobs", corrupt=True), grpc.StatusCode.DATA_LOSS, "DIGEST_MISMATCH"),
        (Fault(route="blobs", status=502), grpc.StatusCode.UNAVAILABLE, "UPSTREAM_UNAVAILABLE"),
        (Fault(route="blobs", status=403), grpc.StatusCode.PERMISSION_DENIED, "DENIED"),
        (
            Fault(route="blobs", redirect="http://10.1.2.3/blob"),
            grpc.StatusCode.FAILED_PRECONDITION,
            "REDIRECT_REFUSED",
        ),
    ],
    ids=["damaged", "502", "403", "redirect"],
)
async def test_what_goes_wrong_upstream(
    registry: DevRegistry, gateway: Gateway, fault: Fault, code: grpc.StatusCode, reason: str
) -> None:
    registry.push("team/app", "1.0")
    with registry.inject(fault):
        failed = await failure_of(get(gateway, "1.0"))
        (result,) = await batch(gateway, asking_for("1.0"))
    assert failed.outcome == (code, reason)
    assert read(result.status).outcome == (code, reason)
    assert "10.1.2.3" not in failed.message
    assert "10.1.2.3" not in result.status.message


async def test_what_is_not_there(registry: DevRegistry, gateway: Gateway) -> None:
    failed = await failure_of(get(gateway, "1.0"))
    assert failed.outcome == (grpc.StatusCode.NOT_FOUND, "MANIFEST_UNKNOWN")
    registry.push("team/app", "1.0", content=replace(image("app"), blobs={}))
    failed = await failure_of(get(gateway, "1.0"))
    assert failed.outcome == (grpc.StatusCode.NOT_FOUND, "BLOB_UNKNOWN")


async def test_the_size_is_bounded_as_that_of_manifests(registry: DevRegistry) -> None:
    registry.push("team/app", "1.0", content=with_config(b'{"author": "' + b"x" * 2000 + b'"}'))
    async with serve_over(registry, limits=ServerLimits(max_manifest_bytes=1000)) as gateway:
        failed = await failure_of(get(gateway, "1.0"))
    assert failed.outcome == (grpc.StatusCode.DATA_LOSS, "UPSTREAM_ANSWER_TOO_LARGE")


@pytest.mark.parametrize(
    ("variables", "length", "reason"), [(MOST_ENTRIES - 1, 100, ""), (8000, 400, "CONTENT_TOO_LARGE")]
)
async def test_a_large_configuration_fits_and_does_not_stall_the_event_loop(
    registry: DevRegistry, gateway: Gateway, variables: int, length: int, reason: str
) -> None:
    raw = json.dumps({"config": {"Env": [f"{number}={'x' * length}" for number in range(variables)]}}).encode()
    registry.push("team/app", "1.0", content=with_config(raw))
    async with measured() as stalls:
        found = await get(gateway, "1.0")
    assert stalls.longest < LONGEST_STALL
    assert found.raw == raw
    assert found.ByteSize() <= 4 * 2**20
    if reason:
        assert read(found.content_status).outcome == (grpc.StatusCode.FAILED_PRECONDITION, reason)
        assert not found.env
    else:
        assert len(found.env) == variables


async def test_a_batch_has_a_result_or_a_status_for_each(registry: DevRegistry, gateway: Gateway) -> None:
    app, both = image("app"), index([image("a"), image("b", platform="linux/arm64")])
    registry.push("team/app", "1.0", content=app)
    registry.push("team/app", "both", content=both)
    results = await batch(
        gateway,
        asking_for("1.0"),
        asking_for("no-such-tag"),
        asking_for("both"),
        asking_for("both", ARM64),
        GetImageConfigRequest(repository="Team"),
    )
    assert results[0].image_config == await get(gateway, "1.0")
    assert read(results[1].status).reason == "MANIFEST_UNKNOWN"
    assert read(results[1].status).resource == ("manifest", "team/app:no-such-tag")
    assert read(results[2].status).reason == "PLATFORM_REQUIRED"
    assert results[3].image_config.raw == config_of(both.children[1])
    assert set(read(results[4].status).fields) == {"repository", "reference"}


@pytest.mark.parametrize("count", [0, 1001])
async def test_a_batch_has_1_to_1000_requests(gateway: Gateway, count: int) -> None:
    failed = await failure_of(batch(gateway, *[asking_for("1.0")] * count))
    assert failed.outcome == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")
    assert "1 to 1000" in failed.fields["requests"]
