"""The image itself, built from the Dockerfile. It takes minutes and the package index, so it is asked for by name.

PORTUS_TEST_PYTHON_IMAGE is the base image to build on: `python:3.11-slim-bookworm`, or what make-base-image has made.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from portus_gateway import __version__
from tests.deploy.buildah import Buildah, Container, buildah
from tests.deploy.project import ROOT

_BASE = "PORTUS_TEST_PYTHON_IMAGE"
pytestmark = pytest.mark.skipif(_BASE not in os.environ, reason=f"{_BASE} does not name an image to build on")


@dataclass(frozen=True, slots=True)
class Image:
    run: Buildah
    name: str
    container: Container


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Image]:
    with buildah() as run:
        name = run.build(
            ROOT,
            "--build-arg",
            f"PYTHON_IMAGE={os.environ[_BASE]}",
            *_pip_settings(tmp_path_factory.mktemp("pip")),
        )
        with run.container(name) as container:
            yield Image(run, name, container)


def _pip_settings(folder: Path) -> list[str]:
    """Lets pip in the build reach the index that pip reaches here, as deploy/README.md says."""
    settings = {"cert": os.environ.get("PIP_CERT"), "index-url": os.environ.get("PIP_INDEX_URL")}
    file = folder / "pip.conf"
    file.write_text("[global]\n" + "".join(f"{name} = {value}\n" for name, value in settings.items() if value))
    arguments = ["--secret", f"id=pip.conf,src={file}"]
    if settings["cert"]:
        certificates = Path(settings["cert"]).resolve().parent
        arguments += ["--volume", f"{certificates}:{Path(settings['cert']).parent}:ro"]
    return arguments


def test_it_has_the_gateway_and_the_client(image: Image) -> None:
    assert __version__ in image.container.run("portus-gateway", "--version")
    assert "catalog" in image.container.run("portus-client", "--help")
    assert "PORTUS_REGISTRY_URL" in image.container.run("portus-gateway", "serve", "--help")


def test_it_runs_as_nobody_in_particular(image: Image) -> None:
    assert image.container.run("id", "-u").strip() == "65532"
    writable = "find /opt/portus-gateway -writable -not -type l"
    assert image.container.run("sh", "-c", writable) == "", "it could change its own code"


def test_it_has_no_compiler_and_no_installer(image: Image) -> None:
    tools = "for tool in cc c++ gcc g++ clang ld as make; do command -v $tool; done; true"
    assert image.container.run("sh", "-c", tools) == ""
    installer = "import importlib.util as i; print(i.find_spec('pip'))"
    assert image.container.run("python", "-c", installer).strip() == "None"
    with image.container.files() as root:
        assert not [name for name in ("source", "build", "wheels") if (root / name).exists()]


def test_nothing_reveals_how_pip_was_set_up(image: Image) -> None:
    with image.container.files() as root:
        assert not (root / "etc/pip.conf").exists()
        assert not (root / "opt/portus-gateway/pip.conf").exists()


def test_an_engine_knows_how_to_start_stop_and_check_it(image: Image) -> None:
    configuration = image.run.configuration(image.name)
    assert configuration["Entrypoint"] == ["portus-gateway"]
    assert configuration["Cmd"] == ["serve"]
    assert configuration["StopSignal"] == "SIGTERM"
    assert configuration["User"] == "65532:65532"
    check = configuration["Healthcheck"]
    assert isinstance(check, dict)
    assert check["Test"] == ["CMD", "portus-gateway", "healthcheck"]
