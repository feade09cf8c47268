"""Users, their rights, and the scopes that a client asks for."""

import hmac
from collections.abc import Iterable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

PORTUS = "portus"


@dataclass(frozen=True, slots=True)
class Scope:
    """A resource and actions on it: `repository:team/app:pull,push` or `registry:catalog:*`.

    `parse` raises `ValueError` for what Portus refuses: fewer than three parts, or a type other than `repository` and
    `registry`.
    """

    type: str
    name: str
    actions: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> "Scope":
        # Like Portus: a second scope after a blank becomes a part of the actions, and no right grants it.
        parts = text.split(":", 2)
        if len(parts) != 3 or not parts[1] or parts[0] not in ("repository", "registry"):
            raise ValueError(
                f"{text!r} is not a scope. Write it as repository:<name>:<action>[,<action>…] or registry:catalog:*"
            )
        return cls(parts[0], parts[1], tuple(dict.fromkeys(action for action in parts[2].split(",") if action)))


EVERYTHING = ("repository:*:pull,push,delete,*", "registry:catalog:*")
"""The rights of the user `portus` in a Portus that has deletion enabled."""


@dataclass(frozen=True, slots=True)
class User:
    """An account of the token service.

    `rights` are scopes, for example `("repository:team/*:pull,push", "registry:catalog:*")`. In their name, `*` stands
    for any characters, also for `/`. A token grants the actions that were asked for and that a right has. The action
    `*` is an action like any other.
    """

    name: str
    password: str = field(repr=False)
    rights: tuple[str, ...] = EVERYTHING
    _scopes: tuple[Scope, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_scopes", tuple(Scope.parse(right) for right in self.rights))

    def grant(self, asked: Scope) -> tuple[str, ...]:
        """The actions that were asked for and that the user has a right to, in the order of the request."""
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
        """The user `portus`, or the first user if there is none of that name."""
        return self._by_name.get(PORTUS) or next(iter(self._by_name.values()))

    def add(self, user: User) -> None:
        """Adds the user, or replaces the one of that name. A new password counts from the next request on."""
        self._by_name[user.name] = user

    def authenticate(self, name: str, password: str) -> User | None:
        user = self._by_name.get(name)
        if user is None or not hmac.compare_digest(user.password.encode(), password.encode()):
            return None
        return user
