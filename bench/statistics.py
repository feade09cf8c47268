"""How many measurements become one figure."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from statistics import median
from typing import TypeVar

Measurement = TypeVar("Measurement")


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest of `values` that at least `share` (0 to 1) of them do not exceed. Raises `ValueError` for none."""
    if not values:
        raise ValueError("no values have no percentile")
    if not 0 <= share <= 1:
        raise ValueError(f"a share is between 0 and 1, not {share}")
    ranked = sorted(values)
    rank = -(-round(share * 1_000_000) * len(ranked) // 1_000_000)
    return ranked[max(rank - 1, 0)]


def ratio(values: Sequence[float], baseline: Sequence[float]) -> float:
    """The median of the ratios of runs that were made side by side: what slows a pair down slows both halves."""
    if len(values) != len(baseline) or not values:
        raise ValueError(f"{len(values)} values cannot be compared with {len(baseline)}")
    return median(value / base for value, base in zip(values, baseline, strict=True))


async def interleaved(
    measures: Mapping[str, Callable[[], Awaitable[Measurement]]], rounds: int
) -> dict[str, list[Measurement]]:
    """Makes each measurement once a round; the order turns around every round, so that going first favours nobody."""
    results: dict[str, list[Measurement]] = {name: [] for name in measures}
    names = list(measures)
    for turn in range(rounds):
        order = names if turn % 2 == 0 else names[::-1]
        for name in order:
            results[name].append(await measures[name]())
    return results
