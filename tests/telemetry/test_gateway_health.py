from contextlib import aclosing

from portus_gateway.telemetry.gateway_health import STOPPING, GatewayHealth


def health_and_changes() -> tuple[GatewayHealth, list[bool]]:
    changes: list[bool] = []
    return GatewayHealth(changes.append), changes


async def test_it_is_ready_when_no_part_has_a_problem() -> None:
    health, changes = health_and_changes()
    assert health.ready
    health.set("registry", "it does not answer")
    health.set("files", "one is gone")
    health.set("files", "one is gone")
    assert list(health.problems) == ["it does not answer", "one is gone"]
    health.set("registry", "")
    health.set("registry", "")
    assert list(health.problems) == ["one is gone"]
    health.set("files", "")
    assert health.ready
    assert changes == [False, False, False, True]


async def test_one_that_stops_is_never_ready_again() -> None:
    health, changes = health_and_changes()
    health.stop()
    health.set("registry", "it does not answer")
    health.set("registry", "")
    assert health.problems == (STOPPING,)
    assert not any(changes)


async def test_changes_begin_with_what_is_the_case_and_end_with_the_last() -> None:
    health, _ = health_and_changes()
    health.set("registry", "first")
    async with aclosing(health.changes()) as changes:
        assert await anext(changes) == ("first",)
        health.set("registry", "second")
        health.set("registry", "third")
        assert await anext(changes) == ("third",)
        health.stop()
        assert await anext(changes) == (STOPPING,)
