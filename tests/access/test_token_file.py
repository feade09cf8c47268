"""Static tokens."""

# The files of a test are small and local.
# ruff: noqa: ASYNC240

import hashlib
import hmac
from pathlib import Path

import pytest

from portus_gateway.access.errors import InvalidAccessFile
from portus_gateway.access.token_file import TokenFile
from tests.access.policies import A


def line(name: str, token: str) -> str:
    return f"{name} sha256:{hashlib.sha256(token.encode()).hexdigest()}\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "tokens"
    path.write_text(
        "# who has them\n\n" + line("a", "secret-a") + line("b", "secret-b").replace("\n", " # the other\n")
    )
    return path


async def test_a_token_names_its_caller(path: Path) -> None:
    tokens = TokenFile(path)
    assert await tokens.authenticate("secret-a") == A
    caller = await tokens.authenticate("secret-b")
    assert caller is not None
    assert caller.name == "token:b"


@pytest.mark.parametrize("token", ["secret", "secret-aa", "SECRET-A", "", "a"])
async def test_another_token_names_nobody(path: Path, token: str) -> None:
    assert await TokenFile(path).authenticate(token) is None


async def test_the_hash_is_no_token(path: Path) -> None:
    digest = hashlib.sha256(b"secret-a").hexdigest()
    assert await TokenFile(path).authenticate(digest) is None
    assert await TokenFile(path).authenticate(f"sha256:{digest}") is None


async def test_a_hash_is_compared_to_its_end_and_in_constant_time(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = hashlib.sha256(b"secret-a").hexdigest()
    # They begin alike, which is all that they are found by.
    others = [digest[:-1] + ("0" if digest[-1] != "0" else "1"), digest[:8] + "0" * 56]
    path.write_text("".join(f"b sha256:{other}\n" for other in others))
    tokens = TokenFile(path)
    compared: list[bytes] = []
    in_constant_time = hmac.compare_digest

    def counting(known: bytes, shown: bytes) -> bool:
        compared.append(known)
        return in_constant_time(known, shown)

    monkeypatch.setattr(hmac, "compare_digest", counting)
    assert await tokens.authenticate("secret-a") is None
    assert compared == [bytes.fromhex(other) for other in others]


async def test_a_name_may_have_two_tokens_while_they_change(path: Path) -> None:
    path.write_text(line("a", "old") + line("a", "new"))
    tokens = TokenFile(path)
    assert await tokens.authenticate("old") == await tokens.authenticate("new") == A
    path.write_text(line("a", "new"))
    assert await tokens.reload()
    assert await tokens.authenticate("old") is None
    assert await tokens.authenticate("new") == A


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("", "no token: nobody could call"),
        ("# nothing\n", "no token: nobody could call"),
        ("a\tMY-REAL-TOKEN\n", "line 1: not `<name> sha256:"),
        (line("a", "x").upper(), "line 1: not `<name> sha256:"),
        (line("two words", "x"), "line 1: not `<name> sha256:"),
        (line("a", "x") + line("b", "x"), "line 2: the same token as in a line before"),
        ("".join(line("a", str(n)) for n in range(1001)), "1001 tokens; at most 1000"),
    ],
)
def test_a_file_that_is_wrong_is_refused_without_being_repeated(path: Path, content: str, problem: str) -> None:
    path.write_text(content)
    with pytest.raises(InvalidAccessFile) as caught:
        TokenFile(path)
    assert caught.value.problems[0].startswith(problem)
    assert "MY-REAL-TOKEN" not in str(caught.value)


def test_no_hash_is_shown(path: Path) -> None:
    digest = hashlib.sha256(b"secret-a")
    shown = repr(TokenFile(path).content)
    assert digest.hexdigest() not in shown
    assert repr(digest.digest()) not in shown
