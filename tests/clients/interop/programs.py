"""The scenario in five languages, and how to run each. `clients/build` builds them."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.programs import missing

ROOT = Path(__file__).parents[3]
GO = ROOT / "build/tools/scenario-go"
TYPESCRIPT = ROOT / "clients/typescript/dist/examples/scenario.js"
JAVA = ROOT / "clients/java"
JAVA_CLASSES = f"{JAVA}/target/*:{JAVA}/target/dependency/*"
GRPCURL = ROOT / "clients/grpcurl/scenario"
PYTHON = Path(__file__).with_name("scenario.py")

# In seconds. A program that runs longer hangs.
_PATIENCE = 60.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a program ended. `seconds` includes its start."""

    code: int
    output: str
    error: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Program:
    """The scenario in one language, the `tools` that it needs, and its file, the `product` of `clients/build`."""

    language: str
    command: tuple[str, ...]
    tools: tuple[str, ...]
    product: Path

    def require(self) -> None:
        """Skips the test if a tool or the product is missing. In CI, that is an error."""
        for tool in self.tools:
            if shutil.which(tool, path=search_path()) is None:
                missing(f"{self.language}: {tool} is not installed")
        if not self.product.exists():
            missing(f"{self.language}: {self.product.relative_to(ROOT)} is not built: run clients/build")

    def run(self, address: str, repository: str, tag: str, *, timeout: float = 30, **settings: str | Path) -> Outcome:
        """Runs the scenario. `settings` are environment variables: `ca_file` is PORTUS_GATEWAY_CA_FILE."""
        variables = {f"PORTUS_GATEWAY_{name.upper()}": str(value) for name, value in settings.items()}
        return run([*self.command, address, repository, tag], {"PORTUS_GATEWAY_TIMEOUT": str(timeout), **variables})


def run(command: list[str], variables: Mapping[str, str], folder: Path | None = None) -> Outcome:
    """Runs a command until it ends. Fails the test if it does not end."""
    started = time.monotonic()
    try:
        ended = subprocess.run(
            command,
            env={**os.environ, **variables, "PATH": search_path()},
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=_PATIENCE,
            check=False,
        )
    except subprocess.TimeoutExpired:
        pytest.fail(f"{command} hangs")
    return Outcome(ended.returncode, ended.stdout, ended.stderr, time.monotonic() - started)


def search_path() -> str:
    """PATH, after the folder of this Python's commands: grpcurl is installed from PyPI."""
    return os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", "")))


PROGRAMS = (
    Program("python", (sys.executable, str(PYTHON)), (), PYTHON),
    Program("go", (str(GO),), (), GO),
    Program("typescript", ("node", str(TYPESCRIPT)), ("node",), TYPESCRIPT),
    Program(
        "java",
        # The better compiler would only slow down a program of one second.
        ("java", "-XX:TieredStopAtLevel=1", "-cp", f"{JAVA_CLASSES}:{JAVA}/target/examples", "Scenario"),
        ("java",),
        JAVA / "target/examples/Scenario.class",
    ),
    Program("grpcurl", (str(GRPCURL),), ("bash", "grpcurl", "jq", "base64", "sha256sum"), GRPCURL),
)
