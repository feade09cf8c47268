"""Draws the figures that have a bar."""

import shutil
import subprocess
from collections.abc import Sequence
from html import escape
from typing import Final

from bench.figure import Figure, Verdict

_WIDTH, _LEFT, _RIGHT, _ROW, _TOP = 1240, 630, 250, 34, 54
_COLOURS: Final[dict[Verdict | None, str]] = {"met": "#2e7d5b", "missed": "#b3452f", "not decided here": "#b08a2e"}
# A longer bar is cut. The number beside it is exact.
_MOST = 2.0

# Screens often have two pixels per point.
_SCALE = 2


def png(figures: Sequence[Figure]) -> bytes:
    """The picture as PNG. Raises `FileNotFoundError`, which says what to do, if rsvg-convert is missing."""
    command = [drawing_program(), "--zoom", str(_SCALE), "--format", "png"]
    return subprocess.run(command, input=svg(figures).encode(), capture_output=True, check=True).stdout  # noqa: S603


def drawing_program() -> str:
    """Raises `FileNotFoundError`, which says what to do, if rsvg-convert is missing."""
    program = shutil.which("rsvg-convert")
    if program is None:
        raise FileNotFoundError("rsvg-convert is needed to draw the chart: run bench/install")
    return program


def svg(figures: Sequence[Figure]) -> str:
    """Draws one bar for each figure. All are scaled so that the value to reach is at the same place."""
    shown = [(figure, figure.bar) for figure in figures if figure.bar]
    height = _TOP + _ROW * len(shown) + 24
    width = _WIDTH - _LEFT - _RIGHT
    mark = _LEFT + width / _MOST
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}"',
        'font-family="DejaVu Sans, sans-serif" font-size="13">',
        f'<rect width="{_WIDTH}" height="{height}" fill="#ffffff"/>',
        f'<text x="{mark}" y="20" text-anchor="middle" fill="#444">the bar to reach</text>',
        '<text x="16" y="20" fill="#444">↓ less is better · ↑ more is better</text>',
    ]
    for number, (figure, bar) in enumerate(shown):
        parts += _row(figure, bar, _TOP + number * _ROW, width)
    parts.append(f'<path d="M{mark} 28V{height - 12}" stroke="#444" stroke-dasharray="4 3"/>')
    return "\n".join([*parts, "</svg>", ""])


def _row(figure: Figure, bar: float, top: int, width: int) -> list[str]:
    share = min(figure.value / bar, _MOST)
    colour = _COLOURS[figure.verdict]
    arrow = "↓" if figure.direction == "at most" else "↑"
    length = max(share / _MOST * width, 1)
    value = f"{figure.value:.3g} {figure.unit} (bar {bar:.3g})"
    return [
        f'<text x="{_LEFT - 10}" y="{top + 14}" text-anchor="end" fill="#111">{escape(figure.name)} {arrow}</text>',
        f'<rect x="{_LEFT}" y="{top}" width="{length:.1f}" height="20" rx="3" fill="{colour}"/>',
        f'<text x="{_LEFT + length + 6:.1f}" y="{top + 14}" fill="#111">{escape(value)}</text>',
    ]
