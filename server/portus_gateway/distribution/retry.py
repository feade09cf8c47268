"""When a request is sent again, and how long to wait before."""

import random
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from portus_gateway.distribution.configuration import RetryPolicy

_SECONDS = re.compile(r"[0-9]+")
# Numbers from here on are not a delay but a time, in seconds since 1970. Some registries write that.
_SMALLEST_TIME = 1e9
# The year 5138. What comes after it is not a time.
_LARGEST_TIME = 1e11


class Backoff:
    """The pauses of one request: random, below a limit that doubles ("full jitter")."""

    def __init__(self, policy: RetryPolicy) -> None:
        self._policy = policy
        self._retries = 0

    def next_pause(self, asked_for: float | None = None) -> float | None:
        """Seconds to wait before the next attempt; None if there is no further one.

        `asked_for` is what the server's `Retry-After` says. The pause is never shorter: if it is longer than the policy
        allows, there is no further attempt.
        """
        self._retries += 1
        if self._retries >= self._policy.attempts:
            return None
        if asked_for is not None:
            return asked_for if asked_for <= self._policy.longest_delay else None
        bound = min(self._policy.longest_delay, self._policy.first_delay * 2.0 ** (self._retries - 1))
        return random.uniform(0, bound)  # noqa: S311  (spreads load; nothing secret)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that the `Retry-After` field asks for, in either of its forms (RFC 9110, 10.2.3), or as a Unix time.

    A date counts from the answer's own `Date`, if there is one, because the two clocks may differ. None if there is no
    such field or it cannot be read.
    """
    field = headers.get("Retry-After", "").strip()
    now = http_date(headers.get("Date", "")) or datetime.now(UTC)
    if _SECONDS.fullmatch(field):
        seconds = float(field)
        is_time = _SMALLEST_TIME <= seconds < _LARGEST_TIME
        return max(0.0, seconds - now.timestamp()) if is_time else min(seconds, _LARGEST_TIME)
    until = http_date(field)
    return None if until is None else max(0.0, (until - now).total_seconds())


def http_date(text: str) -> datetime | None:
    """The time of an HTTP date, None if the text is not one."""
    try:
        moment = parsedate_to_datetime(text)
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
