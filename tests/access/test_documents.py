"""docs/policy.md and docs/security.md are correct: examples, tables and names of tests."""

import ast
import re
import shlex
from functools import cache
from pathlib import Path

import pytest
from click.testing import CliRunner

from portus_gateway.access.principal_pattern import PrincipalPattern
from portus_gateway.access.repository_glob import RepositoryGlob
from portus_gateway.access.rpcs import GROUPS
from portus_gateway.cli import main
from tests.access.policies import parsed

ROOT = Path(__file__).parents[2]
POLICY = (ROOT / "docs/policy.md").read_text()
SECURITY = (ROOT / "docs/security.md").read_text()
EXAMPLES = re.findall(r"^```toml\n(.*?)^```", POLICY, re.MULTILINE | re.DOTALL)


def rows_below(document: str, header: str) -> list[list[str]]:
    """The cells of the table that begins with `header`."""
    table = document[document.index(header) :].partition("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in table]


def code_in(text: str) -> list[str]:
    return re.findall(r"`([^`]+)`", text)


def test_there_are_examples() -> None:
    assert len(EXAMPLES) >= 4


@pytest.mark.parametrize("example", EXAMPLES, ids=range(len(EXAMPLES)))
def test_every_example_of_a_policy_is_one(example: str) -> None:
    assert parsed(example).rules


def test_what_policy_check_prints_is_as_described(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("policy.toml").write_text(EXAMPLES[0])
    (session,) = re.findall(r"^```console\n(.*?)^```", POLICY, re.MULTILINE | re.DOTALL)
    steps = re.findall(r"^\$ portus-gateway (.*)\n(.*\n)", session, re.MULTILINE)
    assert len(steps) == 3
    for arguments, printed in steps:
        assert CliRunner().invoke(main, shlex.split(arguments)).output == printed


def test_the_groups_are_as_described() -> None:
    described = {code_in(group)[0]: rpcs for group, rpcs in rows_below(POLICY, "| group |")}
    assert described.keys() == GROUPS.keys()
    assert described.pop("*") == "all of them"
    assert {group: set(rpcs.split(", ")) for group, rpcs in described.items()} == {
        group: set(GROUPS[group]) for group in described
    }


def test_the_patterns_of_repositories_match_as_described() -> None:
    rows = rows_below(POLICY, "| pattern | matches | does not match |")
    assert len(rows) == 6
    for pattern, matching, other in rows:
        glob = RepositoryGlob(code_in(pattern)[0])
        assert all(glob.matches(name) for name in code_in(matching)), pattern
        assert not any(glob.matches(name) for name in code_in(other)), pattern


def test_the_patterns_of_principals_are_some() -> None:
    rows = rows_below(POLICY, "| pattern | matches |\n")
    assert len(rows) == 6
    for pattern, _ in rows:
        PrincipalPattern(code_in(pattern)[0])


@cache
def functions_in(path: Path) -> set[str]:
    tree = ast.parse(path.read_text())
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def test_every_threat_has_a_measure_and_tests_that_exist() -> None:
    header = "| threat | measure | tests |"
    rows = [row for table in SECURITY.split(header)[1:] for row in rows_below(header + table, header)]
    assert len(rows) > 40
    for threat, measure, named in rows:
        assert threat
        assert measure
        tests = code_in(named)
        assert tests, threat
        for test in tests:
            file, _, function = test.partition("::")
            assert function in functions_in(ROOT / "tests" / file), test


def test_every_file_of_access_tests_is_in_the_table() -> None:
    files = {path.name for path in (ROOT / "tests/access").glob("test_*.py")} - {Path(__file__).name}
    assert {file for file in files if f"`access/{file}::" not in SECURITY} == set()
