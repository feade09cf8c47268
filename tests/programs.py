"""Programs that tests run, none of them ours; what it means where one is missing is said here, once."""

import os
import shutil
from functools import cache
from pathlib import Path
from typing import NoReturn

import pytest

_ROOT = Path(__file__).parents[1]
_INSTALL = "run tests/real/install"


def docker_registry() -> str:
    """Debian's docker-registry, 2.8."""
    return required("docker-registry", _INSTALL)


def distribution() -> str:
    """Distribution 3, as `tests/real/install` builds it."""
    return required("registry", _INSTALL, _ROOT / "build/tools")


def go_containerregistry() -> str:
    """The registry of go-containerregistry, as `tests/real/install` builds it."""
    return required("ggcr-registry", _INSTALL, _ROOT / "build/tools")


def conformance() -> str:
    """The conformance suite of the OCI distribution specification, as `tests/real/install` builds it."""
    return required("conformance", _INSTALL, _ROOT / "build/tools")


def skopeo() -> str:
    return required("skopeo", _INSTALL)


def buildah() -> str:
    return required("buildah", _INSTALL)


def required(program: str, remedy: str, folder: Path | None = None) -> str:
    """The path of a program, in PATH or in `folder`; where there is none, `missing` says so, and what to do."""
    found = _find(program, folder)
    if found is None:
        place = "is not installed" if folder is None else f"is not in {folder.relative_to(_ROOT)}"
        missing(f"{program} {place}: {remedy}")
    return found


def missing(what: str) -> NoReturn:
    """Ends a test that lacks something: skipped, by name; in CI, which has to have everything, that is a failure."""
    if os.environ.get("CI") == "true":
        pytest.fail(what)
    pytest.skip(what)


@cache
def _find(program: str, folder: Path | None) -> str | None:
    return shutil.which(program, path=None if folder is None else str(folder))
