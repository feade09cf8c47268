"""The programs and commands in the READMEs of the clients work as written."""

import re
import uuid
from pathlib import Path

import pytest

from tests.clients.interop import readmes
from tests.clients.interop.conftest import Gateways
from tests.clients.interop.programs import JAVA_CLASSES, ROOT, Outcome, run
from tests.clients.interop.scenario_output import APP, DEMO, SBOM


def prints_all(outcome: Outcome, built: str, tags: str) -> None:
    """Checks the output of the three programs after each other."""
    assert outcome.code == 0, outcome
    assert outcome.output == (
        f"{APP.digest}\n{APP.manifest.decode()}\n"
        f"built on {built}\nreferrer application/spdx+json\n{SBOM.decode()}"
        f"still tagged: {tags}\n"
    )


def test_go(gateways: Gateways, tmp_path: Path) -> None:
    get, details, delete, _ = readmes.parts("go", gateways.plaintext)
    source = tmp_path / "main.go"
    source.write_text(readmes.go(get, [details, delete], ["errors", "io", "os", "time"]))
    prints_all(run(["go", "run", str(source)], {}, ROOT / "clients/go"), "2024-05-01", "[1.1.0 latest]")


def test_typescript(gateways: Gateways) -> None:
    get, details, delete, _ = readmes.parts("typescript", gateways.plaintext)
    source = readmes.node_program(uuid.uuid4().hex)
    source.write_text(readmes.typescript(get, [details, delete]))
    try:
        prints_all(run(["node", str(source)], {}), "2024-05-01", "[ '1.1.0', 'latest' ]")
    finally:
        source.unlink()


def test_java(gateways: Gateways, tmp_path: Path) -> None:
    get, details, delete, _ = readmes.parts("java", gateways.plaintext)
    source = tmp_path / "Example.java"
    source.write_text(readmes.java(get, [details, delete]))
    built = "2024-05-01T12:00:00Z"
    prints_all(run(["java", "-cp", JAVA_CLASSES, str(source)], {}), built, "[1.1.0, latest]")


@pytest.mark.parametrize("language", ["go", "typescript", "java", "grpcurl"])
def test_the_scenario_runs_as_written(language: str, gateways: Gateways) -> None:
    document = readmes.readme(language, gateways.plaintext)
    (command,) = re.findall(rf"`([^`]+ {gateways.plaintext} team/app latest)`", document)
    outcome = run(["bash", "-c", command], {}, ROOT / "clients" / language)
    assert (outcome.code, outcome.error) == (0, "")
    assert outcome.output == DEMO
