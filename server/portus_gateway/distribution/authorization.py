"""Which credentials the registry asks for, and which server gets them.

The password goes to the configured realm only, or to the registry itself if that asks for it (Basic). A token goes to
the registry only. A challenge that says otherwise is an error, not an instruction (CVE-2026-33540 and similar).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from yarl import URL

from portus_gateway.distribution.challenge import Challenge, parse_challenges
from portus_gateway.distribution.concern import Concern
from portus_gateway.distribution.configuration import Authentication
from portus_gateway.distribution.credentials import Credentials, account_of
from portus_gateway.distribution.errors import (
    ChallengeUnusable,
    CredentialsRejected,
    Denied,
    DistributionError,
    GatewaySetup,
    RealmRefused,
)
from portus_gateway.distribution.exchange import Answer
from portus_gateway.distribution.origin import Origin, without_secrets
from portus_gateway.distribution.tokens import Token, TokenRequest, TokenSource, for_scopes


@dataclass(frozen=True, slots=True)
class Anonymous:
    """The registry has not asked for credentials yet."""


@dataclass(frozen=True, slots=True)
class Basic:
    """The registry checks the password itself."""


@dataclass(frozen=True, slots=True)
class Bearer:
    """The registry sends clients without a token to `realm`."""

    realm: URL
    service: str


@dataclass(frozen=True, slots=True)
class Authorized:
    """What a request carries: its header fields, and the token in them, if there is one."""

    fields: Mapping[str, str] = field(repr=False)
    token: Token | None = None


NOTHING = Authorized({})
"""No credentials."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """What a 401 says: the scopes that it names, and its error code (RFC 6750, section 3.1)."""

    scopes: tuple[str, ...] = ()
    error: str = ""


class Authorization:
    """Answers the challenges of one registry. It remembers how, so that later requests are not challenged."""

    def __init__(
        self,
        origin: Origin,
        tokens: TokenSource,
        credentials: Credentials | None,
        token_realm: URL | None,
        authentication: Authentication = Authentication.AUTO,
    ) -> None:
        self._origin = origin
        self._tokens = tokens
        self._credentials = credentials
        self._token_realm = token_realm
        self._authentication = authentication
        self._scheme: Anonymous | Basic | Bearer = Basic() if authentication is Authentication.BASIC else Anonymous()
        self._tokens_are_accepted = False
        self._accepted_password: str | None = None

    @property
    def is_anonymous(self) -> bool:
        """Whether requests carry no credentials."""
        return isinstance(self._scheme, Anonymous)

    @property
    def account_is_unused(self) -> bool:
        """Whether there is an account that the registry has not asked for yet."""
        return self._credentials is not None and self.is_anonymous

    @property
    def needs_challenge(self) -> bool:
        """Whether no request may be sent before the registry has said how to get a token."""
        return self._authentication is Authentication.TOKEN and self.is_anonymous

    def assume_token_service(self) -> None:
        """Takes the configured realm as the token service, because the registry names none.

        Raises `ChallengeUnusable` if no realm is configured.
        """
        if self._token_realm is None:
            raise ChallengeUnusable("the registry does not say where to get a token", concern=Concern.TOKEN_REALM)
        self._scheme = Bearer(self._token_realm, "")

    async def authorize(self, scopes: tuple[str, ...], refused: Token | None = None) -> Authorized:
        """The credentials that the registry wants for `scopes`. A token is never `refused`."""
        match self._scheme:
            case Anonymous():
                return NOTHING
            case Basic():
                return Authorized({"Authorization": self._password()})
            case Bearer(realm, service):
                token = await self._tokens.token(TokenRequest(realm, service, scopes), refused=refused)
                return Authorized({"Authorization": f"Bearer {token.secret}"}, token)

    def learn(self, answer: Answer, carried: Authorized) -> Refusal:
        """Remembers what the 401 to a request with the credentials `carried` asks for.

        Raises the `GatewaySetup` family for a challenge that cannot or must not be answered. If the registry has
        accepted the credentials before, such a challenge only means that it refuses this request.
        """
        try:
            scheme, refusal = self._read(answer)
        except ChallengeUnusable as error:
            is_refusal = self._is_accepted(carried) or not any(_fields_of(answer))
            if carried.fields and is_refusal and error.concern is None:
                return Refusal()
            raise
        if scheme == Basic() and isinstance(self._scheme, Bearer) and self._tokens_are_accepted:
            # The registry need not get the password if it accepts tokens.
            return Refusal()
        self._scheme = scheme
        return refusal

    def is_current(self, carried: Authorized, since: float) -> bool:
        """Whether there is no newer credential than `carried`. Tokens fetched after `since` count as new."""
        if carried.token is not None:
            return carried.token.fetched_at >= since
        return self._scheme == Basic() and carried.fields.get("Authorization") == self._password()

    def accepted(self, carried: Authorized, *, challenged: bool) -> None:
        """Remembers that the registry accepted `carried`; with `challenged`, after it had refused to answer without."""
        if carried.token is not None:
            carried.token.accepted = True
            self._tokens_are_accepted = True
        elif challenged and carried.fields:
            self._accepted_password = carried.fields["Authorization"]

    def may_become_valid(self, refusal: Refusal) -> bool:
        """Whether the registry may accept a new token that it refused a little later, when its clock is late."""
        if refusal.error:
            return refusal.error == "invalid_token"
        return not self._tokens_are_accepted

    def is_known_to_work(self, carried: Authorized) -> bool:
        """Whether the registry has accepted the password in `carried` before."""
        return self._accepted_password is not None and carried.fields.get("Authorization") == self._accepted_password

    def token_refused(self, action: str, scopes: tuple[str, ...], refusal: Refusal) -> DistributionError:
        """The error for a new token that the registry refuses."""
        wanted = for_scopes(scopes)
        if refusal.error == "invalid_token":
            message = (
                f"the registry refused {action}: it does not accept a new token{wanted}. Either it does not trust"
                " the token service (issuer, service or key), or the clocks of the two differ"
            )
        else:
            account = "the gateway's account lacks that right" if self._credentials else "the gateway has no account"
            message = (
                f"the registry refused {action} with a fresh token{wanted}: {account}, or the registry does not trust"
                " the token service (issuer, service, key, clocks)"
            )
        detail = account_of(self._credentials)
        if isinstance(self._scheme, Bearer):
            detail += f", {TokenRequest(self._scheme.realm, self._scheme.service, scopes)}"
        return Denied(message, operator_detail=detail)

    def password_refused(self, action: str, *, works_elsewhere: bool) -> DistributionError:
        """The error for a password that the registry refuses, everywhere or for this request."""
        if works_elsewhere:
            return Denied(
                f"the registry refused {action}: the gateway's account lacks that right",
                operator_detail=account_of(self._credentials),
            )
        return CredentialsRejected(
            "the registry refused the gateway's own account (401)",
            operator_detail=account_of(self._credentials),
            concern=Concern.ACCOUNT,
        )

    def _read(self, answer: Answer) -> tuple[Basic | Bearer, Refusal]:
        """The first challenge that can be answered. Bearer goes before Basic, because the password travels less."""
        challenges = parse_challenges(_fields_of(answer))
        schemes = {challenge.scheme for challenge in challenges}
        unusable: GatewaySetup | None = None
        for challenge in challenges if self._authentication is not Authentication.BASIC else ():
            if challenge.scheme == "bearer":
                try:
                    bearer = Bearer(self._pinned(challenge), challenge.parameters.get("service", ""))
                except GatewaySetup as error:
                    unusable = error if isinstance(error, RealmRefused) else unusable or error
                else:
                    return bearer, Refusal(challenge.scopes, challenge.parameters.get("error", ""))
        if isinstance(unusable, RealmRefused):
            raise unusable
        if "basic" in schemes and self._authentication is not Authentication.TOKEN:
            return Basic(), Refusal()
        if unusable is not None:
            raise unusable
        if schemes & {"bearer", "basic"}:
            raise ChallengeUnusable(
                "the registry asks for another kind of authentication than the gateway is set up for",
                operator_detail=f"it asks for {', '.join(sorted(schemes))[:100]}",
                concern=Concern.AUTHENTICATION,
            )
        if schemes:
            raise ChallengeUnusable(
                "the registry asks for authentication of a kind that is not supported: Bearer and Basic are",
                operator_detail=f"it asks for {', '.join(sorted(schemes))[:100]}",
            )
        raise ChallengeUnusable("the registry answered 401 without saying (WWW-Authenticate) how to authenticate")

    def _pinned(self, challenge: Challenge) -> URL:
        """The challenge's realm, if the password may go there. A relative one is the registry's own."""
        try:
            address = challenge.parameters.get("realm", "")
            realm = URL(str(self._origin)).join(URL(address))
            origin = Origin.of(realm)
        except ValueError as error:
            raise _no_realm() from error
        if not address:
            raise _no_realm()
        realm = realm.with_user(None).with_fragment(None)
        if origin == self._origin or (self._token_realm is not None and _same_place(realm, self._token_realm)):
            return realm
        named = "that is not the configured one" if self._token_realm else "at another address, and none is configured"
        unsent = "no token was requested" if self._credentials is None else "the password was not sent"
        raise RealmRefused(
            f"the registry names a token service {named}, so {unsent}",
            operator_detail=f"the registry names {without_secrets(realm)}",
            concern=Concern.TOKEN_REALM,
        )

    def _is_accepted(self, carried: Authorized) -> bool:
        return self._tokens_are_accepted if carried.token is not None else self.is_known_to_work(carried)

    def _password(self) -> str:
        if self._credentials is None:
            raise ChallengeUnusable(
                "the registry asks for a user name and a password, and the gateway has none", concern=Concern.NO_ACCOUNT
            )
        return self._credentials.basic_authorization()


def _fields_of(answer: Answer) -> list[str]:
    return [field.strip() for field in answer.headers.getall("WWW-Authenticate", [])]


def _no_realm() -> ChallengeUnusable:
    return ChallengeUnusable(
        "the registry's challenge names no usable realm: auth.token.realm in the registry's configuration must be the"
        " address of the token service"
    )


def _same_place(one: URL, other: URL) -> bool:
    return Origin.of(one) == Origin.of(other) and one.path == other.path
