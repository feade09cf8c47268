"""A token service that answers as Portus' `GET /v2/token` does."""

import base64
import binascii
import json
import secrets
import ssl
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Literal, Self
from urllib.parse import parse_qs

import jwt
from aiohttp import web

from portus_gateway.devregistry.fault_effects import NoAnswer, apply_fault
from portus_gateway.devregistry.fault_set import FaultSet, Injection, Stage
from portus_gateway.devregistry.faults import Fault
from portus_gateway.devregistry.listener import Listener
from portus_gateway.devregistry.request_log import RequestLog
from portus_gateway.devregistry.signing_key import SigningKey, process_signing_key
from portus_gateway.devregistry.users import PORTUS, Scope, User, Users

PATH = "/v2/token"
NOT_BEFORE_SECONDS = 5
LIFETIME_SECONDS = 900


class TokenService:
    """Signs tokens for its users, over real HTTP, on a port of its own.

    It works with the `DevRegistry` or with real registries. Those need `realm`, `service`, `issuer` and the public key
    in their configuration: `write_certificate` writes `rootcertbundle`, and `write_jwks` the `jwks` of registry 3.x.
    `realm` is known from the start if `port` is given, and otherwise when the service runs.

    `users`: by default there is one, `portus`, with every right and a random password.
    `lifetime`: how long tokens are valid, in whole seconds. With 0 or less they have expired when they are signed. Real
    registries accept tokens for 60 seconds after `exp`, so they refuse tokens of `-58` after two seconds.
    `announce_lifetime`: whether the answer has `expires_in` and `issued_at`. docker_auth sends neither.
    `answer_field`: the field of the answer that has the token. Some token services name it `access_token`.
    `clock`: seconds since the epoch.
    """

    def __init__(
        self,
        users: Iterable[User] | None = None,
        *,
        service: str = "registry.test",
        issuer: str = "portus.test",
        signing_key: SigningKey | None = None,
        lifetime: int = LIFETIME_SECONDS,
        announce_lifetime: bool = True,
        answer_field: Literal["token", "access_token"] = "token",
        host: str = "127.0.0.1",
        port: int = 0,
        ssl_context: ssl.SSLContext | None = None,
        faults: FaultSet | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.users = Users([User(PORTUS, secrets.token_urlsafe(18))] if users is None else users)
        self.service = service
        self.issuer = issuer
        self.signing_key = signing_key or process_signing_key()
        self.lifetime = lifetime
        self.announce_lifetime = announce_lifetime
        self.answer_field = answer_field
        self.requests = RequestLog()
        """The requests to this service."""
        self._faults = FaultSet() if faults is None else faults
        self._clock = clock
        self._listener = Listener(self._handle, host, port, ssl_context)

    async def __aenter__(self) -> Self:
        await self._listener.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._listener.close()

    @property
    def url(self) -> str:
        return self._listener.origin

    @property
    def realm(self) -> str:
        """The address for tokens: a registry's `auth.token.realm`."""
        return f"{self.url}{PATH}"

    @property
    def username(self) -> str:
        """The name of the user `portus`, or of the first user if there is none of that name."""
        return self.users.principal.name

    @property
    def password(self) -> str:
        return self.users.principal.password

    def inject(self, fault: Fault) -> Injection:
        """Applies a fault of the route `token`, until it is removed. A `with` block removes it at its end."""
        if fault.route != "token":
            raise ValueError(
                f"faults of the route {fault.route} do not apply to a token service, only those of the route token"
            )
        return self._faults.inject(fault)

    def clear_faults(self) -> None:
        self._faults.clear()

    def write_certificate(self, path: Path) -> Path:
        """Writes the PEM certificate for `auth.token.rootcertbundle`."""
        return self.signing_key.write_certificate(path)

    def write_jwks(self, path: Path) -> Path:
        """Writes the key set for `auth.token.jwks` of registry 3.x."""
        return self.signing_key.write_jwks(path)

    def sign(self, access: list[dict[str, object]] | None, *, subject: str = "", lifetime: int | None = None) -> str:
        """A token with this `access` claim, signed like all others. None leaves the claim out."""
        issued_at = int(self._clock())
        claims: dict[str, object] = {
            "iss": self.issuer,
            "sub": subject,
            "aud": self.service,
            "iat": issued_at,
            "nbf": issued_at - NOT_BEFORE_SECONDS,
            "exp": issued_at + (self.lifetime if lifetime is None else lifetime),
            "jti": secrets.token_urlsafe(18),
        }
        if access is not None:
            claims["access"] = access
        return jwt.encode(
            claims,
            self.signing_key.private_key,
            algorithm="RS256",
            headers={"kid": self.signing_key.key_id},
        )

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        path, _, query = request.raw_path.partition("?")
        route = "token" if path == PATH else "unknown"
        record = self.requests.begin(request, route, None)
        status: int | None = None
        try:
            answer = await self._answer(request, route, query)
            status = None if isinstance(answer, NoAnswer) else answer.status
            return answer
        finally:
            self.requests.end(record, status)

    async def _answer(self, request: web.BaseRequest, route: str, query: str) -> web.StreamResponse:
        if route != "token":
            return web.Response(status=404)
        if request.method not in ("GET", "HEAD"):
            return web.Response(status=404)
        fault = self._faults.take(Stage.ARRIVAL, route, request.method, None) if self._faults else None
        if fault is None:
            return self._issue(request, query, None, without_rights=False)
        lifetime, without_rights = fault.token_lifetime, fault.without_rights

        async def issue() -> web.StreamResponse:
            return self._issue(request, query, lifetime, without_rights=without_rights)

        return await apply_fault(fault, request, issue, self._listener.closing)

    def _issue(
        self, request: web.BaseRequest, query: str, lifetime: int | None, *, without_rights: bool
    ) -> web.Response:
        user = self._authenticate(request.headers.get("Authorization"))
        if user is None:
            return web.Response(
                status=401,
                body=json.dumps({"error": "Invalid username or password."}).encode(),
                headers={
                    "Content-Type": "application/json; charset=utf-8",
                    "WWW-Authenticate": 'Basic realm="Portus"',
                },
            )
        parameters = parse_qs(query, keep_blank_values=True)
        try:
            scopes = [Scope.parse(text) for text in parameters.get("scope", ())]
        except ValueError:
            return web.Response(status=401)
        known = parameters.get("service", [""])[-1] == self.service
        access = self._access(user, scopes) if known and not without_rights else []
        seconds = self.lifetime if lifetime is None else lifetime
        token = self.sign(
            access if scopes or not known else None,
            subject=parameters.get("account", [""])[-1],
            lifetime=seconds,
        )
        answer: dict[str, object] = {self.answer_field: token}
        if self.announce_lifetime:
            answer["expires_in"] = seconds
            issued_at = datetime.fromtimestamp(int(self._clock()), UTC)
            answer["issued_at"] = issued_at.strftime("%Y-%m-%dT%H:%M:%SZ")
        return web.Response(
            body=json.dumps(answer).encode(), headers={"Content-Type": "application/json; charset=utf-8"}
        )

    def _authenticate(self, authorization: str | None) -> User | None:
        scheme, _, encoded = (authorization or "").partition(" ")
        if scheme.lower() != "basic":
            return None
        try:
            name, _, password = base64.b64decode(encoded, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return None
        return self.users.authenticate(name, password)

    def _access(self, user: User, scopes: list[Scope]) -> list[dict[str, object]]:
        merged: dict[tuple[str, str], dict[str, None]] = {}
        for scope in scopes:
            merged.setdefault((scope.type, scope.name), {}).update(dict.fromkeys(scope.actions))
        access: list[dict[str, object]] = []
        for (type_, name), actions in merged.items():
            granted = user.grant(Scope(type_, name, tuple(actions)))
            if granted:
                access.append({"type": type_, "name": name, "actions": list(granted)})
        return access
