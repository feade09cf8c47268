"""What callers may do: deny rules first, then allow rules; what no rule allows is denied (as in gRFC A43)."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal, Protocol

from portus_gateway.access.caller import Caller
from portus_gateway.access.principal_pattern import PrincipalPattern
from portus_gateway.access.repository_glob import RepositoryGlob
from portus_gateway.access.rpcs import RPCS, Rpc

_REMEMBERED_RIGHTS = 4096
_REMEMBERED_DECISIONS = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule of a policy. `line` is its first line in the file, None if unknown."""

    name: str
    effect: Literal["deny", "allow"]
    principals: tuple[PrincipalPattern, ...]
    rpcs: frozenset[str]
    repositories: tuple[RepositoryGlob, ...]
    line: int | None = None

    def concerns(self, principals: frozenset[str], rpc: Rpc) -> bool:
        """Whether it applies to this RPC of a caller with these principals, in at least one repository."""
        return rpc.name in self.rpcs and any(
            pattern.matches(principal) for pattern in self.principals for principal in principals
        )

    @property
    def is_everywhere(self) -> bool:
        """Whether it applies to every repository."""
        return any(glob.is_everything for glob in self.repositories)

    def covers(self, repository: str) -> bool:
        """Whether it applies to this repository."""
        return any(glob.matches(repository) for glob in self.repositories)

    def __str__(self) -> str:
        line = "" if self.line is None else f" (line {self.line})"
        return f"{self.effect} rule {self.name!r}{line}"


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether a call is allowed, and by which rule. `rule` is None if no rule applies: then the call is denied."""

    allowed: bool
    rule: Rule | None

    def __str__(self) -> str:
        if self.rule is None:
            return "denied: no allow rule matches"
        return f"{'allowed' if self.allowed else 'denied'} by {self.rule}"


@dataclass(frozen=True, slots=True)
class Rights:
    """What one caller may do with one RPC: the rules that apply to it."""

    deny: tuple[Rule, ...]
    allow: tuple[Rule, ...]
    everywhere: bool = field(init=False)
    """Whether every repository is allowed, also those that do not exist yet."""
    in_registry: Decision = field(init=False)
    """The decision for RPCs that concern no repository. Every allow rule counts, and each deny rule for all
    repositories. Where this is denied, so is every repository."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "everywhere", not self.deny and any(rule.is_everywhere for rule in self.allow))
        object.__setattr__(self, "in_registry", self._in_registry())

    def in_repository(self, repository: str) -> Decision:
        for rule in self.deny:
            if rule.covers(repository):
                return Decision(allowed=False, rule=rule)
        for rule in self.allow:
            if rule.covers(repository):
                return Decision(allowed=True, rule=rule)
        return Decision(allowed=False, rule=None)

    def _in_registry(self) -> Decision:
        for rule in self.deny:
            if rule.is_everywhere:
                return Decision(allowed=False, rule=rule)
        return Decision(allowed=True, rule=self.allow[0]) if self.allow else Decision(allowed=False, rule=None)


class Policy:
    """The rules of a policy file. Deny rules are checked first; the order in the file does not matter. A call that no
    rule allows is denied.

    A policy caches its own decisions, and nothing else does, so a new policy applies at once.
    """

    def __init__(self, rules: Sequence[Rule]) -> None:
        self._rules = tuple(rules)
        self._rights = lru_cache(_REMEMBERED_RIGHTS)(self._find_rights)
        self._decisions = lru_cache(_REMEMBERED_DECISIONS)(self._find_decision)

    @property
    def rules(self) -> tuple[Rule, ...]:
        return self._rules

    def rights(self, caller: Caller, rpc: Rpc) -> Rights:
        """What `caller` may do with `rpc`."""
        return self._rights(caller.principals, rpc)

    def decide(self, caller: Caller, rpc: Rpc, repository: str | None) -> Decision:
        """Whether `caller` may call `rpc` on `repository`, and why.

        `repository` is None only for RPCs that concern none. Raises `ValueError` if it is missing.
        """
        if not rpc.in_repository:
            return self.rights(caller, rpc).in_registry
        if repository is None:
            raise ValueError(f"{rpc.name} concerns a repository: name one")
        return self._decisions(caller.principals, rpc, repository)

    def sees(self, caller: Caller, repository: str) -> bool:
        """Whether `caller` may do anything with `repository`, and so may know that it exists."""
        return any(
            self.rights(caller, rpc).in_repository(repository).allowed for rpc in RPCS.values() if rpc.in_repository
        )

    def _find_rights(self, principals: frozenset[str], rpc: Rpc) -> Rights:
        concerned = [rule for rule in self._rules if rule.concerns(principals, rpc)]
        return Rights(
            deny=tuple(rule for rule in concerned if rule.effect == "deny"),
            allow=tuple(rule for rule in concerned if rule.effect == "allow"),
        )

    def _find_decision(self, principals: frozenset[str], rpc: Rpc, repository: str) -> Decision:
        return self._rights(principals, rpc).in_repository(repository)


class PolicySource(Protocol):
    """A source of the current policy. It may change at any time: ask for it at each decision."""

    @property
    def policy(self) -> Policy: ...
