"""The live index of the real process: killed, restarted, with workers, and its commands."""

import asyncio
import hashlib
import json
import os
import signal
import sqlite3
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from pathlib import Path

import aiohttp
import grpc
import pytest
from grpc_health.v1.health_pb2 import HealthCheckResponse

from portus.registry.v1.registry_service_pb2 import (
    CatalogRequest,
    DeleteTagRequest,
    GetRegistryInfoRequest,
    IndexStatus,
    ListTagsRequest,
)
from portus.registry.v1.registry_service_pb2_grpc import RegistryServiceStub
from portus.registry.v1.tag_history_pb2 import ListTagHistoryRequest
from portus.registry.v1.watch_pb2 import Event, WatchEventsRequest
from portus_gateway.devregistry import DevRegistry
from tests.e2e.gateway_process import GatewayProcess, gateway_process, outcome
from tests.index.postgres_server import PostgresServer, postgres_server
from tests.index.registries import until
from tests.rpc.health_calls import check


@pytest.fixture
async def registry() -> AsyncGenerator[DevRegistry, None]:
    async with DevRegistry(auth="anonymous") as running:
        running.push("team/app", "v1", "v2")
        running.push("other/app", "v1")
        yield running


@pytest.fixture
def variables(registry: DevRegistry, tmp_path: Path) -> dict[str, str]:
    tokens = tmp_path / "tokens"
    tokens.write_text(f"registry sha256:{hashlib.sha256(b's3cret').hexdigest()}\n")
    return {
        "PORTUS_REGISTRY_URL": registry.url,
        "PORTUS_REGISTRY_ANONYMOUS": "true",
        "PORTUS_INDEX": f"sqlite://{tmp_path}/index.db",
        "PORTUS_NOTIFICATIONS_LISTEN": "127.0.0.1:0",
        "PORTUS_NOTIFICATIONS_TOKEN_FILE": str(tokens),
    }


async def ready(gateway: GatewayProcess) -> None:
    async with grpc.aio.insecure_channel(gateway.address) as channel:
        stub = RegistryServiceStub(channel)

        async def is_ready() -> bool:
            info = await stub.GetRegistryInfo(GetRegistryInfoRequest())
            return info.index.state == info.index.READY

        await until(is_ready, 30)


async def cursor_of(gateway: GatewayProcess) -> str:
    async with grpc.aio.insecure_channel(gateway.address) as channel:
        return str((await RegistryServiceStub(channel).Catalog(CatalogRequest())).cursor)


async def test_a_watch_goes_on_after_the_gateway_was_killed(registry: DevRegistry, variables: dict[str, str]) -> None:
    async with gateway_process("serve", "--listen", "127.0.0.1:0", **variables) as gateway:
        await ready(gateway)
        cursor = await cursor_of(gateway)
        gateway.signal(signal.SIGKILL)
        await gateway.ended()
    registry.push("team/app", "v3")
    registry.untag("team/app", "v1")
    async with (
        gateway_process("serve", "--listen", "127.0.0.1:0", **variables) as gateway,
        grpc.aio.insecure_channel(gateway.address) as channel,
    ):
        events: list[tuple[int, str]] = []
        call = RegistryServiceStub(channel).WatchEvents(WatchEventsRequest(after_cursor=cursor))
        async with asyncio.timeout(30):
            async for message in call:
                events += [(event.type, event.tag) for event in message.events]
                if len(events) == 2:
                    break
        call.cancel()
        assert sorted(tag for _, tag in events) == ["v1", "v3"]


async def test_changes_are_kept_for_as_long_as_the_setting_says(variables: dict[str, str], tmp_path: Path) -> None:
    async def history(setting: str) -> list[str]:
        gateway_with = variables | {"PORTUS_INDEX_HISTORY": setting}
        async with (
            gateway_process("serve", "--listen", "127.0.0.1:0", **gateway_with) as gateway,
            grpc.aio.insecure_channel(gateway.address) as channel,
        ):
            await ready(gateway)
            stub = RegistryServiceStub(channel)

            async def changes() -> list[str]:
                answer = await stub.ListTagHistory(ListTagHistoryRequest(repository="team/app", tag="v1"))
                return [Event.Type.Name(event.type) for event in answer.events]

            if setting == "1h":
                await until(lambda: _is_empty(changes), 30)
            return await changes()

    assert await history("30d") == ["TAG_CREATED"]
    with sqlite3.connect(tmp_path / "index.db") as index:
        index.execute("UPDATE changes SET observed_at = observed_at - 7200")
    index.close()
    assert await history("1d") == ["TAG_CREATED"]
    assert await history("1h") == []


async def _is_empty(listing: Callable[[], Awaitable[list[str]]]) -> bool:
    return not await listing()


async def test_one_of_several_workers_keeps_the_index_and_all_answer(variables: dict[str, str]) -> None:
    async with gateway_process("serve", "--listen", "127.0.0.1:0", "--workers", "2", **variables) as gateway:
        await ready(gateway)
        cursors = {await cursor_of(gateway) for _ in range(8)}
        assert "" not in cursors


async def test_another_worker_keeps_the_index_after_the_one_that_did_was_killed(
    registry: DevRegistry, variables: dict[str, str]
) -> None:
    settings = variables | {"PORTUS_INDEX_WALK_INTERVAL": "1s"}
    async with (
        gateway_process(
            "serve", "--listen", "127.0.0.1:0", "--workers", "2", "--log-level", "debug", **settings
        ) as gateway,
        grpc.aio.insecure_channel(gateway.address) as channel,
    ):
        await ready(gateway)
        keeper = next(
            record for record in map(json.loads, gateway.log) if record.get("worker") == 1 and "pid" in record
        )
        os.kill(int(keeper["pid"]), signal.SIGKILL)
        await asyncio.wait_for(gateway.event("a worker serves in place of one that ended"), 30)
        registry.push("team/app", "v3")
        stub = RegistryServiceStub(channel)
        request = ListTagsRequest(repository="team/app")
        request.max_staleness.seconds = 3600

        async def is_there() -> bool:
            # A call may be at the worker that was killed.
            return "v3" in (await stub.ListTags(request, wait_for_ready=True)).tags

        await until(is_there, 60)


async def test_the_commands(registry: DevRegistry, variables: dict[str, str]) -> None:
    async with gateway_process("serve", "--listen", "127.0.0.1:0", **variables) as gateway:
        await ready(gateway)
        status, output, _ = await outcome("index", "status", **variables)
        assert status == 0
        assert "state:          ready" in output
        assert "tags:           3" in output
        status, output, errors = await outcome("index", "check", **variables)
        assert (status, output, errors) == (0, "", "no differences\n")
        registry.push("team/app", "v3")
        status, output, errors = await outcome("index", "check", **variables)
        assert (status, errors) == (1, "1 difference\n")
        assert output.startswith("team/app:v3: index nothing, registry sha256:")
        status, output, _ = await outcome("index", "export", **variables)
        exported = [json.loads(line) for line in output.splitlines()]
        assert [(line["repository"], line["tag"]) for line in exported] == [
            ("other/app", "v1"),
            ("team/app", "v1"),
            ("team/app", "v2"),
        ]
        before = await cursor_of(gateway)
        status, _, errors = await outcome("index", "rebuild", "--yes", **variables)
        assert status == 0, errors
        await ready(gateway)
        assert await cursor_of(gateway) != before
        await registry.__aexit__(None, None, None)
        status, _, errors = await outcome("index", "check", PORTUS_CONNECT_TIMEOUT="1", **variables)
        assert status == 1
        assert "that its address and scheme (http or https) are right: PORTUS_REGISTRY_URL" in errors


async def test_commands_without_an_index(variables: dict[str, str]) -> None:
    settings = {name: value for name, value in variables.items() if "REGISTRY" in name}
    status, _, errors = await outcome("index", "status", **settings)
    assert status == 78
    assert "PORTUS_INDEX" in errors


async def test_a_rebuild_asks_only_on_a_terminal_and_only_if_the_settings_are_right(variables: dict[str, str]) -> None:
    status, _, errors = await outcome("index", "rebuild", **variables)
    assert status == 2
    assert errors.endswith("Error: cannot ask without a terminal: give --yes\n")
    status, output, errors = await outcome("index", "rebuild")
    assert status == 78
    assert (output, errors.splitlines()[0]) == ("", "portus-gateway: 2 problems in the settings:")


@pytest.mark.parametrize(
    "url",
    [
        "gateway.example",
        "gateway.example:8090/notifications",
        "http://gateway.example:8090",
        # The registry would get 404, and repeat its first event for ever.
        "http://gateway.example:8090/events",
        "http://gateway.example:8090/notifications/",
    ],
)
async def test_an_endpoint_needs_the_whole_address_of_the_receiver(url: str) -> None:
    status, output, errors = await outcome("index", "endpoint", "--url", url)
    assert (status, output) == (2, "")
    assert (
        "must be an http or https address that ends with /notifications, such as"
        " http://gateway.example:8090/notifications" in " ".join(errors.split())
    )


@pytest.mark.parametrize("command", ["status", "check", "export"])
async def test_commands_that_look_make_no_file(command: str, variables: dict[str, str], tmp_path: Path) -> None:
    status, _, errors = await outcome("index", command, **variables)
    assert status == 1
    assert errors == f"Error: there is no index at {tmp_path}/index.db yet: a gateway that starts makes it\n"
    assert not [name for name in os.listdir(tmp_path) if name.startswith("index.db")]


async def test_the_registrys_settings_have_a_new_token_and_its_hash() -> None:
    status, output, errors = await outcome("index", "endpoint", "--url", "http://gateway.example:8090/notifications")
    assert status == 0
    token = output.partition("Bearer ")[2].partition("]")[0]
    assert errors.strip() == f"registry sha256:{hashlib.sha256(token.encode()).hexdigest()}"


async def probed(gateway: GatewayProcess) -> tuple[int, int]:
    """The status of the gateway's health as an RPC, and that of `/readyz`."""
    async with grpc.aio.insecure_channel(gateway.address) as channel:
        health = await check(channel, "portus.registry.v1.RegistryService")
    async with aiohttp.ClientSession() as session, session.get(f"http://{gateway.metrics}/readyz") as answer:
        return health, answer.status


HEALTHY = (HealthCheckResponse.SERVING, 200)


async def test_a_store_that_is_away_disturbs_neither_health_nor_answers(
    registry: DevRegistry, variables: dict[str, str]
) -> None:
    with postgres_server() as server:
        own = {**variables, "PORTUS_INDEX": server.new_database(), "PORTUS_ALLOW_DELETE": "true"}
        async with (
            gateway_process("serve", "--metrics-listen", "127.0.0.1:0", **own) as gateway,
            grpc.aio.insecure_channel(gateway.address) as channel,
        ):
            stub = RegistryServiceStub(channel)
            await ready(gateway)
            cursor = await cursor_of(gateway)
            notifications = str((await gateway.event("receiving notifications"))["address"])
            assert await probed(gateway) == HEALTHY

            server.stop()
            listing = ListTagsRequest(repository="team/app")
            listing.max_staleness.FromSeconds(3600)
            for number in range(3, 8):
                registry.push("team/app", f"v{number}")
                # From the registry, which knows the new tag, although the caller would take an hour's old answer.
                assert f"v{number}" in (await stub.ListTags(listing)).tags
                assert await probed(gateway) == HEALTHY
            info = await stub.GetRegistryInfo(GetRegistryInfoRequest())
            assert info.reachable
            assert info.index.state == IndexStatus.UNAVAILABLE
            deleted = await stub.DeleteTag(DeleteTagRequest(repository="team/app", tag="v1"))
            assert deleted.digest
            with pytest.raises(grpc.aio.AioRpcError) as failed:
                await stub.WatchEvents(WatchEventsRequest(after_cursor=cursor)).read()
            assert failed.value.code() is grpc.StatusCode.UNAVAILABLE
            # The registry keeps what it wants to tell.
            event = {"action": "delete", "target": {"repository": "team/app", "tag": "v7"}}
            async with (
                aiohttp.ClientSession(headers={"Authorization": "Bearer s3cret"}) as session,
                session.post(f"http://{notifications}/notifications", json={"events": [event]}) as answer,
            ):
                assert answer.status == 503

            server.start()
            await ready(gateway)
            tags: list[str] = []
            async with asyncio.timeout(60):
                async for message in stub.WatchEvents(WatchEventsRequest(after_cursor=cursor)):
                    tags += [event.tag for event in message.events]
                    if len(tags) == 6:
                        break
            assert sorted(tags) == ["v1", "v3", "v4", "v5", "v6", "v7"]
            assert await probed(gateway) == HEALTHY


async def test_a_gateway_starts_without_its_store(variables: dict[str, str]) -> None:
    with postgres_server() as server:
        own = {**variables, "PORTUS_INDEX": server.new_database()}
        server.stop()
        async with (
            gateway_process("serve", "--metrics-listen", "127.0.0.1:0", **own) as gateway,
            grpc.aio.insecure_channel(gateway.address) as channel,
        ):
            await gateway.event("registry ready")
            assert await probed(gateway) == HEALTHY
            listed = await RegistryServiceStub(channel).ListTags(ListTagsRequest(repository="team/app"))
            assert list(listed.tags) == ["v1", "v2"]
            server.start()
            await ready(gateway)


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    with postgres_server() as server:
        yield server


async def test_a_watch_goes_on_at_another_replica_which_takes_over_the_work(
    registry: DevRegistry, variables: dict[str, str], postgres: PostgresServer
) -> None:
    shared = variables | {"PORTUS_INDEX": postgres.new_database(), "PORTUS_INDEX_WALK_INTERVAL": "1s"}
    async with (
        gateway_process("serve", "--listen", "127.0.0.1:0", **shared) as first,
        gateway_process("serve", "--listen", "127.0.0.1:0", **shared) as second,
    ):
        await ready(first)
        cursor = await cursor_of(first)
        assert await cursor_of(second) != ""
        # It leads, so that the other one has to find out that it is gone.
        first.signal(signal.SIGKILL)
        await first.ended()
        registry.push("team/app", "v3")
        async with grpc.aio.insecure_channel(second.address) as channel:
            call = RegistryServiceStub(channel).WatchEvents(WatchEventsRequest(after_cursor=cursor))
            tags: list[str] = []
            async with asyncio.timeout(60):
                async for message in call:
                    tags += [event.tag for event in message.events]
                    if tags:
                        break
            call.cancel()
            assert tags == ["v3"]
