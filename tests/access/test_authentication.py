"""Who calls, where several kinds of credentials are accepted."""

from collections.abc import Mapping

import pytest

from portus_gateway.access.authentication import Authentication
from portus_gateway.access.caller import Caller
from portus_gateway.access.errors import KeysUnavailable, Unauthenticated
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
async def test_one_kind_of_token_that_cannot_be_checked_does_not_stand_in_the_way_of_others(first: bool) -> None:
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
