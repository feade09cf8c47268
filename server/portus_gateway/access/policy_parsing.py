"""From TOML to a policy. All mistakes are reported at once, each with its rule and line."""

import re
import tomllib
from collections.abc import Callable
from typing import Final, Literal, TypeVar

from portus_gateway.access.errors import InvalidAccessFile
from portus_gateway.access.policy import Policy, Rule
from portus_gateway.access.principal_pattern import PrincipalPattern
from portus_gateway.access.repository_glob import RepositoryGlob
from portus_gateway.access.rpcs import ALL, GROUPS, REPOSITORY_RPCS

Effect = Literal["deny", "allow"]
Value = TypeVar("Value")

_EFFECTS: Final[tuple[Effect, ...]] = ("deny", "allow")
_KEYS: Final = ("name", "principals", "rpcs", "repositories")
_HEADER: Final = re.compile(r"^[ \t]*\[\[[ \t]*(deny|allow)[ \t]*\]\]", re.MULTILINE)
_LONGEST_NAME: Final = 200


def parse_policy(content: bytes, path: str) -> Policy:
    """The policy in `content`, the TOML of the file at `path`. Raises `InvalidAccessFile`."""
    try:
        text = content.decode()
        document: dict[str, object] = tomllib.loads(text)
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise InvalidAccessFile(path, [f"not TOML: {error}"]) from error
    problems = [f"{key!r} is unknown: a policy has [[deny]] and [[allow]]" for key in document if key not in _EFFECTS]
    rules: list[Rule] = []
    for effect in _EFFECTS:
        tables = document.get(effect, [])
        if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
            problems.append(f"{effect!r} has to be a list of tables: write [[{effect}]] above each rule")
            continue
        lines = _lines(text, effect, len(tables))
        for number, (table, line) in enumerate(zip(tables, lines, strict=True), 1):
            reader = _RuleReader(effect, number, line, table)
            rule = reader.rule()
            problems.extend(reader.problems)
            if rule is not None:
                rules.append(rule)
    names = [rule.name for rule in rules]
    problems.extend(f"two rules have the name {name!r}" for name in dict.fromkeys(names) if names.count(name) > 1)
    if not problems and not any(rule.effect == "allow" for rule in rules):
        problems.append("no [[allow]] rule, so nobody could do anything. Is the file complete?")
    if problems:
        raise InvalidAccessFile(path, problems)
    return Policy(rules)


class _RuleReader:
    """Reads one rule, and collects its mistakes."""

    def __init__(self, effect: Effect, number: int, line: int | None, table: dict[str, object]) -> None:
        self.problems: list[str] = []
        self._effect = effect
        self._line = line
        self._table = table
        name = table.get("name")
        where = "" if line is None else f" (line {line})"
        self._where = f"{effect} rule {name if isinstance(name, str) and name else number!r}{where}"

    def rule(self) -> Rule | None:
        for key in self._table:
            if key not in _KEYS:
                self._refuse(f"{key!r} is unknown: a rule has {', '.join(_KEYS)}")
        name = self._name()
        principals = self._values("principals", PrincipalPattern)
        rpcs = frozenset[str]().union(*self._values("rpcs", _rpcs))
        if "repositories" in self._table or rpcs & REPOSITORY_RPCS or not rpcs:
            repositories = self._values("repositories", RepositoryGlob)
        else:
            # These RPCs concern no repository.
            repositories = (RepositoryGlob("**"),)
        if self.problems:
            return None
        return Rule(
            name=name,
            effect=self._effect,
            principals=principals,
            rpcs=rpcs,
            repositories=repositories,
            line=self._line,
        )

    def _refuse(self, problem: str) -> None:
        self.problems.append(f"{self._where}: {problem}")

    def _name(self) -> str:
        name = self._table.get("name")
        if not isinstance(name, str) or not name.strip() or len(name) > _LONGEST_NAME or not name.isprintable():
            self._refuse(f"needs a `name`: 1 to {_LONGEST_NAME} printable characters, by which logs can call it")
            return ""
        return name

    def _values(self, key: str, kind: Callable[[str], Value]) -> tuple[Value, ...]:
        texts = self._table.get(key)
        if not isinstance(texts, list) or not texts or not all(isinstance(text, str) for text in texts):
            self._refuse(f"needs `{key}`: a list of one or more strings")
            return ()
        values = []
        for text in texts:
            try:
                values.append(kind(text))
            except ValueError as error:
                self._refuse(f"{key}: {error}")
        return tuple(values)


def _rpcs(text: str) -> frozenset[str]:
    group = GROUPS.get(text)
    if group is not None:
        return group
    if text not in ALL:
        raise ValueError(f"{text!r} is neither an RPC nor a group; these exist: {', '.join((*GROUPS, *sorted(ALL)))}")
    return frozenset({text})


def _lines(text: str, effect: Effect, count: int) -> list[int | None]:
    """The line on which each rule begins. Unknown where rules are not written below [[deny]] and [[allow]]."""
    headers = [found.start() for found in _HEADER.finditer(text) if found[1] == effect]
    if len(headers) != count:
        return [None] * count
    return [text.count("\n", 0, start) + 1 for start in headers]
