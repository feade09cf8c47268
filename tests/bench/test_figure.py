"""The table says what was measured, and does not hide what missed its bar."""

import json
from typing import Literal

import pytest

from bench.chart import svg
from bench.figure import Figure, markdown


def figure(value: float, bar: float | None = 1.35, direction: Literal["at most", "at least"] = "at most") -> Figure:
    return Figure(
        name="cached <calls>",
        value=value,
        unit="times",
        bar=bar,
        direction=direction,
        against="echo",
        measured="2 µs",
        raw=[1, 2],
    )


@pytest.mark.parametrize(
    ("value", "direction", "met"),
    [(1.35, "at most", True), (1.36, "at most", False), (1.35, "at least", True), (1.34, "at least", False)],
)
def test_a_bar_is_met_up_to_itself(value: float, direction: Literal["at most", "at least"], met: bool) -> None:
    assert figure(value, direction=direction).met is met


def test_the_table_marks_what_missed() -> None:
    header, rule, met, missed, plain = markdown([figure(1.2), figure(1.4), figure(9, bar=None)]).splitlines()

    assert header == "| figure | value | bar | against | measured |"
    assert rule == "|---|---|---|---|---|"
    assert met == "| cached <calls> | 1.20 times ✓ | ≤ 1.35 times | echo | 2 µs |"
    assert missed == "| cached <calls> | **1.40 times ✗** | ≤ 1.35 times | echo | 2 µs |"
    assert plain.startswith("| cached <calls> | 9 times |")


def test_what_misses_by_little_does_not_look_met() -> None:
    assert "**1.354 times ✗**" in markdown([figure(1.354)])


def test_the_raw_runs_are_kept() -> None:
    kept = json.loads(json.dumps(figure(1.4).as_json()))

    assert (kept["value"], kept["met"], kept["raw"]) == (1.4, False, [1, 2])
    assert markdown([Figure.of_json(kept)]) == markdown([figure(1.4)])


def test_the_chart_shows_every_figure_with_a_bar() -> None:
    picture = svg([figure(1.2), figure(9, bar=None), figure(100)])

    assert picture.count("cached &lt;calls&gt;") == 2
    assert "100 times (mark 1.35)" in picture
