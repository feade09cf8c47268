"""The rule is containerd's: `CASES` is what its matcher takes (containerd/platforms 1.0.0-rc.4)."""

import pytest

from portus_gateway.distribution import Platform
from portus_gateway.operations.platform_matching import PlatformMatcher


def platform(text: str) -> Platform:
    """`linux/arm/v7`, `windows/amd64 10.0.17763`, `linux/amd64 +gpu`."""
    name, *details = text.split(" ")
    os, _, rest = name.partition("/")
    architecture, _, variant = rest.partition("/")
    return Platform(
        os,
        architecture,
        variant,
        next((detail for detail in details if not detail.startswith("+")), ""),
        tuple(detail[1:] for detail in details if detail.startswith("+")),
    )


def chosen(index: list[str], wanted: str) -> str | None:
    best = PlatformMatcher(platform(wanted)).best_first(map(platform, index))
    return index[best[0]] if best else None


VARIANTS = ["linux/amd64", "linux/arm64/v8", "linux/arm/v7", "linux/arm/v6"]
PLAIN = ["linux/amd64", "linux/arm64", "linux/arm"]
ARM = ["linux/arm/v5", "linux/arm/v6", "linux/arm/v7"]
AMD64 = ["linux/amd64/v3", "linux/amd64/v2", "linux/amd64"]
ALIASES = ["linux/x86_64", "linux/aarch64"]
ATTESTED = ["unknown/unknown", "linux/amd64"]
WINDOWS = ["windows/amd64 10.0.17763.5458", "windows/amd64 10.0.20348.2322", "windows/amd64 10.0.26100.1"]

CASES: list[tuple[list[str], str, str | None]] = [
    (VARIANTS, "linux/amd64", "linux/amd64"),
    (VARIANTS, "linux/arm64", "linux/arm64/v8"),
    (VARIANTS, "linux/arm64/v8", "linux/arm64/v8"),
    (VARIANTS, "linux/aarch64", "linux/arm64/v8"),
    (VARIANTS, "linux/x86_64", "linux/amd64"),
    (VARIANTS, "linux/arm", "linux/arm/v7"),
    (VARIANTS, "linux/arm/v7", "linux/arm/v7"),
    (VARIANTS, "linux/arm/v8", "linux/arm/v7"),
    (VARIANTS, "linux/armhf", "linux/arm/v7"),
    (VARIANTS, "linux/arm/v6", "linux/arm/v6"),
    (VARIANTS, "linux/arm/v5", None),
    (PLAIN, "linux/arm64", "linux/arm64"),
    (PLAIN, "linux/arm64/v8", "linux/arm64"),
    (PLAIN, "linux/arm", "linux/arm"),
    (PLAIN, "linux/arm/v7", "linux/arm"),
    (PLAIN, "linux/arm/v6", None),
    (PLAIN, "linux/amd64", "linux/amd64"),
    (PLAIN, "linux/amd64/v1", "linux/amd64"),
    (PLAIN, "linux/amd64/v2", "linux/amd64"),
    (ARM, "linux/arm", "linux/arm/v7"),
    (ARM, "linux/arm/v7", "linux/arm/v7"),
    (ARM, "linux/arm64", "linux/arm/v7"),
    (ARM, "linux/arm/v6", "linux/arm/v6"),
    (AMD64, "linux/amd64", "linux/amd64"),
    (AMD64, "linux/amd64/v1", "linux/amd64"),
    (AMD64, "linux/amd64/v2", "linux/amd64/v2"),
    (AMD64, "linux/amd64/v3", "linux/amd64/v3"),
    (ALIASES, "linux/amd64", "linux/x86_64"),
    (ALIASES, "linux/arm64", "linux/aarch64"),
    (ATTESTED, "linux/amd64", "linux/amd64"),
    (WINDOWS, "windows/amd64", "windows/amd64 10.0.17763.5458"),
    (WINDOWS, "windows/amd64 10.0.17763", "windows/amd64 10.0.17763.5458"),
    (WINDOWS, "windows/amd64 10.0.17763.5458", "windows/amd64 10.0.17763.5458"),
    (WINDOWS, "windows/amd64 10.0.17763.9999", "windows/amd64 10.0.17763.5458"),
    (WINDOWS, "windows/amd64 10.0.20348.9999", "windows/amd64 10.0.20348.2322"),
]


@pytest.mark.parametrize(("index", "wanted", "due"), CASES)
def test_the_platforms_of_the_table(index: list[str], wanted: str, due: str | None) -> None:
    assert chosen(index, wanted) == due


@pytest.mark.parametrize(
    ("index", "wanted", "due"),
    [
        # Names in any case, and of other systems.
        (["Linux/AMD64", "linux/arm64"], "LINUX/X86-64", "Linux/AMD64"),
        (["macos/arm64", "linux/arm64"], "darwin/arm64", "macos/arm64"),
        (["linux/i386"], "linux/386", "linux/i386"),
        (["linux/armel", "linux/armhf"], "linux/arm/v6", "linux/armel"),
        (["linux/armel", "linux/armhf"], "linux/arm", "linux/armhf"),
        (["linux/arm/7", "linux/arm64/8"], "linux/arm/v7", "linux/arm/7"),
        (["linux/arm/V7"], "linux/arm/7", "linux/arm/V7"),
        (["linux/arm64/v8.0"], "linux/arm64/8", "linux/arm64/v8.0"),
        # Older ones, the newest first.
        (["linux/386"], "linux/amd64", "linux/386"),
        (["linux/386", "linux/amd64"], "linux/amd64/v4", "linux/amd64"),
        (["linux/amd64/v2", "linux/amd64/v3"], "linux/amd64/v4", "linux/amd64/v3"),
        (["linux/amd64"], "linux/386", None),
        (["linux/amd64/v2"], "linux/amd64", None),
        (["linux/arm64/v8.1", "linux/arm64/v8.3"], "linux/arm64/v8.2", "linux/arm64/v8.1"),
        (["linux/arm64", "linux/arm64/v9"], "linux/arm64/v9", "linux/arm64/v9"),
        (["linux/arm64", "linux/arm64/v8.5", "linux/arm64/v8.6"], "linux/arm64/v9", "linux/arm64/v8.5"),
        (["linux/arm64/v8.9"], "linux/arm64/v9.7", "linux/arm64/v8.9"),
        (["linux/arm64", "linux/arm64/v9"], "linux/arm64", "linux/arm64"),
        (["linux/arm64/v9"], "linux/arm64", None),
        (["linux/arm/v8"], "linux/arm64/v9", "linux/arm/v8"),
        (["linux/arm64"], "linux/arm", None),
        (["linux/arm64"], "linux/arm64/v10", None),
        (["linux/arm64"], "linux/arm64/v8.10", None),
        (["linux/arm64", "linux/arm64/odd"], "linux/arm64/odd", None),
        (["linux/riscv64/odd"], "linux/riscv64/odd", "linux/riscv64/odd"),
        (["linux/riscv64/odd"], "linux/riscv64", None),
        # Equal ones in the order of the index.
        (["linux/aarch64", "linux/arm64/v8"], "linux/arm64", "linux/aarch64"),
        (["linux/arm64/v8", "linux/aarch64"], "linux/arm64", "linux/arm64/v8"),
        # A version counts for Windows alone.
        (["linux/amd64 5.0"], "linux/amd64 6.1", "linux/amd64 5.0"),
        # What the machine lacks; and the one that uses the most of what it has.
        (["linux/amd64 +gpu"], "linux/amd64", None),
        (["linux/amd64", "linux/amd64 +gpu"], "linux/amd64 +gpu +fast", "linux/amd64 +gpu"),
        (["linux/amd64", "linux/amd64 +other"], "linux/amd64 +gpu", "linux/amd64"),
        # Of Windows, every machine has this one.
        (["windows/amd64 +win32k"], "windows/amd64", "windows/amd64 +win32k"),
        (["windows/amd64 +win32k +gpu"], "windows/amd64", None),
        # No system is the machine's own.
        (["/amd64"], "windows/amd64", "/amd64"),
        (["linux/"], "linux/amd64", None),
        (["/"], "linux/amd64", None),
        (WINDOWS, "windows/amd64 10.0.26100.1", "windows/amd64 10.0.26100.1"),
        (WINDOWS, "windows/amd64 10.0.25398.1", "windows/amd64 10.0.20348.2322"),
        (WINDOWS, "windows/amd64 10.0.19045", None),
        (WINDOWS, "windows/amd64 11.0.20348.1", None),
        (WINDOWS, "windows/amd64 nonsense", "windows/amd64 10.0.17763.5458"),
        (WINDOWS, "linux/amd64", None),
        (
            ["windows/amd64 10.0.26100", "windows/amd64 10.0.20348"],
            "windows/amd64 10.0.27000",
            "windows/amd64 10.0.26100",
        ),
        (["windows/amd64 10.0.20348"], "windows/amd64 10.0.27000", None),
        (["windows/amd64"], "windows/amd64 10.0.17763", "windows/amd64"),
        (["windows/amd64 odd"], "windows/amd64 10.0.17763", None),
        (["windows/amd64 10.0.99999"], "windows/amd64 10.0.20348", None),
    ],
)
def test_further_platforms(index: list[str], wanted: str, due: str | None) -> None:
    assert chosen(index, wanted) == due


def test_all_matching_platforms_are_ranked() -> None:
    index = ["linux/386", "linux/arm64", "linux/amd64/v2", "linux/amd64", "linux/x86_64"]
    matcher = PlatformMatcher(platform("linux/amd64/v2"))
    assert [index[position] for position in matcher.best_first(map(platform, index))] == [
        "linux/amd64/v2",
        "linux/amd64",
        "linux/x86_64",
        "linux/386",
    ]
