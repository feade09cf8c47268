"""Which names a caller can have."""

import pytest

from portus_gateway.access.caller import ANONYMOUS, LONGEST_PRINCIPAL, NOBODY, PRINCIPAL_KINDS, Caller, is_principal


def test_the_first_principal_is_the_name() -> None:
    caller = Caller.known_as("certificate", ["spiffe://example.org/ci", "cn:ci"])
    assert (caller.name, caller.kind) == ("spiffe://example.org/ci", "certificate")
    assert caller.principals == {"spiffe://example.org/ci", "cn:ci"}


def test_nobody_is_anonymous() -> None:
    assert (NOBODY.name, NOBODY.kind, NOBODY.principals) == (ANONYMOUS, "anonymous", frozenset({ANONYMOUS}))


def test_a_caller_has_a_name() -> None:
    with pytest.raises(ValueError, match="needs a principal"):
        Caller.known_as("token", [])
    with pytest.raises(ValueError, match="one of its principals"):
        Caller(name="token:a", principals=frozenset({"token:b"}), kind="token")


@pytest.mark.parametrize(
    ("principal", "why"),
    [
        ("ci", "begins with none of"),
        ("", "begins with none of"),
        ("Token:ci", "begins with none of"),
        ("anonymous2", "begins with none of"),
        ("token:", "begins with none of"),
        ("token:a\nb", "cannot be shown"),
        ("cn:a\0b", "cannot be shown"),
        ("token:" + "x" * (LONGEST_PRINCIPAL - 5), "1025 characters; at most 1024"),
    ],
)
def test_one_malformed_principal_makes_a_credential_identify_nobody(principal: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        Caller.known_as("token", [principal])
    with pytest.raises(ValueError, match=why):
        Caller.known_as("token", ["token:good", principal])


def test_a_principal_may_have_1024_characters() -> None:
    longest = "token:" + "x" * (LONGEST_PRINCIPAL - 6)
    assert Caller.known_as("token", [longest]).name == longest


@pytest.mark.parametrize("kind", PRINCIPAL_KINDS)
def test_a_principal_is_a_kind_and_something_after_it(kind: str) -> None:
    assert is_principal(f"{kind}x")
    assert not is_principal(kind)
    assert not is_principal(f"x{kind}x")
