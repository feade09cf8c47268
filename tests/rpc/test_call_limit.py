import asyncio

import grpc
import pytest
from grpc_health.v1.health_pb2 import HealthCheckResponse

from portus.registry.v1.registry_service_pb2 import ListTagsRequest
from portus.registry.v1.watch_pb2 import WatchEventsRequest
from portus_gateway.access.errors import CallerConcurrencyExceeded
from portus_gateway.aio import fair_share
from portus_gateway.rpc.call_errors import TooManyCalls
from portus_gateway.rpc.call_limit import CallLimit
from portus_gateway.rpc.interception import IncomingCall
from portus_gateway.rpc.server import ServerLimits
from tests.attack.raw_http2 import RawConnection
from tests.rpc.failures import failure_of
from tests.rpc.gateways import FAILING, REQUESTS, SERVICE, Gateway, finish, serve, soon
from tests.rpc.health_calls import check, watch
from tests.rpc.interceptors import Interceptor
from tests.rpc.scripted_registry import Gate, ScriptedRegistry

LIST_TAGS = ListTagsRequest(repository="team/app")


async def occupy(gateway: Gateway, count: int) -> list[asyncio.Future[object]]:
    """That many calls, which have come in and wait."""
    calls: list[asyncio.Future[object]] = []
    for number in range(count):
        calls.append(asyncio.ensure_future(finish(gateway.channel, "ListTags")))
        await soon(gateway.calls.came_in(number + 1))
    return calls


@pytest.mark.parametrize("rpc", REQUESTS)
async def test_one_call_too_many_is_refused_with_a_retry_delay(rpc: str) -> None:
    gate = Gate()
    registry = ScriptedRegistry(gate)
    async with serve(registry, limits=ServerLimits(max_concurrent_calls=2)) as gateway:
        calls = await occupy(gateway, 2)
        await failure_of(finish(gateway.channel, rpc))
        # The call that was refused has no place to give back.
        await check(gateway.channel)
        failed = await failure_of(finish(gateway.channel, rpc))
        assert registry.asked == ["list_tags"] * 2
        gate.open.set()
        await asyncio.gather(*calls)
        assert await finish(gateway.channel, "ListTags")
    assert failed.outcome == (grpc.StatusCode.RESOURCE_EXHAUSTED, "TOO_MANY_CALLS")
    assert failed.retry_delay == 1
    assert "2 calls" in failed.message


async def test_health_is_answered_however_many_calls_there_are() -> None:
    gate = Gate()
    async with serve(ScriptedRegistry(gate), limits=ServerLimits(max_concurrent_calls=1)) as gateway:
        calls = await occupy(gateway, 1)
        assert await check(gateway.channel) == HealthCheckResponse.SERVING
        watching = watch(gateway.channel)
        assert isinstance(await soon(watching.read()), HealthCheckResponse)
        # A watcher takes nobody's place.
        gate.open.set()
        await asyncio.gather(*calls)
        assert await finish(gateway.channel, "ListTags")
        watching.cancel()


async def test_a_watch_needs_no_place_of_the_calls() -> None:
    gate = Gate()
    async with serve(ScriptedRegistry(gate), limits=ServerLimits(max_concurrent_calls=1)) as gateway:
        calls = await occupy(gateway, 1)
        method: grpc.aio.UnaryStreamMultiCallable[WatchEventsRequest, bytes] = gateway.channel.unary_stream(
            f"/{SERVICE}/WatchEvents", WatchEventsRequest.SerializeToString
        )
        failed = await failure_of(method(WatchEventsRequest()).read())
        gate.open.set()
        await asyncio.gather(*calls)
    # It got in: this gateway has no index.
    assert failed.outcome == (grpc.StatusCode.FAILED_PRECONDITION, "INDEX_DISABLED")


async def test_streams_leave_room_for_calls() -> None:
    gate = Gate()
    async with serve(ScriptedRegistry(gate), limits=ServerLimits(max_concurrent_calls=4)) as gateway:
        stream = asyncio.ensure_future(finish(gateway.channel, "StreamCatalog"))
        await soon(gate.entered.wait())
        refused = await failure_of(finish(gateway.channel, "StreamCatalog"))
        gate.open.set()
        await gateway.stub.ListTags(LIST_TAGS)
        await stream
        assert await finish(gateway.channel, "StreamCatalog")
    assert refused.outcome == (grpc.StatusCode.RESOURCE_EXHAUSTED, "TOO_MANY_CALLS")
    assert "1 streams" in refused.message


@pytest.mark.parametrize("rpc", ["ListTags", "StreamCatalog"])
async def test_failed_calls_and_disconnected_callers_free_their_places(rpc: str) -> None:
    gate = Gate()
    async with serve(ScriptedRegistry(gate), limits=ServerLimits(max_concurrent_calls=1)) as gateway:
        call = asyncio.ensure_future(finish(gateway.channel, rpc))
        await soon(gate.entered.wait())
        call.cancel()
        await soon(gateway.calls.ended.wait())
        late = await failure_of(finish(gateway.channel, rpc, b"\xff"))
        gate.open.set()
        assert await finish(gateway.channel, rpc)
    assert late.code == grpc.StatusCode.INVALID_ARGUMENT


def test_the_limit_counts_calls_and_streams() -> None:
    limit = CallLimit(8)
    for owner in ("a", "b"):
        limit.enter(owner, streaming=True)
    with pytest.raises(TooManyCalls, match="2 streams"):
        limit.enter("c", streaming=True)
    for owner in "abcdef":
        limit.enter(owner, streaming=False)
    with pytest.raises(TooManyCalls, match="its limit of 8 calls"):
        limit.enter("g", streaming=False)
    limit.leave("a", streaming=True)
    limit.enter("g", streaming=True)


@pytest.mark.parametrize("streaming", [False, True])
def test_the_last_places_are_for_callers_that_have_few(streaming: bool) -> None:
    limit = CallLimit(32 if streaming else 8)
    for _ in range(6):
        limit.enter("a", streaming=streaming)
    with pytest.raises(TooManyCalls, match=r"nearly its limit of 8 \w+, 6 of them for you"):
        limit.enter("a", streaming=streaming)
    limit.enter("b", streaming=streaming)
    limit.enter("b", streaming=streaming)
    with pytest.raises(TooManyCalls, match="its limit of 8"):
        limit.enter("c", streaming=streaming)
    # What is given back counts for all again, and nobody is remembered who has no place.
    for owner in ("a", "b", "b"):
        limit.leave(owner, streaming=streaming)
    limit.enter("a", streaming=streaming)
    with pytest.raises(TooManyCalls):
        limit.enter("a", streaming=streaming)
    for _ in range(6):
        limit.leave("a", streaming=streaming)
    for places in (limit._calls, limit._streams):
        assert not places._taken_by


def test_a_caller_with_a_quarter_has_no_more_of_the_last_places() -> None:
    limit = CallLimit(8)
    for owner in "aaaabb":
        limit.enter(owner, streaming=False)
    with pytest.raises(TooManyCalls, match="2 of them for you"):
        limit.enter("b", streaming=False)
    limit.enter("c", streaming=False)


def test_watches_have_places_of_their_own() -> None:
    limit = CallLimit(1, watch_limit=4)
    limit.enter("a", streaming=True)
    for _ in range(3):
        limit.enter("a", streaming=True, watching=True)
    with pytest.raises(TooManyCalls, match="nearly its limit of 4 watches"):
        limit.enter("a", streaming=True, watching=True)
    limit.enter("b", streaming=True, watching=True)
    with pytest.raises(TooManyCalls, match="its limit of 4 watches"):
        limit.enter("c", streaming=True, watching=True)
    with pytest.raises(TooManyCalls, match="its limit of 1 calls"):
        limit.enter("c", streaming=False)
    limit.leave("b", streaming=True, watching=True)
    with pytest.raises(TooManyCalls, match="its limit of 1 calls"):
        limit.enter("c", streaming=False)
    limit.enter("c", streaming=True, watching=True)
    limit.leave("a", streaming=True)
    limit.enter("c", streaming=True)


def test_a_call_that_is_refused_takes_no_place() -> None:
    limit = CallLimit(4)
    limit.enter("a", streaming=True)
    for _ in range(10):
        with pytest.raises(TooManyCalls):
            limit.enter("b", streaming=True)
    for owner in ("a", "b", "c"):
        limit.enter(owner, streaming=False)


def test_there_is_always_one_stream() -> None:
    limit = CallLimit(1)
    limit.enter("a", streaming=True)
    with pytest.raises(TooManyCalls):
        limit.enter("b", streaming=False)


class Full(Interceptor):
    """Has no place for a caller, that many times."""

    def __init__(self, times: int) -> None:
        self.left = times

    async def enter(self, incoming: IncomingCall) -> None:
        if self.left:
            self.left -= 1
            raise CallerConcurrencyExceeded("full")


async def test_a_caller_whose_answer_is_still_on_its_way_may_call_again() -> None:
    full = Full(0)
    request = LIST_TAGS.SerializeToString()
    async with (
        serve(ScriptedRegistry(), interceptors=[full]) as gateway,
        RawConnection.open(gateway.address, window=0) as connection,
    ):
        # Its answer is there, and has not been read.
        await connection.call(f"/{SERVICE}/ListTags", request)
        await soon(gateway.calls.ended.wait())
        full.left = 3
        assert await finish(gateway.channel, "ListTags")
        assert full.left == 0


async def test_a_caller_whose_calls_all_run_is_refused_at_once() -> None:
    full = Full(0)
    gate = Gate()
    async with serve(ScriptedRegistry(gate), interceptors=[full]) as gateway:
        calls = await occupy(gateway, 1)
        full.left = 2
        failed = await failure_of(finish(gateway.channel, "ListTags"))
        assert full.left == 1
        gate.open.set()
        await asyncio.gather(*calls)
    assert failed.reason == "CALLER_CONCURRENCY_EXCEEDED"


@pytest.mark.parametrize("rpc", FAILING)
async def test_the_registry_is_asked_for_the_caller(rpc: str) -> None:
    """Requests that wait for a slot are served one caller after the other."""
    owners: set[str] = set()

    async def note(_: str) -> None:
        owners.add(fair_share.owner())

    async with serve(ScriptedRegistry(note)) as gateway:
        await finish(gateway.channel, rpc)
    (owner,) = owners
    assert owner.startswith("ipv4:127.0.0.1:")


async def test_a_batch_asks_the_registry_for_its_caller() -> None:
    owners: set[str] = set()

    async def note(_: str) -> None:
        owners.add(fair_share.owner())

    async with serve(ScriptedRegistry(note)) as gateway:
        await finish(gateway.channel, "BatchGetManifests")
    (owner,) = owners
    assert owner.startswith("ipv4:127.0.0.1:")
