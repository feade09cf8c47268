"""An issuer of JWTs, with keys of every kind."""

import json
import time
from collections.abc import Mapping

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

ISSUER = "https://login.example.org"
AUDIENCE = "portus-gateway"

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey

# Making one takes a while.
RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)


class Issuer:
    """Signs with the keys in `keys`, by their ids; more can be added and taken away."""

    def __init__(self) -> None:
        self.keys: dict[str, PrivateKey] = {
            "rsa": RSA,
            "ec": ec.generate_private_key(ec.SECP256R1()),
            "ec384": ec.generate_private_key(ec.SECP384R1()),
            "ed": ed25519.Ed25519PrivateKey.generate(),
        }

    @property
    def jwks(self) -> bytes:
        """The public keys."""
        return json.dumps({"keys": [self.jwk(key_id) for key_id in self.keys]}).encode()

    def jwk(self, key_id: str) -> dict[str, object]:
        return {"kid": key_id, "use": "sig", **public_jwk(self.keys[key_id])}

    def token(
        self,
        key_id: str = "ec",
        algorithm: str = "ES256",
        *,
        headers: Mapping[str, object] | None = None,
        **claims: object,
    ) -> str:
        """A token for `ci`, good for a minute; a claim that is None is left out."""
        return self.signed(self.keys[key_id], algorithm, {"kid": key_id, **(headers or {})}, **claims)

    @staticmethod
    def signed(key: PrivateKey | bytes | None, algorithm: str, headers: Mapping[str, object], **claims: object) -> str:
        now = int(time.time())
        payload = {"iss": ISSUER, "aud": AUDIENCE, "sub": "ci", "iat": now, "exp": now + 60, **claims}
        given = {name: value for name, value in payload.items() if value is not None}
        return jwt.encode(given, key, algorithm=algorithm, headers=dict(headers))  # type: ignore[arg-type]


def public_jwk(key: PrivateKey) -> dict[str, object]:
    public = key.public_key()
    if isinstance(public, rsa.RSAPublicKey):
        return dict(RSAAlgorithm.to_jwk(public, as_dict=True))
    if isinstance(public, ec.EllipticCurvePublicKey):
        return dict(ECAlgorithm.to_jwk(public, as_dict=True))
    return dict(OKPAlgorithm.to_jwk(public, as_dict=True))
