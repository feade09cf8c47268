"""Bearer tokens from the token service: one for each set of scopes, fetched once for all who wait, renewed in time.

Follows Docker's "Token Authentication Specification". The caller makes sure that the password may go to the realm.
"""

import asyncio
import json
import time
from dataclasses import dataclass, field, replace
from datetime import datetime

from cachetools import LRUCache
from multidict import CIMultiDict
from yarl import URL

from portus_gateway.aio import spans
from portus_gateway.aio.single_flight import SingleFlight
from portus_gateway.distribution.concern import Concern
from portus_gateway.distribution.credentials import Credentials, account_of
from portus_gateway.distribution.error_document import is_transient, requires_tls
from portus_gateway.distribution.errors import (
    CredentialsRejected,
    Denied,
    DistributionError,
    RegistryFault,
    TooManyRequests,
    Unavailable,
    UntrustedAnswer,
    UpstreamTimeout,
    WrongAddress,
)
from portus_gateway.distribution.exchange import Answer, Exchange, Request
from portus_gateway.distribution.observer import UpstreamObserver
from portus_gateway.distribution.origin import without_secrets
from portus_gateway.distribution.peer import TOKEN_SERVICE
from portus_gateway.distribution.retry import http_date, retry_after

_BODY_LIMIT = 256 * 1024
# What the specification says for an answer without `expires_in`.
_DEFAULT_LIFETIME = 60.0
_LONGEST_LIFETIME = 86400.0
# A token is renewed when this share of its lifetime is left, or this many seconds if that is less.
_RENEWED_AT_SHARE = 0.2
_RENEWED_AT_SECONDS = 30.0
_REFUSALS = frozenset({401, 403})
# Servers take fewer bytes of headers, and many tokens are kept.
_LONGEST_TOKEN = 64 * 1024
# A token takes about 2 KiB. A listing that reads every repository must not keep a token for each.
_KEPT = 1024


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """What to ask the token service for. The scopes are in normal form (`challenge.normal_scopes`)."""

    realm: URL
    service: str
    scopes: tuple[str, ...]

    def __str__(self) -> str:
        """For `operator_detail`: it has the realm's address."""
        scopes = f"the scope {' '.join(self.scopes)} at " if self.scopes else ""
        return f"{scopes}{without_secrets(self.realm)}"


@dataclass(slots=True, eq=False)
class Token:
    """A bearer token. Times are those of `time.monotonic`."""

    secret: str = field(repr=False)
    renewed_at: float
    """From when on a new one is fetched."""
    ends_at: float
    """From when on the registry does not accept it, as far as the token service says."""
    fetched_at: float
    accepted: bool = False
    """Whether the registry has accepted it."""


def for_scopes(scopes: tuple[str, ...]) -> str:
    """The end of a sentence on a token: ` for the scope …`, empty without scopes."""
    return f" for the scope {' '.join(scopes)}" if scopes else ""


class TokenSource:
    """Keeps tokens, and fetches them as needed. A fetch takes at most `longest` seconds, including retries."""

    def __init__(
        self, exchange: Exchange, credentials: Credentials | None, observer: UpstreamObserver, longest: float
    ) -> None:
        self._exchange = exchange
        self._longest = longest
        self._credentials = credentials
        self._observer = observer
        self._works: str | None = None
        self._tokens: LRUCache[TokenRequest, Token] = LRUCache(_KEPT)
        self._flights: SingleFlight[TokenRequest, Token] = SingleFlight("token fetch", joins_running=True)

    async def token(self, request: TokenRequest, *, refused: Token | None = None) -> Token:
        """A token for `request`. It is not `refused`, which the registry did not accept.

        Raises `CredentialsRejected` if the token service does not accept our password, `Denied` if it refuses only
        these scopes, and the `Unavailable` family if it does not answer.
        """
        kept = self._tokens.get(request)
        if kept is not None and kept is not refused and time.monotonic() < kept.renewed_at:
            self._observer.token_reused()
            return kept
        return await self._flights.run(request, lambda: self._fetch_and_keep(request))

    async def close(self) -> None:
        await self._flights.close()

    async def _fetch_and_keep(self, request: TokenRequest) -> Token:
        span = spans.current()
        if span is not None:
            span.set("portus.scopes", " ".join(request.scopes))
        started = time.perf_counter()
        outcome = "failed"
        try:
            async with asyncio.timeout(self._longest):
                token = await self._fetch(request)
            outcome = "ok"
        except TimeoutError as error:
            raise UpstreamTimeout(
                f"the token service gave no token within {self._longest:g} s", operator_detail=str(request), sent=False
            ) from error
        except CredentialsRejected:
            outcome = "rejected"
            raise
        finally:
            self._observer.token_fetched(outcome=outcome, seconds=time.perf_counter() - started)
        self._tokens[request] = token
        return token

    async def _fetch(self, request: TokenRequest) -> Token:
        authorization = self._authorization()
        asked_at = time.monotonic()
        answer = await self._ask(request, authorization)
        if answer.status == 401 and (reread := self._authorization()) != authorization:
            # The password was rotated since we read it.
            asked_at, authorization = time.monotonic(), reread
            answer = await self._ask(request, authorization)
        if answer.status in _REFUSALS and await self._is_right_of_one_scope(request, answer):
            raise Denied(
                f"the token service gives the gateway's account no token{for_scopes(request.scopes)} ({answer.status})",
                operator_detail=f"{account_of(self._credentials)}, {request}",
            )
        if answer.status != 200:
            raise self._failure(request, answer)
        self._works = authorization
        return _token(answer, asked_at)

    async def _is_right_of_one_scope(self, request: TokenRequest, refusal: Answer) -> bool:
        """Whether the token service accepts our password, and refuses only the scopes of `request`."""
        authorization = self._authorization()
        if authorization is None or not request.scopes:
            return False
        without_scope = await self._ask(replace(request, scopes=()), authorization)
        if without_scope.status == 200:
            return True
        return without_scope.status != 401 and refusal.status == 403 and authorization == self._works

    def _authorization(self) -> str | None:
        return self._credentials.basic_authorization() if self._credentials else None

    async def _ask(self, request: TokenRequest, authorization: str | None) -> Answer:
        parameters = [("service", request.service)] if request.service else []
        headers = CIMultiDict({"Accept": "application/json", "Accept-Encoding": "identity"})
        if self._credentials is not None and authorization is not None:
            parameters.append(("account", self._credentials.username))
            headers["Authorization"] = authorization
        parameters.extend(("scope", scope) for scope in request.scopes)
        return await self._exchange.send(
            Request(
                method="GET",
                url=request.realm.extend_query(parameters),
                route="token",
                peer=TOKEN_SERVICE,
                headers=headers,
                body_limit=_BODY_LIMIT,
                repeatable=True,
            )
        )

    def _failure(self, request: TokenRequest, answer: Answer) -> DistributionError:
        status = answer.status
        if status in _REFUSALS:
            refused = "the gateway, which has no account" if self._credentials is None else "the gateway's own account"
            return CredentialsRejected(
                f"the token service refused {refused} ({status}){for_scopes(request.scopes)}",
                operator_detail=f"{account_of(self._credentials)}, {request}",
                concern=Concern.NO_ACCOUNT if self._credentials is None else Concern.ACCOUNT,
            )
        if status == 429:
            return TooManyRequests(
                "the token service receives too many requests (429)",
                retry_after=retry_after(answer.headers),
                operator_detail=str(request),
            )
        if requires_tls(status, answer.body):
            return WrongAddress(
                "the token service uses TLS, but its address begins with http://",
                operator_detail=str(request),
                concern=Concern.TOKEN_REALM,
            )
        if is_transient(status, answer.body):
            return Unavailable(
                f"the token service answered {status}{for_scopes(request.scopes)}",
                retry_after=retry_after(answer.headers),
                operator_detail=str(request),
            )
        return RegistryFault(
            f"the token service answered {status}{for_scopes(request.scopes)}",
            operator_detail=f"{request}, service {request.service!r}",
            concern=Concern.TOKEN_REALM,
        )


def _token(answer: Answer, asked_at: float) -> Token:
    try:
        body = json.loads(answer.body)
    except (ValueError, RecursionError) as error:
        raise _unusable("something that is not JSON") from error
    if not isinstance(body, dict):
        raise _unusable("JSON that is not an object")
    # Docker's services have `token`, those of OAuth 2 `access_token`. One of them may be empty.
    secret = body.get("token") or body.get("access_token")
    if not isinstance(secret, str) or not secret.isascii() or not secret.isprintable() or " " in secret:
        raise _unusable("JSON that has no usable `token` or `access_token`")
    if len(secret) > _LONGEST_TOKEN:
        raise _unusable(f"a token of {len(secret)} bytes; at most {_LONGEST_TOKEN} are taken")
    lifetime = body.get("expires_in")
    if isinstance(lifetime, bool) or not isinstance(lifetime, (int, float)) or not lifetime > 0:
        lifetime = _DEFAULT_LIFETIME
    lifetime = float(min(lifetime, _LONGEST_LIFETIME))
    age = _age(body.get("issued_at"), answer)
    # Some services write 0001-01-01, or the time of a cached answer. Then the token counts as issued now.
    left = lifetime - age if age < lifetime else lifetime
    ends_at = asked_at + left
    return Token(secret, ends_at - min(_RENEWED_AT_SECONDS, _RENEWED_AT_SHARE * left), ends_at, fetched_at=asked_at)


def _unusable(sent: str) -> UntrustedAnswer:
    return UntrustedAnswer(f"the token service answered 200 with {sent}", concern=Concern.TOKEN_REALM)


def _age(issued_at: object, answer: Answer) -> float:
    """Seconds since the token was issued, by the clock of the token service, from which ours may differ."""
    now = http_date(answer.headers.get("Date", ""))
    if now is None or not isinstance(issued_at, str):
        return 0.0
    try:
        issued = datetime.fromisoformat(issued_at)
    except ValueError:
        return 0.0
    if issued.tzinfo is None:
        return 0.0
    return max(0.0, (now - issued).total_seconds())
