"""The programs and commands in the READMEs of the clients work as written."""

import re
import uuid
from pathlib import Path

import pytest

from tests.clients.interop.conftest import Gateways
from tests.clients.interop.programs import JAVA_CLASSES, PROGRAMS, ROOT, Outcome, run
from tests.clients.interop.scenario_output import APP, DEMO, SBOM

DOCUMENTED = "127.0.0.1:50051"


def readme(language: str, address: str) -> str:
    """The README, with the address of the running gateway."""
    next(program for program in PROGRAMS if program.language == language).require()
    document = (ROOT / "clients" / language / "README.md").read_text(encoding="utf-8")
    assert DOCUMENTED in document
    return document.replace(DOCUMENTED, address)


def programs(document: str, fence: str) -> tuple[str, str, str]:
    """The program that prints a manifest, and its continuations: with what belongs to the image, and with a delete."""
    first, second, third = re.findall(rf"^```{fence}\n(.*?)^```$", document, re.MULTILINE | re.DOTALL)
    return first, second, third


def prints_all(outcome: Outcome, built: str, tags: str) -> None:
    """Checks the output of the three programs after each other."""
    assert outcome.code == 0, outcome
    assert outcome.output == (
        f"{APP.digest}\n{APP.manifest.decode()}\n"
        f"built on {built}\nreferrer application/spdx+json\n{SBOM.decode()}"
        f"still tagged: {tags}\n"
    )


def test_go(gateways: Gateways, tmp_path: Path) -> None:
    get, details, delete = programs(readme("go", gateways.plaintext), "go")
    source = tmp_path / "main.go"
    imports = "".join(f'\t"{package}"\n' for package in ("context", "errors", "io", "os", "time"))
    program = get.replace('\t"context"\n', imports).removesuffix("}\n")
    source.write_text(f"{program}{details}{delete}}}\n")
    prints_all(run(["go", "run", str(source)], {}, ROOT / "clients/go"), "2024-05-01", "[1.1.0 latest]")


def test_typescript(gateways: Gateways) -> None:
    get, details, delete = programs(readme("typescript", gateways.plaintext), "ts")
    # Node finds the package by its name in the package's own folder.
    source = ROOT / f"clients/typescript/dist/readme-{uuid.uuid4()}.mjs"
    source.write_text(get.removesuffix("client.close();\n") + details + delete + "client.close();\n")
    try:
        prints_all(run(["node", str(source)], {}), "2024-05-01", "[ '1.1.0', 'latest' ]")
    finally:
        source.unlink()


def test_java(gateways: Gateways, tmp_path: Path) -> None:
    get, *continuations = programs(readme("java", gateways.plaintext), "java")
    imports = "".join(re.findall("^import .*\n", "".join(continuations), re.MULTILINE))
    statements = "".join(re.sub("^import .*\n", "", part, flags=re.MULTILINE) for part in continuations)
    closing = "    }\n  }\n}\n"
    main = "main(String[] arguments)"
    assert main in get
    source = tmp_path / "Example.java"
    program = get.replace(main, f"{main} throws IOException").removesuffix(closing)
    source.write_text(imports + program + statements + closing)
    built = "2024-05-01T12:00:00Z"
    prints_all(run(["java", "-cp", JAVA_CLASSES, str(source)], {}), built, "[1.1.0, latest]")


@pytest.mark.parametrize("language", ["go", "typescript", "java", "grpcurl"])
def test_the_scenario_runs_as_written(language: str, gateways: Gateways) -> None:
    document = readme(language, gateways.plaintext)
    (command,) = re.findall(rf"`([^`]+ {gateways.plaintext} team/app latest)`", document)
    outcome = run(["bash", "-c", command], {}, ROOT / "clients" / language)
    assert (outcome.code, outcome.error) == (0, "")
    assert outcome.output == DEMO
