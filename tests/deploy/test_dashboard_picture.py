"""The picture of the dashboard: drawn from its own queries, and from data of a real run."""

import json
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.deploy.project import ROOT

DRAW = ROOT / "deploy/grafana/draw"
DASHBOARD = ROOT / "deploy/grafana/portus-gateway.json"
RECORDED = ROOT / "deploy/grafana/recorded.json"
PICTURE = ROOT / "docs/dashboard.svg"
LARGEST = 200_000
REMEDY = "run .venv/bin/python -m tests.deploy.dashboard_run"


def draw(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, DRAW, *arguments], capture_output=True, text=True, check=False, timeout=60, cwd=ROOT
    )


def titles() -> list[str]:
    panels = json.loads(DASHBOARD.read_text())["panels"]
    return [panel["title"] for panel in panels if panel["type"] != "row"]


def test_the_picture_in_the_documents_is_drawn_from_the_recorded_run(tmp_path: Path) -> None:
    drawn = draw("--data", RECORDED, "--picture", tmp_path / "dashboard.svg")
    assert drawn.returncode == 0, drawn.stderr
    picture = (tmp_path / "dashboard.svg").read_text()
    assert picture == PICTURE.read_text(), f"deploy/grafana/draw --data {RECORDED} --picture {PICTURE}"
    assert len(picture.encode()) < LARGEST


def test_every_panel_is_in_the_picture_and_has_data_of_the_run() -> None:
    recorded = json.loads(RECORDED.read_text())["panels"]
    assert list(recorded) == titles(), REMEDY
    for title, found in recorded.items():
        values = [value for series in found for value in series["values"] if value is not None]
        assert values, title
    root = ElementTree.parse(PICTURE).getroot()
    texts = [element.text or "" for element in root.iter("{http://www.w3.org/2000/svg}text")]
    # A title that is too long for its panel is cut.
    cut = tuple(text.removesuffix("…") for text in texts if text.endswith("…"))
    assert [title for title in titles() if title not in texts and not title.startswith(cut)] == []
    assert "No data" not in texts


def test_a_panel_without_data_says_so(tmp_path: Path) -> None:
    recorded = json.loads(RECORDED.read_text())
    del recorded["panels"]["CPU"]
    (tmp_path / "data.json").write_text(json.dumps(recorded))
    assert draw("--data", tmp_path / "data.json", "--picture", tmp_path / "picture.svg").returncode == 0
    assert (tmp_path / "picture.svg").read_text().count(">No data<") == 1


@pytest.mark.parametrize("arguments", [(), ("--data", RECORDED, "--prometheus", "http://127.0.0.1:1")])
def test_it_needs_one_source_of_data(arguments: tuple[str | Path, ...], tmp_path: Path) -> None:
    refused = draw(*arguments, "--picture", tmp_path / "picture.svg")
    assert refused.returncode == 2
    assert "give either --prometheus or --data" in refused.stderr


def test_a_server_that_does_not_answer_is_told(unused_tcp_port: int, tmp_path: Path) -> None:
    refused = draw("--prometheus", f"http://127.0.0.1:{unused_tcp_port}", "--picture", tmp_path / "picture.svg")
    assert refused.returncode == 1
    assert f"http://127.0.0.1:{unused_tcp_port} cannot be asked" in refused.stderr
    assert not (tmp_path / "picture.svg").exists()
