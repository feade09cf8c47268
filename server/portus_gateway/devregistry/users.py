"""Who may do what: users, their rights, and the scopes that a client asks for."""

import hmac
from collections.abc import Iterable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

PORTUS = "portus"


@dataclass(frozen=True, slots=True)
class Scope:
    """A resource and actions on it: `repository:team/app:pull,push` or `registry:catalog:*`.

    `parse` raises `ValueError` for what Portus refuses: fewer than three parts, or a type other than
    `repository` and `registry`.
    """

    type: str
    name: str
    actions: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> "Scope":
        # As Portus splits it: a second scope after a blank ends up in the actions, where nothing grants it.
        parts = text.split(":", 2)
        if len(parts) != 3 or not parts[1] or parts[0] not in ("repository", "registry"):
            raise ValueError(
                f"{text!r} is no scope: write it as repository:<name>:<action>[,<action>…] or registry:catalog:*"
            )
        return cls(parts[0], parts[1], tuple(dict.fromkeys(action for action in parts[2].split(",") if action)))


EVERYTHING = ("repository:*:pull,push,delete,*", "registry:catalog:*")
"""The rights of the `portus` user where Portus has deletion enabled."""


@dataclass(frozen=True, slots=True)
class User:
    """An account of the token service.

    `rights` are scopes whose name may hold `*` (any characters, `/` too), for example
    `("repository:team/*:pull,push", "registry:catalog:*")`. What is granted is the intersection of the
    scope asked for and the rights, action by action; a `*` among the actions is granted as itself.
    """

    name: str
    password: str = field(repr=False)
    rights: tuple[str, ...] = EVERYTHING
    _scopes: tuple[Scope, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_scopes", tuple(Scope.parse(right) for right in self.rights))

    def grant(self, asked: Scope) -> tuple[str, ...]:
        """Those of the actions asked for that this user may do, in the order in which they were asked for."""
        allowed = {
            action
            for scope in self._scopes
            if scope.type == asked.type and fnmatchcase(asked.name, scope.name)
            for action in scope.actions
        }
        return tuple(action for action in asked.actions if action in allowed)


class Users:
    """The accounts, by name."""

    def __init__(self, users: Iterable[User]) -> None:
        self._by_name = {user.name: user for user in users}
        if not self._by_name:
            raise ValueError("at least one user is needed")

    @property
    def principal(self) -> User:
        """The `portus` user, or the first one where there is none of that name."""
        return self._by_name.get(PORTUS) or next(iter(self._by_name.values()))

    def add(self, user: User) -> None:
        """Adds the user, or replaces the one of that name: a new password counts at once."""
        self._by_name[user.name] = user

    def authenticate(self, name: str, password: str) -> User | None:
        user = self._by_name.get(name)
        if user is None or not hmac.compare_digest(user.password.encode(), password.encode()):
            return None
        return user
