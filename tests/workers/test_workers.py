"""The parts of several workers: the port that they share, what they say, how their figures add up."""

import math
import socket

import pytest
from prometheus_client.parser import text_string_to_metric_families

from portus_gateway.index.store import IndexState
from portus_gateway.listen_address import ListenAddress
from portus_gateway.registry.cached import Outcome
from portus_gateway.telemetry.figures import Family, Figures
from portus_gateway.telemetry.metrics import Metrics
from portus_gateway.telemetry.worker_metrics import WorkerMetrics
from portus_gateway.workers.channel import CannotServe, Message, Serve, WorkerChannel
from portus_gateway.workers.shared_port import shared_port

LOOPBACK = ListenAddress("127.0.0.1", 0)


def values(exposition: bytes) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    found = [
        ((sample.name, frozenset(sample.labels.items())), sample.value)
        for family in text_string_to_metric_families(exposition.decode())
        for sample in family.samples
    ]
    assert len(found) == len(dict(found)), "a series is there twice"
    return dict(found)


def value(team: WorkerMetrics, name: str, **labels: str) -> float | None:
    return values(team.exposition(2)).get((name, frozenset(labels.items())))


def worker(*, requests: int, ready: bool, cached: int) -> Figures:
    metrics = Metrics("1.2.3")
    for seconds in range(requests):
        metrics.request_finished(method="GET", route="tags", outcome="200", seconds=seconds)
    metrics.registry_ready(ready)
    metrics.cache_resized(cached, 1)
    return metrics.figures()


LABELS = {"method": "GET", "route": "tags"}


async def test_counters_gauges_and_histograms_are_summed() -> None:
    team = WorkerMetrics()
    team.update(1, worker(requests=1, ready=True, cached=100))
    team.update(2, worker(requests=3, ready=True, cached=10))
    assert value(team, "portus_upstream_requests_total", outcome="200", **LABELS) == 4
    assert value(team, "portus_upstream_request_seconds_count", **LABELS) == 4
    assert value(team, "portus_upstream_request_seconds_sum", **LABELS) == 3
    assert value(team, "portus_upstream_request_seconds_bucket", le="0.001", **LABELS) == 2
    assert value(team, "portus_upstream_request_seconds_bucket", le="+Inf", **LABELS) == 4
    assert value(team, "portus_manifest_cache_bytes") == 110
    assert value(team, "portus_workers") == 2


async def test_the_latest_figures_of_a_worker_count_once() -> None:
    team = WorkerMetrics()
    for requests in (1, 2):
        team.update(1, worker(requests=requests, ready=True, cached=5))
    assert value(team, "portus_upstream_requests_total", outcome="200", **LABELS) == 2


async def test_the_gateway_is_ready_when_all_workers_are_and_informs_once() -> None:
    team = WorkerMetrics()
    team.update(1, worker(requests=0, ready=True, cached=0))
    assert value(team, "portus_registry_ready") == 1
    team.update(2, worker(requests=0, ready=False, cached=0))
    assert value(team, "portus_registry_ready") == 0
    assert value(team, "portus_gateway_info", version="1.2.3") == 1


async def test_what_one_index_has_is_not_added_up() -> None:
    team = WorkerMetrics()
    state = IndexState(
        *("epoch", 0, 0, 100.0, 50.0, 60.0, False, True), repositories=10, tags=20, dirty=3, oldest_dirty=90.0
    )
    for number in (1, 2):
        metrics = Metrics("1.2.3")
        if number == 1:
            # The other worker only answers from it.
            metrics.index.looked_at(state, leads=True)
        metrics.index.changes_found("walk", 5)
        team.update(number, metrics.figures())
    names = ("repositories", "tags", "dirty_repositories", "oldest_dirty_seconds", "usable", "ready", "leader")
    assert [value(team, f"portus_index_{name}") for name in names] == [10, 20, 3, 10, 1, 1, 1]
    assert value(team, "portus_index_changes_total", source="walk") == 10


async def test_a_workers_end_takes_its_gauges_and_leaves_its_counters() -> None:
    team = WorkerMetrics()
    team.update(1, worker(requests=3, ready=True, cached=100))
    team.update(2, worker(requests=1, ready=True, cached=10))
    began = value(team, "portus_upstream_requests_created", outcome="200", **LABELS)
    for number in (1, 2):
        team.ended(number)
    assert value(team, "portus_manifest_cache_bytes") is None
    assert value(team, "process_resident_memory_bytes", worker="1") is None
    team.restarted()
    team.update(1, worker(requests=2, ready=True, cached=1))
    assert value(team, "portus_upstream_requests_total", outcome="200", **LABELS) == 6
    assert value(team, "portus_upstream_request_seconds_bucket", le="+Inf", **LABELS) == 6
    assert value(team, "portus_upstream_requests_created", outcome="200", **LABELS) == began
    assert value(team, "portus_manifest_cache_bytes") == 1
    assert value(team, "portus_worker_restarts_total") == 1


async def test_what_is_of_a_process_says_of_which() -> None:
    team = WorkerMetrics()
    team.update(1, worker(requests=0, ready=True, cached=0))
    assert value(team, "process_resident_memory_bytes") is None
    for name in ("1", "parent"):
        memory = value(team, "process_resident_memory_bytes", worker=name)
        assert memory is not None
        assert memory > 0


async def test_a_page_of_one_process_and_of_one_worker_have_the_same_metrics() -> None:
    metrics = Metrics("1.2.3")
    outcomes: tuple[Outcome, ...] = ("hit", "miss")
    for outcome in outcomes:
        metrics.manifest_answered(outcome)
    alone = await metrics.exposition()
    team = WorkerMetrics()
    team.update(1, metrics.figures())
    ours, theirs = (
        {line for line in page.splitlines() if line.startswith(b"# ")} for page in (team.exposition(1), alone)
    )
    assert theirs <= ours
    assert {line.split()[2] for line in ours - theirs} == {
        b"portus_workers",
        b"portus_worker_restarts_total",
    }


async def test_messages_arrive_as_they_were_sent_and_then_the_end() -> None:
    left, right = socket.socketpair()
    figures = Figures(
        families=[Family(name="n", documentation="", type="gauge", samples=[("n", {"a": 'b"\n'}, math.inf)])]
    )
    sent: list[Message] = [
        Serve(
            flags={"insecure": True, "listen": "[::1]:1", "metrics_listen": None},
            page_token_secret="00",
            keeps_index=True,
        ),
        figures,
    ]
    async with await WorkerChannel.open(right) as reader:
        async with await WorkerChannel.open(left) as writer:
            for message in sent:
                assert await writer.send(message)
            assert [await reader.receive() for _ in sent] == sent
        assert await reader.receive() is None
        for _ in range(2):
            gone = await reader.send(CannotServe(message="to nobody"))
        assert not gone


async def test_what_is_no_message_is_no_silence() -> None:
    left, right = socket.socketpair()
    async with await WorkerChannel.open(right) as reader:
        with left:
            left.sendall((2).to_bytes(4) + b"{}")
            with pytest.raises(ValueError, match="kind"):
                await reader.receive()
            left.sendall(b"\xff\xff\xff\xff")
            with pytest.raises(ValueError, match="over the limit"):
                await reader.receive()


def listener(address: ListenAddress, *, shared: bool) -> socket.socket:
    end = socket.socket()
    end.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    end.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, int(shared))
    try:
        end.bind((address.host, address.port))
        end.listen()
    except BaseException:
        end.close()
        raise
    return end


def test_a_shared_port_is_only_for_the_workers_of_one_gateway() -> None:
    with shared_port(LOOPBACK) as address:
        assert address.port > 0
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((address.host, address.port)).close()
        with listener(address, shared=True), listener(address, shared=True):
            socket.create_connection((address.host, address.port)).close()
            with pytest.raises(OSError, match="in use"):
                listener(address, shared=False)
    with shared_port(address) as again:
        assert again == address


def test_a_shared_port_is_shared_with_no_other_holder() -> None:
    with (
        shared_port(LOOPBACK) as address,
        pytest.raises(OSError, match=f"cannot listen on {address}: the address is in use"),
        shared_port(address),
    ):
        pass
    with (
        listener(address, shared=False),
        pytest.raises(OSError, match=f"cannot listen on {address}: the address is in use"),
        shared_port(address),
    ):
        pass


@pytest.mark.parametrize("host", ["localhost", "::", "0.0.0.0"])
def test_a_shared_port_may_have_several_addresses(host: str) -> None:
    with (
        shared_port(ListenAddress(host, 0)) as address,
        pytest.raises(OSError, match="in use"),
        listener(ListenAddress("127.0.0.1", address.port), shared=False),
    ):
        pass


def test_an_address_of_no_machine_is_refused() -> None:
    with pytest.raises(OSError, match=r"cannot listen on 192\.0\.2\.1:0"), shared_port(ListenAddress("192.0.2.1", 0)):
        pass
