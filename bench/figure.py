"""One line of the table: what was measured, what it was compared with, and whether it reaches its bar."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any, Literal, Self

Verdict = Literal["met", "missed", "not decided here"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A measured figure.

    `runs` has the figure of each round; the value is their median. It should be at most, or at least, `bar`. A figure
    without a bar has no verdict. `unit` is the unit of both. `against` says what it was compared with, and `measured`
    what the two sides needed. `raw` has everything that was measured.
    """

    name: str
    runs: Sequence[float]
    unit: str
    direction: Literal["at most", "at least"] = "at most"
    bar: float | None = None
    against: str
    measured: str
    raw: object = field(default=None, repr=False)

    @property
    def value(self) -> float:
        return median(self.runs)

    @property
    def verdict(self) -> Verdict | None:
        """None if there is no bar. 'not decided here' if some rounds reach the bar and others do not.

        The true median lies between the smallest and the largest of five rounds with a probability of 94 percent.
        """
        if self.bar is None:
            return None
        reached = {value <= self.bar if self.direction == "at most" else value >= self.bar for value in self.runs}
        if len(reached) > 1:
            return "not decided here"
        return "met" if reached == {True} else "missed"

    @classmethod
    def of_json(cls, record: Mapping[str, Any]) -> Self:
        """Reads what `as_json` returned, without `raw`."""
        return cls(**{name: value for name, value in record.items() if name not in ("value", "verdict", "raw")})

    def as_json(self) -> dict[str, object]:
        """The figure with its value and its verdict, to be kept in a file."""
        return {**asdict(self), "value": self.value, "verdict": self.verdict}


def markdown(figures: list[Figure]) -> str:
    """The table. A figure that misses its bar is in bold."""
    lines = ["| figure | value | rounds | bar | against | measured |", "|---|---|---|---|---|---|"]
    for figure in figures:
        value = f"{_number(figure.value)} {figure.unit}".rstrip()
        if figure.verdict == "missed" and figure.bar is not None and _number(figure.value) == _number(figure.bar):
            value = f"{figure.value:.3f} {figure.unit}"
        bar = "none"
        if figure.bar is not None:
            bar = f"{'≤' if figure.direction == 'at most' else '≥'} {_number(figure.bar)} {figure.unit}".rstrip()
        shown = {
            None: value,
            "met": f"{value} ✓",
            "missed": f"**{value} ✗**",
            "not decided here": f"{value}, not decided here",
        }[figure.verdict]
        lines.append(
            f"| {figure.name} | {shown} | {_rounds(figure.runs)} | {bar} | {figure.against} | {figure.measured} |"
        )
    return "\n".join(lines)


def _rounds(runs: Sequence[float]) -> str:
    return "one" if len(runs) == 1 else f"{_number(min(runs))} to {_number(max(runs))}"


def _number(value: float) -> str:
    if value == int(value) and abs(value) < 1e6:
        return f"{int(value)}"
    return f"{value:.2f}" if abs(value) < 100 else f"{value:.0f}"
