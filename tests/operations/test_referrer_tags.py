import pytest

from portus_gateway.distribution.names import Tag
from portus_gateway.operations.referrer_tags import is_referrer_tag

HEX = "0123456789abcdef" * 4


@pytest.mark.parametrize("suffix", ["", ".sig", ".att", ".sbom"])
@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_the_fallback_tag_and_those_of_cosign(algorithm: str, suffix: str) -> None:
    assert is_referrer_tag(Tag(f"{algorithm}-{HEX}{suffix}"))


@pytest.mark.parametrize(
    "name",
    [
        "latest",
        "sha256-1.0",
        f"sha256-{HEX[1:]}",
        f"sha256-{HEX}0",
        f"sha256-{HEX.upper()}",
        f"sha256-{HEX}.sig.old",
        f"sha256-{HEX}.signature",
        f"sha256-{HEX}-sig",
        f"sha1-{HEX}",
        f"v-sha256-{HEX}",
    ],
)
def test_other_tags_are_none_of_them(name: str) -> None:
    assert not is_referrer_tag(Tag(name))
