import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portus_gateway.distribution import Digest
from portus_gateway.distribution.errors import DigestMismatch, InvalidName


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
@given(content=st.binary(max_size=100))
def test_a_digest_verifies_its_content_and_no_other(algorithm: str, content: bytes) -> None:
    digest = Digest.of(content, algorithm)
    assert str(digest) == f"{algorithm}:{hashlib.new(algorithm, content).hexdigest()}"
    digest.verify(content)
    with pytest.raises(DigestMismatch):
        digest.verify(content + b"\0")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "sha256:",
        "sha256:" + "a" * 63,
        "sha256:" + "a" * 65,
        "sha256:" + "A" * 64,
        "sha256:" + "g" * 64,
        "SHA256:" + "a" * 64,
        "sha256:" + "a" * 64 + "\n",
        "sha512:" + "a" * 64,
        "md5:" + "a" * 32,
        "sha384:" + "a" * 96,
        "a" * 64,
        "sha256-" + "a" * 64,
    ],
)
def test_what_is_no_digest_is_refused(text: str) -> None:
    with pytest.raises(InvalidName, match="is not a valid digest"):
        Digest(text)


@given(st.text(alphabet="sha256512:abcdef0123456789ABCDEF\n", max_size=140))
def test_only_registered_forms_are_accepted(text: str) -> None:
    try:
        digest = Digest(text)
    except InvalidName:
        return
    assert (digest.algorithm, len(digest.encoded)) in {("sha256", 64), ("sha512", 128)}
    assert set(digest.encoded) <= set("0123456789abcdef")
