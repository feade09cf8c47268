import base64
from collections.abc import Sequence

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from portus_gateway.access.caller import Caller
from portus_gateway.access.page_token_keys import SecretKey
from portus_gateway.distribution.errors import RegistryFault
from portus_gateway.registry.protocol import Cursor
from portus_gateway.rpc.page_tokens import Argument, InvalidPageToken, PageTokens
from tests.access.calls import calling

SECRET = b"secret"
TOKENS = PageTokens(SecretKey(SECRET))
CURSOR = Cursor("after", "team/app")
ARGUMENTS: tuple[Argument, ...] = (True, "team/")
TOKEN = TOKENS.encode(CURSOR, "Catalog", *ARGUMENTS)
CALLERS = [Caller.known_as("token", [f"token:{name}"]) for name in ("a", "b")]


class Keys:
    """Keys of which the first ones are in force."""

    def __init__(self, *secrets: bytes) -> None:
        self._keys = [key for secret in secrets for key in SecretKey(secret).current()]

    def current(self) -> Sequence[bytes]:
        return self._keys


def refused(
    token: str, tokens: PageTokens = TOKENS, rpc: str = "Catalog", arguments: Sequence[Argument] = ARGUMENTS
) -> None:
    with pytest.raises(InvalidPageToken, match="start again with the first page"):
        tokens.decode(token, rpc, *arguments)


@pytest.mark.parametrize(
    "cursor",
    [
        CURSOR,
        Cursor("after", "team/äöü"),
        Cursor("after", "half \ud83d"),
        Cursor("sliced", "x" * 255),
        Cursor("linked", "v1", "last=a%2Fb&n=5"),
        Cursor("linked", "", "cursor=" + "y" * 4000),
        Cursor("after", "\U0001f4a5" * 5000),
    ],
    ids=range(7),
)
def test_a_token_leads_back_to_its_cursor(cursor: Cursor) -> None:
    assert TOKENS.decode(TOKENS.encode(cursor, "ListTags", "team/app"), "ListTags", "team/app") == cursor


def test_the_empty_token_is_the_beginning_and_the_end() -> None:
    assert TOKENS.decode("", "Catalog", *ARGUMENTS) is None
    assert TOKENS.encode(None, "Catalog", *ARGUMENTS) == ""


def test_nothing_can_be_read_from_it_and_it_fits_a_url() -> None:
    content = base64.urlsafe_b64decode(TOKEN + "=" * (-len(TOKEN) % 4))
    assert b"team" not in content
    assert b"app" not in content
    assert set(TOKEN) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


def test_a_position_has_one_token_and_no_nonce_is_used_twice() -> None:
    """Clients end a listing when a token repeats."""
    assert TOKENS.encode(CURSOR, "Catalog", *ARGUMENTS) == TOKEN
    others = [
        TOKENS.encode(Cursor("after", "team/apq"), "Catalog", *ARGUMENTS),
        TOKENS.encode(CURSOR, "ListTags", *ARGUMENTS),
        TOKENS.encode(CURSOR, "Catalog"),
        PageTokens(SecretKey.random()).encode(CURSOR, "Catalog", *ARGUMENTS),
    ]
    # The version and the nonce.
    assert len({token[:17] for token in (TOKEN, *others)}) == 5


@given(st.text(alphabet="abc/-", min_size=1, max_size=255), st.integers(0, 10**6))
def test_its_length_reveals_nothing(name: str, count: int) -> None:
    linked = Cursor("linked", name, f"last={name[:100]}&n={count}")
    assert {len(TOKENS.encode(cursor, "Catalog", *ARGUMENTS)) for cursor in (Cursor("after", name), linked)} == {
        len(TOKEN)
    }


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
    refused(TOKEN, rpc=rpc, arguments=arguments)


def test_it_is_bound_to_the_caller() -> None:
    one, other = CALLERS
    with calling(one, "Catalog"):
        token = TOKENS.encode(CURSOR, "Catalog")
        assert TOKENS.decode(token, "Catalog") == CURSOR
    with calling(other, "Catalog"):
        refused(token, arguments=())
    refused(token, arguments=())


def test_another_replica_with_the_same_key_accepts_it() -> None:
    assert PageTokens(SecretKey(SECRET)).decode(TOKEN, "Catalog", *ARGUMENTS) == CURSOR
    refused(TOKEN, PageTokens(SecretKey(b"another")))
    refused(TOKEN, PageTokens(SecretKey.random()))


def test_the_first_key_encrypts_and_all_decrypt() -> None:
    rotated = PageTokens(Keys(b"new", SECRET))
    assert rotated.decode(TOKEN, "Catalog", *ARGUMENTS) == CURSOR
    token = rotated.encode(CURSOR, "Catalog", *ARGUMENTS)
    assert PageTokens(SecretKey(b"new")).decode(token, "Catalog", *ARGUMENTS) == CURSOR
    refused(token)


@pytest.mark.parametrize(
    "token",
    [
        "x",
        "not a token",
        "ünicode",
        "AAAA",
        TOKEN[:-1],
        TOKEN[:-4],
        TOKEN[1:],
        TOKEN + "A",
        TOKEN + "=",
        TOKEN.swapcase(),
        f" {TOKEN}",
        f"{TOKEN}\n",
        "A" * 100_000,
        TOKEN * 100,
    ],
)
def test_any_other_text_is_refused(token: str) -> None:
    refused(token)


@given(
    st.integers(0, len(TOKEN) - 1), st.sampled_from("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")
)
def test_any_change_is_refused(position: int, character: str) -> None:
    """The last characters too: base64 can spell the same bytes in several ways."""
    changed = TOKEN[:position] + character + TOKEN[position + 1 :]
    if changed != TOKEN:
        refused(changed)


@pytest.mark.parametrize("ending", "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")
def test_another_spelling_of_the_last_byte_is_refused(ending: str) -> None:
    if TOKEN[-1] != ending:
        refused(TOKEN[:-1] + ending)


@given(st.text(min_size=1))
def test_whatever_comes_is_a_token_or_refused(token: str) -> None:
    refused(token)


@given(st.binary(max_size=60))
def test_a_token_cannot_be_made_without_the_key(content: bytes) -> None:
    refused(base64.urlsafe_b64encode(b"\x02" + content).rstrip(b"=").decode())
    forged = AESGCM(bytes(32)).encrypt(bytes(12), b'["after", "hidden", ""]', b'["Catalog", null, true, "team/"]')
    refused(base64.urlsafe_b64encode(b"\x02" + bytes(12) + forged).rstrip(b"=").decode())


def test_a_token_of_another_version_is_refused() -> None:
    content = base64.urlsafe_b64decode(TOKEN + "=" * (-len(TOKEN) % 4))
    refused(base64.urlsafe_b64encode(b"\x01" + content[1:]).rstrip(b"=").decode())


@pytest.mark.parametrize("size", [1024, 8192, 65536])
def test_a_position_may_fill_its_token(size: int) -> None:
    def token(size: int) -> str:
        """A token whose position takes so many bytes: as JSON, with brackets, quotes and commas."""
        name = "x" * (size - len('["after", "", ""]'))
        return TOKENS.encode(Cursor("after", name), "Catalog", *ARGUMENTS)

    assert len(token(size)) == len(token(size - 1))


def test_a_name_of_any_length_is_an_error_and_no_bug() -> None:
    with pytest.raises(RegistryFault, match="too long"):
        TOKENS.encode(Cursor("after", "x" * 100_000), "Catalog")
