"""The image: what is in it, that it runs without any right, and that it is made anew with the same content."""

import asyncio
import json
import re
import socket
import sys
import tarfile
from asyncio.subprocess import PIPE
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from packaging.utils import canonicalize_name

from portus_gateway import __version__
from portus_gateway.devregistry import DevRegistry
from tests import programs
from tests.deploy.project import requirements
from tests.release.commands import ROOT, output_of
from tests.release.conftest import build_image
from tests.release.podman import Podman, podman

LABEL = "org.opencontainers.image."
USER = 65532
_PATIENCE = 60.0


@dataclass(frozen=True, slots=True)
class Image:
    """The image of this version, in podman's storage and as an archive."""

    podman: Podman
    name: str
    archive: Path

    @property
    def own_files(self) -> Iterator[str]:
        """The names of the files of the layer that the Dockerfile adds to its base."""
        with tarfile.open(self.archive) as archive:
            file = archive.extractfile("manifest.json")
            assert file is not None
            (manifest,) = json.load(file)
            with tarfile.open(fileobj=archive.extractfile(manifest["Layers"][-1])) as layer:
                yield from layer.getnames()


@pytest.fixture(scope="module")
def built(image_folder: Path) -> Iterator[Image]:
    archive = image_folder / f"portus-gateway-{__version__}.oci.tar"
    with podman() as engine:
        yield Image(engine, engine.load(archive), archive)


_LOOK = """
import importlib.metadata, json, os, pathlib, portus_gateway, sys

def can_write(folder):
    try:
        pathlib.Path(folder, "file").write_text("x")
    except OSError:
        return False
    return True

package = os.path.dirname(portus_gateway.__file__)
print(json.dumps({
    "user": [os.getuid(), os.getgid()],
    "compiled": sys.flags.dont_write_bytecode == 1 and os.path.isfile(portus_gateway.__cached__),
    "written": list(filter(can_write, ["/", "/tmp", "/var/tmp", "/opt/portus-gateway", package])),
    "packages": {found.name: found.version for found in importlib.metadata.distributions()},
    "sbom": pathlib.Path("/opt/portus-gateway/share/sbom.cdx.json").read_text(),
}))
"""


@pytest.fixture(scope="module")
def inside(built: Image) -> dict[str, Any]:
    """What a container of the image sees."""
    options = ("--entrypoint", "python", "--no-healthcheck")
    found: dict[str, Any] = json.loads(output_of(*built.podman.run(built.name, "-c", _LOOK, options=options)))
    return found


def test_its_labels_say_what_it_is(built: Image) -> None:
    labels = {
        name.removeprefix(LABEL): value
        for name, value in built.podman.inspect(built.name)["Labels"].items()
        if name.startswith(LABEL)
    }
    assert labels.pop("version") == __version__
    assert labels.pop("revision").removesuffix("-modified") == output_of("git", "rev-parse", "HEAD").strip()
    committed = output_of("git", "log", "-1", "--date=format-local:%Y-%m-%dT%H:%M:%SZ", "--format=%cd", TZ="UTC")
    assert labels.pop("created") == committed.strip()
    assert labels.keys() == {"title", "description", "licenses", "source", "documentation"}
    assert labels["licenses"] == "Apache-2.0"


def test_an_engine_knows_how_to_start_stop_and_check_it(built: Image) -> None:
    found = built.podman.inspect(built.name)
    configuration = found["Config"]
    assert (configuration["Entrypoint"], configuration["Cmd"]) == (["portus-gateway"], ["serve"])
    assert (configuration["User"], configuration["StopSignal"]) == (f"{USER}:{USER}", "SIGTERM")
    assert found["Healthcheck"]["Test"] == ["CMD", "portus-gateway", "healthcheck"]


def test_other_tools_can_push_the_archive(built: Image, tmp_path: Path) -> None:
    # skopeo checks every digest on its way.
    output_of(programs.skopeo(), "copy", f"oci-archive:{built.archive}", f"oci:{tmp_path}/pushed:{__version__}")
    inspected = output_of(programs.skopeo(), "inspect", "--config", f"oci:{tmp_path}/pushed:{__version__}")
    configuration = json.loads(inspected)["config"]
    assert configuration["Labels"][f"{LABEL}version"] == __version__
    assert configuration["User"] == f"{USER}:{USER}"


def test_it_adds_the_gateway_and_nothing_else_to_its_base(built: Image) -> None:
    files = list(built.own_files)
    assert [name for name in files if not (name == "opt" or name.startswith("opt/portus-gateway"))] == []
    # No installer, and no settings, caches or records of how packages were downloaded.
    left = re.compile(r"site-packages/pip[/-]|pip\.conf|\.cache|direct_url\.json")
    assert list(filter(left.search, files)) == []


def test_it_does_not_say_where_it_was_built(built: Image) -> None:
    text = json.dumps(built.podman.inspect(built.name))
    assert str(ROOT) not in text
    assert str(built.archive.parent.parent) not in text


def test_the_list_of_packages_has_each_package_with_its_version(inside: dict[str, Any], image_folder: Path) -> None:
    released = (image_folder / f"portus-gateway-{__version__}.cdx.json").read_text()
    assert inside["sbom"] == released
    document = json.loads(released)
    assert document["bomFormat"] == "CycloneDX"
    about = document["metadata"]["component"]
    assert (about["name"], about["version"], about["type"]) == ("portus-gateway", __version__, "application")
    for found in document["components"]:
        assert found["purl"] == f"pkg:pypi/{canonicalize_name(found['name'])}@{found['version']}"
    listed = {canonicalize_name(found["name"]): found["version"] for found in document["components"]}
    installed = {canonicalize_name(name): version for name, version in inside["packages"].items()}
    assert installed.pop(canonicalize_name("portus-gateway")) == __version__
    assert listed == installed
    assert {canonicalize_name(requirement.name) for requirement in requirements("server")} <= listed.keys()


def test_its_user_cannot_write_anywhere_and_does_not_have_to(inside: dict[str, Any]) -> None:
    assert inside["user"] == [USER, USER]
    assert inside["written"] == []
    assert inside["compiled"], "each start would compile all modules"


@dataclass
class RunningContainer:
    """A gateway in a container."""

    name: str
    process: asyncio.subprocess.Process
    output: bytes = b""


@asynccontextmanager
async def serving(built: Image, variables: Mapping[str, str], *options: str) -> AsyncGenerator[RunningContainer, None]:
    """Runs `serve` in a container until the block ends."""
    name = "gateway"
    environment = [word for key, value in variables.items() for word in ("--env", f"{key}={value}")]
    command = built.podman.run(built.name, options=["--name", name, *environment, *options])
    process = await asyncio.create_subprocess_exec(*command, stdout=PIPE, stderr=PIPE)
    container = RunningContainer(name, process)
    assert process.stdout is not None
    assert process.stderr is not None
    log: list[str] = []
    try:
        async with asyncio.timeout(_PATIENCE):
            async for line in process.stderr:
                log.append(line.decode())
                if '"listening"' in log[-1]:
                    break
            else:
                raise AssertionError("the container ended:\n" + "".join(log))
            yield container
            process.terminate()
            container.output, errors = await process.communicate()
            log.append(errors.decode())
        assert process.returncode == 0, "".join(log)
        assert '"stopped"' in log[-1]
    finally:
        if process.returncode is None:
            built.podman("kill", name)
            await process.wait()


async def test_it_serves_and_deletes_without_any_right(built: Image, tmp_path: Path) -> None:
    password = tmp_path / "password"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"

    async def client(*arguments: str, status: int = 0) -> str:
        program = Path(sys.executable).with_name("portus-client")
        words = ("--address", address, *arguments)
        process = await asyncio.create_subprocess_exec(program, *words, stdout=PIPE, stderr=PIPE)
        output, errors = await asyncio.wait_for(process.communicate(), _PATIENCE)
        assert process.returncode == status, errors.decode()
        return (output + errors).decode()

    async with DevRegistry() as registry:
        password.write_text(registry.password)
        password.chmod(0o644)
        pushed = registry.push("team/app", "1.0", "latest")
        variables = {
            "PORTUS_REGISTRY_URL": registry.url,
            "PORTUS_TOKEN_REALM": registry.realm,
            "PORTUS_PASSWORD_FILE": "/run/secrets/password",
            "PORTUS_LISTEN": address,
            "PORTUS_ALLOW_DELETE": "true",
            "PORTUS_LOG_FORMAT": "json",
        }
        async with serving(built, variables, "--volume", f"{password}:/run/secrets/password:ro") as container:
            assert built.podman("healthcheck", "run", container.name) == ""
            assert "team/app" in await client("catalog")
            digest = (await client("digest", "team/app:1.0")).strip()
            assert digest == pushed
            delete = ("delete", "team/app:1.0", digest, "manifests", "--yes")
            assert "latest" in await client(*delete, status=4)
            await client(*delete, "--expect", "latest")
            assert re.search(r"team/app +-$", await client("catalog"), re.MULTILINE), "it has no tags left"
    audited = [json.loads(line) for line in container.output.splitlines()]
    # The client checks a delete before it asks for it.
    outcomes = [record["outcome"] for record in audited if "outcome" in record]
    assert outcomes == ["refused", "validated", "deleted"]


def test_the_same_commit_makes_the_same_image(image_folder: Path, python_image: str, tmp_path: Path) -> None:
    again = build_image(python_image, tmp_path)
    for file in tmp_path.iterdir():
        assert file.read_bytes() == (image_folder / file.name).read_bytes(), file.name
    assert again.stat().st_size < 100_000_000
