"""The programs and commands in the READMEs of the clients work as written."""

import re
import uuid
from pathlib import Path

import pytest

from tests.clients.interop.conftest import Gateways
from tests.clients.interop.programs import JAVA_CLASSES, PROGRAMS, ROOT, Outcome, run
from tests.clients.interop.scenario_output import APP, DEMO

DOCUMENTED = "127.0.0.1:50051"


def readme(language: str, address: str) -> str:
    """The README, with the address of the running gateway."""
    next(program for program in PROGRAMS if program.language == language).require()
    document = (ROOT / "clients" / language / "README.md").read_text(encoding="utf-8")
    assert DOCUMENTED in document
    return document.replace(DOCUMENTED, address)


def programs(document: str, fence: str) -> tuple[str, str]:
    """The program that prints a manifest, and its continuation with a delete."""
    first, second = re.findall(rf"^```{fence}\n(.*?)^```$", document, re.MULTILINE | re.DOTALL)
    return first, second


def prints_the_manifest_and_the_refusal(outcome: Outcome, tags: str) -> None:
    assert outcome.code == 0, outcome
    assert outcome.output == f"{APP.digest}\n{APP.manifest.decode()}\nstill tagged: {tags}\n"


def test_go(gateways: Gateways, tmp_path: Path) -> None:
    get, delete = programs(readme("go", gateways.plaintext), "go")
    source = tmp_path / "main.go"
    source.write_text(get.replace('"context"\n', '"context"\n\t"errors"\n').removesuffix("}\n") + delete + "}\n")
    prints_the_manifest_and_the_refusal(run(["go", "run", str(source)], {}, ROOT / "clients/go"), "[1.1.0 latest]")


def test_typescript(gateways: Gateways) -> None:
    get, delete = programs(readme("typescript", gateways.plaintext), "ts")
    # Node finds the package by its name in the package's own folder.
    source = ROOT / f"clients/typescript/dist/readme-{uuid.uuid4()}.mjs"
    source.write_text(get.removesuffix("client.close();\n") + delete + "client.close();\n")
    try:
        prints_the_manifest_and_the_refusal(run(["node", str(source)], {}), "[ '1.1.0', 'latest' ]")
    finally:
        source.unlink()


def test_java(gateways: Gateways, tmp_path: Path) -> None:
    get, delete = programs(readme("java", gateways.plaintext), "java")
    imports = re.findall("^import .*\n", delete, re.MULTILINE)
    statements = delete.removeprefix("".join(imports))
    closing = "    }\n  }\n}\n"
    source = tmp_path / "Example.java"
    source.write_text("".join(imports) + get.removesuffix(closing) + statements + closing)
    prints_the_manifest_and_the_refusal(run(["java", "-cp", JAVA_CLASSES, str(source)], {}), "[1.1.0, latest]")


@pytest.mark.parametrize("language", ["go", "typescript", "java", "grpcurl"])
def test_the_scenario_runs_as_written(language: str, gateways: Gateways) -> None:
    document = readme(language, gateways.plaintext)
    (command,) = re.findall(rf"`([^`]+ {gateways.plaintext} team/app latest)`", document)
    outcome = run(["bash", "-c", command], {}, ROOT / "clients" / language)
    assert (outcome.code, outcome.error) == (0, "")
    assert outcome.output == DEMO
