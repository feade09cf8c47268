"""Identifies the caller of a call by its credential."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, Protocol

from portus_gateway.access.caller import NOBODY, Caller
from portus_gateway.access.client_certificates import caller_of_certificate
from portus_gateway.access.errors import KeysUnavailable, Unauthenticated

METADATA_KEY: Final = "authorization"

_LONGEST_TOKEN: Final = 16 * 1024


class BearerAuthenticator(Protocol):
    """Checks one kind of bearer tokens."""

    async def authenticate(self, token: str) -> Caller | None:
        """The caller whose token this is; None if the token is of another kind. Raises `Unauthenticated`,
        `KeysUnavailable`.
        """
        ...


class Authentication:
    """Accepts bearer tokens that one of `bearers` knows, and with `certificates`, verified client certificates.

    If a call has both, only the token counts, so that a front end that passes on its user's token does not act with the
    rights of its own certificate. An invalid token is refused, even if there is a valid certificate. With `anonymous`,
    calls without a credential are accepted. Without `bearers`, the token in the metadata is ignored: it may be for a
    mesh in front of the gateway.
    """

    def __init__(self, *, bearers: Sequence[BearerAuthenticator], certificates: bool, anonymous: bool) -> None:
        self._bearers = tuple(bearers)
        self._certificates = certificates
        self._anonymous = anonymous
        accepted = ["a client certificate"] * certificates + ["a bearer token in `authorization` metadata"] * bool(
            bearers
        )
        if not accepted and not anonymous:
            raise ValueError("no credentials are set up and anonymous callers are refused, so nobody could call")
        self._missing = f"this gateway wants a credential: {' or '.join(accepted)}"

    async def caller(
        self, metadata: Iterable[tuple[str, str | bytes]], connection: Callable[[], Mapping[str, Iterable[bytes]]]
    ) -> Caller:
        """The caller with this metadata, on a connection with these properties (gRPC's `auth_context`).

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
                # The token may be of another kind, whose keys are available.
                unavailable = error
            else:
                if caller is not None:
                    return caller
        if unavailable is not None:
            raise unavailable
        raise Unauthenticated("this gateway does not know the bearer token")
