import asyncio

import structlog

from portus_gateway.distribution.errors import DistributionError, UpstreamTimeout
from portus_gateway.distribution.ping import RegistryVersion
from portus_gateway.operations.registry_status import AccountNotAskedFor, Readiness, registry_status
from tests.scripted_registry import ScriptedRegistry


class Pinged(ScriptedRegistry):
    """Answers pings with what is scripted, one after the other; the last for ever."""

    def __init__(self, *outcomes: Exception | RegistryVersion | None) -> None:
        super().__init__({})
        self.outcomes = list(outcomes)
        self.pings = 0

    async def ping(self) -> RegistryVersion:
        self.pings += 1
        outcome = self.outcomes.pop(0) if len(self.outcomes) > 1 else self.outcomes[0]
        if isinstance(outcome, Exception):
            raise outcome
        return outcome or RegistryVersion("registry/2.0")


async def reported(registry: Pinged, count: int, pings: int) -> list[bool]:
    """The reported changes, after `count` changes and `pings` pings."""
    changes: list[bool] = []
    async with Readiness(registry, 0.001, lambda status: changes.append(status.ready)), asyncio.timeout(10):
        while len(changes) < count or registry.pings < pings:
            await asyncio.sleep(0.001)
    return changes


async def test_only_changes_are_reported() -> None:
    assert await reported(Pinged(None), 1, 5) == [True]
    assert await reported(Pinged(UpstreamTimeout("slow")), 1, 5) == [False]


async def test_one_failure_is_no_outage_and_two_are() -> None:
    slow = UpstreamTimeout("slow")
    assert await reported(Pinged(None, slow, None, None), 1, 6) == [True]
    assert await reported(Pinged(None, slow, slow, None), 3, 4) == [True, False, True]


async def test_any_problem_with_the_account_means_not_ready() -> None:
    assert await reported(Pinged(DistributionError("rejected")), 1, 1) == [False]


async def test_a_bug_in_the_check_is_not_ready_either() -> None:
    assert await reported(Pinged(None, RuntimeError("bug")), 2, 2) == [True, False]


UNASKED = RegistryVersion("registry/2.0", account_is_unused=True)


async def test_a_registry_that_does_not_ask_for_the_account_is_usable_but_has_a_problem() -> None:
    status = await registry_status(Pinged(UNASKED))
    assert (status.reachable, status.ready, status.api_version) == (True, True, "registry/2.0")
    assert isinstance(status.problem, AccountNotAskedFor)
    assert await reported(Pinged(UNASKED), 1, 3) == [True]


async def test_each_change_is_logged_once_with_what_the_operator_has_to_do() -> None:
    slow = UpstreamTimeout("slow")
    with structlog.testing.capture_logs() as logs:
        await reported(Pinged(UNASKED, UNASKED, None, None, slow, slow, slow, None), 3, 9)
    assert [(log["event"], log["log_level"], log.get("reason")) for log in logs] == [
        ("registry ready", "warning", "ACCOUNT_NOT_ASKED_FOR"),
        ("registry ready", "info", None),
        ("registry not ready", "warning", "UPSTREAM_TIMEOUT"),
        ("registry ready", "info", None),
    ]
    assert "PORTUS_REGISTRY_AUTH" in logs[0]["problem"]


async def test_nothing_runs_on_after_the_end() -> None:
    registry = Pinged(None)
    await reported(registry, 1, 1)
    pings = registry.pings
    await asyncio.sleep(0.01)
    assert registry.pings == pings
    assert len(asyncio.all_tasks()) == 1
