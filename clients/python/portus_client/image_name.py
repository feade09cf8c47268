"""Image names in the usual notation: `host:5000/team/app:tag@sha256:…`."""

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
    """A text that is not an image name. The message says which part is invalid, and what is allowed."""


@dataclass(frozen=True, slots=True)
class ImageName:
    """The parts of an image name (OCI distribution specification 1.1, "Pulling manifests").

    Raises `InvalidImageName` if a part does not match its grammar.
    """

    repository: str
    """The repository within the registry: `team/app`."""
    tag: str = ""
    """The tag. Empty if the name has none."""
    digest: str = ""
    """The digest. Empty if the name has none. If it is set, it decides and the tag does not."""
    host: str = ""
    """The registry's host. It is not sent: the gateway serves one registry."""

    def __post_init__(self) -> None:
        if self.host and not _HOST.fullmatch(self.host):
            raise InvalidImageName(f"{_shown(self.host)} is not a registry host: write HOST or HOST:PORT")
        if len(self.repository) > _REPOSITORY_MAX_LENGTH or not _REPOSITORY.fullmatch(self.repository):
            raise InvalidImageName(
                f"{_shown(self.repository)} is not a repository name: use lower-case letters and digits, separated by"
                f" `.`, `_`, `__`, dashes or `/`; at most {_REPOSITORY_MAX_LENGTH} characters"
            )
        if self.tag:
            checked_tag(self.tag)
        if self.digest:
            checked_digest(self.digest)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Reads `[host[:port]/]repository[:tag][@digest]`.

        The part before the first `/` is a host if it contains a `.` or a `:`, or is `localhost`. This is Docker's
        rule. With a leading `/` there is no host: `/docker.io/team/app` is the repository `docker.io/team/app`.
        Raises `InvalidImageName`.
        """
        rest, at, digest = text.partition("@")
        if at and not digest:
            raise InvalidImageName(f"{_shown(text)} has no digest after the `@`")
        before, rest = split_host(rest)
        host = before.removesuffix("/")
        head, colon, tag = rest.rpartition(":")
        if not colon:
            return cls(repository=rest, digest=digest, host=host)
        if not tag:
            raise InvalidImageName(f"{_shown(text)} has no tag after the `:`")
        # With a `/` after it, the colon separates no tag. The check of the repository reports it.
        if "/" in tag:
            return cls(repository=rest, digest=digest, host=host)
        return cls(repository=head, tag=tag, digest=digest, host=host)

    @property
    def reference(self) -> str:
        """The reference of the manifest: the digest, else the tag, else `latest`."""
        return self.digest or self.tag or DEFAULT_TAG

    @property
    def is_ambiguous(self) -> bool:
        """Whether the host can also be the first part of a repository name: `docker.io/team/app`."""
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


def split_host(text: str) -> tuple[str, str]:
    """Splits what is before the repository from a name: `host:5000/`, a leading `/`, or nothing."""
    first, slash, remainder = text.partition("/")
    if slash and _looks_like_a_host(first):
        return f"{first}/", remainder
    if slash and not first and "/" in remainder and _looks_like_a_host(remainder.partition("/")[0]):
        return "/", remainder
    return "", text


def _looks_like_a_host(text: str) -> bool:
    return "." in text or ":" in text or text == "localhost"


def checked_tag(text: str) -> str:
    """Returns `text` if it is a valid tag; else raises `InvalidImageName`."""
    if not _TAG.fullmatch(text):
        raise InvalidImageName(
            f"{_shown(text)} is not a tag: use letters, digits, `_`, `.` and `-`, do not begin with `.` or `-`;"
            " at most 128 characters"
        )
    return text


def checked_digest(text: str) -> str:
    """Returns `text` if it is a valid digest; else raises `InvalidImageName`."""
    if not _DIGEST.fullmatch(text):
        raise InvalidImageName(
            f"{_shown(text)} is not a digest: write `sha256:` and 64 lower-case hexadecimal digits, or `sha512:` and"
            " 128"
        )
    return text


def _shown(text: str) -> str:
    return ascii(text if len(text) <= 80 else f"{text[:80]}...")
