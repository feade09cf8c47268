"""Which changes a mutation run makes."""

import ast
from pathlib import Path

import pytest

from tests.mutation.accepted import Accepted
from tests.mutation.baseline import Baseline
from tests.mutation.modules import TESTS, files_for
from tests.mutation.mutants import mutants
from tests.mutation.results import Result, Results, fingerprint

ROOT = Path(__file__).parents[2]
TEST_FILES = [str(path.relative_to(ROOT / "tests")) for path in ROOT.glob("tests/*/test_*.py")]


def changed(source: str) -> set[str]:
    """The source with each change."""
    tree = ast.parse(source)
    texts = set()
    for mutant in mutants(tree):
        with mutant.applied():
            texts.add(ast.unparse(tree))
    assert ast.unparse(tree) == ast.unparse(ast.parse(source)), "a change was not taken back"
    return texts


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("x = a < b", {"x = a <= b", "x = a >= b"}),
        ("x = a is b", {"x = a is not b"}),
        ("x = a in b", {"x = a not in b"}),
        ("x = a and b", {"x = True and b", "x = a and a"}),
        ("x = a or b", {"x = False or b", "x = a or a"}),
        ("x = not a", {"x = a"}),
        ("x = True", {"x = False"}),
        ("x = 1", {"x = 2", "x = 0"}),
        ("x = 0", {"x = 1"}),
        ("x = 4096", set()),
        ("x = a + b", {"x = a - b"}),
        ("x = min(a, b)", {"x = max(a, b)"}),
        ("x = a if b else c", {"x = a if True else c", "x = a if False else c"}),
        ("x = [a for a in b if a]", {"x = [a for a in b if True]", "x = [a for a in b if False]"}),
        ("x = f(a, b=c)", {"x = f(a)"}),
        ("f()", {"pass"}),
        ("self.x = a", {"pass"}),
        ("with a:\n    x = b", {"if True:\n    x = b"}),
        ("try:\n    x = a\nexcept E:\n    x = b", {"try:\n    x = a\nexcept E:\n    raise"}),
        ("_log.info('x', y=1)", set()),
        ("x: Literal[1] = a", set()),
        ("x = f'{a + 1}'", set()),
    ],
)
def test_changes(source: str, expected: set[str]) -> None:
    assert changed(source) == expected


def test_a_guard_is_skipped_and_always_taken_and_its_error_is_left_out() -> None:
    assert changed("if not a == b:\n    raise E(a)") == {
        "if not True:\n    raise E(a)",
        "if not False:\n    raise E(a)",
        "if not a == b:\n    pass",
    }


def test_equal_changes_in_one_function_are_told_apart() -> None:
    first, second = mutants(ast.parse("def f():\n    g()\n    g()"))
    assert (first.function, first.change) == ("f", "without `g()`")
    assert (second.function, second.change) == ("f", "without `g()` (number 2)")


@pytest.mark.parametrize("module", TESTS)
def test_every_module_that_is_covered_has_tests(module: str) -> None:
    assert (ROOT / "server/portus_gateway" / module).is_file()
    assert files_for(module, TEST_FILES)
    assert [file for file in TESTS[module] if file not in TEST_FILES] == []


def test_what_may_survive_is_a_change_of_the_module_and_has_a_reason() -> None:
    accepted = Accepted.read(Path(__file__).with_name("survivors.toml"))
    for module, changes in accepted.changes.items():
        tree = ast.parse((ROOT / "server/portus_gateway" / module).read_text())
        assert sorted(changes - {(mutant.function, mutant.change) for mutant in mutants(tree)}) == []


def test_a_module_is_known_until_it_or_its_tests_or_its_survivors_change(tmp_path: Path) -> None:
    file = tmp_path / "policy.py"
    file.write_text("x = 1")
    path = tmp_path / "results.toml"
    path.write_text("# What this is.\n")
    tried = fingerprint([file], [])
    results = Results.read(path)
    assert not results.is_known("access/policy.py", tried)
    results.note("access/policy.py", Result(mutants=2, killed=1, timed_out=0, listed=1, of=tried))
    again = Results.read(path)
    assert again.by_module == results.by_module
    assert path.read_text().startswith("# What this is.\n\n")
    assert again.is_known("access/policy.py", tried)
    assert not again.is_known("access/policy.py", fingerprint([file], [("f", "without `g()`")]))
    file.write_text("x = 2")
    assert not again.is_known("access/policy.py", fingerprint([file], []))
    again.forget("access/policy.py")
    assert Results.read(path).by_module == {}


def test_two_runs_at_the_same_time_keep_the_results_of_both(tmp_path: Path) -> None:
    path = tmp_path / "results.toml"
    path.write_text("# What this is.\n")
    result = Result(mutants=1, killed=1, timed_out=0, listed=0, of="1")
    one, other = Results.read(path), Results.read(path)
    one.note("access/policy.py", result)
    other.note("access/tls.py", result)
    one.forget("access/rpcs.py")
    assert Results.read(path).by_module == {"access/policy.py": result, "access/tls.py": result}


def test_the_mirrored_file_is_tried_however_many_tests_run_a_line() -> None:
    lines = {f"tests/test_other.py::test_{number}": frozenset([7]) for number in range(100)}
    lines |= {"tests/test_it.py::test_slow": frozenset([7]), "tests/test_it.py::test_of_other_lines": frozenset([8])}
    baseline = Baseline("tests/test_it.py", frozenset(), lines, dict.fromkeys(lines, 1.0), dict.fromkeys(lines, 0))
    kills = dict.fromkeys([test for test in lines if "other" in test], 1)
    tried = baseline.tests_of(7, 7, kills, may_survive=False)
    assert "tests/test_it.py::test_slow" in tried
    assert len(tried) < 50
    assert "tests/test_it.py::test_slow" not in baseline.tests_of(7, 7, kills, may_survive=True)


def test_what_was_tried_is_covered_and_left_nothing_to_mend() -> None:
    results = Results.read(Path(__file__).with_name("results.toml")).by_module
    assert set(results) <= set(TESTS)
    for result in results.values():
        assert result.mutants == result.killed + result.timed_out + result.listed
