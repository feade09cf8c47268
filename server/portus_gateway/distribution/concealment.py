"""What an error must not repeat from a server's answer."""

import base64
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import reduce

from yarl import URL

CONCEALED = "[redacted]"


@dataclass(frozen=True, slots=True)
class PrivateNames:
    """Addresses and the account, which the operator may read and callers may not."""

    _patterns: tuple[re.Pattern[str], ...] = ()

    @classmethod
    def of(cls, addresses: Iterable[URL], account: str | None) -> "PrivateNames":
        """The hosts of `addresses`, with and without port, and the account's name."""
        patterns = [pattern for url in addresses for pattern in _patterns_of(url)]
        if account:
            # Not as a part of a repository's name, which callers know: `portus/app`.
            patterns.append(rf"(?<![\w./-]){re.escape(account)}(?![\w/-])")
        return cls(tuple(re.compile(pattern, re.IGNORECASE) for pattern in patterns))

    def concealed(self, text: str) -> str:
        return reduce(lambda shown, pattern: pattern.sub(CONCEALED, shown), self._patterns, text)


@dataclass(frozen=True, slots=True)
class Concealment:
    """Conceals the credentials of one request, which a server may repeat in its answer, and private names."""

    fields: Mapping[str, str] = field(repr=False)
    """The header fields that showed the credentials."""
    names: PrivateNames = field(repr=False)

    def for_operator(self, text: str) -> str:
        """A text of the answer as a log may show it: without secrets."""
        for secret in _secrets(self.fields):
            if secret:
                text = text.replace(secret, CONCEALED)
        return text

    def for_callers(self, text: str) -> str:
        """A text of the answer as every caller may read it: without secrets, addresses and the account's name."""
        return self.names.concealed(self.for_operator(text))


NOTHING_CONCEALED = Concealment({}, PrivateNames())


def _secrets(fields: Mapping[str, str]) -> Iterator[str]:
    """All that must not be shown: the credential, and the password that a Basic credential contains."""
    for value in fields.values():
        scheme, _, credential = value.partition(" ")
        yield credential
        if scheme == "Basic":
            yield base64.b64decode(credential).decode().partition(":")[2]


def _patterns_of(url: URL) -> Iterable[str]:
    host = re.escape(url.host or "")
    if url.path not in ("", "/"):
        yield rf"(?<![\w.-]){host}(?::{url.port})?{re.escape(url.path)}"
    yield rf"(?<![\w.-]){host}:{url.port}(?!\d)"
    # A host name such as `registry` is an ordinary word, too.
    distinct = "." in host or ":" in host
    yield rf"(?<![\w.-]){host}(?![\w-])" if distinct else rf"(?<=//){host}(?![\w.-])"
