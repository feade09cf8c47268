"""What a cursor says to those who have it: nothing."""

import base64

import pytest

from portus_gateway.index.watch_cursor import SealedCursor, WatchCursor

EPOCH = "1f" * 16
POSITIONS = [
    WatchCursor(EPOCH, 0),
    WatchCursor(EPOCH, 2**63 - 1),
    WatchCursor(EPOCH, 7, ("", "")),
    WatchCursor(EPOCH, 7, ("secret/app", "v1")),
    WatchCursor(EPOCH, 7, ("a" * 255, "\U0001f40b\\" * 512)),
]


@pytest.mark.parametrize("position", POSITIONS)
def test_its_index_opens_it(position: WatchCursor) -> None:
    assert SealedCursor.decode(position.encode()).opened(EPOCH) == position
    assert SealedCursor.decode(position.encode()).opened("2f" * 16) is None


def test_nothing_can_be_read_from_it() -> None:
    text = WatchCursor(EPOCH, 7, ("secret/app", "v1")).encode()
    content = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    assert b"secret" not in content
    assert EPOCH.encode() not in content


def test_its_length_reveals_nothing() -> None:
    assert len(WatchCursor(EPOCH, 1).encode()) == len(WatchCursor(EPOCH, 2**63 - 1).encode())
    names = [("a", ""), ("secret/application", "a-very-long-tag"), ("a" * 255, "b" * 128)]
    assert len({len(WatchCursor(EPOCH, 1, listed).encode()) for listed in names}) == 1


def test_the_same_position_is_another_text_each_time() -> None:
    """Else, a caller could see in it when something happens that is hidden from it."""
    assert WatchCursor(EPOCH, 1).encode() != WatchCursor(EPOCH, 1).encode()


def test_any_change_is_refused() -> None:
    content = bytearray(SealedCursor.decode(WatchCursor(EPOCH, 1).encode()).content)
    for position in range(1, len(content)):
        changed = bytearray(content)
        changed[position] ^= 1
        assert SealedCursor(bytes(changed)).opened(EPOCH) is None


@pytest.mark.parametrize("rest", [b"", b"short", b"x" * 93])
def test_a_cursor_of_another_version_is_like_one_of_another_index(rest: bytes) -> None:
    """After an upgrade, watchers list again, and do not fail."""
    text = base64.urlsafe_b64encode(b"\x03" + rest).rstrip(b"=").decode()
    assert SealedCursor.decode(text).opened(EPOCH) is None


@pytest.mark.parametrize("text", ["", "x", "WzEsImEiLDEsbnVsbF0", "Ag", "é", "Ag" + "A" * 100_000])
def test_what_is_no_cursor(text: str) -> None:
    with pytest.raises(ValueError, match="is not a cursor of this gateway"):
        SealedCursor.decode(text)
