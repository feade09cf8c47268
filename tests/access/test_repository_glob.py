"""Patterns of repositories, by example and against a matcher that is too simple to be wrong."""

import time
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portus_gateway.access.repository_glob import RepositoryGlob


@pytest.mark.parametrize(
    ("pattern", "matching", "other"),
    [
        ("team-a/app", ["team-a/app"], ["team-a/app2", "team-a", "team-a/app/x", "x/team-a/app"]),
        (
            "team-a/**",
            ["team-a/x", "team-a/x/y", "team-a/x/y/z"],
            ["team-a", "team-a/", "team-a-evil", "team-a-evil/x", "team-a.evil/x", "team/a", "x/team-a/x"],
        ),
        ("**", ["a", "a/b", "a/b/c"], []),
        ("*", ["a", "team-a"], ["a/b"]),
        ("team-*", ["team-a", "team-"], ["team", "team-a/x", "a-team-b"]),
        ("team-*/app", ["team-a/app", "team-b/app"], ["team-a/x/app", "team-a/app/x", "team/app"]),
        ("*-tools/**", ["ci-tools/x"], ["ci-tools", "ci-tools/", "ci-tools//x", "ci-tools-evil/x"]),
        ("**/base", ["a/base", "a/b/base"], ["base", "a/base/b", "a/notbase"]),
        ("a/**/z", ["a/b/z", "a/b/c/z", "a/z/z"], ["a/z", "a/b/z/c"]),
        ("**/**", ["a/b", "a/b/c"], ["a"]),
        ("a*b*c", ["abc", "aXbYc".lower(), "abbcc"], ["ab", "acb", "abcd"]),
    ],
)
def test_what_a_pattern_names(pattern: str, matching: list[str], other: list[str]) -> None:
    glob = RepositoryGlob(pattern)
    assert [name for name in matching if not glob.matches(name)] == []
    assert [name for name in other if glob.matches(name)] == []


@pytest.mark.parametrize("pattern", ["**", "*", "*/*", "a*/**", "**/*", "*/**/*", "a/**", "**/**"])
@pytest.mark.parametrize("name", ["", "/", "a/", "/a", "a//b", "a/b//", "a//", "/a/b"])
def test_a_name_with_an_empty_segment_matches_nothing(pattern: str, name: str) -> None:
    """A registry may list one. No deny rule for a folder would be sure to match it, so no allow rule may."""
    assert not RepositoryGlob(pattern).matches(name)


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        ("", "is not a segment"),
        ("/team-a", "is not a segment"),
        ("team-a/", "is not a segment"),
        ("team-a//x", "is not a segment"),
        ("Team-A/**", "lower-case"),
        ("team-a/x:v1", "is not a segment"),
        ("team-a/[ab]", "is not a segment"),
        ("team-a\n", "is not a segment"),
        ("team-a**", "must be a whole segment"),
        ("team-a/***", "must be a whole segment"),
        ("a" * 256, "more than 255"),
    ],
)
def test_a_pattern_that_could_never_match_is_refused(pattern: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        RepositoryGlob(pattern)


def test_a_pattern_may_be_as_long_as_a_repository_name() -> None:
    assert RepositoryGlob("a" * 255).matches("a" * 255)


SEGMENTS = st.text("ab-", min_size=1, max_size=4)
NAMES = st.lists(SEGMENTS, min_size=1, max_size=5).map("/".join)
PATTERN_SEGMENTS = st.one_of(
    st.just("**"), st.text("ab-*", min_size=1, max_size=5).filter(lambda text: "**" not in text)
)
PATTERNS = st.lists(PATTERN_SEGMENTS, min_size=1, max_size=5).map("/".join)


@settings(deadline=None)
@given(PATTERNS, NAMES)
def test_patterns_match_what_the_naive_matcher_matches(pattern: str, name: str) -> None:
    assert RepositoryGlob(pattern).matches(name) == naive_match(pattern, name)


@settings(deadline=None)
@given(NAMES, NAMES)
def test_below_a_folder_is_nothing_that_only_begins_alike(folder: str, name: str) -> None:
    assert RepositoryGlob(f"{folder}/**").matches(name) == name.startswith(f"{folder}/")


def test_no_name_makes_a_pattern_slow() -> None:
    glob = RepositoryGlob("/".join(["**", "*a*a*a*a*a*a*a*a*a*b"] * 5))
    names = ["/".join(["a" * 25] * 9), "a" * 255]
    started = time.perf_counter()
    assert not any(glob.matches(name) for name in names)
    # Backtracking into every star would take longer than the universe.
    assert time.perf_counter() - started < 1


@cache
def naive_match(pattern: str, name: str) -> bool:
    """The definition, tried out: every way to cut the name."""
    if pattern == "**":
        return name != ""
    first, _, rest = pattern.partition("/")
    segments = name.split("/")
    if first == "**":
        return any(naive_match(rest, "/".join(segments[taken:])) for taken in range(1, len(segments)))
    if ("/" in pattern) != (len(segments) > 1):
        return False
    return naive_segment(first, segments[0]) and ("/" not in pattern or naive_match(rest, "/".join(segments[1:])))


@cache
def naive_segment(pattern: str, text: str) -> bool:
    if not pattern:
        return not text
    if pattern[0] == "*":
        return any(naive_segment(pattern[1:], text[taken:]) for taken in range(len(text) + 1))
    return text[:1] == pattern[0] and naive_segment(pattern[1:], text[1:])
