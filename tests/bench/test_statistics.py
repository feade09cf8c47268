"""The figures of the bench are made of measurements as they should be."""

from functools import partial

import pytest

from bench.statistics import interleaved, percentile, ratios


def test_a_percentile_is_one_of_the_values() -> None:
    values = [5.0, 1.0, 4.0, 2.0, 3.0]

    assert percentile(values, 0.5) == 3
    assert percentile(values, 0.99) == 5
    assert percentile(values, 0) == 1
    assert percentile(list(map(float, range(1, 101))), 0.99) == 99


def test_no_values_have_no_percentile() -> None:
    with pytest.raises(ValueError, match="no values"):
        percentile([], 0.5)


def test_each_round_has_its_own_ratio_so_that_a_slow_moment_affects_both_sides() -> None:
    assert ratios([2, 20, 2], [1, 10, 1]) == [2, 2, 2]
    assert ratios([10, 2, 4], [1, 1, 2]) == [10, 2, 2]


def test_runs_without_a_partner_are_no_ratio() -> None:
    with pytest.raises(ValueError, match="2 values cannot be compared with 1"):
        ratios([1, 2], [1])


async def test_measurements_take_turns_and_none_is_always_first() -> None:
    made: list[str] = []

    async def measure(name: str) -> int:
        made.append(name)
        return len(made)

    results = await interleaved({name: partial(measure, name) for name in "abc"}, 3)

    assert "".join(made) == "abc" + "cba" + "abc"
    assert results == {"a": [1, 6, 7], "b": [2, 5, 8], "c": [3, 4, 9]}
