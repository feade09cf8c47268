"""Which server a URL belongs to, and how a URL is shown."""

import pytest
from yarl import URL

from portus_gateway.distribution.origin import Origin, without_secrets


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://Registry.Example.org/v2/", "https://registry.example.org:443"),
        ("http://registry.example.org", "http://registry.example.org:80"),
        ("https://registry.example.org:5000/x?y#z", "https://registry.example.org:5000"),
        ("https://user:password@registry.example.org", "https://registry.example.org:443"),
        ("http://[::1]:5000/", "http://[::1]:5000"),
    ],
)
def test_an_origin_is_scheme_host_and_port(url: str, shown: str) -> None:
    origin = Origin.of(URL(url))
    assert str(origin) == shown
    assert Origin.of(URL(shown)) == origin


@pytest.mark.parametrize(
    "other",
    [
        "http://registry.example.org",
        "https://registry.example.org:444",
        "https://registry.example.org.evil",
        "https://evil/registry.example.org",
        "https://registry.example.org@evil",
        "https://evil#registry.example.org",
        "https://evil?registry.example.org",
        "https://registry.example.org.",
    ],
)
def test_what_only_looks_alike_is_another_origin(other: str) -> None:
    assert Origin.of(URL(other)) != Origin.of(URL("https://registry.example.org"))


@pytest.mark.parametrize(
    "url", ["ftp://registry.example.org", "/v2/", "//registry.example.org/", "https:/v2/", "mailto:a@b"]
)
def test_what_is_no_address_of_a_server_has_no_origin(url: str) -> None:
    with pytest.raises(ValueError, match="not an http or https address"):
        Origin.of(URL(url))


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://user:password@host/path?token=secret#secret", "https://host/path"),
        ("/path?token=secret", "/path"),
        (f"https://host/{'x' * 187}", f"https://host/{'x' * 187}"),
        (f"https://host/{'x' * 188}", f"https://host/{'x' * 187}…"),
    ],
)
def test_a_url_is_shown_without_secrets_and_not_for_pages(url: str, shown: str) -> None:
    assert without_secrets(URL(url)) == shown
