"""The project's own files agree with each other: make targets, pre-commit hooks, the version in the changelog."""

import re
import tomllib
from pathlib import Path

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


def test_the_changelog_knows_the_version() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text()
    released = re.findall(r"^## \[(\d+\.\d+\.\d+)\]", changelog, re.MULTILINE)
    assert "## [Unreleased]" in changelog
    assert PROJECT["version"] in released or f"`{PROJECT['version']}`" in changelog.partition("\n## ")[2]
