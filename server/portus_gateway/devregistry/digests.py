"""Digests: `sha256:…`, `sha384:…` and `sha512:…`, in lower-case hexadecimal."""

import hashlib
import re

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}|sha384:[0-9a-f]{96}|sha512:[0-9a-f]{128}")


def digest_of(content: bytes, algorithm: str = "sha256") -> str:
    return f"{algorithm}:{hashlib.new(algorithm, content).hexdigest()}"


def is_digest(text: str) -> bool:
    return _DIGEST.fullmatch(text) is not None


def matches(content: bytes, digest: str) -> bool:
    """Whether `digest`, a valid one, is that of `content`."""
    return digest_of(content, digest.partition(":")[0]) == digest
