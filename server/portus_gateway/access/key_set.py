"""The public keys that an issuer signs its tokens with: a JWKS (RFC 7517)."""

import json
from dataclasses import dataclass
from typing import Final

import structlog
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt import PyJWK
from jwt.exceptions import PyJWTError

from portus_gateway.access.errors import InvalidAccessFile

PublicKey = RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey | Ed448PublicKey

_log = structlog.get_logger(__name__)

_RSA: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
_CURVES: Final = {"P-256": "ES256", "P-384": "ES384", "P-521": "ES512", "Ed25519": "EdDSA", "Ed448": "EdDSA"}
# Only asymmetric algorithms are accepted: their public key cannot make a signature.
ALGORITHMS: Final = frozenset({*_RSA, *_CURVES.values()})
_LEAST_RSA_BITS: Final = 2048
_MOST_KEYS: Final = 100


@dataclass(frozen=True, slots=True)
class VerificationKey:
    """A public key, and the algorithms that it may be used with."""

    id: str | None
    algorithms: frozenset[str]
    public: PublicKey


@dataclass(frozen=True, slots=True, eq=False)
class KeySet:
    """The keys of one issuer at one time."""

    keys: tuple[VerificationKey, ...]

    def candidates(self, key_id: str | None, algorithm: str) -> tuple[VerificationKey, ...]:
        """The keys that may have signed a token with this header. `key_id` is None if the header names none."""
        return tuple(
            key
            for key in self.keys
            if algorithm in key.algorithms and (key_id is None or key.id is None or key.id == key_id)
        )


def parse_key_set(content: bytes, source: str) -> KeySet:
    """The keys in a JWKS. Keys that cannot verify accepted signatures are left out, and logged.

    Raises `InvalidAccessFile` if `content` is not a JWKS or has no usable key; `source` is where it came from.
    """
    try:
        document = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise InvalidAccessFile(source, ["not JSON"]) from error
    listed = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(listed, list):
        raise InvalidAccessFile(source, ["not a JWKS: it has no list `keys`"])
    if len(listed) > _MOST_KEYS:
        raise InvalidAccessFile(source, [f"{len(listed)} keys; at most {_MOST_KEYS} are allowed"])
    keys = []
    unusable = []
    for number, item in enumerate(listed, 1):
        try:
            keys.append(_key(item))
        except ValueError as error:
            unusable.append(f"key {number} is left out: {error}")
    if not keys:
        raise InvalidAccessFile(source, ["no key that can verify a token", *unusable])
    if unusable:
        _log.warning("keys that cannot be used", source=source, problems=unusable)
    return KeySet(tuple(keys))


def _key(item: object) -> VerificationKey:
    if not isinstance(item, dict):
        raise ValueError("it is not an object")
    if "d" in item:
        raise ValueError("it is a private key: everybody who can read it can make tokens")
    if item.get("use", "sig") != "sig":
        raise ValueError("it is not for signatures")
    key_id, algorithm = item.get("kid"), item.get("alg")
    if not isinstance(key_id, str | None) or not isinstance(algorithm, str | None):
        raise ValueError("its `kid` or `alg` is not a string")
    algorithms = _algorithms_of(item)
    if algorithm is not None:
        algorithms &= {algorithm}
    if not algorithms:
        raise ValueError("it is for no accepted algorithm: use RS, PS, ES or EdDSA")
    try:
        public = PyJWK(item).key
    except (PyJWTError, ValueError, TypeError, KeyError) as error:
        raise ValueError("it is malformed") from error
    if not isinstance(public, PublicKey):
        raise ValueError("it is not a public key")
    if isinstance(public, RSAPublicKey) and public.key_size < _LEAST_RSA_BITS:
        raise ValueError(f"it has {public.key_size} bits; at least {_LEAST_RSA_BITS} are needed")
    return VerificationKey(key_id, algorithms, public)


def _algorithms_of(item: dict[str, object]) -> frozenset[str]:
    """The accepted algorithms for a key of this type: empty for a shared secret (`oct`)."""
    match item.get("kty"), item.get("crv"):
        case "RSA", _:
            return frozenset(_RSA)
        case ("EC", "P-256" | "P-384" | "P-521" as curve) | ("OKP", "Ed25519" | "Ed448" as curve):
            return frozenset({_CURVES[curve]})
        case _:
            return frozenset()
