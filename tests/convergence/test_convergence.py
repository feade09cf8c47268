"""The index over real registries converges, whatever happens to notifications, to the registry and to the gateways.

A short run is part of the tests. `make test-index` makes longer ones: INDEX_OPERATIONS and INDEX_SEED say how long, and
what happens.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest

from tests import programs
from tests.convergence.planted_bugs import BUGS, QUICKLY_NOTICED
from tests.convergence.running import Plan, Run, Store

SEED = int(os.environ.get("INDEX_SEED", "1"))
OPERATIONS = int(os.environ.get("INDEX_OPERATIONS", "100"))
# A run of `make test-index` has more registries and stores, and looks for all bugs.
LONG = 1000
Kind: TypeAlias = tuple[Callable[[], str], Store]
KINDS: list[Kind] = [(programs.docker_registry, "sqlite"), (programs.distribution, "postgres")]
if OPERATIONS >= LONG:
    KINDS += [(programs.docker_registry, "postgres"), (programs.distribution, "sqlite")]
# A bug has to be noticed in one of so many short runs.
TRIES = 3
OPERATIONS_OF_TRY = 60


@pytest.mark.parametrize(("program", "store"), KINDS, ids=lambda kind: getattr(kind, "__name__", kind))
async def test_the_index_is_right_whatever_happens(program: Callable[[], str], store: Store, tmp_path: Path) -> None:
    report = await Run(Plan(SEED, OPERATIONS, program, store), tmp_path).run()
    print(f"seed {SEED}:", report.figures)
    assert report.violations == [], f"seed {SEED}:\n" + "\n".join(report.violations[:20])
    # Nothing of it is without effect.
    assert report.figures["from the index"] > 10
    assert report.figures["interruptions of watches"] > 2


@pytest.mark.parametrize("bug", BUGS if OPERATIONS >= LONG else QUICKLY_NOTICED)
async def test_a_run_notices(bug: str, tmp_path: Path) -> None:
    for attempt in range(TRIES):
        plan = Plan(SEED + attempt, OPERATIONS_OF_TRY, programs.distribution, "sqlite", bug, convergence=20.0)
        folder = tmp_path / str(attempt)
        folder.mkdir()
        violations = (await Run(plan, folder).run()).violations
        if violations:
            print(f"{bug}: {violations[0]}")
            return
    raise AssertionError("nobody noticed")
