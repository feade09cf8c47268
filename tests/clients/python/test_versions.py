"""The tests of the client pass with the oldest and the newest libraries that pyproject.toml allows."""

import os
import re
import subprocess
import sys
import tomllib
import venv
from importlib import metadata
from pathlib import Path

import pytest

from tests.clients.python.command_line import environment

ROOT = Path(__file__).parents[3]
FOLDER = Path(__file__).parent
TESTS = (
    "test_client.py",
    "test_aio_client.py",
    "test_batch.py",
    "test_errors.py",
    "test_command_batch.py",
    "test_command_terminal.py",
)
# All tests of the project run with the versions in requirements/, which are nearly the newest.
TESTS_OF_NEWEST = ("test_client.py", "test_errors.py")
TOOLS = ("pytest", "pytest-asyncio", "hypothesis")
INSTALL = 300.0
RUN = 300.0


def admitted() -> list[str]:
    """The requirements of the client in pyproject.toml."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        return list(tomllib.load(file)["project"]["dependencies"])


def oldest(requirement: str) -> str:
    """`grpcio==1.80.*` for `grpcio>=1.80`."""
    found = re.fullmatch(r"([a-z-]+)>=([0-9.]+)(?:,<[0-9.]+)?", requirement)
    assert found is not None, f"{requirement}: write it as NAME>=VERSION, so that the oldest version can be tested"
    return f"{found[1]}=={found[2]}.*"


def test_the_oldest_version_is_the_lower_bound_of_the_requirement() -> None:
    assert oldest("protobuf>=6.31,<8") == "protobuf==6.31.*"
    assert "grpcio==1.80.*" in map(oldest, admitted())


@pytest.mark.skipif(os.environ.get("CI") != "true", reason="installs packages, for a minute: set CI=true to run it")
@pytest.mark.parametrize("ends", ["oldest", "newest"])
def test_the_clients_tests_pass(ends: str, tmp_path: Path) -> None:
    requirements = [oldest(item) for item in admitted()] if ends == "oldest" else admitted()
    venv.create(tmp_path, with_pip=True)
    python = tmp_path / "bin/python"
    tools = [f"{tool}=={metadata.version(tool)}" for tool in TOOLS]
    _run([python, "-m", "pip", "install", "--quiet", *requirements, *tools], INSTALL)
    # Like an editable install, without the libraries of the gateway.
    site = tmp_path / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
    (site / "portus_client.pth").write_text(str(ROOT / "clients/python"))

    tests = TESTS if ends == "oldest" else TESTS_OF_NEWEST
    _run([python, "-m", "pytest", "-p", "no:cacheprovider", *(FOLDER / name for name in tests)], RUN)


def _run(command: list[str | Path], seconds: float) -> None:
    finished = subprocess.run(
        command,
        cwd=ROOT,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=seconds,
        check=False,
    )
    assert finished.returncode == 0, finished.stdout
