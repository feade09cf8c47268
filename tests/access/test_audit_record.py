"""Records as lines, whatever is in them."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portus_gateway.access.audit_record import ATOMIC_SIZE, Value, lines_of

TEXTS = st.text(max_size=700)
LISTS = st.lists(st.text(alphabet="abc-1\u00e9", max_size=128), max_size=200)


@given(
    st.fixed_dictionaries({"event": st.just("x"), "caller": TEXTS, "message": TEXTS}),
    st.dictionaries(st.sampled_from(["tags", "expected_tags", "remaining_tags"]), LISTS),
)
def test_every_line_is_a_record_that_fits_and_no_item_gets_lost(
    texts: dict[str, Value], lists: dict[str, list[str]]
) -> None:
    lines = lines_of({**texts, **lists}, ATOMIC_SIZE)
    assert all(len(line) <= ATOMIC_SIZE and line.isascii() and line.count(b"\n") == 1 for line in lines)
    parts = [json.loads(line) for line in lines]
    for name, items in lists.items():
        assert [item for part in parts for item in part.get(name, [])] == items
    assert {part["event"] for part in parts} == {"x"}
    assert "message" in parts[0]


def test_without_a_limit_a_record_is_one_line() -> None:
    tags = [f"{number:0>128}" for number in range(1000)]
    (line,) = lines_of({"event": "x", "tags": tags}, None)
    assert json.loads(line)["tags"] == tags


@pytest.mark.parametrize(("text", "longest"), [("x" * 10_000, 515), ("\U0001f600" * 500, 55)])
def test_long_texts_are_cut_where_they_do_not_fit(text: str, longest: int) -> None:
    (whole,) = lines_of({"event": "x", "message": text}, None)
    assert json.loads(whole)["message"] == text
    (line,) = lines_of({"event": "x", "message": text}, ATOMIC_SIZE)
    message = json.loads(line)["message"]
    assert len(message) < longest
    assert message.endswith("…")


@pytest.mark.parametrize(
    ("text", "cut"),
    [
        ("x" * 512, "x" * 512),
        ("x" * 513, "x" * 512 + "…"),
        ("é" * 99 + "x" * 4, "é" * 99 + "x" * 4),
        ("é" * 99 + "x" * 5, "é" * 50 + "…"),
    ],
)
def test_texts_are_cut_only_if_they_are_long(text: str, cut: str) -> None:
    tags = ["v1"] * ATOMIC_SIZE
    assert json.loads(lines_of({"event": "x", "message": text, "tags": tags}, ATOMIC_SIZE)[0])["message"] == cut


def test_a_record_that_fits_is_one_line_as_it_is() -> None:
    assert lines_of({"event": "x", "count": 1, "tags": []}, ATOMIC_SIZE) == [b'{"event":"x","count":1,"tags":[]}\n']
    message = "x" * (ATOMIC_SIZE - len('{"message":""}\n'))
    assert lines_of({"message": message}, ATOMIC_SIZE) == [
        json.dumps({"message": message}, separators=(",", ":")).encode() + b"\n"
    ]
    assert len(lines_of({"message": message + "x"}, ATOMIC_SIZE)[0]) < ATOMIC_SIZE


@pytest.mark.parametrize("length", [1, 40, 128])
@pytest.mark.parametrize("others", [0, 1, 50])
def test_two_long_lists_fill_lines_that_fit(length: int, others: int) -> None:
    """Whatever room the first list leaves in its last line."""
    fill_a_line = ATOMIC_SIZE // (length + 3)
    for count in range(fill_a_line, 2 * fill_a_line, 1 + fill_a_line // 30):
        tags, remaining = ["t" * length] * count, ["r" * 17] * others
        lines = lines_of({"event": "x", "tags": tags, "remaining_tags": remaining}, ATOMIC_SIZE)
        assert max(map(len, lines)) <= ATOMIC_SIZE
        parts = [json.loads(line) for line in lines]
        assert [tag for part in parts for tag in part["tags"]] == tags
        assert [tag for part in parts for tag in part["remaining_tags"]] == remaining
        if not remaining:
            # No line but the last has room for one item more.
            assert all(len(line) + length + len('"",') >= ATOMIC_SIZE for line in lines[:-1])
