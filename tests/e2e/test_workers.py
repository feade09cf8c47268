"""Several workers as their operator meets them: one port, one log, one page of metrics, one process to signal."""

import asyncio
import json
import os
import re
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest

from portus.registry.v1 import registry_service_pb2, registry_service_pb2_grpc
from portus_gateway.devregistry import DevRegistry, Fault
from tests.access.certificates import Authority
from tests.e2e.gateway_process import GatewayProcess, gateway_process, outcome
from tests.e2e.test_serve import metrics_of, reason_of, stub

TAGS = registry_service_pb2.ListTagsRequest(repository="team/app")
PATIENCE = 20.0
TWO = ("--workers", "2", "--metrics-listen", "127.0.0.1:0", "--log-level", "debug")


def workers_of(gateway: GatewayProcess) -> list[int]:
    """The process ids of what it has started and not yet ended."""
    pid = gateway.process.pid
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def command_line(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_text()


def records(gateway: GatewayProcess, event: str) -> list[dict[str, object]]:
    return [record for record in map(json.loads, gateway.log) if record["event"] == event]


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


@contextmanager
def none_left(pids: list[int]) -> Iterator[list[int]]:
    """Kills those that a failing test leaves behind: their log would never end."""
    try:
        yield pids
    finally:
        for pid in filter(alive, pids):
            os.kill(pid, signal.SIGKILL)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.02)


def connection(address: str) -> grpc.aio.Channel:
    """A connection of its own: the kernel gives it to one worker or the other."""
    return grpc.aio.insecure_channel(address, options=[("grpc.use_local_subchannel_pool", 1)])


async def call_until_both_have_served(gateway: GatewayProcess) -> int:
    """How many calls that took. It ends before 64 of them but once in 2 ** 63 runs."""
    for calls in range(1, 65):
        async with connection(gateway.address) as channel:
            await stub(channel).ListTags(TAGS, timeout=10)
        await until(lambda calls=calls: len(records(gateway, "call")) == calls)  # type: ignore[misc]
        if {record["worker"] for record in records(gateway, "call")} == {1, 2}:
            return calls
    raise AssertionError("one worker got all of the connections")


async def counted(gateway: GatewayProcess, series: str) -> float:
    """The sum over all of its labels; 0 where nothing was counted yet."""
    text = await asyncio.to_thread(metrics_of, gateway)
    found = re.findall(rf"^{series}(?:{{[^}}]*}})? (\S+)$", text, re.MULTILINE)
    return sum(map(float, found))


async def test_all_workers_serve_the_one_port_and_their_metrics_add_up(
    registry: DevRegistry, settings: dict[str, str]
) -> None:
    async with gateway_process("serve", *TWO, **settings) as gateway:
        calls = await call_until_both_have_served(gateway)
        assert await counted(gateway, "grpc_server_handled_total") == calls
        assert await counted(gateway, "grpc_server_handling_seconds_count") == calls
        upstream = registry.requests.count(route="tags", status=200)
        text = await asyncio.to_thread(metrics_of, gateway)
        assert f'outcome="200",route="tags"}} {upstream}.0' in text
        assert await counted(gateway, "portus_workers") == 2
        assert await counted(gateway, "portus_gateway_info") == 1
        await until(lambda: {record["worker"] for record in records(gateway, "registry ready")} == {1, 2})
        assert await counted(gateway, "portus_registry_ready") == 1
        for process in ("1", "2", "parent"):
            assert f'process_resident_memory_bytes{{worker="{process}"}}' in text
        # A scraper refuses a page that has a series twice, or that describes one twice.
        lines = [line.rpartition(" ")[0] for line in text.splitlines() if not line.startswith("#")]
        assert len(lines) == len(set(lines))
        assert registry.password not in text
        commands = [command_line(pid) for pid in workers_of(gateway)]
        assert len(commands) == 2
        assert registry.password not in "".join(commands)

    listening = records(gateway, "listening")
    assert [(record["address"], record["workers"]) for record in listening] == [(gateway.address, 2)]
    assert registry.password not in "\n".join(gateway.log)


async def test_a_signal_lets_every_workers_running_calls_finish(
    registry: DevRegistry, settings: dict[str, str]
) -> None:
    async with gateway_process("serve", *TWO, **settings) as gateway:
        pids = workers_of(gateway)
        registry.inject(Fault.parse("tags:delay=1.5"))
        channels = [connection(gateway.address) for _ in range(6)]
        calls = [stub(channel).ListTags(TAGS, timeout=20) for channel in channels]
        async with asyncio.timeout(PATIENCE):
            while await counted(gateway, "grpc_server_in_flight") < len(calls):
                await asyncio.sleep(0.02)
        gateway.signal(signal.SIGTERM)
        for answer in await asyncio.gather(*calls):
            assert answer.tags
        assert await gateway.ended() == 0
        assert not any(map(alive, pids))
        for channel in channels:
            await channel.close()
    for event in ("draining", "stopped"):
        assert sorted(str(record.get("worker")) for record in records(gateway, event)) == ["1", "2", "None"]
    assert not records(gateway, "a worker ended unexpectedly")


async def test_a_signal_to_all_of_its_processes_drains_as_well(registry: DevRegistry, settings: dict[str, str]) -> None:
    """As systemd and a terminal send it."""
    registry.inject(Fault.parse("tags:delay=1.5"))
    async with gateway_process("serve", *TWO, **settings) as gateway, connection(gateway.address) as channel:
        call = stub(channel).ListTags(TAGS, timeout=20)
        await registry.requests.wait_for(route="tags")
        for pid in (gateway.process.pid, *workers_of(gateway)):
            os.kill(pid, signal.SIGTERM)
        assert (await call).tags
        assert await gateway.ended() == 0


async def test_the_grace_is_bounded_for_workers_too(registry: DevRegistry, settings: dict[str, str]) -> None:
    registry.inject(Fault.parse("tags:hang"))
    async with (
        gateway_process("serve", *TWO, "--drain-grace", "2s", **settings) as gateway,
        connection(gateway.address) as channel,
    ):
        call = stub(channel).ListTags(TAGS, timeout=60)
        await registry.requests.wait_for(route="tags")
        gateway.signal(signal.SIGTERM)
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await call
        assert reason_of(failed.value) == (grpc.StatusCode.UNAVAILABLE, "SHUTTING_DOWN")
        assert await gateway.ended() == 0


async def test_a_worker_that_does_not_end_is_killed(settings: dict[str, str]) -> None:
    async with gateway_process("serve", *TWO, "--drain-grace", "500ms", **settings) as gateway:
        pids = workers_of(gateway)
        os.kill(pids[0], signal.SIGSTOP)
        gateway.signal(signal.SIGTERM)
        assert await gateway.ended() == 0
        assert not any(map(alive, pids))
    assert len(records(gateway, "workers did not end within the grace, and are killed")) == 1


async def test_a_second_signal_ends_all_of_them_at_once(registry: DevRegistry, settings: dict[str, str]) -> None:
    registry.inject(Fault.parse("tags:hang"))
    async with (
        gateway_process("serve", *TWO, "--drain-grace", "5m", **settings) as gateway,
        connection(gateway.address) as channel,
    ):
        call = stub(channel).ListTags(TAGS, timeout=60)
        await registry.requests.wait_for(route="tags")
        with none_left(workers_of(gateway)) as pids:
            gateway.signal(signal.SIGTERM)
            await until(lambda: any("worker" not in record for record in records(gateway, "draining")))
            gateway.signal(signal.SIGTERM)
            assert await gateway.ended() == -signal.SIGTERM
            await until(lambda: not any(map(alive, pids)))
        call.cancel()


async def test_a_worker_that_dies_is_replaced_and_what_it_counted_stays(settings: dict[str, str]) -> None:
    async with gateway_process("serve", *TWO, **settings) as gateway:
        calls = await call_until_both_have_served(gateway)
        assert await counted(gateway, "grpc_server_handled_total") == calls
        killed, survivor = workers_of(gateway)
        os.kill(killed, signal.SIGKILL)
        problem = await asyncio.wait_for(gateway.event("a worker ended unexpectedly"), PATIENCE)
        assert problem["level"] == "error"
        assert problem["error"] == "a worker ended with status -9"
        assert await counted(gateway, "grpc_server_handled_total") == calls
        async with connection(gateway.address) as channel:
            assert (await stub(channel).ListTags(TAGS, timeout=10, wait_for_ready=True)).tags
        replaced = await asyncio.wait_for(gateway.event("a worker serves in place of one that ended"), PATIENCE)
        assert replaced["worker"] == problem["worker"]
        assert sorted(workers_of(gateway)) == sorted([survivor, int(str(replaced["pid"]))])
        assert await counted(gateway, "portus_workers") == 2
        assert await counted(gateway, "portus_worker_restarts_total") == 1

        # The other one goes: who serves now is the new one.
        os.kill(survivor, signal.SIGSTOP)
        assert await counted(gateway, "grpc_server_handled_total") == calls + 1
        os.kill(survivor, signal.SIGKILL)
        await until(lambda: len(records(gateway, "a worker ended unexpectedly")) == 2)
        async with connection(gateway.address) as channel:
            assert (await stub(channel).ListTags(TAGS, timeout=10)).tags
        gateway.signal(signal.SIGTERM)
        assert await gateway.ended() == 0


async def test_no_second_gateway_shares_the_port(settings: dict[str, str]) -> None:
    async with gateway_process("serve", *TWO, **settings) as first:
        for workers in ("1", "2"):
            status, _, errors = await outcome("serve", "--listen", first.address, "--workers", workers, **settings)
            assert status == 1
            assert f"cannot listen on {first.address}: the address is in use" in errors
            assert "Traceback" not in errors
    async with gateway_process("serve", **settings) as alone:
        status, _, errors = await outcome("serve", "--listen", alone.address, "--workers", "2", **settings)
        assert status == 1
        assert f"cannot listen on {alone.address}: the address is in use" in errors


async def test_workers_end_when_the_process_that_started_them_is_gone(settings: dict[str, str]) -> None:
    async with gateway_process("serve", *TWO, **settings) as gateway:
        with none_left(workers_of(gateway)) as pids:
            assert len(pids) == 2
            gateway.signal(signal.SIGKILL)
            await until(lambda: not any(map(alive, pids)))
        assert sorted(str(record["worker"]) for record in records(gateway, "stopped")) == ["1", "2"]


async def test_a_file_that_cannot_be_used_is_reported_once(settings: dict[str, str], tmp_path: Path) -> None:
    tokens, policy = tmp_path / "tokens", tmp_path / "policy.toml"
    tokens.write_text("")
    policy.write_text("[[allow]]\nname = 1\n")
    status, _, errors = await outcome(
        "serve",
        "--workers=2",
        "--listen=127.0.0.1:0",
        PORTUS_CALLER_TOKEN_FILE=str(tokens),
        PORTUS_POLICY_FILE=str(policy),
        **settings,
    )
    assert status == 78
    assert errors.count("problems in the settings") == 1
    assert "Traceback" not in errors


async def test_the_port_for_certificates_is_shared_and_a_hang_up_reaches_every_worker(
    settings: dict[str, str], tmp_path: Path
) -> None:
    authority = Authority()
    certificate, key = authority.issue(dns=["localhost"]).write(tmp_path)
    (tmp_path / "ca.pem").write_bytes(authority.pem)
    (tmp_path / "policy.toml").write_text(
        '[[allow]]\nname = "us"\nprincipals = ["*"]\nrpcs = ["read"]\nrepositories = ["team/app"]\n'
    )
    protected = settings | {
        "PORTUS_LISTEN": "127.0.0.1:0",
        "PORTUS_MTLS_LISTEN": "127.0.0.1:0",
        "PORTUS_TLS_CERTIFICATE_FILE": str(certificate),
        "PORTUS_TLS_KEY_FILE": str(key),
        "PORTUS_TLS_CLIENT_CA_FILE": str(tmp_path / "ca.pem"),
        "PORTUS_POLICY_FILE": str(tmp_path / "policy.toml"),
    }
    ours = authority.issue(uris=["spiffe://example.org/team-a"])
    credentials = grpc.ssl_channel_credentials(authority.pem, private_key=ours.key, certificate_chain=ours.certificate)
    async with gateway_process("serve", *TWO, **protected) as gateway:
        options = [("grpc.use_local_subchannel_pool", 1)]
        address = f"localhost:{gateway.mtls.rpartition(':')[2]}"
        for calls in range(1, 65):
            async with grpc.aio.secure_channel(address, credentials, options) as channel:
                request = registry_service_pb2.ListTagsRequest(repository="team/app")
                assert (await registry_service_pb2_grpc.RegistryServiceStub(channel).ListTags(request, timeout=10)).tags
            await until(lambda calls=calls: len(records(gateway, "call")) == calls)  # type: ignore[misc]
            if {record["worker"] for record in records(gateway, "call")} == {1, 2}:
                break
        else:
            raise AssertionError("one worker got all of the connections")
        gateway.signal(signal.SIGHUP)
        await until(lambda: {record["worker"] for record in records(gateway, "SIGHUP: loading files again")} == {1, 2})
        status, _, errors = await outcome("serve", "--workers=2", **(protected | {"PORTUS_MTLS_LISTEN": gateway.mtls}))
        assert status == 1
        assert f"cannot listen on {gateway.mtls}" in errors


async def test_a_worker_that_hangs_is_replaced(settings: dict[str, str]) -> None:
    async with gateway_process("serve", *TWO, **settings) as gateway:
        with none_left(workers_of(gateway)) as pids:
            os.kill(pids[0], signal.SIGSTOP)
            hung = await asyncio.wait_for(gateway.event("a worker hangs and is killed"), 60)
            assert hung["pid"] == pids[0]
            await asyncio.wait_for(gateway.event("a worker serves in place of one that ended"), 60)
            assert not alive(pids[0])
            # Every connection is served again, whichever worker gets it.
            for _ in range(20):
                async with connection(gateway.address) as channel:
                    await stub(channel).ListTags(TAGS, timeout=10)


async def test_a_worker_that_hangs_does_not_hold_up_the_end(settings: dict[str, str]) -> None:
    async with gateway_process("serve", *TWO, "--drain-grace", "1s", **settings) as gateway:
        with none_left(workers_of(gateway)) as pids:
            os.kill(pids[0], signal.SIGSTOP)
            gateway.signal(signal.SIGTERM)
            assert await gateway.ended() == 0
            assert not any(map(alive, pids))


async def test_workers_accept_each_others_page_tokens_without_any_key() -> None:
    """No password and no key file: the workers share a key that the gateway made."""
    async with DevRegistry(auth="anonymous") as registry:
        registry.push("team/app", *[f"v{number}" for number in range(10)])
        variables = {"PORTUS_REGISTRY_URL": registry.url, "PORTUS_REGISTRY_ANONYMOUS": "true"}
        async with gateway_process("serve", *TWO, **variables) as gateway:
            first = registry_service_pb2.ListTagsRequest(repository="team/app", page_size=4)
            async with connection(gateway.address) as channel:
                token = (await stub(channel).ListTags(first, timeout=10)).next_page_token
            following = registry_service_pb2.ListTagsRequest(repository="team/app", page_token=token)
            for calls in range(1, 65):
                async with connection(gateway.address) as channel:
                    assert len((await stub(channel).ListTags(following, timeout=10)).tags) == 6
                await until(lambda calls=calls: len(records(gateway, "call")) == calls + 1)  # type: ignore[misc]
                if {record["worker"] for record in records(gateway, "call")[1:]} == {1, 2}:
                    return
    raise AssertionError("one worker got all of the connections")
