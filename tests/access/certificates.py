"""A certificate authority for one test, and certificates for servers and clients that it signed."""

import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

DAY = timedelta(days=1)


class Pair:
    """A certificate and its key, in PEM form."""

    def __init__(self, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
        self.certificate = certificate.public_bytes(serialization.Encoding.PEM)
        self.key = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )

    def write(self, folder: Path) -> tuple[Path, Path]:
        """Writes both into `folder`, as `tls.crt` and `tls.key`."""
        paths = folder / "tls.crt", folder / "tls.key"
        paths[0].write_bytes(self.certificate)
        paths[1].write_bytes(self.key)
        return paths


class Authority:
    """Signs certificates; `pem` is its own."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name(f"authority {uuid.uuid4()}")
        certificate = (
            _builder(self._name, self._name, self._key, DAY)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        self.pem = certificate.public_bytes(serialization.Encoding.PEM)

    def issue(
        self,
        *,
        common_names: Sequence[str] = (),
        dns: Sequence[str] = (),
        uris: Sequence[str] = (),
        lifetime: timedelta = 30 * DAY,
        age: timedelta = 100 * DAY,
    ) -> Pair:
        """A certificate with these names. A negative `lifetime` has expired; a negative `age` is not valid yet."""
        key = ec.generate_private_key(ec.SECP256R1())
        builder = _builder(_name(*common_names), self._name, key, lifetime, age)
        names: list[x509.GeneralName] = [x509.DNSName(name) for name in dns]
        names += [x509.UniformResourceIdentifier(uri) for uri in uris]
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return Pair(builder.sign(self._key, hashes.SHA256()), key)

    def server(self) -> Pair:
        """A certificate for `localhost`."""
        return self.issue(dns=["localhost"])


def _name(*common_names: str) -> x509.Name:
    # Not checked, so that a name may be empty.
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name, _validate=False) for name in common_names])


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    lifetime: timedelta,
    age: timedelta = 100 * DAY,
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - age)
        .not_valid_after(now + lifetime)
    )
