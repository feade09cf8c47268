"""Programs of other projects that tests run, and what happens if one is missing."""

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


def pgbouncer() -> Path:
    """Debian's PgBouncer, which is not in everybody's PATH."""
    found = Path("/usr/sbin/pgbouncer")
    if not found.exists():
        missing(f"{found} is not installed: {_INSTALL}")
    return found


def postgresql() -> Path:
    """The folder with PostgreSQL's programs: the newest that Debian's packages have installed."""
    folders = Path("/usr/lib/postgresql").glob("*/bin/initdb")
    found = max(folders, key=lambda program: float(program.parts[-3]), default=None)
    if found is None:
        missing(f"PostgreSQL is not installed: {_INSTALL}")
    return found.parent


def kustomize() -> str:
    """kustomize, as `tests/deploy/install` builds it."""
    return required("kustomize", "run tests/deploy/install", _ROOT / "build/tools")


def promtool() -> str:
    return required("promtool", "run tests/deploy/install")


def prometheus() -> str:
    return required("prometheus", "run tests/deploy/install")


def required(program: str, remedy: str, folder: Path | None = None) -> str:
    """The path of a program, in PATH or in `folder`. Without it, the test ends, and `remedy` is shown."""
    found = _find(program, folder)
    if found is None:
        place = "is not installed" if folder is None else f"is not in {folder.relative_to(_ROOT)}"
        missing(f"{program} {place}: {remedy}")
    return found


def missing(what: str) -> NoReturn:
    """Skips a test that lacks something. In CI, which has to have everything, the test fails."""
    if os.environ.get("CI") == "true":
        pytest.fail(what)
    pytest.skip(what)


@cache
def _find(program: str, folder: Path | None) -> str | None:
    return shutil.which(program, path=None if folder is None else str(folder))
