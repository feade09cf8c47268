"""The pinned requirements: complete, by hash, and free of where they were made."""

import re
from dataclasses import dataclass
from functools import cache

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from tests.deploy.project import ROOT, requirements

KINDS = ("build", "dev", "image", "server")
_HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}")
every_kind = pytest.mark.parametrize("kind", KINDS)


@dataclass(frozen=True, slots=True)
class Pin:
    requirement: Requirement
    hashes: tuple[str, ...]

    @property
    def version(self) -> Version:
        (specifier,) = self.requirement.specifier
        return Version(specifier.version)


def text_of(kind: str) -> str:
    return (ROOT / "requirements" / f"{kind}.txt").read_text()


@cache
def pins(kind: str) -> dict[str, Pin]:
    """The pins of a file by name, each line of it understood."""
    text = re.sub(r"^\s*#.*\n", "", text_of(kind), flags=re.MULTILINE).replace("\\\n", " ")
    found: dict[str, Pin] = {}
    for line in text.splitlines():
        requirement, *hashes = re.split(r"\s+(?=--hash=)", line.strip())
        pin = Pin(Requirement(requirement), tuple(hashes))
        name = canonicalize_name(pin.requirement.name)
        assert name not in found, f"{name} is there twice"
        found[name] = pin
    return found


@every_kind
def test_every_package_is_pinned_with_hashes(kind: str) -> None:
    assert pins(kind)
    for name, pin in pins(kind).items():
        assert [specifier.operator for specifier in pin.requirement.specifier] == ["=="], name
        assert pin.requirement.url is None, name
        assert pin.hashes, f"{name} has no hash"
        assert all(_HASH.fullmatch(hash_) for hash_ in pin.hashes), name


@every_kind
def test_what_pyproject_asks_for_is_pinned_within_its_ranges(kind: str) -> None:
    for wanted in requirements(kind):
        pin = pins(kind).get(canonicalize_name(wanted.name))
        assert pin is not None, f"{wanted} is not in requirements/{kind}.txt: run make requirements"
        assert pin.version in wanted.specifier, f"requirements/{kind}.txt has {pin.version} for {wanted}"


@every_kind
def test_nothing_reveals_where_it_was_made(kind: str) -> None:
    lines = [line for line in text_of(kind).splitlines() if not line.strip().startswith("--hash=")]
    for line in lines:
        assert "://" not in line
        assert "/" not in line, f"a path: {line}"
        assert not line.lstrip().startswith("-"), f"an option of pip's: {line}"


@pytest.mark.parametrize("kind", ["build", "server"])
def test_the_image_has_the_versions_that_were_tested(kind: str) -> None:
    tested = pins("dev")
    for name, pin in pins(kind).items():
        assert tested[name].version == pin.version, name
