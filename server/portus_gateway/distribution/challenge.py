"""The `WWW-Authenticate` field: which credentials a server asks for (RFC 9110, section 11.6.1).

It cannot be split at commas: a scope contains commas (`pull,push`), a realm can contain `=`, one field can contain
several challenges, and there can be several fields.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from portus_gateway.distribution.errors import ChallengeUnusable

_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_SPACE = re.compile(r"[ \t]*")
_SEPARATORS = re.compile(r"[ \t,]*")
_TOKEN68 = re.compile(r"[0-9A-Za-z\-._~+/]+=*(?=[ \t]*(?:,|$))")
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
# A comma before a scheme and its first parameter.
_NEXT_CHALLENGE = re.compile(r",[ \t]*(?=[A-Za-z][A-Za-z0-9-]*[ \t]+[A-Za-z][A-Za-z0-9_-]*[ \t]*=)")
# The grammar allows only a token without quotes. But many servers leave out the quotes around an address.
_UNQUOTED = re.compile(r'[^\s,"\\]+')

# No registry sends more.
_MAX_LENGTH = 8192


@dataclass(frozen=True, slots=True)
class Challenge:
    """One challenge. The scheme and the names of the parameters are in lower case."""

    scheme: str
    parameters: Mapping[str, str]

    @property
    def scopes(self) -> tuple[str, ...]:
        """The scopes in the `scope` parameter, in normal form."""
        return normal_scopes(self.parameters.get("scope", "").split())


def normal_scopes(scopes: Iterable[str]) -> tuple[str, ...]:
    """The scopes in normal form: scopes and the actions of each sorted, because registries write them in any order."""
    normal = set()
    for scope in scopes:
        resource, separator, actions = scope.rpartition(":")
        normal.add(f"{resource}:{','.join(sorted(set(actions.split(','))))}" if separator else scope)
    return tuple(sorted(normal))


def parse_challenges(fields: Iterable[str]) -> tuple[Challenge, ...]:
    """The challenges of the given `WWW-Authenticate` fields, in order.

    One that is malformed or has a parameter twice is left out, because it must not be guessed which realm was meant.
    Raises `ChallengeUnusable` if no other is left.
    """
    found: list[Challenge] = []
    malformed: ChallengeUnusable | None = None
    for text in fields:
        try:
            field = _Field(text)
            found += field.challenges()
            malformed = malformed or field.malformed
        except ChallengeUnusable as error:
            malformed = malformed or error
    if malformed is not None and not found:
        raise malformed
    return tuple(found)


class _Field:
    def __init__(self, text: str) -> None:
        if len(text) > _MAX_LENGTH:
            raise ChallengeUnusable(f"the WWW-Authenticate field is longer than {_MAX_LENGTH} characters")
        self._text = text
        self._at = 0
        self.malformed: ChallengeUnusable | None = None
        """The first problem, once `challenges` was called."""

    def challenges(self) -> list[Challenge]:
        """Those that can be read. After one that cannot, reading goes on at what looks like the next."""
        found = []
        self._take(_SEPARATORS)
        while self._at < len(self._text):
            begun = self._at
            try:
                found.append(self._challenge())
            except ChallengeUnusable as error:
                self.malformed = self.malformed or error
                following = _NEXT_CHALLENGE.search(self._text, begun)
                self._at = following.end() if following else len(self._text)
            self._take(_SEPARATORS)
        return found

    def _challenge(self) -> Challenge:
        scheme = self._expect(_TOKEN, "an authentication scheme").lower()
        parameters: dict[str, str] = {}
        if self._take(_SPACE) and not self._peek(_TOKEN68, self._at):
            self._parameters(parameters)
        elif token68 := self._match(_TOKEN68):
            # The next scheme comes only after a comma (`Basic, Bearer …`), so this is a token68.
            parameters["token68"] = token68
        return Challenge(scheme, MappingProxyType(parameters))

    def _parameters(self, parameters: dict[str, str]) -> None:
        while (name := self._parameter_name()) is not None:
            if name in parameters:
                raise ChallengeUnusable("the WWW-Authenticate field gives a parameter twice in one challenge")
            parameters[name] = self._value()
            before = self._at
            self._take(_SPACE)
            if self._at < len(self._text) and self._text[self._at] != ",":
                raise self._malformed("a comma")
            self._take(_SEPARATORS)
            if self._parameter_ahead() is None:
                # What follows is the next challenge.
                self._at = before
                return

    def _parameter_ahead(self) -> str | None:
        name = _TOKEN.match(self._text, self._at)
        if name is None:
            return None
        after = _SPACE.match(self._text, name.end())
        end = after.end() if after else name.end()
        return name.group() if self._text[end : end + 1] == "=" else None

    def _parameter_name(self) -> str | None:
        name = self._parameter_ahead()
        if name is None:
            return None
        self._at += len(name)
        self._take(_SPACE)
        self._at += 1
        self._take(_SPACE)
        return name.lower()

    def _value(self) -> str:
        if self._text[self._at : self._at + 1] == '"':
            match = _QUOTED.match(self._text, self._at)
            if match is None:
                raise self._malformed("a closing quote")
            self._at = match.end()
            return _ESCAPE.sub(r"\1", match.group(1))
        return self._expect(_UNQUOTED, "a value")

    def _peek(self, pattern: re.Pattern[str], at: int) -> bool:
        return pattern.match(self._text, at) is not None

    def _match(self, pattern: re.Pattern[str]) -> str:
        match = pattern.match(self._text, self._at)
        if match is None:
            return ""
        self._at = match.end()
        return match.group()

    _take = _match

    def _expect(self, pattern: re.Pattern[str], due: str) -> str:
        taken = self._match(pattern)
        if not taken:
            raise self._malformed(due)
        return taken

    def _malformed(self, due: str) -> ChallengeUnusable:
        return ChallengeUnusable(f"the WWW-Authenticate field is malformed: expected {due} at character {self._at + 1}")
