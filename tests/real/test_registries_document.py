"""docs/registries.md: each cell of its main table is what the tests expect of that registry."""

import json
import re
import subprocess
import sys
from pathlib import Path

from tests.real.outcomes import PREFIX

ROOT = Path(__file__).parents[2]
KINDS = ("docker-registry-2.8", "distribution-3.1", "go-containerregistry", "dev-2.8", "dev-3.1", "dev-oci-1.1")


def cells() -> dict[tuple[str, str], str]:
    """By test and kind of registry."""
    text = (ROOT / "docs/registries.md").read_text()
    heading = "| what a caller does | " + " | ".join(f"`{kind}`" for kind in KINDS) + " | test |\n"
    _, _, table = text.partition(heading)
    rows = table.split("\n\n")[0].splitlines()[1:]
    found: dict[tuple[str, str], str] = {}
    for row in rows:
        _, *outcomes, test = (cell.strip() for cell in row.strip("|").split("|"))
        for kind, outcome in zip(KINDS, outcomes, strict=True):
            found[test.strip("`"), kind] = re.sub(r" \[\d+\]$", "", outcome)
    return found


def expected_outcomes() -> dict[tuple[str, str], str]:
    """By test and kind of registry. A test with several inputs counts if one of them can be tried."""
    command = (sys.executable, "-m", "pytest", "tests/real", "--collect-only", "-q", "-p", "tests.real.outcomes")
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
    assert said.returncode == 0, said.stdout + said.stderr
    found: dict[tuple[str, str], str] = {}
    for line in said.stdout.splitlines():
        if line.startswith(PREFIX):
            test, kind, outcome = json.loads(line.removeprefix(PREFIX))
            if found.get((test, kind)) != "yes":
                found[test, kind] = outcome
    return found


def test_the_table_says_what_the_tests_expect() -> None:
    expected = expected_outcomes()
    found = cells()
    assert len(found) >= 20 * len(KINDS)
    assert {cell: expected.get(cell) for cell in found} == found


def test_every_note_is_explained_and_used() -> None:
    text = (ROOT / "docs/registries.md").read_text()
    used = set(re.findall(r"\[(\d+)\] \|", text))
    assert used == set(re.findall(r"^(\d+)\. ", text, re.MULTILINE))
