"""The RSA key of a token service, and the forms in which registries read its public key."""

import base64
import hashlib
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

_KEY_BITS = 2048
_CERTIFICATE_LIFE = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class SigningKey:
    """An RSA key with the key id that Portus gives it. A `repr` does not show the private key."""

    private_key: rsa.RSAPrivateKey = field(repr=False)
    key_id: str = field(init=False)
    """The `kid` of every token, in libtrust's form: twelve groups of four letters, `ABCD:EFGH:…`."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "key_id", _libtrust_key_id(self.private_key.public_key()))

    @classmethod
    def generate(cls) -> "SigningKey":
        return cls(rsa.generate_private_key(public_exponent=65537, key_size=_KEY_BITS))

    @property
    def public_key(self) -> rsa.RSAPublicKey:
        return self.private_key.public_key()

    def certificate_pem(self) -> bytes:
        """A self-signed certificate of the public key, for a registry's `auth.token.rootcertbundle`."""
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "portus-gateway development tokens")])
        now = datetime.now(UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(self.public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + _CERTIFICATE_LIFE)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(self.private_key, hashes.SHA256())
        )
        return certificate.public_bytes(serialization.Encoding.PEM)

    def jwks(self) -> str:
        """The public key as a JSON Web Key Set, for a registry's `auth.token.jwks` (3.x).

        Its `kid` is Portus' key id. Without a `kid`, registry 3.x would expect tokens to name the RFC 7638 thumbprint.
        """
        numbers = self.public_key.public_numbers()
        key = {
            "kty": "RSA",
            "use": "sig",
            "alg": "RS256",
            "kid": self.key_id,
            "n": _base64url_integer(numbers.n),
            "e": _base64url_integer(numbers.e),
        }
        return json.dumps({"keys": [key]}, indent=2)

    def write_certificate(self, path: Path) -> Path:
        path.write_bytes(self.certificate_pem())
        return path

    def write_jwks(self, path: Path) -> Path:
        path.write_text(self.jwks())
        return path


@cache
def process_signing_key() -> SigningKey:
    """One key for the whole process, since making one takes about a tenth of a second."""
    return SigningKey.generate()


def _libtrust_key_id(public_key: rsa.RSAPublicKey) -> str:
    der = public_key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    text = base64.b32encode(hashlib.sha256(der).digest()[:30]).decode()
    return ":".join(text[start : start + 4] for start in range(0, len(text), 4))


def _base64url_integer(value: int) -> str:
    data = value.to_bytes((value.bit_length() + 7) // 8, "big")
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
