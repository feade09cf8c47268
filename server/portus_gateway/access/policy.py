"""What callers may do: deny rules, then allow rules, else no (the shape of gRFC A43)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from portus_gateway.access.caller import Caller
from portus_gateway.access.principal_pattern import PrincipalPattern
from portus_gateway.access.repository_glob import RepositoryGlob
from portus_gateway.access.rpcs import REGISTRY_RPCS, REPOSITORY_RPCS

_REMEMBERED_CALLERS = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule of a policy. `line` is where it begins in its file, None where that is not known."""

    name: str
    effect: Literal["deny", "allow"]
    principals: tuple[PrincipalPattern, ...]
    rpcs: frozenset[str]
    repositories: tuple[RepositoryGlob, ...]
    line: int | None = None

    def concerns(self, caller: Caller, rpc: str) -> bool:
        """Whether it says anything of this RPC of this caller, in whatever repository."""
        return rpc in self.rpcs and any(
            pattern.matches(principal) for pattern in self.principals for principal in caller.principals
        )

    @property
    def is_everywhere(self) -> bool:
        """Whether it holds for every repository."""
        return any(glob.is_everything for glob in self.repositories)

    def covers(self, repository: str) -> bool:
        """Whether it holds for this repository."""
        return any(glob.matches(repository) for glob in self.repositories)

    def __str__(self) -> str:
        line = "" if self.line is None else f" (line {self.line})"
        return f"{self.effect} rule {self.name!r}{line}"


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether a call is allowed, and by which rule; `rule` is None where no rule spoke of it, which denies it."""

    allowed: bool
    rule: Rule | None

    def __str__(self) -> str:
        if self.rule is None:
            return "denied: no allow rule matches"
        return f"{'allowed' if self.allowed else 'denied'} by {self.rule}"


@dataclass(frozen=True, slots=True)
class Rights:
    """What one caller may do by one RPC."""

    deny: tuple[Rule, ...]
    allow: tuple[Rule, ...]

    @property
    def everywhere(self) -> bool:
        """Whether every repository is allowed, those included that are not there yet."""
        return not self.deny and any(rule.is_everywhere for rule in self.allow)

    def in_repository(self, repository: str) -> Decision:
        for rule in self.deny:
            if rule.covers(repository):
                return Decision(allowed=False, rule=rule)
        for rule in self.allow:
            if rule.covers(repository):
                return Decision(allowed=True, rule=rule)
        return Decision(allowed=False, rule=None)

    def in_registry(self) -> Decision:
        """For what concerns no repository: every allow rule counts, and a deny rule that holds everywhere.

        Where it is denied, so is every repository.
        """
        for rule in self.deny:
            if rule.is_everywhere:
                return Decision(allowed=False, rule=rule)
        return Decision(allowed=True, rule=self.allow[0]) if self.allow else Decision(allowed=False, rule=None)


class Policy:
    """Rules, the denying ones of which go first whatever their order. What no rule allows is denied."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self._rules = tuple(rules)
        self._rights: dict[tuple[frozenset[str], str], Rights] = {}

    @property
    def rules(self) -> tuple[Rule, ...]:
        return self._rules

    def rights(self, caller: Caller, rpc: str) -> Rights:
        """What `caller` may do by `rpc`, the name of an RPC (`GetManifest`)."""
        key = (caller.principals, rpc)
        rights = self._rights.get(key)
        if rights is None:
            concerned = [rule for rule in self._rules if rule.concerns(caller, rpc)]
            rights = Rights(
                deny=tuple(rule for rule in concerned if rule.effect == "deny"),
                allow=tuple(rule for rule in concerned if rule.effect == "allow"),
            )
            if len(self._rights) >= _REMEMBERED_CALLERS:
                self._rights.clear()
            self._rights[key] = rights
        return rights

    def decide(self, caller: Caller, rpc: str, repository: str | None) -> Decision:
        """Whether `caller` may call `rpc` on `repository`, and why. None for the RPCs that concern no repository."""
        rights = self.rights(caller, rpc)
        if rpc in REGISTRY_RPCS:
            return rights.in_registry()
        if repository is None:
            raise ValueError(f"{rpc} concerns a repository: which one?")
        return rights.in_repository(repository)

    def sees(self, caller: Caller, repository: str) -> bool:
        """Whether `caller` may do anything at all with `repository`, and so may know whether it is there."""
        return any(self.rights(caller, rpc).in_repository(repository).allowed for rpc in REPOSITORY_RPCS)


class PolicySource(Protocol):
    """Has a policy, which may be another one the next time."""

    @property
    def policy(self) -> Policy: ...
