"""A release, made by `deploy/release`, and the image in it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from portus_gateway import __version__
from tests.programs import missing, required
from tests.release.commands import ROOT, output_of

# A release that `make test-clients` has made. Without it, the tests make one.
_RELEASE = "RELEASE"


@pytest.fixture(scope="session")
def python_image(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What the image is built on: `PYTHON_IMAGE`, or a stand-in of Debian's packages."""
    required("buildah", "run tests/real/install")
    if "PYTHON_IMAGE" in os.environ:
        return os.environ["PYTHON_IMAGE"]
    folder = tmp_path_factory.mktemp("python-image")
    output_of(ROOT / "tests/deploy/make-base-image", folder)
    return f"oci:{folder}"


@pytest.fixture(scope="session")
def release(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    """The folder with all artifacts."""
    if _RELEASE in os.environ:
        return (ROOT / os.environ[_RELEASE]).resolve()
    for tool in ("npm", "mvn", "go"):
        if shutil.which(tool) is None:
            missing(f"{tool} is not installed")
    folder = tmp_path_factory.mktemp("release")
    base = ("--python-image", request.getfixturevalue("python_image"))
    output_of(sys.executable, ROOT / "deploy/release", __version__, "--trial", *base, "--output", folder)
    return folder


def build_image(python_image: str, folder: Path) -> Path:
    """Builds the image of this checkout, and returns the archive."""
    command = (sys.executable, ROOT / "deploy/image", "--python-image", python_image, "--output", folder)
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return folder / f"portus-gateway-{__version__}.oci.tar"


@pytest.fixture(scope="session")
def image_folder(python_image: str, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the image's archive and its SBOM."""
    if _RELEASE in os.environ:
        release: Path = request.getfixturevalue("release")
        return release / "image"
    return build_image(python_image, tmp_path_factory.mktemp("image")).parent
