"""Points in time as documents of registries write them (RFC 3339), to the nanosecond."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Self

# As Go's decoder reads them. A dollar sign would allow a line break at the end.
_FORM: Final = re.compile(
    r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d+))?(?:Z|([+-])([01]\d|2[0-3]):([0-5]\d))", re.ASCII
)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_NANOSECOND_DIGITS: Final = 9


@dataclass(frozen=True, slots=True, order=True)
class Instant:
    """A point in time: whole seconds since 1970 in UTC, less than 0 before that, and the nanoseconds after them."""

    seconds: int
    nanoseconds: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Reads `2026-11-28T04:30:00.123456789+01:00`. Raises `ValueError` for another form and for years before 1."""
        form = _FORM.fullmatch(text)
        if form is None:
            raise ValueError("not a time as in RFC 3339")
        time, fraction, sign, hours, minutes = form.groups()
        seconds = (datetime.fromisoformat(f"{time}+00:00") - _EPOCH) // timedelta(seconds=1)
        if sign is not None:
            offset = 3600 * int(hours) + 60 * int(minutes)
            seconds += offset if sign == "-" else -offset
        if not _FIRST <= seconds <= _LAST:
            raise ValueError("not a time between the years 1 and 9999")
        # Further digits are dropped, as Go does.
        digits = (fraction or "")[:_NANOSECOND_DIGITS]
        return cls(seconds, int(digits.ljust(_NANOSECOND_DIGITS, "0")))


_FIRST: Final = (datetime(1, 1, 1, tzinfo=UTC) - _EPOCH) // timedelta(seconds=1)
_LAST: Final = (datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC) - _EPOCH) // timedelta(seconds=1)
