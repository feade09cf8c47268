"""Many callers, somebody who changes the registry, and faults; and an oracle that knows what was true when.

A short run is part of the tests. `make test-model` runs for minutes: MODEL_SECONDS and MODEL_SEED say how long and from
which seed.
"""

import os
from collections.abc import Callable

import pytest

from tests.model.planted_bugs import PLANTED, RARE, planted
from tests.model.running import violations_of_run

SECONDS = float(os.environ.get("MODEL_SECONDS", "15"))
SEED = int(os.environ.get("MODEL_SEED", "1"))
# A run of `make test-model` looks for bugs that show seldom, too.
LONG = 60.0
# A bug has to be noticed in one of so many short runs.
TRIES = 16
SECONDS_OF_TRY = 5.0


async def test_every_answer_was_true_every_error_had_its_fault_and_every_delete_its_leave() -> None:
    calls, violations = await violations_of_run(SEED, SECONDS)
    assert violations == [], f"seed {SEED}:\n" + "\n".join(violations[:20])
    assert calls > 10 * SECONDS


@pytest.mark.parametrize("bug", PLANTED if SECONDS < LONG else PLANTED + RARE, ids=lambda bug: bug.__name__)
async def test_the_oracle_notices(bug: Callable[[pytest.MonkeyPatch], None]) -> None:
    with planted(bug):
        for attempt in range(TRIES):
            _, violations = await violations_of_run(SEED + attempt, SECONDS_OF_TRY, until_the_first=True)
            if violations:
                return
    raise AssertionError("nobody noticed")
