"""What is learned from a challenge, one by one. `test_authorization` and `test_account` see it over HTTP."""

from unittest.mock import Mock

import pytest
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from portus_gateway.distribution import Authentication, Credentials, StaticPassword
from portus_gateway.distribution.authorization import Authorization, Authorized, Refusal
from portus_gateway.distribution.concern import Concern
from portus_gateway.distribution.errors import ChallengeUnusable, CredentialsRejected, Denied, RealmRefused
from portus_gateway.distribution.exchange import Answer
from portus_gateway.distribution.origin import Origin
from portus_gateway.distribution.tokens import Token, TokenSource

REGISTRY = URL("https://registry.example.org")
REALM = URL("https://login.example.org/token")
ACCOUNT = Credentials("portus", StaticPassword("pw"))
NOTHING = Authorized({})
SCOPES = ("repository:team/app:pull",)

BEARER = f'Bearer realm="{REALM}",service="registry"'
ELSEWHERE = 'Bearer realm="https://login.example.com/token"'
NOWHERE = "Bearer service=registry"
BASIC = 'Basic realm="registry"'
UNKNOWN = "Negotiate"


def authorization(
    authentication: Authentication = Authentication.AUTO, *, credentials: Credentials | None = ACCOUNT
) -> Authorization:
    return Authorization(Origin.of(REGISTRY), Mock(spec=TokenSource), credentials, REALM, authentication)


def unauthorized(*challenges: str) -> Answer:
    headers = CIMultiDict([("WWW-Authenticate", challenge) for challenge in challenges])
    return Answer(401, CIMultiDictProxy(headers), b"")


def with_token() -> Authorized:
    return Authorized({"Authorization": "Bearer t"}, Token("t", 0.0, 0.0, 0.0))


async def with_password(learned: Authorization) -> Authorized:
    assert learned.learn(unauthorized(BASIC), NOTHING) == Refusal()
    return await learned.authorize(())


def test_with_token_requests_wait_until_it_is_known_where_to_get_one() -> None:
    learned = authorization(Authentication.TOKEN)
    assert learned.needs_challenge
    learned.assume_token_service()
    assert not learned.needs_challenge
    assert not authorization().needs_challenge


# --- A challenge that cannot be answered ------------------------------------------------------------------------


def test_it_is_an_error_for_a_token_that_was_never_accepted_and_a_refusal_for_one_that_was() -> None:
    learned = authorization()
    learned.learn(unauthorized(BEARER), NOTHING)
    with pytest.raises(ChallengeUnusable, match="kind that is not supported") as caught:
        learned.learn(unauthorized(UNKNOWN), with_token())
    assert caught.value.operator_detail == "it asks for negotiate"
    learned.accepted(with_token(), challenged=False)
    assert learned.learn(unauthorized(UNKNOWN), with_token()) == Refusal()


async def test_so_it_is_for_a_password() -> None:
    learned = authorization()
    password = await with_password(learned)
    with pytest.raises(ChallengeUnusable):
        learned.learn(unauthorized(UNKNOWN), password)
    learned.accepted(password, challenged=True)
    assert learned.learn(unauthorized(UNKNOWN), password) == Refusal()


def test_a_401_without_any_challenge_refuses_what_was_shown() -> None:
    learned = authorization()
    assert learned.learn(unauthorized(), with_token()) == Refusal()
    with pytest.raises(ChallengeUnusable, match="without saying"):
        learned.learn(unauthorized(), NOTHING)


def test_what_the_operator_has_to_set_otherwise_is_always_an_error() -> None:
    learned = authorization(Authentication.TOKEN)
    learned.learn(unauthorized(BEARER), NOTHING)
    learned.accepted(with_token(), challenged=False)
    with pytest.raises(ChallengeUnusable, match="another kind of authentication") as caught:
        learned.learn(unauthorized(BASIC), with_token())
    assert caught.value.concern is Concern.AUTHENTICATION
    assert caught.value.operator_detail == "it asks for basic"


# --- Of several challenges --------------------------------------------------------------------------------------


async def test_the_password_stays_here_if_tokens_are_accepted() -> None:
    learned = authorization()
    learned.learn(unauthorized(BEARER), NOTHING)
    # Nobody knows yet whether tokens help.
    assert (await with_password(learned)).fields["Authorization"].startswith("Basic ")
    learned.learn(unauthorized(BEARER), NOTHING)
    learned.accepted(with_token(), challenged=False)
    assert learned.learn(unauthorized(BASIC), with_token()) == Refusal()
    assert not learned.is_current(await _password_of(), 0.0)


async def _password_of() -> Authorized:
    return await with_password(authorization())


@pytest.mark.parametrize("challenges", [(NOWHERE, ELSEWHERE), (ELSEWHERE, NOWHERE), (ELSEWHERE, BASIC), (ELSEWHERE,)])
def test_a_realm_elsewhere_is_never_passed_over(challenges: tuple[str, ...]) -> None:
    with pytest.raises(RealmRefused) as caught:
        authorization().learn(unauthorized(*challenges), NOTHING)
    assert caught.value.operator_detail == "the registry names https://login.example.com/token"


async def test_a_challenge_without_a_realm_is_passed_over_for_another_one() -> None:
    learned = authorization()
    learned.learn(unauthorized(NOWHERE, BASIC), NOTHING)
    assert (await learned.authorize(())).fields["Authorization"].startswith("Basic ")
    assert learned.learn(unauthorized(ELSEWHERE, BEARER), NOTHING) == Refusal()
    with pytest.raises(ChallengeUnusable, match="names no usable realm"):
        learned.learn(unauthorized(NOWHERE), NOTHING)


# --- What is known to work --------------------------------------------------------------------------------------


async def test_a_password_is_known_to_work_if_it_made_the_difference() -> None:
    learned = authorization()
    password = await with_password(learned)
    other = Authorized({"Authorization": "Basic other"})
    learned.accepted(NOTHING, challenged=True)
    learned.accepted(password, challenged=False)
    for carried in (NOTHING, password, other):
        assert not learned.is_known_to_work(carried)
    learned.accepted(password, challenged=True)
    assert learned.is_known_to_work(password)
    for carried in (NOTHING, other):
        assert not learned.is_known_to_work(carried)


# --- What is said -----------------------------------------------------------------------------------------------


def test_a_refused_token_is_told_with_what_it_was_for() -> None:
    learned = authorization()
    learned.learn(unauthorized(BEARER), NOTHING)
    for refusal, message in (
        (Refusal(error="invalid_token"), "does not accept a new token for the scope"),
        (Refusal(error="insufficient_scope"), "lacks that right"),
    ):
        error = learned.token_refused("pull of team/app", SCOPES, refusal)
        assert message in str(error)
        assert error.operator_detail == f"account 'portus', the scope {SCOPES[0]} at {REALM}"
        without_scope = learned.token_refused("the version check", (), refusal)
        assert "scope" not in f"{without_scope} {without_scope.operator_detail}"
        assert without_scope.operator_detail == f"account 'portus', {REALM}"


def test_a_refused_password_is_told_with_the_account() -> None:
    learned = authorization()
    for works_elsewhere, kind in ((True, Denied), (False, CredentialsRejected)):
        error = learned.password_refused("pull of team/app", works_elsewhere=works_elsewhere)
        assert type(error) is kind
        assert error.operator_detail == "account 'portus'"
