"""The services of deploy/compose.yaml work together: with its secrets, variables and commands, as processes here."""

import shutil
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import pytest

from portus.registry.v1.registry_service_pb2 import CatalogRequest, DeleteManifestRequest
from portus.registry.v1.registry_service_pb2_grpc import RegistryServiceStub
from portus_gateway.devregistry import image
from tests import programs
from tests.deploy import compose
from tests.deploy.compose import FOLDER, SECRETS, services
from tests.deploy.native import run, running, translated
from tests.real.image_layouts import write_layout

_GATEWAY = (sys.executable, "-m", "portus_gateway")
# What the image's own configuration file says.
_REGISTRY_CONFIGURATION = """
version: 0.1
log: {level: info}
storage: {filesystem: {rootdirectory: /var/lib/registry}}
http: {addr: ":5000"}
"""


@pytest.fixture
async def secret_paths(tmp_path: Path) -> dict[str, str]:
    """Each secret's path in a container, and where make-secrets has put it."""
    folder = tmp_path / "deploy"
    folder.mkdir()
    shutil.copy(FOLDER / "make-secrets", folder)
    await run([str(folder / "make-secrets")], {})
    return {f"{SECRETS}{name}": str(folder / path) for name, path in compose.secret_files().items()}


@asynccontextmanager
async def example(folder: Path, secret_paths: dict[str, str]) -> AsyncGenerator[dict[str, str], None]:
    """Runs the services; answers with what stands here for what stands in compose.yaml."""
    registry_program = programs.docker_registry()
    changes = dict(secret_paths)
    configuration = folder / "registry.yml"
    configuration.write_text(_REGISTRY_CONFIGURATION)

    issuing = [
        translated(word, changes | {"0.0.0.0:5001": "127.0.0.1:0"}) for word in named("token-service").words("command")
    ]
    async with running([*_GATEWAY, *issuing], {}, r'"realm": "([^"]+)"') as realm:
        changes["http://token-service:5001/v2/token"] = realm
        serving = {name: translated(value, changes) for name, value in named("registry").environment.items()}
        places = {
            "REGISTRY_HTTP_ADDR": "127.0.0.1:0",
            "REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY": str(folder / "images"),
        }
        listening = r"listening on (127\.0\.0\.1:\d+)"
        async with running([registry_program, "serve", str(configuration)], serving | places, listening) as registry:
            changes["registry:5000"] = registry
            changes |= {f"0.0.0.0:{port}": "127.0.0.1:0" for port in (50051, 9090)}
            variables = {name: translated(value, changes) for name, value in named("gateway").environment.items()}
            command = [*_GATEWAY, *named("gateway").words("command")]
            async with running(command, variables, r'"address": "([^"]+)"') as gateway:
                yield changes | {"0.0.0.0:50051": gateway}


def named(service: str) -> compose.Service:
    return services()[service]


async def test_an_image_that_was_pushed_is_in_the_catalog(tmp_path: Path, secret_paths: dict[str, str]) -> None:
    programs.skopeo()
    content = image("1.0")
    async with example(tmp_path, secret_paths) as changes:
        pushing = [translated(word, changes) for word in named("push").words("entrypoint")]
        authentication = {"REGISTRY_AUTH_FILE": str(tmp_path / "authentication.json")}
        await run([*pushing, write_layout(tmp_path / "layout", content), "team/app:1.0"], authentication)

        gateway = changes["0.0.0.0:50051"]
        await run([*_GATEWAY, "healthcheck"], {"PORTUS_LISTEN": gateway})
        async with grpc.aio.insecure_channel(gateway) as channel:
            registry = RegistryServiceStub(channel)
            answer = await registry.Catalog(CatalogRequest(include_tags=True), timeout=20)
            assert [(found.name, list(found.tags)) for found in answer.repositories] == [("team/app", ["1.0"])]

            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await registry.DeleteManifest(
                    DeleteManifestRequest(repository="team/app", digest=content.digest, force=True), timeout=20
                )
        assert refused.value.code() == grpc.StatusCode.FAILED_PRECONDITION
        assert "PORTUS_ALLOW_DELETE" in str(refused.value.details())


async def test_secrets_are_made_once_and_kept_from_other_users(tmp_path: Path, secret_paths: dict[str, str]) -> None:
    paths = [Path(path) for path in secret_paths.values()]
    made = {path: path.read_bytes() for path in paths}
    assert all(made.values())
    assert (tmp_path / "deploy/secrets").stat().st_mode & 0o077 == 0
    # A container's user is another one than these files' owner.
    assert all(path.stat().st_mode & 0o777 == 0o444 for path in paths)

    await run([str(tmp_path / "deploy/make-secrets")], {})
    assert {path: path.read_bytes() for path in paths} == made
