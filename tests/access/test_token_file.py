"""Static tokens."""

# The files of a test are small and local.
# ruff: noqa: ASYNC240

import hashlib
import hmac
import os
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from portus_gateway.access.errors import InvalidAccessFile, KeysUnavailable
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
async def test_another_token_identifies_nobody(path: Path, token: str) -> None:
    assert await TokenFile(path).authenticate(token) is None


async def test_the_hash_is_no_token(path: Path) -> None:
    digest = hashlib.sha256(b"secret-a").hexdigest()
    assert await TokenFile(path).authenticate(digest) is None
    assert await TokenFile(path).authenticate(f"sha256:{digest}") is None


async def test_a_hash_is_compared_to_its_end_and_in_constant_time(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = hashlib.sha256(b"secret-a").hexdigest()
    # They begin with the same bytes, and only these are used to find them.
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


@pytest.mark.parametrize("content", ["", "# nobody\n"])
async def test_an_empty_file_has_no_tokens(path: Path, content: str) -> None:
    tokens = TokenFile(path)
    path.write_text(content)
    await tokens.reload_if_changed()
    assert await tokens.authenticate("secret-a") is None
    assert tokens.problems == ()
    # The same is true at the start, and it is logged.
    with capture_logs() as logs:
        assert await TokenFile(path).authenticate("secret-a") is None
    assert [entry["log_level"] for entry in logs] == ["warning"]


@pytest.mark.parametrize(
    "typo", ["b\tMY-REAL-TOKEN\n", "b sha256:abc\n", "\0\xff\n", line("a", "other") + line("c", "other")]
)
async def test_a_mistake_in_one_line_does_not_keep_a_withdrawn_token_valid(path: Path, typo: str) -> None:
    tokens = TokenFile(path)
    path.write_text(line("a", "secret-a") + typo)
    with capture_logs() as logs:
        await tokens.reload_if_changed()
    assert await tokens.authenticate("secret-a") == A
    for withdrawn in ("secret-b", "other", "MY-REAL-TOKEN"):
        assert await tokens.authenticate(withdrawn) is None
    assert len(tokens.problems) == 1
    (entry,) = (entry for entry in logs if entry["log_level"] == "error")
    assert entry["problems"] == list(tokens.problems)
    assert "MY-REAL-TOKEN" not in str(logs)
    path.write_text(line("a", "secret-a"))
    await tokens.reload_if_changed()
    assert not tokens.problems


async def test_a_file_that_cannot_be_read_keeps_its_tokens_valid_for_a_bounded_time(path: Path) -> None:
    now = 1000.0
    tokens = TokenFile(path, trusted_for=300, clock=lambda: now)
    content = path.read_text()
    path.unlink()
    for moment in (1000.0, 1200.0, 1300.0):
        now = moment
        await tokens.reload_if_changed()
        assert await tokens.authenticate("secret-a") == A
        assert tokens.problems
        assert tokens.trusted
    now = 1301.0
    assert not tokens.trusted
    for token in ("secret-a", "wrong"):
        with pytest.raises(KeysUnavailable):
            await tokens.authenticate(token)
    path.write_text(content)
    await tokens.reload_if_changed()
    assert await tokens.authenticate("secret-a") == A
    assert tokens.problems == ()


async def test_a_file_that_is_as_it_was_before_it_went_is_read_again(path: Path) -> None:
    tokens = TokenFile(path)
    away = path.with_name("away")
    os.rename(path, away)
    await tokens.reload_if_changed()
    assert tokens.problems
    os.rename(away, path)
    await tokens.reload_if_changed()
    assert tokens.problems == ()


async def test_a_change_that_keeps_size_and_time_is_noticed(path: Path) -> None:
    path.write_text(line("a", "old"))
    tokens = TokenFile(path)
    before = path.stat()
    path.write_text(line("a", "new"))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    await tokens.reload_if_changed()
    assert await tokens.authenticate("old") is None
    assert await tokens.authenticate("new") == A


def test_no_hash_is_shown(path: Path) -> None:
    digest = hashlib.sha256(b"secret-a")
    shown = repr(TokenFile(path).content)
    assert digest.hexdigest() not in shown
    assert repr(digest.digest()) not in shown


async def test_a_good_file_is_no_reason_to_warn(path: Path) -> None:
    with capture_logs() as logs:
        assert await TokenFile(path).reload()
    assert [entry["event"] for entry in logs] == ["loaded"]


async def test_malformed_lines_are_logged_once_and_not_again_while_the_file_is_away(path: Path) -> None:
    tokens = TokenFile(path)
    path.write_text(line("a", "secret-a") + "b secret-b\n")
    with capture_logs() as logs:
        assert await tokens.reload()
        path.unlink()
        assert not await tokens.reload()
    assert [entry["log_level"] for entry in logs if "malformed" in entry["event"]] == ["error"]


async def test_bytes_that_are_no_text_spoil_their_line_alone(path: Path) -> None:
    tokens = TokenFile(path)
    path.write_bytes(b"\xff\xfe\n" + line("a", "secret-a").encode())
    assert await tokens.reload()
    assert await tokens.authenticate("secret-a") == A
    assert tokens.problems == ("line 1: not `<name> sha256:<64 lower-case hexadecimal digits>`",)


async def test_a_line_that_is_there_twice_is_good_and_a_token_with_two_names_is_not(path: Path) -> None:
    tokens = TokenFile(path)
    path.write_text(line("a", "secret-a") * 2)
    assert await tokens.reload()
    assert await tokens.authenticate("secret-a") == A
    path.write_text(line("a", "secret-a") + line("b", "secret-a"))
    assert await tokens.reload()
    assert await tokens.authenticate("secret-a") is None


async def test_a_thousand_tokens_are_allowed(path: Path) -> None:
    path.write_text("".join(line("a", str(number)) for number in range(1000)))
    assert await TokenFile(path).authenticate("999") == A
