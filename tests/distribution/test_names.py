import pytest
from hypothesis import given
from hypothesis import strategies as st

from portus_gateway.distribution import Repository, Tag
from portus_gateway.distribution.errors import InvalidName

COMPONENT = st.from_regex(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*", fullmatch=True).filter(lambda s: len(s) < 60)


@given(st.lists(COMPONENT, min_size=1, max_size=4).map("/".join))
def test_every_name_of_the_grammar_is_a_repository(name: str) -> None:
    assert str(Repository(name)) == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        "Team/app",
        "team//app",
        "/team",
        "team/",
        "team/app\n",
        "team/../app",
        "team/.app",
        "team/app.",
        "te___am",
        "te._am",
        "team/app?n=1",
        "team%2Fapp",
        "téam",
        "team/app:v1",
        "a" * 256,
        "０",
    ],
)
def test_what_is_no_name_is_no_repository(name: str) -> None:
    with pytest.raises(InvalidName, match="is not a valid repository"):
        Repository(name)


def test_a_repository_has_at_most_255_characters() -> None:
    assert Repository("a" * 255)


@given(st.from_regex(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}", fullmatch=True))
def test_every_tag_of_the_grammar_is_a_tag(name: str) -> None:
    assert str(Tag(name)) == name


@pytest.mark.parametrize("name", ["", ".v1", "-v1", "v1\n", "a" * 129, "v 1", "v/1", "é", "v1:2", "sha256:ab"])
def test_what_is_no_tag_is_refused(name: str) -> None:
    with pytest.raises(InvalidName, match="is not a valid tag"):
        Tag(name)


@given(st.text(max_size=40))
def test_a_name_that_is_accepted_stands_in_a_url_as_it_is(text: str) -> None:
    for kind in (Repository, Tag):
        try:
            value = kind(text)
        except InvalidName:
            continue
        assert str(value) == text
        assert text.isascii()
        assert not set(text) & set("%?#\\ \n\r:@")
        assert ".." not in text.split("/")


def test_the_error_shows_the_beginning_of_a_long_name_only() -> None:
    with pytest.raises(InvalidName) as caught:
        Repository("A" * 100_000)
    assert len(str(caught.value)) < 400
