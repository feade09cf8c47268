"""Turns many measurements into one figure."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeVar

Measurement = TypeVar("Measurement")


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that `share` (0 to 1) of the values do not exceed. Raises `ValueError` if there are none."""
    if not values:
        raise ValueError("no values have no percentile")
    if not 0 <= share <= 1:
        raise ValueError(f"a share is between 0 and 1, not {share}")
    ranked = sorted(values)
    rank = -(-round(share * 1_000_000) * len(ranked) // 1_000_000)
    return ranked[max(rank - 1, 0)]


def ratios(values: Sequence[float], baseline: Sequence[float]) -> list[float]:
    """The ratio of each round. The two sides of a round run one after the other, so a slow moment affects both."""
    if len(values) != len(baseline) or not values:
        raise ValueError(f"{len(values)} values cannot be compared with {len(baseline)}")
    return [value / base for value, base in zip(values, baseline, strict=True)]


async def interleaved(
    measures: Mapping[str, Callable[[], Awaitable[Measurement]]], rounds: int
) -> dict[str, list[Measurement]]:
    """Makes each measurement once in each round. Every second round has the reverse order: none is always first."""
    results: dict[str, list[Measurement]] = {name: [] for name in measures}
    names = list(measures)
    for turn in range(rounds):
        order = names if turn % 2 == 0 else names[::-1]
        for name in order:
            results[name].append(await measures[name]())
    return results
