"""Decides whether a request is admitted, and writes the challenge when it is not."""

import base64
import binascii
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol
from urllib.parse import parse_qs

import jwt
from aiohttp import web

from portus_gateway.devregistry.errors import Json, RegistryError, error_response
from portus_gateway.devregistry.targets import Target
from portus_gateway.devregistry.token_service import TokenService
from portus_gateway.devregistry.users import Users

Auth = Literal["token", "basic", "anonymous"]

_REMEMBERED_TOKENS = 4096
_CATALOG = (("registry", "catalog", "*"),)


Right = tuple[str, str, str]
"""A type, a name and an action: `("repository", "team/app", "pull")`."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request is not admitted."""

    needed: tuple[Right, ...]
    error: str = ""
    """The `error` of the challenge. Without one, the request had no credentials of the right kind."""


class Authorization(Protocol):
    """One way to admit requests."""

    def refuse(self, request: web.BaseRequest, needed: tuple[Right, ...]) -> Refusal | None:
        """None admits the request, which needs these rights."""

    def challenge(self, refusal: Refusal, realm: str | None) -> web.Response:
        """The 401 for a refusal. It names another realm where one is given."""


class AnonymousAuthorization:
    """Everybody has every right."""

    def refuse(
        self,
        request: web.BaseRequest,  # noqa: ARG002 - part of the Protocol
        needed: tuple[Right, ...],  # noqa: ARG002 - part of the Protocol
    ) -> Refusal | None:
        return None

    def challenge(self, refusal: Refusal, realm: str | None) -> web.Response:
        raise AssertionError(f"an open registry refused a request: {refusal} {realm}")


class BasicAuthorization:
    """Name and password at the registry itself, as with htpasswd: every user has every right."""

    def __init__(self, users: Users) -> None:
        self._users = users

    def refuse(self, request: web.BaseRequest, needed: tuple[Right, ...]) -> Refusal | None:
        scheme, _, encoded = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() == "basic":
            try:
                name, _, password = base64.b64decode(encoded, validate=True).decode().partition(":")
            except (binascii.Error, UnicodeDecodeError):
                name = password = ""
            if self._users.authenticate(name, password) is not None:
                return None
        return Refusal(needed)

    def challenge(self, refusal: Refusal, realm: str | None) -> web.Response:
        return _unauthorized(refusal, f'Basic realm="{realm or "basic-realm"}"')


@dataclass(frozen=True, slots=True)
class _Token:
    not_before: float
    expires: float
    granted: frozenset[Right]


class TokenAuthorization:
    """Bearer tokens of the token service. Signature, key, issuer, audience, times and access are checked."""

    def __init__(self, tokens: TokenService, leeway: float, clock: Callable[[], float] = time.time) -> None:
        self._tokens = tokens
        self._leeway = leeway
        self._clock = clock
        self._remembered: dict[str, _Token | None] = {}

    def refuse(self, request: web.BaseRequest, needed: tuple[Right, ...]) -> Refusal | None:
        scheme, _, encoded = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not encoded:
            return Refusal(needed)
        token = self._read(encoded)
        now = self._clock()
        if token is None or now > token.expires + self._leeway or now < token.not_before - self._leeway:
            return Refusal(needed, "invalid_token")
        for type_, name, action in needed:
            if (type_, name, action) not in token.granted and (type_, name, "*") not in token.granted:
                return Refusal(needed, "insufficient_scope")
        return None

    def challenge(self, refusal: Refusal, realm: str | None) -> web.Response:
        challenge = f'Bearer realm="{realm or self._tokens.realm}",service="{self._tokens.service}"'
        if refusal.needed:
            challenge += f',scope="{_scopes(refusal.needed)}"'
        if refusal.error:
            challenge += f',error="{refusal.error}"'
        return _unauthorized(refusal, challenge)

    def _read(self, encoded: str) -> _Token | None:
        # To check a signature takes longer than to answer: the result is kept.
        if encoded not in self._remembered:
            if len(self._remembered) >= _REMEMBERED_TOKENS:
                self._remembered.clear()
            self._remembered[encoded] = self._verify(encoded)
        return self._remembered[encoded]

    def _verify(self, encoded: str) -> _Token | None:
        key = self._tokens.signing_key
        try:
            if jwt.get_unverified_header(encoded).get("kid") != key.key_id:
                return None
            claims: dict[str, Json] = jwt.decode(
                encoded,
                key.public_key,
                algorithms=["RS256"],
                audience=self._tokens.service,
                issuer=self._tokens.issuer,
                # Times are checked at every request, against this registry's clock.
                options={
                    "require": ["exp", "nbf", "iss", "aud"],
                    "verify_exp": False,
                    "verify_nbf": False,
                    "verify_iat": False,
                },
            )
        except jwt.InvalidTokenError:
            return None
        not_before, expires = claims["nbf"], claims["exp"]
        if not isinstance(not_before, int) or not isinstance(expires, int):
            return None
        return _Token(not_before, expires, _granted(claims.get("access")))


def _granted(access: Json) -> frozenset[Right]:
    granted: set[Right] = set()
    for entry in access if isinstance(access, list) else ():
        if isinstance(entry, dict) and isinstance(entry.get("actions"), list):
            type_, name, actions = entry.get("type"), entry.get("name"), entry["actions"]
            if isinstance(type_, str) and isinstance(name, str) and isinstance(actions, list):
                granted.update((type_, name, action) for action in actions if isinstance(action, str))
    return frozenset(granted)


def needed_rights(request: web.BaseRequest, target: Target) -> tuple[Right, ...]:
    """The rights that distribution asks for."""
    method = request.method
    if target.route == "catalog":
        return _CATALOG
    name = target.repository
    if name is None:
        return ()
    if method in ("GET", "HEAD"):
        return (("repository", name, "pull"),)
    if method == "DELETE":
        return (("repository", name, "delete"),)
    if method not in ("PATCH", "POST", "PUT"):
        return ()
    # A fixed order. Distribution's is random, and no client may rely on it.
    needed = (("repository", name, "push"), ("repository", name, "pull"), *_source(request, target))
    return tuple(dict.fromkeys(needed))


def _source(request: web.BaseRequest, target: Target) -> tuple[Right, ...]:
    # To mount a blob takes the right to pull it from its source.
    if target.route != "uploads":
        return ()
    names = parse_qs(request.raw_path.partition("?")[2]).get("from", ())
    return tuple(("repository", name, "pull") for name in names[:1])


def _scopes(needed: tuple[Right, ...]) -> str:
    actions: dict[tuple[str, str], list[str]] = {}
    for type_, name, action in needed:
        actions.setdefault((type_, name), []).append(action)
    return " ".join(f"{type_}:{name}:{','.join(names)}" for (type_, name), names in actions.items())


def _unauthorized(refusal: Refusal, challenge: str) -> web.Response:
    detail: list[Json] = [
        {"Type": type_, "Class": "", "Name": name, "Action": action} for type_, name, action in refusal.needed
    ]
    answer = error_response(RegistryError("UNAUTHORIZED", detail or None))
    answer.headers["WWW-Authenticate"] = challenge
    return answer
