"""Which credentials the registry asks for, and who may see them.

The password goes to the pinned realm alone, or to the registry itself where that asks for it (Basic); a token goes to
the registry alone. A challenge that says otherwise is an error, not an instruction (CVE-2026-33540 and its like).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from yarl import URL

from portus_gateway.distribution.challenge import Challenge, parse_challenges
from portus_gateway.distribution.concern import Concern
from portus_gateway.distribution.credentials import Credentials
from portus_gateway.distribution.errors import (
    ChallengeUnusable,
    CredentialsRejected,
    Denied,
    DistributionError,
    RealmRefused,
)
from portus_gateway.distribution.exchange import Answer
from portus_gateway.distribution.origin import Origin, without_secrets
from portus_gateway.distribution.tokens import Token, TokenRequest, TokenSource, words_for


@dataclass(frozen=True, slots=True)
class Anonymous:
    """The registry has not asked for credentials yet."""


@dataclass(frozen=True, slots=True)
class Basic:
    """The registry checks the password itself."""


@dataclass(frozen=True, slots=True)
class Bearer:
    """The registry sends whoever has no token to `realm`."""

    realm: URL
    service: str


@dataclass(frozen=True, slots=True)
class Authorized:
    """What a request carries: its header fields, and the token that they hold, if any."""

    fields: Mapping[str, str] = field(repr=False)
    token: Token | None = None


class Authorization:
    """Answers the challenges of one registry, and remembers how, so that later requests need none."""

    def __init__(
        self, origin: Origin, tokens: TokenSource, credentials: Credentials | None, token_realm: URL | None
    ) -> None:
        self._origin = origin
        self._tokens = tokens
        self._credentials = credentials
        self._token_realm = token_realm
        self._scheme: Anonymous | Basic | Bearer = Anonymous()

    async def authorize(self, scopes: tuple[str, ...], refused: Token | None = None) -> Authorized:
        """What the registry is known to want for `scopes`; with `refused`, by another token than that one."""
        match self._scheme:
            case Anonymous():
                return Authorized({})
            case Basic():
                return Authorized({"Authorization": self._password()})
            case Bearer(realm, service):
                token = await self._tokens.token(TokenRequest(realm, service, scopes), refused=refused)
                return Authorized({"Authorization": f"Bearer {token.secret}"}, token)

    def learn(self, answer: Answer, carried: Authorized) -> tuple[str, ...]:
        """Takes in the challenge of the 401 to what `carried` went with, and gives the scopes that it names.

        Bearer goes before Basic: its password travels less. Raises the `GatewaySetup` family for a challenge that
        cannot, or must not, be answered.
        """
        self._scheme, scopes = self._read(answer)
        password = carried.fields.get("Authorization") if carried.token is None else None
        if self._scheme == Basic() and password is not None and password == self._password():
            raise self._password_refused()
        return scopes

    def refused(self, action: str, scopes: tuple[str, ...]) -> DistributionError:
        """The error for a 401 that answers what `authorize` gave after `learn`."""
        match self._scheme:
            case Bearer(realm, service):
                return Denied(
                    f"the registry refused {action} with a fresh token for {words_for(scopes)}: the gateway's account"
                    " lacks that right, or the registry does not trust the token service (issuer, service or key)",
                    operator_detail=f"{_account(self._credentials)}, {TokenRequest(realm, service, scopes)}",
                )
            case _:
                return self._password_refused()

    def _read(self, answer: Answer) -> tuple[Basic | Bearer, tuple[str, ...]]:
        challenges = parse_challenges(answer.headers.getall("WWW-Authenticate", []))
        for challenge in challenges:
            if challenge.scheme == "bearer":
                return Bearer(self._pinned(challenge), challenge.parameters.get("service", "")), challenge.scopes
        if any(challenge.scheme == "basic" for challenge in challenges):
            return Basic(), ()
        asked = ", ".join(challenge.scheme for challenge in challenges)[:100]
        if asked:
            raise ChallengeUnusable(
                "the registry asks for authentication of a kind that is not supported: Bearer and Basic are",
                operator_detail=f"it asks for {asked!r}",
            )
        raise ChallengeUnusable("the registry answered 401 without saying (WWW-Authenticate) how to authenticate")

    def _pinned(self, challenge: Challenge) -> URL:
        """The challenge's realm, if that is where our password may go."""
        try:
            realm = URL(challenge.parameters.get("realm", ""))
            origin = Origin.of(realm)
        except ValueError as error:
            raise ChallengeUnusable(
                "the registry's challenge names no usable realm: auth.token.realm in the registry's configuration must"
                " be the address of the token service"
            ) from error
        realm = realm.with_user(None).with_fragment(None)
        if origin == self._origin or (self._token_realm is not None and _same_place(realm, self._token_realm)):
            return realm
        raise RealmRefused(
            "the registry names a token service that is not the configured one, so the password was not sent",
            operator_detail=f"the registry names {without_secrets(realm)}",
            concern=Concern.TOKEN_REALM,
        )

    def _password(self) -> str:
        if self._credentials is None:
            raise ChallengeUnusable(
                "the registry asks for a user name and a password, and the gateway has none", concern=Concern.ACCOUNT
            )
        return self._credentials.basic_authorization()

    def _password_refused(self) -> DistributionError:
        return CredentialsRejected(
            "the registry refused the gateway's own account (401)",
            operator_detail=_account(self._credentials),
            concern=Concern.ACCOUNT,
        )


def _account(credentials: Credentials | None) -> str:
    return f"account {credentials.username!r}" if credentials else "no account"


def _same_place(one: URL, other: URL) -> bool:
    return Origin.of(one) == Origin.of(other) and one.path == other.path
