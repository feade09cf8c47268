"""Patterns of principals."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portus_gateway.access.caller import ANONYMOUS, PRINCIPAL_KINDS
from portus_gateway.access.principal_pattern import PrincipalPattern


@pytest.mark.parametrize(
    ("pattern", "matching", "other"),
    [
        ("token:ci", ["token:ci"], ["token:ci2", "token:c", "cn:ci", ANONYMOUS]),
        (
            "spiffe://example.org/team-a/*",
            ["spiffe://example.org/team-a/x", "spiffe://example.org/team-a/x/y"],
            ["spiffe://example.org/team-a/", "spiffe://example.org/team-a-evil/x", "spiffe://evil.org/team-a/x"],
        ),
        (
            "dns:*.example.org",
            ["dns:ci.example.org", "dns:a.b.example.org"],
            ["dns:.example.org", "dns:example.org", "dns:evilexample.org", "cn:ci.example.org", "token:x.example.org"],
        ),
        ("token:*", ["token:ci"], ["cn:ci", ANONYMOUS]),
        ("token:CI", ["token:CI"], ["token:ci"]),
        ("token:" + "x" * 1018, ["token:" + "x" * 1018], ["token:" + "x" * 1017]),
        # Exact names and suffixes need not name the authority.
        ("spiffe://example.org", ["spiffe://example.org"], ["spiffe://example.org/x"]),
        ("spiffe://*", ["spiffe://example.org/x"], ["cn:x"]),
        ("jwt:*#ci", ["jwt:https://login.example.org#ci"], ["jwt:https://login.example.org#ci2"]),
        ("*", ["token:ci", "cn:x", "spiffe://a/b"], [ANONYMOUS]),
        (ANONYMOUS, [ANONYMOUS], ["token:anonymous", "cn:anonymous"]),
    ],
)
def test_whom_a_pattern_names(pattern: str, matching: list[str], other: list[str]) -> None:
    named = PrincipalPattern(pattern)
    assert [principal for principal in matching if not named.matches(principal)] == []
    assert [principal for principal in other if named.matches(principal)] == []


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        ("", "begins with none of"),
        ("ci", "begins with none of"),
        ("*.example.org", "begins with none of"),
        ("anon*", "begins with none of"),
        ("token:", "has no name"),
        ("token:*ci*", r"one `\*`"),
        ("token:a*b", r"one `\*`"),
        ("token:**", r"one `\*`"),
        ("dns:CI.example.org", "lower case"),
        ("spiffe://example.org*", "must contain a `/`"),
        ("jwt:https://login.example.org*", "must contain a `#`"),
        ("claim:https://login.example.org*", "must contain a `#`"),
        ("token:" + "x" * 1024, "more than 1024"),
    ],
)
def test_a_pattern_that_is_vague_is_refused(pattern: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        PrincipalPattern(pattern)


KINDS = st.sampled_from(PRINCIPAL_KINDS)
WORDS = st.text("ab/#.", min_size=1, max_size=6)


@settings(deadline=None)
@given(KINDS, WORDS, KINDS, WORDS, st.sampled_from(["exact", "prefix", "suffix", "presence"]))
def test_patterns_match_what_the_naive_matcher_matches(
    kind: str, word: str, other_kind: str, other: str, way: str
) -> None:
    text = {"exact": word, "prefix": f"{word}*", "suffix": f"*{word}", "presence": "*"}[way]
    try:
        pattern = PrincipalPattern(kind + text)
    except ValueError:
        return
    naive = {
        "exact": other == word,
        "prefix": other.startswith(word) and other != word,
        "suffix": other.endswith(word) and other != word,
        "presence": True,
    }[way]
    assert pattern.matches(other_kind + other) == (kind == other_kind and naive)
