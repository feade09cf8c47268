"""Requests to the registry, with whatever credentials it asks for.

Answers a challenge once; remembers it, so that later requests carry a token from the start. The password goes to the
pinned realm alone and a token to the registry's origin alone, whatever a challenge or a redirect says.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from multidict import CIMultiDict
from yarl import URL

from portus_gateway.distribution.challenge import Challenge, normal_scopes, parse_challenges
from portus_gateway.distribution.credentials import Credentials
from portus_gateway.distribution.errors import (
    ChallengeUnusable,
    CredentialsRejected,
    Denied,
    DistributionError,
    RealmRefused,
    RegistryFault,
)
from portus_gateway.distribution.exchange import Answer, Exchange, Request
from portus_gateway.distribution.origin import Origin, without_secrets
from portus_gateway.distribution.tokens import Token, TokenRequest, TokenSource

_MOST_REDIRECTS = 5
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_REPEATABLE = frozenset({"GET", "HEAD"})


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistryRequest:
    """What to ask the registry: relative to it, and without credentials."""

    method: str
    target: str
    """Path and query as they go on the wire: `/v2/team/app/tags/list?n=100`."""
    route: str
    scope: str
    """The scope that this is expected to need. What the registry's challenge names goes first."""
    body_limit: int
    accept: tuple[str, ...] = ()
    follow_redirects: bool = True
    total: float | None = None

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]


@dataclass(frozen=True, slots=True)
class _Anonymous:
    """The registry has not asked for credentials yet."""


@dataclass(frozen=True, slots=True)
class _Basic:
    """The registry checks the password itself."""


@dataclass(frozen=True, slots=True)
class _Bearer:
    """The registry sends whoever has no token to `realm`."""

    realm: URL
    service: str


class Transport:
    """Sends requests to one registry."""

    def __init__(
        self,
        origin: Origin,
        exchange: Exchange,
        tokens: TokenSource,
        credentials: Credentials | None,
        token_realm: URL | None,
    ) -> None:
        self._origin = origin
        self._exchange = exchange
        self._tokens = tokens
        self._credentials = credentials
        self._token_realm = token_realm
        self._scheme: _Anonymous | _Basic | _Bearer = _Anonymous()

    @property
    def origin(self) -> Origin:
        return self._origin

    async def send(self, request: RegistryRequest) -> Answer:
        """The registry's answer, whatever its status but 401.

        Raises `Denied` where a fresh token does not help, the `GatewaySetup` family where there is no token to be
        had, and what `Exchange.send` raises.
        """
        url = URL(f"{self._origin}{request.target}", encoded=True)
        scopes = normal_scopes(request.scope.split())
        token, headers = await self._authorize(self._scheme, scopes, refused=None)
        answer = await self._exchange_once(request, url, headers)
        if answer.status == 401:
            scheme, challenged = self._challenge(answer)
            if scheme == self._scheme == _Basic():
                raise self._password_rejected()
            self._scheme = scheme
            scopes = challenged or scopes
            token, headers = await self._authorize(scheme, scopes, refused=token)
            answer = await self._exchange_once(request, url, headers)
            if answer.status == 401:
                raise self._denied(request, scheme, scopes)
        if answer.status in _REDIRECTS and request.follow_redirects:
            return await self._redirected(request, url, headers, answer)
        return answer

    async def _exchange_once(self, request: RegistryRequest, url: URL, authorization: Mapping[str, str]) -> Answer:
        headers = CIMultiDict({"Accept-Encoding": "identity", **authorization})
        headers["Accept"] = ", ".join(request.accept) if request.accept else "application/json"
        answer = await self._exchange.send(
            Request(
                method=request.method,
                url=url,
                route=request.route,
                peer="the registry",
                headers=headers,
                body_limit=request.body_limit,
                repeatable=request.method in _REPEATABLE,
                total=request.total,
            )
        )
        return _without_echo(answer, authorization) if answer.status >= 400 else answer

    async def _authorize(
        self, scheme: _Anonymous | _Basic | _Bearer, scopes: tuple[str, ...], refused: Token | None
    ) -> tuple[Token | None, Mapping[str, str]]:
        match scheme:
            case _Anonymous():
                return None, {}
            case _Basic():
                if self._credentials is None:
                    raise ChallengeUnusable(
                        "the registry asks for a user name and a password, and none are set:"
                        " set PORTUS_USERNAME and PORTUS_PASSWORD or PORTUS_PASSWORD_FILE"
                    )
                return None, {"Authorization": self._credentials.basic_authorization()}
            case _Bearer(realm, service):
                token = await self._tokens.token(TokenRequest(realm, service, scopes), refused=refused)
                return token, {"Authorization": f"Bearer {token.secret}"}

    def _challenge(self, answer: Answer) -> tuple[_Basic | _Bearer, tuple[str, ...]]:
        """What a 401 asks for, and for which scopes. Bearer goes before Basic: its password travels less."""
        challenges = parse_challenges(answer.headers.getall("WWW-Authenticate", []))
        for challenge in challenges:
            if challenge.scheme == "bearer":
                scheme = _Bearer(self._pinned(challenge), challenge.parameters.get("service", ""))
                return scheme, challenge.scopes
        if any(challenge.scheme == "basic" for challenge in challenges):
            return _Basic(), ()
        asked = ", ".join(challenge.scheme for challenge in challenges)[:100]
        raise ChallengeUnusable(
            f"the registry answered 401 and asks for {asked!r} authentication; Bearer and Basic are supported"
            if asked
            else "the registry answered 401 without saying (WWW-Authenticate) how to authenticate"
        )

    def _pinned(self, challenge: Challenge) -> URL:
        """The challenge's realm, if that is where our password may go (CVE-2026-33540 and its like)."""
        text = challenge.parameters.get("realm", "")
        try:
            realm = URL(text)
            origin = Origin.of(realm)
        except ValueError as error:
            raise ChallengeUnusable(
                "the registry's challenge names no usable realm:"
                " its auth.token.realm has to be the token service's address"
            ) from error
        realm = realm.with_user(None).with_fragment(None)
        if self._token_realm is not None and _same_place(realm, self._token_realm):
            return realm
        if origin == self._origin:
            return realm
        raise RealmRefused(
            f"the registry sends us to {without_secrets(realm)} for a token, which is neither the configured realm nor"
            " the registry itself: the password was not sent. If it is your token service, set PORTUS_TOKEN_REALM to it"
        )

    async def _redirected(
        self, request: RegistryRequest, url: URL, headers: Mapping[str, str], answer: Answer
    ) -> Answer:
        if request.method not in _REPEATABLE:
            raise RegistryFault(f"the registry answered {request.method} {url.path} with a redirect")
        for _ in range(_MOST_REDIRECTS):
            url = self._redirect_target(url, answer)
            answer = await self._exchange_once(request, url, headers)
            if answer.status not in _REDIRECTS:
                return answer
        raise RegistryFault(f"the registry redirected {request.path} more than {_MOST_REDIRECTS} times")

    def _redirect_target(self, url: URL, answer: Answer) -> URL:
        """Where a redirect leads. Only within the registry: nothing that we read is kept elsewhere."""
        try:
            target = url.join(URL(answer.headers.get("Location", ""), encoded=True))
            origin = Origin.of(target)
        except ValueError as error:
            raise RegistryFault("the registry redirected to something that is no http address") from error
        if origin != self._origin:
            raise RegistryFault(
                f"the registry redirected to {without_secrets(target)}, which is not the registry: not followed"
            )
        return target.with_user(None).with_fragment(None)

    def _password_rejected(self) -> DistributionError:
        username = self._credentials.username if self._credentials else ""
        return CredentialsRejected(
            f"the registry refused the account {username!r} (401). This is the gateway's own account, not the caller's:"
            " check PORTUS_USERNAME and PORTUS_PASSWORD or PORTUS_PASSWORD_FILE"
        )

    def _denied(self, request: RegistryRequest, scheme: _Basic | _Bearer, scopes: tuple[str, ...]) -> DistributionError:
        if isinstance(scheme, _Basic):
            return self._password_rejected()
        account = f"the account {self._credentials.username!r}" if self._credentials else "anonymous access"
        return Denied(
            f"the registry refused {request.method} {request.path} with a fresh token for"
            f" {TokenRequest(scheme.realm, scheme.service, scopes)}: {account} lacks that right there, or the registry"
            " does not trust the token service (issuer, service or certificate)"
        )


def _without_echo(answer: Answer, authorization: Mapping[str, str]) -> Answer:
    """The answer without our own credential, which an error message would otherwise show."""
    body = answer.body
    for value in authorization.values():
        body = body.replace(value.partition(" ")[2].encode(), b"[redacted]")
    return replace(answer, body=body)


def _same_place(one: URL, other: URL) -> bool:
    return Origin.of(one) == Origin.of(other) and one.path == other.path
