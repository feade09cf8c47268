"""The systemd unit: valid, closely confined, and with settings that a gateway accepts."""

import os
import re
import stat
import subprocess
from pathlib import Path

import pytest

from portus_gateway import settings
from portus_gateway.cli.serve import EXIT_CONFIGURATION
from portus_gateway.settings import Settings
from tests import programs
from tests.deploy.project import ROOT

FOLDER = ROOT / "deploy/systemd"
UNIT = FOLDER / "portus-gateway.service"
# Of `systemd-analyze security`: 10 is the worst.
MOST_EXPOSURE = 1.6


def values(name: str) -> list[str]:
    return re.findall(rf"^{name}=(.*)$", UNIT.read_text(), re.MULTILINE)


def analyze(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    program = programs.required("systemd-analyze", "apt install systemd")
    return subprocess.run([program, *arguments], capture_output=True, text=True, check=False, timeout=60)


def test_the_unit_is_valid(tmp_path: Path) -> None:
    program = tmp_path / "portus-gateway"
    program.write_text("#!/bin/sh\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    unit = tmp_path / UNIT.name
    unit.write_text(UNIT.read_text().replace("/opt/portus-gateway/bin/portus-gateway", str(program)))
    verified = analyze("verify", unit)
    assert (verified.returncode, verified.stderr) == (0, "")


def test_the_unit_is_closely_confined() -> None:
    found = analyze("security", "--offline=true", "--no-pager", UNIT)
    overall = re.search(r"Overall exposure level for \S+: ([\d.]+)", found.stdout)
    assert overall is not None, found.stdout + found.stderr
    assert float(overall[1]) <= MOST_EXPOSURE


def test_wrong_settings_are_not_tried_again_and_running_calls_can_finish() -> None:
    assert values("RestartPreventExitStatus") == [str(EXIT_CONFIGURATION)]
    (stop,) = values("TimeoutStopSec")
    assert int(stop) > Settings.model_fields["drain_grace"].default + 10
    assert values("KillMode") == ["mixed"]


def test_a_gateway_accepts_the_settings_of_the_example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert values("EnvironmentFile") == ["/etc/portus-gateway/settings"]
    (tmp_path / "password").write_text("s3cret")
    written = re.findall(r"^(\w+)=(.*)$", (FOLDER / "settings.example").read_text(), re.MULTILINE)
    written += [tuple(value.split("=", 1)) for value in values("Environment")]
    variables = {name: value.replace("%d", str(tmp_path)) for name, value in written}
    for name in [name for name in os.environ if name.startswith("PORTUS_")]:
        monkeypatch.delenv(name)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    loaded = settings.load(variables=variables)
    (state,) = values("StateDirectory")
    assert loaded.audit_log.startswith(f"/var/lib/{state}/")
    assert loaded.metrics_listen is not None
    assert "s3cret" not in UNIT.read_text()
