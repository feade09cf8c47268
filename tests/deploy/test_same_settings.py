"""compose, Helm, kustomize, systemd and `docker run` use the same settings and names, and show no secret."""

import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest

from portus_gateway.settings import SECRETS, Settings, variable_of
from tests.deploy import compose
from tests.deploy.kubernetes import Manifests, at, render
from tests.deploy.project import ROOT

NAMES = {variable_of(name) for name in Settings.model_fields}
HIDDEN = {variable_of(name) for name in SECRETS}
# What each of them has to say.
COMMON = {"PORTUS_LISTEN", "PORTUS_PASSWORD_FILE", "PORTUS_REGISTRY_URL", "PORTUS_TOKEN_REALM"}


@dataclass(frozen=True, slots=True)
class Way:
    """One way to run the gateway: its variables, and its command without the program."""

    variables: dict[str, str]
    command: list[str]


def by_compose(_: Path) -> Way:
    service = compose.services()["gateway"]
    return Way(service.environment, service.words("command"))


def arguments(manifests: Manifests) -> list[str]:
    """What the container gives to the program of the image."""
    assert at(manifests.container, "command") is None
    words = at(manifests.container, "args")
    assert isinstance(words, list)
    return [str(word) for word in words]


def by_helm(folder: Path) -> Way:
    values = """
registry: {url: 'https://r', tokenRealm: 'https://t/v2/token', passwordSecret: {name: a}}
tls: {insecure: true}
callers: {anonymous: true}
"""
    manifests = render(values, folder)
    return Way(manifests.settings, arguments(manifests))


def by_kustomize(_: Path) -> Way:
    text = "".join(
        (ROOT / "deploy/kustomize" / name).read_text() for name in ("base/settings.env", "example/kustomization.yaml")
    )
    variables = dict(re.findall(r"^(?: +- )?(PORTUS_\w+)=(.*)$", text, re.MULTILINE))
    base = Manifests((ROOT / "deploy/kustomize/base/deployment.yaml").read_text())
    return Way(variables, arguments(base))


def by_systemd(_: Path) -> Way:
    folder = ROOT / "deploy/systemd"
    unit = (folder / "portus-gateway.service").read_text()
    variables = dict(re.findall(r"^(PORTUS_\w+)=(.*)$", (folder / "settings.example").read_text(), re.MULTILINE))
    for line in re.findall(r"^Environment=(.*)$", unit, re.MULTILINE):
        variables |= dict(assignment.split("=", 1) for assignment in shlex.split(line))
    (start,) = re.findall(r"^ExecStart=\S+/portus-gateway (.*)$", unit, re.MULTILINE)
    return Way(variables, shlex.split(start))


def by_docker_run(_: Path) -> Way:
    text = (ROOT / "deploy/README.md").read_text()
    (found,) = re.findall(r"^docker run --detach .*(?:\n  .*)+", text, re.MULTILINE)
    words = shlex.split(found.replace("\\\n", " "))
    variables = dict(value.split("=", 1) for name, value in pairwise(words) if name == "--env")
    assert words[-1] == "portus-gateway"
    return Way(variables, ["serve"])


WAYS: dict[str, Callable[[Path], Way]] = {
    "compose": by_compose,
    "Helm": by_helm,
    "kustomize": by_kustomize,
    "systemd": by_systemd,
    "docker run": by_docker_run,
}


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest, tmp_path: Path) -> Way:
    found: Way = WAYS[request.param](tmp_path)
    return found


def test_all_use_the_same_names(way: Way) -> None:
    named = {name for name in way.variables if name.startswith("PORTUS_")}
    assert named - NAMES == set()
    assert COMMON - named == set()


def test_no_secret_is_in_a_variable_or_on_a_command_line(way: Way) -> None:
    assert way.command == ["serve"], "all settings are variables"
    assert HIDDEN.isdisjoint(way.variables), "a variable can be read where the container or the unit is shown"
    for name, value in way.variables.items():
        if "PASSWORD" in name or "TOKEN_FILE" in name or "KEY" in name:
            assert name.endswith("_FILE"), name
            assert value.startswith(("/", "%d/")), f"{name} is a path"
        assert "@" not in value, f"an account and its password could be in {name}"
