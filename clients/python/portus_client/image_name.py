"""Image names as people write them: `host:5000/team/app:tag@sha256:…`."""

import re
from dataclasses import dataclass
from typing import Final, Self

DEFAULT_TAG: Final = "latest"

_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REPOSITORY = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_HOST = re.compile(r"(?:[a-zA-Z0-9](?:[a-zA-Z0-9.-]*[a-zA-Z0-9])?|\[[0-9a-fA-F:.]+\])(?::[0-9]{1,5})?")
_TAG = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}")
_DIGEST = re.compile(r"sha256:[a-f0-9]{64}|sha512:[a-f0-9]{128}")
_REPOSITORY_MAX_LENGTH = 255


class InvalidImageName(ValueError):
    """A text that names no image. The message says which part is wrong, and what it has to be."""


@dataclass(frozen=True, slots=True)
class ImageName:
    """An image's name in its parts (OCI distribution specification 1.1, "Pulling manifests").

    Raises `InvalidImageName` where a part does not match its grammar.
    """

    repository: str
    """The repository within the registry: `team/app`."""
    tag: str = ""
    """The tag; empty where the name has none."""
    digest: str = ""
    """The digest; empty where the name has none. Where there is one, it decides, not the tag."""
    host: str = ""
    """The registry that the name began with. The gateway serves one registry, so this goes nowhere."""

    def __post_init__(self) -> None:
        if self.host and not _HOST.fullmatch(self.host):
            raise InvalidImageName(
                f"{_shown(self.host)} is no registry's host: a name or an address, and perhaps `:port`"
            )
        if len(self.repository) > _REPOSITORY_MAX_LENGTH or not _REPOSITORY.fullmatch(self.repository):
            raise InvalidImageName(
                f"{_shown(self.repository)} is no repository: lower-case letters and digits, separated by one of"
                f" `.`, `_`, `__`, dashes or `/`; at most {_REPOSITORY_MAX_LENGTH} characters"
            )
        if self.tag:
            checked_tag(self.tag)
        if self.digest:
            checked_digest(self.digest)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Reads `[host[:port]/]repository[:tag][@digest]`.

        What stands before the first `/` is a host if it contains a `.` or a `:`, or is `localhost`: the rule that
        Docker has. A `/` at the beginning says that it is none: `/docker.io/team/app` is the repository
        `docker.io/team/app`. Raises `InvalidImageName`.
        """
        rest, at, digest = text.partition("@")
        if at and not digest:
            raise InvalidImageName(f"{_shown(text)} ends with `@`: a digest has to follow")
        host = ""
        first, slash, remainder = rest.partition("/")
        if slash and _looks_like_a_host(first):
            host, rest = first, remainder
        elif slash and not first and "/" in remainder and _looks_like_a_host(remainder.partition("/")[0]):
            rest = remainder
        head, colon, tag = rest.rpartition(":")
        if not colon:
            return cls(repository=rest, digest=digest, host=host)
        if not tag:
            raise InvalidImageName(f"{_shown(text)} has a `:` with no tag behind it")
        # A `/` behind the last colon: the colon is no tag's, and no repository's either.
        if "/" in tag:
            return cls(repository=rest, digest=digest, host=host)
        return cls(repository=head, tag=tag, digest=digest, host=host)

    @property
    def reference(self) -> str:
        """What names the manifest: the digest, else the tag, else `latest`."""
        return self.digest or self.tag or DEFAULT_TAG

    @property
    def is_ambiguous(self) -> bool:
        """Whether what was taken for the host could be the first part of a repository's name: `docker.io/team/app`."""
        return "." in self.host and _REPOSITORY.fullmatch(f"{self.host}/{self.repository}") is not None

    def __str__(self) -> str:
        first, slash, _ = self.repository.partition("/")
        return "".join(
            (
                f"{self.host}/" if self.host else "/" if slash and _looks_like_a_host(first) else "",
                self.repository,
                f":{self.tag}" if self.tag else "",
                f"@{self.digest}" if self.digest else "",
            )
        )


def _looks_like_a_host(text: str) -> bool:
    return "." in text or ":" in text or text == "localhost"


def checked_tag(text: str) -> str:
    """`text`, if it can be a tag; else raises `InvalidImageName`."""
    if not _TAG.fullmatch(text):
        raise InvalidImageName(
            f"{_shown(text)} is no tag: letters, digits, `_`, `.` and `-`, the first one none of `.` and `-`;"
            " at most 128 characters"
        )
    return text


def checked_digest(text: str) -> str:
    """`text`, if it is a digest; else raises `InvalidImageName`."""
    if not _DIGEST.fullmatch(text):
        raise InvalidImageName(
            f"{_shown(text)} is no digest: `sha256:` and 64, or `sha512:` and 128 lower-case hexadecimal digits"
        )
    return text


def _shown(text: str) -> str:
    return ascii(text if len(text) <= 80 else f"{text[:80]}...")
