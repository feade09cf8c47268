"""The files that describe how the gateway is built and run."""

import tomllib
from pathlib import Path

import click
from packaging.requirements import Requirement

from portus_gateway.cli import main

ROOT = Path(__file__).parents[2]
_PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def requirements(kind: str) -> tuple[Requirement, ...]:
    """What pyproject.toml asks for: to `build` a wheel or the `image`, for the `server`, and for development, `dev`."""
    build = _PYPROJECT["build-system"]["requires"]
    server = [*_PYPROJECT["project"]["dependencies"], *_PYPROJECT["project"]["optional-dependencies"]["server"]]
    wanted: dict[str, list[str]] = {
        "build": build,
        "image": _PYPROJECT["dependency-groups"]["image"],
        "server": server,
        "dev": [*build, *server, *_PYPROJECT["dependency-groups"]["dev"]],
    }
    return tuple(Requirement(text) for text in wanted[kind])


def commands() -> frozenset[str]:
    """The commands that an installation has."""
    return frozenset(_PYPROJECT["project"]["scripts"])


def subcommand(name: str) -> click.Command:
    """A command of `portus-gateway`."""
    command = main.get_command(click.Context(main), name)
    assert command is not None, f"portus-gateway has no command {name}"
    return command
