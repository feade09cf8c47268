import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portus_client import ImageName, InvalidImageName

SHA256 = "sha256:" + "0123456789abcdef" * 4
SHA512 = "sha512:" + "0123456789abcdef" * 8


@pytest.mark.parametrize(
    ("text", "host", "repository", "tag", "digest"),
    [
        ("app", "", "app", "", ""),
        ("app:1.0", "", "app", "1.0", ""),
        ("app:5000", "", "app", "5000", ""),
        ("team/app:1.0", "", "team/app", "1.0", ""),
        ("a/b/c/d", "", "a/b/c/d", "", ""),
        (f"team/app@{SHA256}", "", "team/app", "", SHA256),
        (f"team/app:1.0@{SHA512}", "", "team/app", "1.0", SHA512),
        ("localhost/app", "localhost", "app", "", ""),
        ("host:5000/team/app", "host:5000", "team/app", "", ""),
        (f"host:5000/team/app:tag@{SHA256}", "host:5000", "team/app", "tag", SHA256),
        ("registry.example/app:1.0", "registry.example", "app", "1.0", ""),
        ("[::1]:5000/app:1.0", "[::1]:5000", "app", "1.0", ""),
        ("localhost/my.team/app", "localhost", "my.team/app", "", ""),
        ("my.app:1.0", "", "my.app", "1.0", ""),
        ("/docker.io/team/app:1.0", "", "docker.io/team/app", "1.0", ""),
        ("/localhost/app", "", "localhost/app", "", ""),
    ],
)
def test_names_are_parsed(text: str, host: str, repository: str, tag: str, digest: str) -> None:
    image = ImageName.parse(text)

    assert (image.host, image.repository, image.tag, image.digest) == (host, repository, tag, digest)
    assert str(image) == text


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "is not a repository name"),
        ("/app", "is not a repository name"),
        ("host:5000/", "is not a repository name"),
        ("Team/app", "is not a repository name"),
        ("team//app", "is not a repository name"),
        ("team/app\n", "is not a repository name"),
        ("http://host/app", "is not a registry host"),
        ("../app", "is not a registry host"),
        ("host:port/app", "is not a registry host"),
        ("a" * 256, "is not a repository name"),
        ("team/app:", "has no tag"),
        ("team/app:-1", "is not a tag"),
        ("team/app:1.0\n", "is not a tag"),
        ("team/app:" + "a" * 129, "is not a tag"),
        ("team/app@", "has no digest"),
        ("team/app@latest", "is not a digest"),
        ("team/app@sha256:12", "is not a digest"),
        (f"team/app@{SHA256.upper()}", "is not a digest"),
        (f"team/app@{SHA256}\n", "is not a digest"),
    ],
)
def test_an_invalid_name_is_refused_with_its_invalid_part(text: str, reason: str) -> None:
    with pytest.raises(InvalidImageName, match=re.escape(reason)):
        ImageName.parse(text)


@pytest.mark.parametrize(
    ("text", "ambiguous"),
    [
        ("docker.io/team/app", True),
        ("/docker.io/team/app", False),
        ("team/app", False),
        ("host:5000/team/app", False),
        ("registry.example:5000/team/app", False),
        ("[::1]:5000/app", False),
    ],
)
def test_an_ambiguous_host_is_recognized(text: str, ambiguous: bool) -> None:
    assert ImageName.parse(text).is_ambiguous is ambiguous


def test_the_digest_decides_then_the_tag_then_latest() -> None:
    assert ImageName.parse(f"app:1.0@{SHA256}").reference == SHA256
    assert ImageName.parse("app:1.0").reference == "1.0"
    assert ImageName.parse("app").reference == "latest"


component = st.from_regex(r"[a-z0-9]+([._-][a-z0-9]+)?", fullmatch=True).filter(lambda text: len(text) < 30)


@given(
    host=st.sampled_from(["", "localhost", "registry.example", "host:5000", "127.0.0.1:5000"]),
    # Without a host, the first part must not look like a host.
    first=st.from_regex(r"[a-km-z0-9]{1,20}", fullmatch=True),
    rest=st.lists(component, max_size=4),
    tag=st.just("") | st.from_regex(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}", fullmatch=True),
    digest=st.sampled_from(["", SHA256, SHA512]),
)
def test_a_formatted_name_parses_to_the_same_parts(
    host: str, first: str, rest: list[str], tag: str, digest: str
) -> None:
    image = ImageName(repository="/".join([first, *rest]), tag=tag, digest=digest, host=host)

    assert ImageName.parse(str(image)) == image


@given(st.text(max_size=100))
def test_any_text_is_parsed_or_refused(text: str) -> None:
    try:
        image = ImageName.parse(text)
    except InvalidImageName:
        return
    assert str(image) == text
