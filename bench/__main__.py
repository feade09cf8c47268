"""`python -m bench`: measures, prints the table, keeps the raw figures and draws the chart."""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Final

import uvloop

from bench import soak
from bench.chart import drawing_program, png
from bench.figure import Figure, markdown
from bench.process_figures import busy_share
from bench.rows import (
    batch,
    beside_registry,
    blobs,
    cached_calls,
    catalog,
    checked_calls,
    coalescing,
    deletes,
    guards,
    index_at_size,
    index_catalog,
    index_growth,
    index_receiver,
    index_watch,
    large_catalog,
    mixed_load,
    overload,
    start_up,
    tag_details,
    workers,
)

_ROOT: Final = Path(__file__).parents[1]
_RESULTS: Final = _ROOT / "build/bench"
_CHART: Final = _ROOT / "docs/bench.png"

_OBSERVED_SECONDS: Final = 2.0
_MOST_BUSY: Final = 0.1

Measure = Callable[[Path, int, float], Awaitable[list[Figure]]]
_ROWS: Final[dict[str, Measure]] = {
    "cached": cached_calls.measure,
    "checked": checked_calls.measure,
    "guards": guards.measure,
    "coalescing": coalescing.measure,
    "batch": batch.measure,
    "catalog": catalog.measure,
    "large-catalog": large_catalog.measure,
    "beside-registry": beside_registry.measure,
    "mixed-load": mixed_load.measure,
    "overload": overload.measure,
    "tag-details": tag_details.measure,
    "deletes": deletes.measure,
    "blobs": blobs.measure,
    "index-catalog": index_catalog.measure,
    "index-at-size": index_at_size.measure,
    "index-watch": index_watch.measure,
    "index-receiver": index_receiver.measure,
    "index-growth": index_growth.measure,
    "workers": workers.measure,
    "start-up": start_up.measure,
}


def main() -> int:
    """Returns 1 if a figure misses its bar, else 0."""
    arguments = _arguments()
    if (busy := busy_share(_OBSERVED_SECONDS)) > _MOST_BUSY:
        print(f"This machine is {busy:.0%} busy with other work. The figures will not be reliable.", file=sys.stderr)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        figures = runner.run(_measured(arguments))
    print(markdown(figures))
    return 0 if all(figure.verdict != "missed" for figure in figures) else 1


async def _measured(arguments: argparse.Namespace) -> list[Figure]:
    if "soak" in arguments.rows:
        with tempfile.TemporaryDirectory(prefix="portus-bench-") as folder:
            figures = await soak.measure(Path(folder), arguments.minutes)
        _keep("soak", figures)
        return figures
    # It is better to fail before the measurement than after it.
    drawing_program()
    all_figures: list[Figure] = []
    for name in arguments.rows or _ROWS:
        print(f"measuring: {name}", flush=True)
        with tempfile.TemporaryDirectory(prefix="portus-bench-") as folder:
            measured = await _ROWS[name](Path(folder), arguments.rounds, arguments.seconds)
        _keep(name, measured)
        all_figures += measured
    _CHART.write_bytes(png(_kept()))
    return all_figures


def _keep(name: str, figures: list[Figure]) -> None:
    _RESULTS.mkdir(parents=True, exist_ok=True)
    record = {"at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "figures": [f.as_json() for f in figures]}
    (_RESULTS / f"{name}.json").write_text(json.dumps(record, indent=1, default=_plain))


def _kept() -> list[Figure]:
    """The latest figures of each row."""
    files = [file for name in _ROWS if (file := _RESULTS / f"{name}.json").exists()]
    return [Figure.of_json(record) for file in files for record in json.loads(file.read_text())["figures"]]


def _plain(value: object) -> object:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    raise TypeError(f"no JSON for {type(value).__name__}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("rows", nargs="*", help=f"any of {', '.join(_ROWS)}; or soak; all but soak unless given")
    parser.add_argument("--rounds", type=int, default=5, help="how often each side is measured, in turn (5)")
    parser.add_argument("--seconds", type=float, default=4.0, help="how long a load lasts (4)")
    parser.add_argument("--minutes", type=float, default=10.0, help="how long the soak lasts (10)")
    arguments = parser.parse_args()
    unknown = set(arguments.rows) - {*_ROWS, "soak"}
    if unknown:
        parser.error(f"no such row: {', '.join(sorted(unknown))}")
    return arguments


if __name__ == "__main__":
    raise SystemExit(main())
