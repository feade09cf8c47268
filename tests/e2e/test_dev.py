"""`portus-gateway dev`: the whole thing with nothing to set up."""

import asyncio
import hashlib
import json
import signal
import subprocess
import sys
from pathlib import Path

import grpc

from portus.registry.v1 import registry_service_pb2, registry_service_pb2_grpc
from tests.e2e.gateway_process import gateway_process, outcome


async def test_it_serves_images_an_index_among_them_and_deletes() -> None:
    async with (
        gateway_process("dev") as gateway,
        grpc.aio.insecure_channel(gateway.address) as channel,
    ):
        stub = registry_service_pb2_grpc.RegistryServiceStub(channel)
        get = registry_service_pb2.GetManifestRequest(repository="library/alpine", tag="3.20")
        index = (await stub.GetManifest(get, timeout=10)).manifest.index
        assert [child.platform.architecture for child in index.manifests] == ["amd64", "arm64"]
        manifest = (
            await stub.GetManifest(
                registry_service_pb2.GetManifestRequest(repository="team/worker", tag="0.9"), timeout=10
            )
        ).manifest
        await stub.DeleteManifest(
            registry_service_pb2.DeleteManifestRequest(
                repository="team/worker", digest=manifest.descriptor.digest, expected_tags=["0.9"]
            ),
            timeout=10,
        )
        gateway.signal(signal.SIGINT)
        assert await gateway.ended() == 0
    await asyncio.sleep(0)
    assert f"grpcurl -plaintext {gateway.address} list" in gateway.output.decode()


async def test_where_callers_need_a_token_it_shows_no_calls_without_one(tmp_path: Path) -> None:
    tokens, policy = tmp_path / "tokens", tmp_path / "policy.toml"
    tokens.write_text(f"ci sha256:{hashlib.sha256(b's3cret').hexdigest()}\n")
    policy.write_text('[[allow]]\nname = "all"\nprincipals = ["*"]\nrpcs = ["*"]\nrepositories = ["**"]\n')
    async with gateway_process("dev", PORTUS_CALLER_TOKEN_FILE=str(tokens), PORTUS_POLICY_FILE=str(policy)) as gateway:
        gateway.signal(signal.SIGINT)
        assert await gateway.ended() == 0
    assert gateway.address in gateway.output.decode()
    assert "-plaintext" not in gateway.output.decode()


async def test_deletes_are_recorded_in_the_file_that_is_set(tmp_path: Path) -> None:
    audit = tmp_path / "audit.jsonl"
    async with (
        gateway_process("dev", PORTUS_AUDIT_LOG=str(audit)) as gateway,
        grpc.aio.insecure_channel(gateway.address) as channel,
    ):
        stub = registry_service_pb2_grpc.RegistryServiceStub(channel)
        absent = registry_service_pb2.DeleteManifestRequest(repository="team/app", digest=f"sha256:{'0' * 64}")
        assert await stub.DeleteManifest(absent, timeout=10).code() is grpc.StatusCode.NOT_FOUND
    assert [json.loads(line)["event"] for line in audit.read_text().splitlines()] == ["attempt", "outcome"]


async def test_faults_are_taken_from_the_command_line() -> None:
    async with (
        gateway_process("dev", "--fault", "tags:repository=team/app,status=403", "--no-seed") as gateway,
        grpc.aio.insecure_channel(gateway.address) as channel,
    ):
        stub = registry_service_pb2_grpc.RegistryServiceStub(channel)
        call = stub.ListTags(registry_service_pb2.ListTagsRequest(repository="team/app"), timeout=10)
        assert await call.code() is grpc.StatusCode.PERMISSION_DENIED


async def test_a_fault_that_is_none_is_explained() -> None:
    status, _, errors = await outcome("dev", "--fault", "manifest:status=503")
    assert status == 2
    assert "unknown route 'manifest'" in errors


async def test_it_takes_the_password_from_the_environment_and_shows_it_nowhere() -> None:
    async with gateway_process("dev", PORTUS_PASSWORD="pushing-s3cret") as gateway:
        await gateway.event("registry ready")
        gateway.signal(signal.SIGTERM)
        assert await gateway.ended() == 0
    assert "pushing-s3cret" not in gateway.output.decode() + "\n".join(gateway.log)


def test_without_the_gateways_own_packages_it_says_what_to_install() -> None:
    program = (
        "import sys\n"
        "sys.modules['structlog'] = None\n"
        "sys.argv = ['portus-gateway', 'dev']\n"
        "from portus_gateway.cli import main\n"
        "main()\n"
    )
    finished = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=False)
    assert (finished.returncode, finished.stdout) == (1, "")
    assert finished.stderr == "Error: dev needs structlog: install portus-gateway with its extra 'server'\n"
