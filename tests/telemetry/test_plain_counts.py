from typing import cast, get_args

from portus_gateway.registry.cached import Outcome
from portus_gateway.telemetry.plain_counts import ManifestCounts


def counted(counts: ManifestCounts) -> dict[str, float]:
    (family,) = counts.collect()
    return {sample.labels["outcome"]: sample.value for sample in family.samples}


def test_every_outcome_of_the_cache_is_counted_from_0() -> None:
    counts = ManifestCounts()
    assert counted(counts) == dict.fromkeys(get_args(Outcome), 0)
    for outcome in get_args(Outcome):
        counts.answered(outcome)
    assert counted(counts) == dict.fromkeys(get_args(Outcome), 1)


def test_an_outcome_that_is_new_is_counted_too() -> None:
    counts = ManifestCounts()
    counts.answered(cast("Outcome", "new"))
    assert counted(counts)["new"] == 1
