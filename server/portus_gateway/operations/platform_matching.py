"""Which platforms a machine can run, and which of them it prefers, by the rule of containerd.

The rule is that of `Only` in containerd/platforms 1.0.0-rc.4 (compare.go, database.go, platform_windows_compat.go). If
several versions of Windows match, the newest is preferred, as `Default` does on Windows machines.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

from portus_gateway.distribution.manifest import Platform

# Other names of architectures: the usual name, and the variant that the name implies.
_ARCHITECTURES: Final = {
    "i386": ("386", ""),
    "x86_64": ("amd64", None),
    "x86-64": ("amd64", None),
    "aarch64": ("arm64", None),
    "armhf": ("arm", "v7"),
    "armel": ("arm", "v6"),
}
# Other names of variants. Except for arm, the usual variant of an architecture is the empty one.
_VARIANTS: Final = {
    ("amd64", "v1"): "",
    ("arm64", "8"): "",
    ("arm64", "v8"): "",
    ("arm64", "v8.0"): "",
    ("arm64", "9"): "v9",
    ("arm64", "9.0"): "v9",
    ("arm64", "v9.0"): "v9",
    ("arm", ""): "v7",
    ("arm", "7"): "v7",
    ("arm", "5"): "v5",
    ("arm", "6"): "v6",
    ("arm", "8"): "v8",
}
_OLDEST_ARM: Final = 5
# The last minor version of each major version of arm64. Version 9.0 includes version 8.5, 9.1 includes 8.6, and so on.
_LAST_ARM64_MINORS: Final = {8: 9, 9: 7}
_ARM64_8_OF_9_0: Final = 5
_ARM64_VERSION: Final = re.compile(r"v([89])(?:\.([0-9]))?")

# Windows releases by build. From the first on, a machine also runs older images, back to the release before its own.
_WINDOWS_RELEASES: Final = (20348, 26100)
_WINDOWS_FEATURE: Final = "win32k"


class PlatformMatcher:
    """Ranks platforms for a machine of the platform `wanted`."""

    def __init__(self, wanted: Platform) -> None:
        self._wanted = _normal(wanted)
        self._rows = [_normal(row) for row in _runnable(self._wanted)]
        self._build = _windows_build(wanted.os_version) if self._wanted.os == "windows" else None

    def best_first(self, platforms: Iterable[Platform]) -> list[int]:
        """The positions of those that the machine runs, the preferred one first."""
        ranked = [
            (rank, position, platform)
            for position, platform in enumerate(platforms)
            if (rank := self._rank(platform)) is not None
        ]
        if self._build is not None:
            # The newest version first. Versions are compared as text, as in containerd.
            ranked.sort(key=lambda one: one[2].os_version, reverse=True)
            ranked.sort(key=lambda one: one[0])
        else:
            ranked.sort(key=lambda one: (one[0], -len(one[2].os_features)))
        return [position for _, position, _ in ranked]

    def _rank(self, platform: Platform) -> int | None:
        """The position of the first matching row in `_rows`; None if no row matches."""
        if not self._version_fits(platform.os_version) or not self._features_fit(platform):
            return None
        # Without an operating system, containerd assumes that of the machine.
        offered = _normal(replace(platform, os=platform.os or self._wanted.os))
        for rank, row in enumerate(self._rows):
            if (row.os, row.architecture, row.variant) == (offered.os, offered.architecture, offered.variant):
                return rank
        return None

    def _version_fits(self, version: str) -> bool:
        if self._build is None or not version:
            return True
        return self._build.runs(_windows_build(version) or _WindowsBuild(0, 0, 0))

    def _features_fit(self, platform: Platform) -> bool:
        features = set(platform.os_features)
        if self._wanted.os == "windows":
            features.discard(_WINDOWS_FEATURE)
        return features <= set(self._wanted.os_features)


@dataclass(frozen=True, slots=True)
class _WindowsBuild:
    major: int
    minor: int
    build: int

    def runs(self, image: "_WindowsBuild") -> bool:
        """Whether a machine of this version runs images of version `image`."""
        if (self.major, self.minor) != (image.major, image.minor):
            return False
        if self.build < _WINDOWS_RELEASES[0]:
            return self.build == image.build
        oldest = max((release for release in _WINDOWS_RELEASES if release < self.build), default=_WINDOWS_RELEASES[0])
        return oldest <= image.build <= self.build


def _windows_build(version: str) -> _WindowsBuild | None:
    """The version in a text such as `10.0.20348.2322`; None if the text has another form."""
    parts = version.split(".")
    if len(parts) < 3 or not all(part.isascii() and part.isdigit() and len(part) <= 5 for part in parts[:3]):
        return None
    major, minor, build = map(int, parts[:3])
    return _WindowsBuild(major, minor, build) if max(major, minor) < 2**8 and build < 2**16 else None


def _normal(platform: Platform) -> Platform:
    """The same platform, with the usual names."""
    os = platform.os.lower()
    name, variant = platform.architecture.lower(), platform.variant.lower()
    architecture, implied = _ARCHITECTURES.get(name, (name, None))
    variant = variant if implied is None else implied
    return replace(
        platform,
        os="darwin" if os == "macos" else os,
        architecture=architecture,
        variant=_VARIANTS.get((architecture, variant), variant),
    )


def _runnable(platform: Platform) -> list[Platform]:
    """The platforms that a machine of `platform` runs, its own first. All have the usual names."""
    number = _number(platform.variant)
    match platform.architecture:
        case "amd64":
            older = range(number - 1, 0, -1) if number is not None else ()
            return [
                platform,
                *(replace(platform, variant=f"v{version}") for version in older),
                replace(platform, architecture="386", variant=""),
            ]
        case "arm":
            older = range(number - 1, _OLDEST_ARM - 1, -1) if number is not None else ()
            return [platform, *(replace(platform, variant=f"v{version}") for version in older)]
        case "arm64":
            variants = _arm64_variants(platform.variant or "v8")
            if not variants:
                return []
            return [
                *(replace(platform, variant=variant) for variant in variants),
                *_runnable(replace(platform, architecture="arm", variant="v8")),
            ]
        case _:
            return [platform]


def _arm64_variants(variant: str) -> list[str]:
    """The variants that a machine of this variant runs, the newest first. Empty if the variant is unknown."""
    version = _ARM64_VERSION.fullmatch(variant)
    if version is None:
        return []
    major, minor = int(version[1]), int(version[2] or 0)
    if minor > _LAST_ARM64_MINORS[major]:
        return []
    newest = {major: minor}
    if major == 9:
        newest[8] = min(minor + _ARM64_8_OF_9_0, _LAST_ARM64_MINORS[8])
    return [
        f"v{number}.{older}" if older else f"v{number}"
        for number, last in newest.items()
        for older in range(last, -1, -1)
    ]


def _number(variant: str) -> int | None:
    digits = variant.removeprefix("v")
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) <= 2 else None
