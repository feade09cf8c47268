"""`portus-gateway dev`: the whole thing with nothing to set up."""

import asyncio
import signal
import subprocess
import sys

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
    assert finished.stderr == 'Error: dev needs structlog: pip install "portus-gateway[server]"\n'
