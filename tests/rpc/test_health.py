import asyncio
from dataclasses import replace

import grpc
import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

from portus_gateway.rpc import boundary, health, server
from portus_gateway.rpc.health_list import HealthListRequest, health_list
from portus_gateway.rpc.open_services import OPEN_METHODS
from portus_gateway.rpc.service_names import HEALTH_SERVICE
from tests.rpc.failures import failure_of
from tests.rpc.gateways import PATIENCE, SERVICE, connected, serve, soon
from tests.rpc.health_calls import check, list_all, watch
from tests.rpc.scripted_registry import ScriptedRegistry

SERVING = HealthCheckResponse.SERVING
NOT_SERVING = HealthCheckResponse.NOT_SERVING
SERVICE_UNKNOWN = HealthCheckResponse.SERVICE_UNKNOWN


async def test_check_answers_for_process_and_service_without_asking_the_registry() -> None:
    registry = ScriptedRegistry()
    async with serve(registry) as gateway:
        assert await check(gateway.channel, "") == SERVING
        assert await check(gateway.channel, SERVICE) == NOT_SERVING
        gateway.server.set_registry_serving(True)
        assert await check(gateway.channel, SERVICE) == SERVING
        gateway.server.set_registry_serving(False)
        # The process lives on: a restart would not help the registry.
        assert await check(gateway.channel, "") == SERVING
        assert await check(gateway.channel, SERVICE) == NOT_SERVING
    assert registry.asked == []


async def test_check_of_a_service_that_there_is_not_is_not_found() -> None:
    async with serve(ScriptedRegistry()) as gateway:
        failed = await failure_of(check(gateway.channel, "RegistryService"))
    assert failed.outcome == (grpc.StatusCode.NOT_FOUND, "SERVICE_UNKNOWN")


async def test_list_has_every_service() -> None:
    async with serve(ScriptedRegistry()) as gateway:
        gateway.server.set_registry_serving(True)
        assert await list_all(gateway.channel) == health_list({"": SERVING, SERVICE: SERVING})
        gateway.server.set_registry_serving(False)
        assert await list_all(gateway.channel) == health_list({"": SERVING, SERVICE: NOT_SERVING})


async def test_watch_sends_only_changes() -> None:
    async with serve(ScriptedRegistry()) as gateway:
        watching = watch(gateway.channel, SERVICE)
        assert await soon(watching.read()) == HealthCheckResponse(status=NOT_SERVING)
        gateway.server.set_registry_serving(False)
        gateway.server.set_registry_serving(True)
        assert await soon(watching.read()) == HealthCheckResponse(status=SERVING)
        gateway.server.set_registry_serving(True)
        gateway.server.set_registry_serving(False)
        assert await soon(watching.read()) == HealthCheckResponse(status=NOT_SERVING)
        watching.cancel()


async def test_watch_of_a_service_that_there_is_not_says_so_and_stays_open() -> None:
    async with serve(ScriptedRegistry()) as gateway:
        watching = watch(gateway.channel, "other")
        assert await soon(watching.read()) == HealthCheckResponse(status=SERVICE_UNKNOWN)
        assert not watching.done()
        watching.cancel()


async def test_a_watcher_too_many_is_refused_and_a_place_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    one = {f"/{HEALTH_SERVICE}/Watch": replace(OPEN_METHODS[f"/{HEALTH_SERVICE}/Watch"], for_connection=1)}
    monkeypatch.setattr(boundary, "OPEN_METHODS", {**OPEN_METHODS, **one})
    async with serve(ScriptedRegistry()) as gateway:
        first = watch(gateway.channel)
        await soon(first.read())
        refused = await failure_of(watch(gateway.channel).read())
        gateway.calls.ended.clear()
        first.cancel()
        await soon(gateway.calls.ended.wait())
        second = watch(gateway.channel)
        assert await soon(second.read()) == HealthCheckResponse(status=SERVING)
        second.cancel()
    assert refused.outcome == (grpc.StatusCode.RESOURCE_EXHAUSTED, "TOO_MANY_CALLS")
    assert refused.retry_delay == 1


async def test_watchers_get_not_serving_and_do_not_delay_the_shutdown(monkeypatch: pytest.MonkeyPatch) -> None:
    # They end by themselves, before anybody ends them.
    monkeypatch.setattr(server, "_FAREWELL", PATIENCE)
    async with serve(ScriptedRegistry()) as gateway:
        gateway.server.set_registry_serving(True)
        watches = [watch(gateway.channel, service) for service in ("", SERVICE)]
        for watching in watches:
            assert await soon(watching.read()) == HealthCheckResponse(status=SERVING)
        await asyncio.wait_for(gateway.server.drain(4 * PATIENCE), PATIENCE / 2)
        for watching in watches:
            assert await soon(watching.read()) == HealthCheckResponse(status=NOT_SERVING)
            ended = await failure_of(watching.read())
            assert ended.outcome == (grpc.StatusCode.UNAVAILABLE, "SHUTTING_DOWN")


async def test_nothing_is_serving_once_it_drains() -> None:
    state = health.Health()
    state.set_serving(SERVICE, True)
    state.drain()
    state.set_serving(SERVICE, True)
    for service in ("", SERVICE):
        assert (await state.check(HealthCheckRequest(service=service), None)).status == NOT_SERVING
    assert await state.list_all(HealthListRequest(), None) == health_list({"": NOT_SERVING, SERVICE: NOT_SERVING})


async def test_health_is_answered_over_many_connections() -> None:
    async with serve(ScriptedRegistry()) as gateway, connected(gateway.port) as other:
        assert [await check(channel, "") for channel in (gateway.channel, other)] == [SERVING, SERVING]
