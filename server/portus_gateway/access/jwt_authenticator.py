"""Bearer tokens that are JWTs of one issuer (RFC 7519, RFC 8725)."""

import base64
import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import jwt
from cachetools import LRUCache
from jwt.exceptions import ExpiredSignatureError, ImmatureSignatureError, InvalidAudienceError, PyJWTError

from portus_gateway.access.caller import Caller
from portus_gateway.access.errors import Unauthenticated
from portus_gateway.access.key_set import ALGORITHMS, KeySet, VerificationKey
from portus_gateway.access.key_sources import KeySource

LARGEST_LEEWAY: Final = 300.0

_REQUIRED: Final = ["exp", "iss", "aud", "sub"]
_REMEMBERED: Final = 4096
_MOST_VALUES: Final = 100
# Some 280,000 years from now.
_FAR: Final = 2**43
# What PyJWT raises for values that nobody would put into a token.
_MALFORMED: Final = (PyJWTError, ValueError, TypeError, OverflowError, RecursionError)


@dataclass(frozen=True, slots=True)
class _Verified:
    caller: Caller
    key_set: KeySet
    until: float


class JwtAuthenticator:
    """Accepts the tokens of `issuer` for one of `audiences`, signed with one of `keys` by an asymmetric algorithm.

    A token needs `exp`, `iss`, `aud` and `sub`. `leeway` is by how many seconds clocks may differ, at most 300.
    `claims` are those whose values (a string, an integer, a boolean, or a list of them) are principals too. The caller
    is `jwt:<issuer>#<subject>`, its further principals are `claim:<issuer>#<claim>=<value>`.
    """

    def __init__(
        self,
        *,
        issuer: str,
        audiences: Sequence[str],
        keys: KeySource,
        leeway: float = 30.0,
        claims: Sequence[str] = (),
    ) -> None:
        if not issuer or "#" in issuer or "*" in issuer:
            raise ValueError("an issuer is not empty and has no `#` and no `*` in it")
        if not audiences or not all(audiences):
            raise ValueError(
                "at least one audience is needed: without one, tokens for other services would be accepted"
            )
        if not 0 <= leeway <= LARGEST_LEEWAY:
            raise ValueError(f"the leeway must be 0 to {LARGEST_LEEWAY:.0f} seconds")
        self._issuer = issuer
        self._audiences = tuple(audiences)
        self._keys = keys
        self._leeway = leeway
        self._claims = tuple(claims)
        self._remembered: LRUCache[bytes, _Verified] = LRUCache(_REMEMBERED)

    async def authenticate(self, token: str) -> Caller | None:
        """The caller whose token this is; None if it is not a JWT, or is another issuer's.

        Raises `Unauthenticated`, `KeysUnavailable`.
        """
        digest = hashlib.sha256(token.encode()).digest()
        remembered = self._remembered.get(digest)
        if remembered is not None:
            if remembered.key_set is await self._keys.key_set() and time.time() < remembered.until:
                return remembered.caller
            # It has expired, or its key may have been withdrawn: check everything again.
            self._remembered.pop(digest, None)
        # Neither is verified yet.
        header, claimed = _documents(token)
        if claimed.get("iss") != self._issuer:
            return None
        algorithm, key_id = _signature_of(header)
        key_set = await self._keys.key_set()
        candidates = key_set.candidates(key_id, algorithm)
        if not candidates:
            key_set = await self._keys.newer_than(key_set)
            candidates = key_set.candidates(key_id, algorithm)
        claims = self._verified(token, algorithm, candidates)
        caller = self._caller(claims)
        self._remembered[digest] = _Verified(caller, key_set, _seconds(claims["exp"]) + self._leeway)
        return caller

    def _verified(self, token: str, algorithm: str, candidates: Sequence[VerificationKey]) -> Mapping[str, object]:
        problem = "it is signed with a key that its issuer does not have"
        for key in candidates:
            try:
                claims: dict[str, object] = jwt.decode(
                    token,
                    key.public,
                    algorithms=[algorithm],
                    audience=self._audiences,
                    issuer=self._issuer,
                    leeway=self._leeway,
                    options={"require": _REQUIRED},
                )
            except jwt.InvalidSignatureError:
                problem = "its signature is not good"
            except ExpiredSignatureError:
                raise _refused("it has expired") from None
            except ImmatureSignatureError:
                raise _refused("it is not valid yet") from None
            except InvalidAudienceError:
                raise _refused("it is meant for another audience") from None
            except jwt.MissingRequiredClaimError as error:
                raise _refused(f"it has no `{error.claim}`") from None
            except _MALFORMED:
                raise _refused("it is malformed") from None
            else:
                return claims
        raise _refused(problem)

    def _caller(self, claims: Mapping[str, object]) -> Caller:
        if not claims["sub"]:
            raise _refused("its `sub` is empty")
        principals = [f"jwt:{self._issuer}#{claims['sub']}"]
        for name in self._claims:
            value = claims.get(name)
            values = value if isinstance(value, list) else [value]
            if len(values) > _MOST_VALUES:
                # A deny rule may name any of them, so none is left out.
                raise _refused(f"its `{name}` has {len(values)} values; at most {_MOST_VALUES} are taken")
            principals += [f"claim:{self._issuer}#{name}={_text(name, one)}" for one in values if one is not None]
        try:
            return Caller.known_as("jwt", principals)
        except ValueError:
            raise _refused("its subject or one of its claims is not a valid name") from None


def _documents(token: str) -> tuple[Mapping[str, object], Mapping[str, object]]:
    """The header and the claims of a token, unverified; empty if it is not a JWT."""
    parts = token.split(".")
    if len(parts) != 3:
        return {}, {}
    try:
        header, claims = (json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))) for part in parts[:2])
    except (ValueError, RecursionError):
        return {}, {}
    return (header, claims) if isinstance(header, dict) and isinstance(claims, dict) else ({}, {})


def _signature_of(header: Mapping[str, object]) -> tuple[str, str | None]:
    """The algorithm and the key that the header of a token names."""
    algorithm, key_id = header.get("alg"), header.get("kid")
    if not isinstance(algorithm, str) or algorithm not in ALGORITHMS:
        raise _refused("its `alg` is not accepted: use RS, PS, ES or EdDSA")
    # Critical extensions have to be understood (RFC 7515, 4.1.11), and this gateway knows none.
    if "crit" in header or "b64" in header:
        raise _refused("its header asks for extensions that this gateway does not know")
    if not isinstance(key_id, str | None):
        raise _refused("it is malformed")
    return algorithm, key_id


def _refused(problem: str) -> Unauthenticated:
    return Unauthenticated(f"the bearer token is not accepted: {problem}")


def _text(name: str, value: object) -> str:
    """A claim's value as it stands in a principal: a number or a boolean as JSON writes it.

    A value of another kind is refused, and never left out: a deny rule could be about it.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, int):
        return json.dumps(value)
    raise _refused(f"its `{name}` has a value that is neither a string, an integer nor a boolean")


def _seconds(value: object) -> float:
    # PyJWT has read it as a number already. There are integers that no float holds.
    return float(min(int(value), _FAR)) if isinstance(value, int | float | str) else 0.0
