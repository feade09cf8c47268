"""Finds out who calls, from whatever kinds of credentials this gateway takes."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, Protocol

from portus_gateway.access.caller import NOBODY, Caller
from portus_gateway.access.client_certificates import caller_of_certificate
from portus_gateway.access.errors import KeysUnavailable, Unauthenticated

METADATA_KEY: Final = "authorization"

_LONGEST_TOKEN: Final = 16 * 1024


class BearerAuthenticator(Protocol):
    """Knows one kind of bearer tokens."""

    async def authenticate(self, token: str) -> Caller | None:
        """Whose token it is; None where it is of another kind. Raises `Unauthenticated`, `KeysUnavailable`."""
        ...


class Authentication:
    """Takes bearer tokens that one of `bearers` knows, and if `certificates`, verified client certificates.

    Where a call shows both, its token speaks for it: a front end that passes on its user's token is not to act with the
    rights of its own certificate. A token that is not good is refused whatever else there is. `anonymous` lets those in
    that show nothing. Where there are no `bearers`, whatever is in the metadata is somebody else's business, such as a
    mesh's in front of the gateway.
    """

    def __init__(self, *, bearers: Sequence[BearerAuthenticator], certificates: bool, anonymous: bool) -> None:
        self._bearers = tuple(bearers)
        self._certificates = certificates
        self._anonymous = anonymous
        accepted = ["a client certificate"] * certificates + ["a bearer token in `authorization` metadata"] * bool(
            bearers
        )
        if not accepted and not anonymous:
            raise ValueError("with no kind of credential and nobody anonymous, nobody could ever call")
        self._missing = f"this gateway wants a credential: {' or '.join(accepted)}"

    async def caller(
        self, metadata: Iterable[tuple[str, str | bytes]], connection: Callable[[], Mapping[str, Iterable[bytes]]]
    ) -> Caller:
        """Who makes the call with this metadata, on a connection with these properties (grpc's `auth_context`).

        Raises `Unauthenticated`, `KeysUnavailable`.
        """
        if self._bearers:
            shown = [value for key, value in metadata if key == METADATA_KEY]
            if shown:
                return await self._bearer(shown)
        if self._certificates:
            caller = caller_of_certificate(connection())
            if caller is not None:
                return caller
        if self._anonymous:
            return NOBODY
        raise Unauthenticated(self._missing, reason="CREDENTIAL_MISSING")

    async def _bearer(self, shown: Sequence[str | bytes]) -> Caller:
        if len(shown) > 1:
            raise Unauthenticated("the call has several `authorization` values: send one")
        # RFC 6750, "Authorization Request Header Field".
        scheme, _, token = str(shown[0]).partition(" ")
        token = token.strip(" ")
        if scheme.lower() != "bearer" or not token or " " in token or len(token) > _LONGEST_TOKEN:
            raise Unauthenticated("the `authorization` value is not `Bearer` and a token")
        unavailable: KeysUnavailable | None = None
        for bearer in self._bearers:
            try:
                caller = await bearer.authenticate(token)
            except KeysUnavailable as error:
                # The token may be of a kind that can be checked: one kind's trouble is not the others'.
                unavailable = error
            else:
                if caller is not None:
                    return caller
        if unavailable is not None:
            raise unavailable
        raise Unauthenticated("the bearer token is none that this gateway takes")
