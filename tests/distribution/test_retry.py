import pytest

from portus_gateway.distribution import RetryPolicy
from portus_gateway.distribution.retry import Backoff, retry_after


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"Retry-After": "7"}, 7.0),
        ({"Retry-After": " 0 "}, 0.0),
        ({"Retry-After": "-1"}, None),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "1e9"}, None),
        ({"Retry-After": "9" * 400}, 1e11),
        # A time in seconds since 1970, which counts from the answer's own clock.
        ({"Retry-After": "1795514405", "Date": "Tue, 24 Nov 2026 10:00:00 GMT"}, 5.0),
        ({"Retry-After": "1795514395", "Date": "Tue, 24 Nov 2026 10:00:00 GMT"}, 0.0),
        ({"Retry-After": "12345678901", "Date": "Tue, 24 Nov 2026 10:00:00 GMT"}, 12345678901.0 - 1795514400.0),
        ({"Retry-After": "Mon, 01 Jan 2024 00:00:00 +99999999999999"}, None),
        ({"Retry-After": "Mon, 01 Jan 0001 00:00:00 +2359"}, 0.0),
        ({"Retry-After": "Tue, 24 Nov 2026 10:00:05 GMT", "Date": "Tue, 24 Nov 2026 10:00:00 GMT"}, 5.0),
        ({"Retry-After": "Tue, 24 Nov 2026 09:00:00 GMT", "Date": "Tue, 24 Nov 2026 10:00:00 GMT"}, 0.0),
    ],
)
def test_retry_after_in_all_its_forms(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers) == seconds


def test_the_pauses_grow_up_to_a_ceiling_and_end() -> None:
    policy = RetryPolicy(attempts=6, first_delay=1, longest_delay=4)
    bounds = [1, 2, 4, 4, 4]
    backoff = Backoff(policy)
    for bound in bounds:
        pause = backoff.next_pause()
        assert pause is not None
        assert 0 <= pause <= bound
    assert backoff.next_pause() is None


def test_what_the_server_asks_for_is_honoured_or_ends_the_retries() -> None:
    policy = RetryPolicy(attempts=4, first_delay=0.1, longest_delay=5)
    assert Backoff(policy).next_pause(3) == 3
    assert Backoff(policy).next_pause(6) is None
