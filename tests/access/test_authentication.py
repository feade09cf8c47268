"""Who calls, where several kinds of credentials are accepted."""

from collections.abc import Mapping

import pytest

from portus_gateway.access.authentication import Authentication
from portus_gateway.access.caller import NOBODY, Caller
from portus_gateway.access.errors import KeysUnavailable, Unauthenticated
from tests.access.certificates import Authority
from tests.access.policies import A


class Bearer:
    """Knows one token, or cannot tell."""

    def __init__(self, token: str = "", *, available: bool = True) -> None:
        self._token = token
        self._available = available

    async def authenticate(self, token: str) -> Caller | None:
        if not self._available:
            raise KeysUnavailable("the keys cannot be had")
        return A if token == self._token else None


def no_connection() -> Mapping[str, list[bytes]]:
    return {}


@pytest.mark.parametrize("first", [True, False])
async def test_one_kind_of_token_that_cannot_be_checked_does_not_block_others(first: bool) -> None:
    kinds = [Bearer(available=False), Bearer("good")]
    authentication = Authentication(bearers=kinds if first else kinds[::-1], certificates=False, anonymous=True)
    assert await authentication.caller([("authorization", "Bearer good")], no_connection) == A
    # Whether this one is good nobody can tell.
    with pytest.raises(KeysUnavailable):
        await authentication.caller([("authorization", "Bearer other")], no_connection)


async def test_a_token_that_every_kind_can_check_and_none_knows_is_refused() -> None:
    authentication = Authentication(bearers=[Bearer("a"), Bearer("b")], certificates=False, anonymous=True)
    with pytest.raises(Unauthenticated):
        await authentication.caller([("authorization", "Bearer other")], no_connection)


class Everything:
    """Knows every token, and keeps those that it was asked about."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def authenticate(self, token: str) -> Caller | None:
        self.asked.append(token)
        return A


LONGEST_TOKEN = 16 * 1024


@pytest.mark.parametrize(
    "value",
    ["", "good", "Basic good", "Bearer", "Bearer ", "Bearer   ", "Bearer a b", "Bearer " + "x" * (LONGEST_TOKEN + 1)],
    ids=lambda value: value[:12],
)
async def test_a_malformed_authorization_value_is_refused_unchecked(value: str) -> None:
    kind = Everything()
    authentication = Authentication(bearers=[kind], certificates=True, anonymous=True)
    with pytest.raises(Unauthenticated, match="is not `Bearer` and a token"):
        await authentication.caller([("authorization", value)], no_connection)
    assert kind.asked == []


@pytest.mark.parametrize("value", ["Bearer good", "bearer good", "BEARER  good ", "Bearer " + "x" * LONGEST_TOKEN])
async def test_a_token_may_be_as_long_as_the_limit_and_the_scheme_in_any_case(value: str) -> None:
    kind = Everything()
    authentication = Authentication(bearers=[kind], certificates=False, anonymous=False)
    assert await authentication.caller([("authorization", value)], no_connection) == A
    assert kind.asked == [value.partition(" ")[2].strip()]


async def test_several_tokens_are_refused() -> None:
    authentication = Authentication(bearers=[Everything()], certificates=False, anonymous=True)
    with pytest.raises(Unauthenticated, match="send one"):
        await authentication.caller([("authorization", "Bearer a"), ("authorization", "Bearer a")], no_connection)


async def test_a_gateway_that_takes_no_credential_looks_at_none() -> None:
    shown = {"x509_pem_cert": [Authority().issue(common_names=["ci"]).certificate]}
    authentication = Authentication(bearers=[], certificates=False, anonymous=True)
    assert await authentication.caller([("authorization", "Bearer of-the-mesh")], lambda: shown) == NOBODY
    # The same certificate counts where certificates are taken.
    authentication = Authentication(bearers=[], certificates=True, anonymous=True)
    assert (await authentication.caller([], lambda: shown)).name == "cn:ci"


async def test_a_call_without_a_credential_learns_what_is_accepted() -> None:
    for kinds, certificates, wanted in (
        ([Everything()], False, "a bearer token in `authorization` metadata"),
        ([], True, "a client certificate"),
        ([Everything()], True, "a client certificate or a bearer token in `authorization` metadata"),
    ):
        authentication = Authentication(bearers=kinds, certificates=certificates, anonymous=False)
        with pytest.raises(Unauthenticated) as refused:
            await authentication.caller([("other", "Bearer good")], no_connection)
        assert str(refused.value) == f"this gateway wants a credential: {wanted}"
        assert refused.value.reason == "CREDENTIAL_MISSING"


def test_a_gateway_that_nobody_could_call_is_not_started() -> None:
    with pytest.raises(ValueError, match="nobody could call"):
        Authentication(bearers=[], certificates=False, anonymous=False)
