"""Times in documents are read as Go's decoder reads them."""

import pytest

from portus_gateway.distribution.instant import Instant


@pytest.mark.parametrize(
    ("text", "seconds", "nanoseconds"),
    [
        ("1970-01-01T00:00:00Z", 0, 0),
        ("2026-11-28T04:30:00Z", 1795840200, 0),
        ("2026-11-28T04:30:00.5Z", 1795840200, 500_000_000),
        ("2026-11-28T04:30:00.123456789Z", 1795840200, 123_456_789),
        ("2026-11-28T04:30:00.1234567891Z", 1795840200, 123_456_789),
        ("2026-11-28T05:30:00+01:00", 1795840200, 0),
        ("2026-11-28T01:00:00-03:30", 1795840200, 0),
        ("1969-12-31T23:59:59.25Z", -1, 250_000_000),
        ("0001-01-01T00:00:00Z", -62135596800, 0),
        ("9999-12-31T23:59:59Z", 253402300799, 0),
    ],
)
def test_a_time_is_read(text: str, seconds: int, nanoseconds: int) -> None:
    assert Instant.parse(text) == Instant(seconds, nanoseconds)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026-11-28",
        "2026-11-28T04:30:00",
        "2026-11-28 04:30:00Z",
        "2026-11-28t04:30:00z",
        "2026-11-28T04:30:00Z\n",
        "2026-02-30T04:30:00Z",
        "2026-11-28T24:00:00Z",
        "2026-11-28T04:30:60Z",
        "2026-11-28T04:30:00,5Z",
        "2026-11-28T04:30:00.Z",
        "2026-11-28T04:30:00+24:00",
        "2026-11-28T04:30:00+0100",
        "0000-01-01T00:00:00Z",
        "0001-01-01T00:00:00+00:01",
        "9999-12-31T23:59:59-00:01",
        "٢٠٢٦-11-28T04:30:00Z",
        "yesterday",
    ],
)
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        Instant.parse(text)
