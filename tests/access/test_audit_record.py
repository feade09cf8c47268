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
