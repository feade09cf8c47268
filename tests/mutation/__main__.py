"""Changes the modules that keep strangers out, one small change at a time: a test has to fail for each.

    python -m tests.mutation [--all] [--only TEXT] [MODULE ...]

Modules are named within `server/portus_gateway`: `access/policy.py`, or a folder: `access`. A module is passed over if
it and its tests are as they were in its last run: `results.toml`. `--all` tries it all the same, because other modules
and what the tests share may have changed. `--only` tries the mutants whose line as it is printed holds TEXT. Ends with
status 1 if a mutant survives that `survivors.toml` does not name.
"""

import argparse
import ast
import importlib
import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from tests.mutation.accepted import Accepted
from tests.mutation.baseline import Baseline
from tests.mutation.child import Outcome, exit_status
from tests.mutation.killers import Killers
from tests.mutation.modules import TESTS, files_for
from tests.mutation.mutants import Mutant, mutants
from tests.mutation.pytest_options import run_pytest
from tests.mutation.results import Result, Results, fingerprint
from tests.mutation.trial_anew import trial_anew
from tests.mutation.trials_in_functions import TrialsInFunctions

ROOT: Final = Path(__file__).parents[2]
PACKAGE: Final = ROOT / "server/portus_gateway"
# Imported once, before the processes part. None of them may start a thread when it is imported.
LIBRARIES: Final = (
    "aiohttp.web",
    "cachetools",
    "cryptography.x509",
    "grpc.aio",
    "grpc_health.v1.health_pb2_grpc",
    "grpc_reflection.v1alpha.reflection",
    "grpc_status.rpc_status",
    "jwt",
    "prometheus_client",
    "pydantic_settings",
    "pytest_asyncio.plugin",
    "structlog",
    "structlog.testing",
    "uvloop",
    "yaml",
)
SECONDS_FOR_IMPORTS: Final = 20


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutation")
    parser.add_argument("modules", nargs="*", metavar="MODULE", default=list(TESTS))
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--only", default="", metavar="TEXT")
    arguments = parser.parse_args()
    modules = [module for module in TESTS if any(_is_within(module, wanted) for wanted in arguments.modules)]
    if not modules:
        parser.error(f"no such module is covered; these are: {', '.join(TESTS)}")
    for library in LIBRARIES:
        importlib.import_module(library)
    here = Path(__file__).parent
    accepted = Accepted.read(here / "survivors.toml")
    results = Results.read(here / "results.toml")
    to_mend = []
    for module in modules:
        files = [PACKAGE / module, *(ROOT / file for file in _test_files(module)), here / "mutants.py"]
        tried = fingerprint(files, accepted.changes.get(module, ()))
        if results.is_known(module, tried) and not arguments.all and not arguments.only:
            print(f"{module}: unchanged")
            continue
        result = _run(module, accepted, arguments.only, tried)
        if result is None:
            to_mend.append(module)
            results.forget(module)
        elif not arguments.only:
            results.note(module, result)
    return int(bool(to_mend))


def _run(module: str, accepted: Accepted, only: str, tried: str) -> Result | None:
    """Tries all mutants of a module, and prints what survives. None if there is anything to mend."""
    begun = time.monotonic()
    tree = ast.parse((PACKAGE / module).read_text())
    found = [mutant for mutant in mutants(tree) if only in str(mutant)]
    try:
        outcomes = _outcomes(module, tree, found, partial(accepted.includes, module))
    except RuntimeError as error:
        print(f"{module}: {error}", flush=True)
        return None
    survivors = [mutant for mutant, outcome in zip(found, outcomes, strict=True) if outcome is Outcome.SURVIVED]
    unknown = [mutant for mutant in survivors if not accepted.includes(module, mutant)]
    # A time-out does not say that a test would notice.
    unnoticed = [mutant for mutant, outcome in zip(found, outcomes, strict=True) if outcome is not Outcome.KILLED]
    outdated = [] if only else accepted.not_among(module, unnoticed)
    counts = Counter(outcomes)
    print(
        f"{module}: {len(found)} mutants, {counts[Outcome.KILLED]} killed, {counts[Outcome.TIMED_OUT]} timed out,"
        f" {len(unknown)} survived, {len(survivors) - len(unknown)} accepted; {time.monotonic() - begun:.0f} s"
    )
    for mutant, outcome in zip(found, outcomes, strict=True):
        if outcome is Outcome.TIMED_OUT:
            print(f"  timed out: {mutant}")
    for mutant in unknown:
        print(f"  SURVIVED: {mutant}")
    for entry in outdated:
        print(f"  survivors.toml names what does not survive: {entry}")
    sys.stdout.flush()
    if unknown or outdated:
        return None
    return Result(len(found), counts[Outcome.KILLED], counts[Outcome.TIMED_OUT], len(survivors), tried)


def _outcomes(
    module: str, tree: ast.Module, found: Sequence[Mutant], may_survive: Callable[[Mutant], bool]
) -> list[Outcome]:
    """What becomes of each mutant. Raises `RuntimeError` if a test fails without any."""
    file = PACKAGE / module
    files = _test_files(module)
    folder = ROOT / "build/mutation" / module
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "log"
    log.unlink(missing_ok=True)
    in_functions = TrialsInFunctions(file, tree, found, may_survive, files[0], folder, log)
    if exit_status(lambda: run_pytest(files, in_functions), log, None, own_session=False) != 0:
        raise RuntimeError(f"the trials of {module} could not be made:\n{log.read_text()[-3000:]}")
    unchanged = Baseline.read(files[0], in_functions.lines)
    name = f"portus_gateway.{module.removesuffix('.py').replace('/', '.')}"

    killers = Killers.read(folder)

    def outcome(mutant: Mutant, known: Outcome) -> Outcome:
        if known is not Outcome.NOT_TRIED:
            return known
        tests = unchanged.tests_of(
            mutant.line, mutant.last_line, killers.kills, killers.of(mutant), may_survive=may_survive(mutant)
        )
        with mutant.applied():
            # To import all files takes longer than most tests do.
            for some in _first_file_and_others(tests):
                seconds = SECONDS_FOR_IMPORTS + unchanged.time_for(some)
                found = trial_anew(name, file, tree, some, unchanged, killers, seconds, log)
                if found is not Outcome.SURVIVED:
                    break
        killers.note(mutant)
        return found

    known = map(Outcome, json.loads(in_functions.outcomes.read_text()))
    outcomes = list(map(outcome, found, known))
    killers.write()
    return outcomes


def _first_file_and_others(tests: Sequence[str]) -> list[list[str]]:
    first = tests[0].partition("::")[0]
    parts: tuple[list[str], list[str]] = ([], [])
    for test in tests:
        parts[not test.startswith(f"{first}::")].append(test)
    return [part for part in parts if part]


def _test_files(module: str) -> list[str]:
    return files_for(module, [str(path.relative_to(ROOT / "tests")) for path in ROOT.glob("tests/*/test_*.py")])


def _is_within(module: str, wanted: str) -> bool:
    return module == wanted or module.startswith(f"{wanted.rstrip('/')}/")


if __name__ == "__main__":
    sys.exit(main())
