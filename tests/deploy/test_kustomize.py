"""The kustomize base and its example: the same objects as the Helm chart's, and valid."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from portus_gateway import settings
from tests import programs
from tests.deploy.kubernetes import Manifests, at, problems
from tests.deploy.project import ROOT
from tests.deploy.test_helm import mounted

FOLDER = ROOT / "deploy/kustomize"


@pytest.fixture
def example(tmp_path: Path) -> Path:
    """A copy of the example, with its secrets, after the commands of the README."""
    folder = tmp_path / "deploy/kustomize"
    shutil.copytree(FOLDER, folder, ignore=shutil.ignore_patterns("secrets"))
    (commands,) = re.findall(r"```sh\n(.*?)```", (FOLDER / "README.md").read_text(), re.DOTALL)
    kustomize = Path(programs.kustomize())
    built = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", commands],
        cwd=tmp_path,
        env=os.environ | {"PATH": f"{kustomize.parent}:{os.environ['PATH']}"},
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    (tmp_path / "built.yaml").write_text(built.stdout)
    return folder / "example"


def build(folder: Path) -> Manifests:
    command = [programs.kustomize(), "build", str(folder)]
    return Manifests(subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout)


def test_the_base_is_what_the_chart_has() -> None:
    check = subprocess.run(
        [sys.executable, FOLDER / "generate", "--check"], capture_output=True, text=True, check=False, timeout=60
    )
    assert check.returncode == 0, check.stderr


def test_the_base_is_valid() -> None:
    manifests = build(FOLDER / "base")
    assert list(problems(manifests)) == []
    assert {manifest.kind for manifest in manifests} == {
        *("ConfigMap", "Deployment", "NetworkPolicy", "PodDisruptionBudget", "Service", "ServiceAccount")
    }


@pytest.mark.usefixtures("example")
def test_the_example_is_valid_after_the_commands_of_the_readme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manifests = Manifests((tmp_path / "built.yaml").read_text())
    assert list(problems(manifests)) == []
    assert at(manifests.container, "image") == "registry.example:5000/platform/portus-gateway:0.1.0"
    assert {manifest.at("metadata", "namespace") for manifest in manifests} == {"registry"}
    assert len(manifests.of_kind("Secret")) == 3
    for name, value in mounted(manifests, tmp_path).items():
        monkeypatch.setenv(name, value)
    assert settings.load(variables=manifests.settings).allow_delete


def test_a_change_of_a_setting_replaces_the_pods_and_one_of_the_policy_does_not(example: Path) -> None:
    before = build(example)
    with (example / "policy.toml").open("a") as policy:
        policy.write("# changed\n")
    changed = build(example)
    assert changed.one("Deployment").node == before.one("Deployment").node
    file = example / "kustomization.yaml"
    file.write_text(file.read_text().replace("PORTUS_ALLOW_DELETE=true", "PORTUS_ALLOW_DELETE=false"))
    assert build(example).one("Deployment").node != before.one("Deployment").node


def test_secrets_stay_out_of_the_repository() -> None:
    assert "/secrets/" in (FOLDER / "example/.gitignore").read_text().splitlines()
