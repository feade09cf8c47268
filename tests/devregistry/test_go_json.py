"""JSON as Go reads it. tests/real/test_manifest_acceptance.py compares it with distribution, which is written in Go."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portus_gateway.devregistry.go_json import NotReadable, Number, Object, Record, Value, read


def plain(value: Value) -> object:
    """The value as Python's own parser gives it; every number as a float."""
    match value:
        case Number(text):
            return float(text)
        case Object(members):
            return {name: plain(member) for name, member in members}
        case list():
            return [plain(item) for item in value]
    return value


DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(DOCUMENTS, st.sampled_from([None, 1, "\t"]))
def test_what_python_writes_is_read(document: object, indent: int | str | None) -> None:
    assert plain(read(json.dumps(document, indent=indent).encode())) == document


@given(st.binary() | st.text(alphabet='{}[]":,0123456789.eE+-truefalsn\\u \n').map(str.encode))
def test_what_python_refuses_is_refused(content: bytes) -> None:
    try:
        json.loads(content.decode("utf-8", "replace"), parse_constant=int)
    except ValueError:
        with pytest.raises(NotReadable):
            read(content)
    else:
        read(content)


def test_fields_are_matched_in_any_case_and_the_last_one_counts() -> None:
    record = Record.of(b'{"size": 1, "SIZE": 2, "name": "a", "Name": null}')
    assert record.integer("size") == 2
    assert record.text("name") == "a"
    assert record.text("other") == ""


def test_objects_are_merged_and_lists_replaced() -> None:
    record = Record.of(
        b'{"config": {"a": "1", "b": "1"}, "config": {"b": "2"}, "urls": ["x", "y"], "urls": ["z", null]}'
    )
    assert (record.record("config").text("a"), record.record("config").text("b")) == ("1", "2")
    assert record.texts("urls") == ("z", "")


def test_null_removes_a_field_only_where_its_type_does_not_matter() -> None:
    record = Record.of(b'{"manifests": [], "layers": null, "config": {}, "CONFIG": null}')
    assert record.has("manifests")
    assert not record.has("layers")
    assert not record.has("config")
    assert not record.has("other")


@pytest.mark.parametrize("number", [b"1.0", b"1e2", b"9223372036854775808", b"-9223372036854775809", b"9" * 5000])
def test_an_integer_has_64_bits_and_no_fraction(number: bytes) -> None:
    with pytest.raises(NotReadable, match="size"):
        Record.of(b'{"size": ' + number + b"}").integer("size")


def test_the_limits_of_an_integer() -> None:
    record = Record.of(b'{"least": -9223372036854775808, "most": 9223372036854775807}')
    assert (record.integer("least"), record.integer("most")) == (-(2**63), 2**63 - 1)


def test_bytes_are_base_64_or_a_list_of_numbers() -> None:
    for good in ('"e30="', '"e3\\n0="', '""', "[123, 125]", "null"):
        Record.of(b'{"data": ' + good.encode() + b"}").check_bytes("data")
    for bad in ('"e30"', '"-_=="', "[256]", "[-1]", "[1.5]", "1", '["a"]'):
        with pytest.raises(NotReadable, match="base 64"):
            Record.of(b'{"data": ' + bad.encode() + b"}").check_bytes("data")


def test_text_that_is_not_unicode_is_read_as_the_replacement_character() -> None:
    record = Record.of(b'{"a": "caf\xe9", "b": "\\ud800x", "c": "\\ud83d\\ude00"}')
    assert (record.text("a"), record.text("b"), record.text("c")) == ("caf\ufffd", "\ufffdx", "\U0001f600")


def test_nesting_ends_at_ten_thousand() -> None:
    read(b"[" * 10_000 + b"]" * 10_000)
    with pytest.raises(NotReadable, match="depth"):
        read(b"[" * 10_001 + b"]" * 10_001)


def test_a_string_without_an_end_is_refused_at_once() -> None:
    with pytest.raises(NotReadable):
        read(b'{"a": "' + b"\\n x" * 100_000)
