"""The API as a descriptor set, and what other tools do with it: `buf build`, `buf curl`, grpcurl."""

import asyncio
import json
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from portus_gateway.rpc.descriptor_set import descriptor_set
from tests import programs
from tests.e2e.gateway_process import clean_environment, gateway_process
from tests.e2e.test_grpcurl import SERVICE, grpcurl

ROOT = Path(__file__).parents[2]
# `protos/generate` puts the contract there, with the files of Google that it imports.
SOURCES = ROOT / "build/protos"


async def run(program: str, *arguments: str) -> tuple[int, bytes, str]:
    process = await asyncio.create_subprocess_exec(
        program, *arguments, env=clean_environment({}), stdout=PIPE, stderr=PIPE
    )
    output, errors = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode is not None
    return process.returncode, output, errors.decode()


async def buf(*arguments: str) -> bytes:
    status, output, errors = await run(str(Path(sys.executable).with_name("buf")), *arguments)
    assert status == 0, errors
    return output


@pytest.fixture
def sources() -> Path:
    if not SOURCES.is_dir():
        programs.missing("build/protos is missing: run make protos")
    return SOURCES


async def test_the_command_writes_it_with_comments(tmp_path: Path) -> None:
    command = ("-m", "portus_gateway", "descriptor-set")
    status, output, errors = await run(sys.executable, *command)
    assert (status, errors) == (0, "")
    assert output == descriptor_set()
    names = [file.name for file in FileDescriptorSet.FromString(output).file]
    assert {"portus/registry/v1/registry_service.proto", "google/rpc/error_details.proto"} <= set(names)
    file = tmp_path / "api.binpb"
    assert await run(sys.executable, *command, "--output", str(file)) == (0, b"", "")
    assert file.read_bytes() == output
    status, _, errors = await run(sys.executable, *command, "--output", str(tmp_path / "none" / "api.binpb"))
    assert (status, "cannot be written" in errors) == (1, True)


async def test_buf_builds_the_sources_and_the_set(sources: Path, tmp_path: Path) -> None:
    file = tmp_path / "api.binpb"
    file.write_bytes(descriptor_set())
    for source in (sources, file):
        built = await buf("build", str(source), "--output", "-#format=binpb", "--exclude-imports")
        assert any(built_file.service for built_file in FileDescriptorSet.FromString(built).file)


async def test_buf_calls_the_gateway_by_its_sources_its_set_and_its_reflection(
    settings: dict[str, str], sources: Path, tmp_path: Path
) -> None:
    file = tmp_path / "api.binpb"
    file.write_bytes(descriptor_set())
    async with gateway_process("serve", **settings) as gateway:
        url = f"http://{gateway.address}/{SERVICE}/ResolveManifest"
        for schema in (("--schema", str(sources)), ("--schema", str(file)), ()):
            options = ("--protocol", "grpc", "--http2-prior-knowledge", *schema)
            answer = await buf("curl", *options, "--data", '{"repository": "team/app", "tag": "1.0.0"}', url)
            assert json.loads(answer)["descriptor"]["digest"].startswith("sha256:")


async def test_grpcurl_shows_the_comments(settings: dict[str, str]) -> None:
    async with gateway_process("serve", **settings) as gateway:
        status, output, _ = await grpcurl(gateway.address, "describe", f"{SERVICE}.ResolveManifest")
    assert status == 0
    assert "// " in output
