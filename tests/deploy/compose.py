"""deploy/compose.yaml, read."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import yaml

from tests.deploy.project import ROOT

FOLDER = ROOT / "deploy"
SECRETS = "/run/secrets/"
Node: TypeAlias = "str | int | bool | list[Node] | dict[str, Node] | None"


@dataclass(frozen=True, slots=True)
class Service:
    """A service of the example. Variables that the shell may set have their defaults."""

    name: str
    node: Mapping[str, Node]

    @property
    def environment(self) -> dict[str, str]:
        variables = self.node.get("environment", {})
        assert isinstance(variables, dict)
        return {name: _with_defaults(value) for name, value in variables.items()}

    @property
    def secrets(self) -> set[str]:
        """The names of the secrets that it sees."""
        return set(self.words("secrets"))

    def words(self, key: str) -> list[str]:
        """A list, such as `command`."""
        listed = self.node.get(key, [])
        assert isinstance(listed, list)
        return [_with_defaults(word) for word in listed]


def services() -> dict[str, Service]:
    listed = _document()["services"]
    assert isinstance(listed, dict)
    found: dict[str, Service] = {}
    for name, node in listed.items():
        assert isinstance(node, dict)
        found[name] = Service(name, node)
    return found


def secret_files() -> dict[str, Path]:
    """The file of each secret, relative to the folder of compose.yaml."""
    listed = _document()["secrets"]
    assert isinstance(listed, dict)
    found: dict[str, Path] = {}
    for name, node in listed.items():
        assert isinstance(node, dict)
        found[name] = Path(str(node["file"]))
    return found


def seconds(text: str) -> float:
    """A duration as compose writes it: `90s` or `5m`."""
    number, unit = text[:-1], text[-1]
    return float(number) * {"s": 1, "m": 60}[unit]


def _document() -> dict[str, Node]:
    document: dict[str, Node] = yaml.safe_load((FOLDER / "compose.yaml").read_text())
    return document


def _with_defaults(value: Node) -> str:
    assert isinstance(value, str), f"{value!r} has to be in quotes: engines differ in how they read it"
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", value).replace("$$", "$")
