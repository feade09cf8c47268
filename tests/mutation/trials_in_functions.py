"""Tries the mutants in the bodies of functions: all tests are collected once, and each mutant has a process of its own.

This is some five times as fast as to import everything for each mutant.
"""

import ast
import gc
import json
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests.mutation import baseline
from tests.mutation.baseline import Baseline
from tests.mutation.changed_functions import LiveFunctions
from tests.mutation.child import NOT_TRIED_STATUS, Outcome, exit_status, outcome_of
from tests.mutation.executed_lines import ExecutedLines
from tests.mutation.killers import Killers
from tests.mutation.mutants import Mutant
from tests.mutation.time_limits import TimeLimits

# Tests of the boundary, for example, run for each RPC, and one more RPC notices little more. The mirrored file has all.
_MOST_PARAMETERS = 8


class TrialsInFunctions:
    """A pytest plugin that tries mutants with the tests that were collected.

    Writes the baseline to `lines`, and the outcome of each mutant to `outcomes`.
    """

    def __init__(
        self,
        file: Path,
        tree: ast.Module,
        found: Sequence[Mutant],
        may_survive: Callable[[Mutant], bool],
        mirror: str,
        folder: Path,
        log: Path,
    ) -> None:
        self._file = file
        self._tree = tree
        self._found = found
        self._may_survive = may_survive
        self._mirror = mirror
        self._folder = folder
        self._log = log
        self._executed = ExecutedLines(str(file))
        self.lines = folder / "lines.json"
        self.outcomes = folder / "outcomes.json"

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items[:] = [item for item in items if item.nodeid.startswith(f"{self._mirror}::")] + _some_of_each(
            [item for item in items if not item.nodeid.startswith(f"{self._mirror}::")]
        )

    def pytest_collection_finish(self) -> None:
        self._executed.stop()

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        status = exit_status(lambda: self._measure(session), self._log, 900, own_session=True)
        if status != 0:
            raise pytest.exit.Exception("the tests fail without a mutant, or there are none", returncode=1)
        unchanged = Baseline.read(self._mirror, self.lines)
        killers = Killers.read(self._folder)
        functions = LiveFunctions(str(self._file))
        # What is there already is not looked at again in each process.
        gc.collect()
        gc.freeze()
        outcomes = [self._try(session, functions, mutant, unchanged, killers).value for mutant in self._found]
        self.outcomes.write_text(json.dumps(outcomes))
        killers.write()
        return True

    def _measure(self, session: pytest.Session) -> int:
        session.config.pluginmanager.register(self._executed)
        session.config.pluginmanager.register(_Failures())
        self._executed.begin()
        if not session.items:
            return 5
        failed = _failed(session, session.items)
        baseline.write(self._executed, self.lines)
        return int(failed is not None)

    def _try(
        self,
        session: pytest.Session,
        functions: LiveFunctions,
        mutant: Mutant,
        unchanged: Baseline,
        killers: Killers,
    ) -> Outcome:
        if unchanged.runs_at_import(mutant.line, mutant.last_line):
            return Outcome.NOT_TRIED
        items = {item.nodeid: item for item in session.items}
        killer = killers.of(mutant)
        tests = unchanged.tests_of(
            mutant.line,
            mutant.last_line,
            killers.kills,
            killer if killer in items else None,
            may_survive=self._may_survive(mutant),
        )
        if not tests:
            return Outcome.SURVIVED

        def run() -> int:
            session.config.pluginmanager.register(TimeLimits(unchanged))
            with mutant.applied():
                if not functions.change(self._tree):
                    return NOT_TRIED_STATUS
            failed = _failed(session, [items[test] for test in tests])
            if failed is not None:
                killers.note_in_trial(failed)
            return int(failed is not None)

        outcome = outcome_of(run, self._log, unchanged.time_for(tests))
        killers.note(mutant)
        print(f"\n{outcome.value}: {mutant}", flush=True)
        return outcome


class _Failures:
    """A pytest plugin that prints a failure at once: the summary of the run does not come to that."""

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            print(f"\n{report.nodeid} fails without a mutant:\n{report.longreprtext}")


def _some_of_each(items: Sequence[pytest.Item]) -> list[pytest.Item]:
    """Each test with up to `_MOST_PARAMETERS` of its sets of parameters, evenly chosen."""
    by_function: defaultdict[str, list[pytest.Item]] = defaultdict(list)
    for item in items:
        by_function[item.nodeid.partition("[")[0]].append(item)
    chosen = []
    for same in by_function.values():
        count = min(len(same), _MOST_PARAMETERS)
        chosen += [same[number * len(same) // count] for number in range(count)]
    return chosen


def _failed(session: pytest.Session, items: Sequence[pytest.Item]) -> str | None:
    """Runs tests until one fails: which one that is."""
    for item, following in zip(items, [*items[1:], None], strict=True):
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        if session.testsfailed:
            return item.nodeid
    return None
