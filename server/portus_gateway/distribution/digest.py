"""Content digests: the hash that names a blob or a manifest."""

import hashlib
import re
from dataclasses import dataclass
from typing import Self

from portus_gateway.distribution.errors import DigestMismatch, InvalidName

_DIGEST = re.compile(r"sha256:[a-f0-9]{64}|sha512:[a-f0-9]{128}")


@dataclass(frozen=True, slots=True, order=True)
class Digest:
    """A digest in a registered algorithm: `sha256:` and 64, or `sha512:` and 128 lower-case hexadecimal digits.

    Raises `InvalidName` for anything else (OCI image specification, "Digests").
    """

    text: str

    def __post_init__(self) -> None:
        if not _DIGEST.fullmatch(self.text):
            raise InvalidName(
                "digest",
                self.text,
                "`sha256:` and 64, or `sha512:` and 128 lower-case hexadecimal digits",
            )

    @classmethod
    def of(cls, content: bytes, algorithm: str = "sha256") -> Self:
        """The digest of `content`."""
        return cls(f"{algorithm}:{hashlib.new(algorithm, content).hexdigest()}")

    @property
    def algorithm(self) -> str:
        return self.text.partition(":")[0]

    @property
    def encoded(self) -> str:
        return self.text.partition(":")[2]

    def verify(self, content: bytes) -> None:
        """Raises `DigestMismatch` unless this is the digest of `content`."""
        actual = Digest.of(content, self.algorithm)
        if actual != self:
            raise DigestMismatch(expected=self.text, actual=actual.text)

    def __str__(self) -> str:
        return self.text
