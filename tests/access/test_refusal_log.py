"""What the policy refuses is logged as often as a caller may cause."""

from structlog.testing import capture_logs

from portus_gateway.access.budgets import Budgets
from portus_gateway.access.refusal_log import RefusalLog
from tests.access.policies import STRANGER, A


def test_a_flood_is_counted_in_the_next_line() -> None:
    clock = [0.0]
    log = RefusalLog()
    log._budgets = Budgets(rate=2.0, burst=200, clock=lambda: clock[0])
    with capture_logs() as logs:
        for _ in range(1000):
            log.refused(STRANGER, rpc="ListTags", decision="no rule")
        log.refused(A, rpc="ListTags", decision="no rule")
        clock[0] += 1
        log.refused(STRANGER, rpc="ListTags", decision="no rule")
    assert len(logs) == 202
    assert {entry["event"] for entry in logs} == {"refused"}
    assert logs[200]["caller"] == A.name
    assert (logs[201]["caller"], logs[201]["left_out"]) == (STRANGER.name, 800)
