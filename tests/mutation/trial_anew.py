"""Tries a mutant with everything imported anew: for a change of what runs when the module is imported."""

import ast
import importlib.abc
import importlib.machinery
import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path
from types import CodeType, ModuleType

import pytest

from tests.mutation.baseline import Baseline
from tests.mutation.child import Outcome, outcome_of
from tests.mutation.killers import Killers
from tests.mutation.pytest_options import run_pytest
from tests.mutation.time_limits import TimeLimits


class _Finder(importlib.abc.MetaPathFinder):
    """Finds one module, with other code than its file has."""

    def __init__(self, name: str, file: str, code: CodeType) -> None:
        self._name = name
        self._loader = _Loader(name, file, code)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None, /
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != self._name:
            return None
        return importlib.util.spec_from_loader(fullname, self._loader)


class _Loader(importlib.machinery.SourceFileLoader):
    def __init__(self, name: str, file: str, code: CodeType) -> None:
        super().__init__(name, file)
        self._code = code

    def get_code(self, fullname: str) -> CodeType:
        return self._code


class _Selection:
    """A pytest plugin that runs these tests, in this order."""

    def __init__(self, tests: Sequence[str]) -> None:
        self._order = {test: position for position, test in enumerate(tests)}

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items[:] = sorted(
            (item for item in items if item.nodeid in self._order), key=lambda item: self._order[item.nodeid]
        )


class _Noting:
    """A pytest plugin that notes the test that fails."""

    def __init__(self, killers: Killers) -> None:
        self._killers = killers

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self._killers.note_in_trial(report.nodeid)


def trial_anew(
    module: str,
    file: Path,
    changed: ast.Module,
    tests: Sequence[str],
    unchanged: Baseline,
    killers: Killers,
    seconds: float,
    log: Path,
) -> Outcome:
    """Whether one of `tests` notices that `module` is `changed`, within `seconds`."""

    def run() -> int:
        code = compile(ast.fix_missing_locations(changed), str(file), "exec")
        sys.meta_path.insert(0, _Finder(module, str(file), code))
        files = sorted({test.partition("::")[0] for test in tests})
        return run_pytest(files, _Selection(tests), TimeLimits(unchanged), _Noting(killers))

    return outcome_of(run, log, seconds)
