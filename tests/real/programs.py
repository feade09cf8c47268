"""The programs that these tests run, none of them ours: two registries, and what pushes images to them."""

import os
import shutil
from functools import cache
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[2]


def docker_registry() -> str:
    """Debian's docker-registry, 2.8."""
    return _require("docker-registry")


def distribution() -> str:
    """Distribution 3, as `install` builds it."""
    return _require("registry", _ROOT / "build/tools")


def skopeo() -> str:
    return _require("skopeo")


def buildah() -> str:
    return _require("buildah")


@cache
def _find(program: str, folder: Path | None) -> str | None:
    return shutil.which(program, path=None if folder is None else str(folder))


def _require(program: str, folder: Path | None = None) -> str:
    """The program's path. Skips the test where it is missing, by name; in CI that is a failure."""
    found = _find(program, folder)
    if found is not None:
        return found
    place = "is not installed" if folder is None else f"is not in {folder.relative_to(_ROOT)}"
    message = f"{program} {place}: run tests/real/install"
    if os.environ.get("CI") == "true":
        pytest.fail(message)
    pytest.skip(message)
