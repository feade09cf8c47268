"""The project's own files agree with each other: make targets, pre-commit hooks, versions, licence."""

import json
import re
import tomllib
from pathlib import Path
from xml.etree import ElementTree

import yaml

ROOT = Path(__file__).parents[1]
MAKEFILE = (ROOT / "Makefile").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def prerequisites(target: str) -> list[str]:
    match = re.search(rf"^{target}:([^#\n]*)", MAKEFILE, re.MULTILINE)
    assert match is not None, target
    return match[1].split()


def test_pre_commit_runs_what_make_lint_runs() -> None:
    (local,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert [hook["entry"] for hook in local["hooks"]] == [f"make {target}" for target in prerequisites("lint")]
    assert not re.search(r"^lint:.*\n\t", MAKEFILE, re.MULTILINE), "lint has commands of its own, which no hook runs"


def test_all_artifacts_have_one_version() -> None:
    npm = json.loads((ROOT / "clients/typescript/package.json").read_text())
    lock = json.loads((ROOT / "clients/typescript/package-lock.json").read_text())
    pom = ElementTree.parse(ROOT / "clients/java/pom.xml").getroot()
    versions = {
        "npm": npm["version"],
        "npm lock": lock["version"],
        "maven": pom.findtext("{http://maven.apache.org/POM/4.0.0}version"),
    }
    assert versions == dict.fromkeys(versions, PROJECT["version"])


def test_the_changelog_knows_the_version() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text()
    released = re.findall(r"^## \[(\d+\.\d+\.\d+)\]", changelog, re.MULTILINE)
    assert "## [Unreleased]" in changelog
    assert PROJECT["version"] in released or f"`{PROJECT['version']}`" in changelog.partition("\n## ")[2]
