"""The table says what was measured, and does not hide what missed its bar."""

import json
from typing import Literal

import pytest

from bench.chart import svg
from bench.figure import Figure, markdown


def figure(*runs: float, bar: float | None = 1.35, direction: Literal["at most", "at least"] = "at most") -> Figure:
    return Figure(
        name="cached <calls>",
        runs=runs,
        unit="times",
        bar=bar,
        direction=direction,
        against="echo",
        measured="2 µs",
        raw=[1, 2],
    )


@pytest.mark.parametrize(
    ("value", "direction", "verdict"),
    [
        (1.35, "at most", "met"),
        (1.36, "at most", "missed"),
        (1.35, "at least", "met"),
        (1.34, "at least", "missed"),
    ],
)
def test_a_figure_that_equals_its_bar_meets_it(
    value: float, direction: Literal["at most", "at least"], verdict: str
) -> None:
    assert figure(value, direction=direction).verdict == verdict


@pytest.mark.parametrize("direction", ["at most", "at least"])
def test_rounds_on_both_sides_of_the_bar_decide_nothing(direction: Literal["at most", "at least"]) -> None:
    undecided = figure(1.2, 1.3, 1.4, direction=direction)

    assert undecided.value == 1.3
    assert undecided.verdict == "not decided here"
    row = markdown([undecided]).splitlines()[2]
    assert "| 1.30 times, not decided here | 1.20 to 1.40 |" in row
    assert "✓" not in row
    assert "✗" not in row


def test_the_table_marks_what_missed() -> None:
    header, rule, met, missed, plain = markdown([figure(1.2), figure(1.4), figure(9, bar=None)]).splitlines()

    assert header == "| figure | value | rounds | bar | against | measured |"
    assert rule == "|---|---|---|---|---|---|"
    assert met == "| cached <calls> | 1.20 times ✓ | one | ≤ 1.35 times | echo | 2 µs |"
    assert missed == "| cached <calls> | **1.40 times ✗** | one | ≤ 1.35 times | echo | 2 µs |"
    assert plain.startswith("| cached <calls> | 9 times |")


def test_what_misses_by_little_does_not_look_met() -> None:
    assert "**1.354 times ✗**" in markdown([figure(1.354)])


def test_the_raw_runs_are_kept() -> None:
    kept = json.loads(json.dumps(figure(1.4).as_json()))

    assert (kept["value"], kept["verdict"], kept["raw"]) == (1.4, "missed", [1, 2])
    assert markdown([Figure.of_json(kept)]) == markdown([figure(1.4)])


def test_the_chart_shows_every_figure_with_a_bar() -> None:
    picture = svg([figure(1.2), figure(9, bar=None), figure(100)])

    assert picture.count("cached &lt;calls&gt;") == 2
    assert "100 times (bar 1.35)" in picture
