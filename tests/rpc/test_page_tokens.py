import base64
import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portus_gateway.registry.protocol import Cursor
from portus_gateway.rpc.page_tokens import Argument, InvalidPageToken, decode, encode

CURSOR = Cursor("after", "team/app")
ARGUMENTS: tuple[Argument, ...] = (True, "team/")
TOKEN = encode(CURSOR, "Catalog", *ARGUMENTS)


def forged(cursor: bytes, *, rpc: str = "Catalog", version: bytes = b"\x01") -> str:
    """A token with a good checksum, such as anybody can make who has read this code."""
    bound = json.dumps([rpc, *ARGUMENTS]).encode()
    checksum = hashlib.sha256(bound + b"\0" + cursor).digest()[:12]
    return base64.urlsafe_b64encode(version + checksum + cursor).rstrip(b"=").decode()


def test_a_token_leads_back_to_its_cursor() -> None:
    assert decode(TOKEN, "Catalog", *ARGUMENTS) == CURSOR


def test_the_empty_token_is_the_beginning_and_the_end() -> None:
    assert decode("", "Catalog", *ARGUMENTS) is None
    assert encode(None, "Catalog", *ARGUMENTS) == ""


@pytest.mark.parametrize(
    "cursor",
    [Cursor("linked", "v1", "last=a%2Fb&n=5"), Cursor("after", "team/äöü"), Cursor("sliced", "v1")],
    ids=range(3),
)
def test_every_cursor_of_the_client_survives(cursor: Cursor) -> None:
    assert decode(encode(cursor, "ListTags", "team/app"), "ListTags", "team/app") == cursor


def test_nobody_can_read_anything_into_it_and_it_fits_a_url() -> None:
    assert "team" not in TOKEN
    assert set(TOKEN) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


@pytest.mark.parametrize(
    ("rpc", "arguments"),
    [
        ("ListTags", ARGUMENTS),
        ("Catalog", ()),
        ("Catalog", (True,)),
        ("Catalog", (False, "team/")),
        ("Catalog", (True, "team")),
        ("Catalog", ("team/", True)),
        ("Catalog", (True, "team/", "")),
    ],
)
def test_it_is_bound_to_the_rpc_and_its_arguments(rpc: str, arguments: tuple[Argument, ...]) -> None:
    with pytest.raises(InvalidPageToken, match="not given out for these arguments"):
        decode(TOKEN, rpc, *arguments)


@pytest.mark.parametrize(
    "token",
    [
        "x",
        "not a token",
        "ünicode",
        "AAAA",
        TOKEN[:-1],
        TOKEN[1:],
        TOKEN + "A",
        TOKEN + "=",
        TOKEN.swapcase(),
        f" {TOKEN}",
        f"{TOKEN}\n",
        "A" * 30_000,
    ],
)
def test_what_is_none_of_ours_is_refused(token: str) -> None:
    with pytest.raises(InvalidPageToken):
        decode(token, "Catalog", *ARGUMENTS)


@given(st.text(min_size=1))
def test_whatever_comes_is_a_token_or_refused(token: str) -> None:
    with pytest.raises(InvalidPageToken):
        decode(token, "Catalog", *ARGUMENTS)


@given(st.binary(max_size=60))
def test_whatever_a_forged_token_holds_is_a_cursor_of_the_clients_or_refused(position: bytes) -> None:
    with pytest.raises(InvalidPageToken):
        decode(forged(position), "Catalog", *ARGUMENTS)


@pytest.mark.parametrize(
    "cursor",
    [
        "linked:n=5 HTTP/1.1\r\nHost: elsewhere",
        "linked:n=5#fragment",
        "linked:",
        "elsewhere:http://elsewhere/",
        "http://elsewhere/",
        "",
        "behind:" + "x" * 4096,
    ],
)
def test_a_forged_token_puts_nothing_into_a_url(cursor: str) -> None:
    with pytest.raises(InvalidPageToken):
        decode(forged(cursor.encode()), "Catalog", *ARGUMENTS)


def test_a_token_of_another_version_is_said_to_be_one() -> None:
    with pytest.raises(InvalidPageToken, match="another version"):
        decode(forged(json.dumps(["after", "a", ""]).encode(), version=b"\x02"), "Catalog", *ARGUMENTS)
