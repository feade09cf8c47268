import hashlib
from pathlib import Path

import pytest

from portus_gateway.access.errors import InvalidAccessFile
from portus_gateway.access.page_token_keys import PageTokenKeyFile, PasswordKey, SecretKey
from portus_gateway.distribution import Credentials, PasswordFile, StaticPassword
from portus_gateway.distribution.errors import CredentialsRejected

FIRST, SECOND = "a" * 32, "b" * 44


def password_key(password: str, username: str = "portus") -> bytes:
    (key,) = PasswordKey(Credentials(username, StaticPassword(password))).current()
    return key


def test_replicas_with_the_same_account_have_the_same_key() -> None:
    assert password_key("pw") == password_key("pw")
    assert len({password_key("pw"), password_key("pw2"), password_key("pw", "other")}) == 3
    assert len(password_key("pw")) == 32
    assert b"pw" not in password_key("pw")


def test_a_replica_of_another_version_has_the_same_key() -> None:
    assert password_key("pw").hex() == "682b2365107e11e39c5a18fc5b33b45a0d6f9b75c8e0a58fa70ca9de8e706a57"
    assert SecretKey(b"secret").current()[0].hex() == "b780a8408f9da0bcda62a7fb10e605609a239ecfae6b0dc335a6a2b2c650cb51"


def test_the_slow_derivation_is_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[bytes] = []
    scrypt = hashlib.scrypt

    def counting(password: bytes, *, salt: bytes, n: int, r: int, p: int, dklen: int) -> bytes:
        made.append(password)
        return scrypt(password, salt=salt, n=n, r=r, p=p, dklen=dklen)

    monkeypatch.setattr(hashlib, "scrypt", counting)
    keys = PasswordKey(Credentials("portus", StaticPassword("pw")))
    assert keys.current() == keys.current()
    assert made == [b"pw"]


def test_the_key_changes_with_the_password_file(tmp_path: Path) -> None:
    path = tmp_path / "password"
    path.write_text("one\n")
    keys = PasswordKey(Credentials("portus", PasswordFile(path)))
    assert keys.current() == (password_key("one"),)
    path.write_text("two\n")
    assert keys.current() == (password_key("two"),)
    path.unlink()
    with pytest.raises(CredentialsRejected):
        keys.current()


def test_a_file_of_keys(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_text(f"# new\n{FIRST}\n\n  {SECOND}  # old\n")
    first, second = PageTokenKeyFile(path).current()
    assert [first, second] == [key for text in (FIRST, SECOND) for key in SecretKey(text.encode()).current()]
    assert len(first) == len(second) == 32


def test_a_file_may_have_sixteen_keys(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_text("".join(f"{number:0>32}\n" for number in range(16)))
    assert len(PageTokenKeyFile(path).current()) == 16


async def test_a_file_of_keys_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_text(FIRST)
    keys = PageTokenKeyFile(path)
    before = keys.current()
    path.write_text(f"{SECOND}\n{FIRST}\n")
    await keys.reload_if_changed()
    assert keys.current()[1:] == before
    path.write_text("short")
    await keys.reload_if_changed()
    assert len(keys.current()) == 2


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "has no key"),
        ("# nothing\n", "has no key"),
        (f"{FIRST}\ntoo short\n", "line 2: has 9 characters; a key needs at least 32"),
        (f"{FIRST}\n" * 17, "has 17 keys; at most 16 are allowed"),
    ],
)
def test_a_file_that_cannot_be_used(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "keys"
    path.write_text(text)
    with pytest.raises(InvalidAccessFile) as caught:
        PageTokenKeyFile(path)
    assert caught.value.problems == (problem,)
    assert "too short" not in str(caught.value)


def test_a_random_key_is_nobody_elses() -> None:
    assert SecretKey.random().current() != SecretKey.random().current()
