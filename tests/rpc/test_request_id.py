import pytest

from portus_gateway.rpc.request_id import accepted


@pytest.mark.parametrize("sent", ["a", "x" * 128, "0190a5c8-1b1e-7000-8000-3c4f2d9e6b7a", "!~/:;<>%"])
def test_visible_ascii_is_kept(sent: str) -> None:
    assert accepted([("other", "x"), ("x-request-id", sent)]) == sent


@pytest.mark.parametrize("sent", ["", "x" * 129, "a b", "a\tb", "a\nb", "ä", b"bytes", "a\x7f"])
def test_all_else_is_replaced(sent: str | bytes) -> None:
    given = accepted([("x-request-id", sent)])
    assert given != sent
    assert len(given) == 32


def test_of_several_the_first_counts() -> None:
    assert accepted([("x-request-id", "first"), ("x-request-id", "second")]) == "first"
    assert len(accepted([("x-request-id", "a b"), ("x-request-id", "second")])) == 32


def test_each_new_one_is_another() -> None:
    assert len({accepted([]) for _ in range(100)}) == 100
