"""Floods of a stranger who speaks HTTP/2 frame by frame. Each is bounded: seconds, and MiB."""

import asyncio
import re
import time
import urllib.request
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import grpc
import pytest

from portus.registry.v1.registry_service_pb2 import ListTagsRequest
from portus.registry.v1.registry_service_pb2_grpc import RegistryServiceStub
from tests.attack.processes import MEBIBYTE, resident
from tests.attack.raw_http2 import RawConnection, Windows
from tests.e2e.gateway_process import GatewayProcess, gateway_process
from tests.rpc.gateways import SERVICE

LIST_TAGS = f"/{SERVICE}/ListTags"
HEALTH = "/grpc.health.v1.Health"
REFLECTION = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"
TAGS = ListTagsRequest(repository="team/app")
SERVING = b"\x08\x01"
WINDOW = 65_535
# A symbol that does not exist comes back in the answer, twice.
LONG_SYMBOL = b"\x22\x80\x80\x20" + b"s" * (512 * 1024)


def own_connection(address: str) -> grpc.aio.Channel:
    return grpc.aio.insecure_channel(address, [("grpc.use_local_subchannel_pool", 1)])


def page(gateway: GatewayProcess, path: str) -> str:
    with urllib.request.urlopen(f"http://{gateway.metrics}{path}", timeout=10) as answer:
        return str(answer.read().decode())


def counted(gateway: GatewayProcess, series: str) -> float:
    """The sum of a metric over the labels that `series` does not name."""
    text = page(gateway, "/metrics")
    return sum(float(value) for value in re.findall(rf"^{series}[^ ]* (\S+)$", text, re.MULTILINE))


async def reset_calls(address: str, enough: asyncio.Event) -> int:
    """Opens calls and resets each at once, as fast as it can, and counts them."""
    sent = 0
    async with RawConnection.open(address, window=WINDOW) as attacker:
        with suppress(ConnectionError):
            while not enough.is_set():
                for _ in range(100):
                    await attacker.reset_at_once(LIST_TAGS)
                    sent += 1
                await asyncio.sleep(0)
    return sent


async def test_a_flood_of_reset_calls_ends_nobody_elses_and_shows_in_a_metric(settings: dict[str, str]) -> None:
    async with (
        gateway_process("serve", PORTUS_METRICS_LISTEN="127.0.0.1:0", **settings) as gateway,
        own_connection(gateway.address) as channel,
    ):
        stub = RegistryServiceStub(channel)
        await stub.ListTags(TAGS, timeout=30)
        enough = asyncio.Event()
        flood = asyncio.ensure_future(reset_calls(gateway.address, enough))
        outcomes: Counter[str] = Counter()
        end = time.monotonic() + 4
        while time.monotonic() < end:
            try:
                await stub.ListTags(TAGS, timeout=30)
                outcomes["OK"] += 1
            except grpc.aio.AioRpcError as error:
                outcomes[error.code().name] += 1
        enough.set()
        assert await flood > 1000
        assert set(outcomes) == {"OK"}, outcomes
        cancelled = await asyncio.to_thread(counted, gateway, 'grpc_server_handled_total{grpc_code="Cancelled"')
        assert cancelled > 100


async def hold_unfinished(address: str, method: str, ready: asyncio.Event, end: asyncio.Event) -> None:
    """Opens as many calls as it can whose request never ends, and holds them."""
    windows = Windows()
    async with RawConnection.open(address, window=WINDOW) as attacker:
        following = asyncio.ensure_future(windows.follow(attacker))
        # The server has had enough where it resets a call, or keeps its windows shut.
        with suppress(ConnectionError, TimeoutError):
            for _ in range(300):
                await attacker.unfinished(method, MEBIBYTE - 16, windows)
        ready.set()
        await end.wait()
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)


@pytest.mark.parametrize(
    ("method", "most"), [(f"{HEALTH}/Check", 120), (f"{HEALTH}/Watch", 120), (REFLECTION, 120)], ids=str
)
async def test_unfinished_requests_of_strangers_take_bounded_memory(
    settings: dict[str, str], method: str, most: int
) -> None:
    async with gateway_process("serve", **settings) as gateway, own_connection(gateway.address) as channel:
        before = resident(gateway.process.pid)
        end, ready = asyncio.Event(), [asyncio.Event() for _ in range(3)]
        attackers = [asyncio.ensure_future(hold_unfinished(gateway.address, method, each, end)) for each in ready]
        await asyncio.gather(*(each.wait() for each in ready))
        assert resident(gateway.process.pid) - before < most * MEBIBYTE
        await RegistryServiceStub(channel).ListTags(TAGS, timeout=10)
        end.set()
        await asyncio.gather(*attackers)


async def test_long_requests_of_reflection_are_refused_and_take_bounded_memory(settings: dict[str, str]) -> None:
    async with gateway_process("serve", **settings) as gateway, own_connection(gateway.address) as channel:
        before = resident(gateway.process.pid)
        for _ in range(100):
            stream = channel.stream_stream(REFLECTION, bytes, bytes)(iter([LONG_SYMBOL]), timeout=10)
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await stream.read()
            assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert resident(gateway.process.pid) - before < 40 * MEBIBYTE


@pytest.mark.parametrize("method", ["Check", "List"])
async def test_unread_answers_of_health_keep_no_probe_out(settings: dict[str, str], method: str) -> None:
    async with (
        gateway_process("serve", **settings) as gateway,
        RawConnection.open(gateway.address, window=0) as attacker,
        own_connection(gateway.address) as channel,
    ):
        for _ in range(90):
            await attacker.call(f"{HEALTH}/{method}", b"")
        assert await channel.unary_unary(f"{HEALTH}/Check", bytes, bytes)(b"", timeout=10) == SERVING


async def test_watchers_on_one_connection_keep_nobody_out_on_another(settings: dict[str, str]) -> None:
    async with gateway_process("serve", **settings) as gateway, own_connection(gateway.address) as attacker:
        watches = [attacker.unary_stream(f"{HEALTH}/Watch", bytes, bytes)(b"") for _ in range(90)]
        codes = [await code_of(watch) for watch in watches]
        assert codes.count(grpc.StatusCode.RESOURCE_EXHAUSTED) > 50
        async with own_connection(gateway.address) as channel:
            watch = channel.unary_stream(f"{HEALTH}/Watch", bytes, bytes)(b"", timeout=10)
            assert await watch.read() == SERVING
        for watch in watches:
            watch.cancel()


async def code_of(watch: "grpc.aio.UnaryStreamCall[Any, bytes]") -> grpc.StatusCode:
    """OK where the watch goes on, else its status."""
    try:
        assert await watch.read()
    except grpc.aio.AioRpcError as error:
        return error.code()
    return grpc.StatusCode.OK


async def test_connections_that_say_nothing_are_closed(settings: dict[str, str]) -> None:
    async with gateway_process("serve", **settings) as gateway:
        host, _, port = gateway.address.rpartition(":")
        silent = [await asyncio.open_connection(host, int(port)) for _ in range(100)]
        try:
            async with asyncio.timeout(30):
                # What the server sends first, and then the end.
                await asyncio.gather(*(reader.read() for reader, _ in silent))
        finally:
            for _, writer in silent:
                writer.close()


def open_files(gateway: GatewayProcess) -> int:
    return len(list(Path(f"/proc/{gateway.process.pid}/fd").iterdir()))


async def test_idle_connections_to_the_metrics_port_are_bounded(settings: dict[str, str]) -> None:
    """They would use up the file descriptors that callers' connections need."""
    async with gateway_process("serve", PORTUS_METRICS_LISTEN="127.0.0.1:0", **settings) as gateway:
        host, _, port = gateway.metrics.rpartition(":")
        before = open_files(gateway)
        idle = [await asyncio.open_connection(host, int(port)) for _ in range(400)]
        assert await asyncio.to_thread(page, gateway, "/livez") == "ok\n"
        assert open_files(gateway) - before < 80
        for _, writer in idle:
            writer.close()
        await asyncio.gather(*(writer.wait_closed() for _, writer in idle), return_exceptions=True)
