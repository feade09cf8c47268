"""Changes the modules that keep strangers out, one small change at a time: a test has to fail for each.

    python -m tests.mutation [--only TEXT] [MODULE ...]

Modules are named within `server/portus_gateway`: `access/policy.py`, or a folder: `access`. `--only` tries the mutants
whose line as it is printed holds TEXT. Ends with status 1 if a mutant survives that `survivors.toml` does not name.
"""

import argparse
import ast
import importlib
import json
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.mutation.accepted import Accepted
from tests.mutation.baseline import Baseline
from tests.mutation.child import Outcome, exit_status
from tests.mutation.modules import TESTS, files_for
from tests.mutation.mutants import Mutant, mutants
from tests.mutation.pytest_options import run_pytest
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
    parser.add_argument("--only", default="", metavar="TEXT")
    arguments = parser.parse_args()
    modules = [module for module in TESTS if any(_is_within(module, wanted) for wanted in arguments.modules)]
    if not modules:
        parser.error(f"no such module is covered; these are: {', '.join(TESTS)}")
    for library in LIBRARIES:
        importlib.import_module(library)
    accepted = Accepted.read(Path(__file__).with_name("survivors.toml"))
    to_mend = [module for module in modules if _run(module, accepted, arguments.only)]
    return int(bool(to_mend))


def _run(module: str, accepted: Accepted, only: str) -> bool:
    """Tries all mutants of a module, and prints what survives. Whether there is anything to mend."""
    begun = time.monotonic()
    tree = ast.parse((PACKAGE / module).read_text())
    found = [mutant for mutant in mutants(tree) if only in str(mutant)]
    try:
        outcomes = _outcomes(module, tree, found)
    except RuntimeError as error:
        print(f"{module}: {error}", flush=True)
        return True
    survivors = [mutant for mutant, outcome in zip(found, outcomes, strict=True) if outcome is Outcome.SURVIVED]
    unknown = [mutant for mutant in survivors if not accepted.includes(module, mutant)]
    outdated = [] if only else accepted.not_among(module, survivors)
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
    return bool(unknown or outdated)


def _outcomes(module: str, tree: ast.Module, found: Sequence[Mutant]) -> list[Outcome]:
    """What becomes of each mutant. Raises `RuntimeError` if a test fails without any."""
    file = PACKAGE / module
    files = files_for(module, [str(path.relative_to(ROOT / "tests")) for path in ROOT.glob("tests/*/test_*.py")])
    folder = ROOT / "build/mutation" / module
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "log"
    log.unlink(missing_ok=True)
    in_functions = TrialsInFunctions(file, tree, found, files[0], folder, log)
    if exit_status(lambda: run_pytest(files, in_functions), log, None, own_session=False) != 0:
        raise RuntimeError(f"the trials of {module} could not be made:\n{log.read_text()[-3000:]}")
    unchanged = Baseline.read(files[0], in_functions.lines)
    name = f"portus_gateway.{module.removesuffix('.py').replace('/', '.')}"

    def outcome(mutant: Mutant, known: Outcome) -> Outcome:
        if known is not Outcome.NOT_TRIED:
            return known
        tests = unchanged.tests_of(mutant.line, mutant.last_line, {})
        with mutant.applied():
            seconds = SECONDS_FOR_IMPORTS + unchanged.time_for(tests)
            return trial_anew(name, file, tree, tests, unchanged, seconds, log)

    known = map(Outcome, json.loads(in_functions.outcomes.read_text()))
    return list(map(outcome, found, known))


def _is_within(module: str, wanted: str) -> bool:
    return module == wanted or module.startswith(f"{wanted.rstrip('/')}/")


if __name__ == "__main__":
    sys.exit(main())
