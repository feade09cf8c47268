"""Points in time for people."""

from datetime import datetime, timedelta
from typing import Final

_UNITS: Final = (
    ("year", timedelta(days=365)),
    ("month", timedelta(days=30)),
    ("week", timedelta(weeks=1)),
    ("day", timedelta(days=1)),
    ("hour", timedelta(hours=1)),
    ("minute", timedelta(minutes=1)),
    ("second", timedelta(seconds=1)),
)


def age(time: datetime, now: datetime) -> str:
    """How long ago `time` was, in its largest unit, cut and not rounded: `3 months ago`. A time to come is a date."""
    passed = now - time
    if passed < timedelta(0):
        return time.strftime("%Y-%m-%d")
    for unit, length in _UNITS:
        count = passed // length
        # Two of a unit at least, so that nothing is told as half as old as it is.
        if count >= 2 or (count == 1 and unit in ("day", "hour", "minute", "second")):
            return f"{count} {unit}{'s' if count > 1 else ''} ago"
    return "just now"


def timestamp(time: datetime) -> str:
    """As in RFC 3339, in UTC: `2026-11-28T04:30:00Z`."""
    return time.isoformat().replace("+00:00", "Z")
