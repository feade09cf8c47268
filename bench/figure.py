"""One line of the table: what was measured against what, and whether that is good enough."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Self


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """`value` is to be at most, or at least, `bar`; a figure without a bar is there to be read.

    `unit` comes behind both. `against` says what it was compared with, `measured` what came out on both
    sides, and `raw` holds all the runs behind it.
    """

    name: str
    value: float
    unit: str
    direction: Literal["at most", "at least"] = "at most"
    bar: float | None = None
    against: str
    measured: str
    raw: object = field(default=None, repr=False)

    @property
    def met(self) -> bool | None:
        """Whether it reaches its bar; None where it has none."""
        if self.bar is None:
            return None
        return self.value <= self.bar if self.direction == "at most" else self.value >= self.bar

    @classmethod
    def of_json(cls, record: Mapping[str, Any]) -> Self:
        """A figure that `as_json` has written, without the runs behind it."""
        return cls(**{name: value for name, value in record.items() if name not in ("met", "raw")})

    def as_json(self) -> dict[str, object]:
        """Everything, for whoever compares runs."""
        return {**asdict(self), "met": self.met}


def markdown(figures: list[Figure]) -> str:
    """The table. What has missed its bar stands out."""
    lines = ["| figure | value | bar | against | measured |", "|---|---|---|---|---|"]
    for figure in figures:
        value = f"{_number(figure.value)} {figure.unit}".rstrip()
        if figure.bar is not None and figure.met is False and _number(figure.value) == _number(figure.bar):
            value = f"{figure.value:.3f} {figure.unit}"
        bar = "none"
        if figure.bar is not None:
            bar = f"{'≤' if figure.direction == 'at most' else '≥'} {_number(figure.bar)} {figure.unit}".rstrip()
        verdict = {None: value, True: f"{value} ✓", False: f"**{value} ✗**"}[figure.met]
        lines.append(f"| {figure.name} | {verdict} | {bar} | {figure.against} | {figure.measured} |")
    return "\n".join(lines)


def _number(value: float) -> str:
    if value == int(value) and abs(value) < 1e6:
        return f"{int(value)}"
    return f"{value:.2f}" if abs(value) < 100 else f"{value:.0f}"
