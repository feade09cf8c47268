"""What a failed call leaves in memory: nothing that only the garbage collector could free.

grpc.aio keeps the last error of a call with the call, and an error keeps its traceback, its frames, their variables.
"""

import asyncio
import gc
import types
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import pytest
from google.protobuf.message import Message

import portus_gateway
from portus.registry.v1.registry_service_pb2 import CatalogRequest
from portus_gateway.access.current_call import Call
from portus_gateway.access.errors import PermissionDenied, Unauthenticated
from portus_gateway.distribution.errors import NotFound, Unreachable
from portus_gateway.rpc.interception import IncomingCall
from portus_gateway.rpc.served_call import ServedCall
from portus_gateway.rpc.server import ServerLimits
from tests.rpc.gateways import FAILING, REQUESTS, Gateway, finish, serve, soon
from tests.rpc.interceptors import Interceptor
from tests.rpc.scripted_registry import Gate, Hook, ScriptedRegistry

SOURCES = str(Path(portus_gateway.__file__).parent)
CALLS = 10
SHORT = ServerLimits(max_call_duration=0.02, max_stream_duration=0.02)


class Refusing(Interceptor):
    def __init__(self, error: Exception) -> None:
        self._error = error

    async def enter(self, incoming: IncomingCall) -> None:
        raise type(self._error)(*self._error.args)


@dataclass(frozen=True)
class Kind:
    """A way to fail."""

    code: grpc.StatusCode
    hook: Hook | None = None
    limits: ServerLimits = field(default_factory=ServerLimits)
    interceptors: tuple[Interceptor, ...] = ()
    request: bytes | None = None
    draining: bool = False


async def never_answered(_: str) -> None:
    await asyncio.Future()


def failing_with(make: Callable[[], BaseException]) -> Hook:
    """Raises a new error each time, as the gateway does."""

    async def fail(_: str) -> None:
        raise make()

    return fail


async def looked_up_twice(_: str) -> None:
    """Fails as much code does: with an error that came of another, each of which is held by a frame."""
    try:
        raise KeyError("not here")
    except KeyError as error:
        kept = error
    raise NotFound("not there either") from kept


KINDS = {
    "no credential": Kind(grpc.StatusCode.UNAUTHENTICATED, interceptors=(Refusing(Unauthenticated("who?")),)),
    "no right": Kind(grpc.StatusCode.PERMISSION_DENIED, interceptors=(Refusing(PermissionDenied("no")),)),
    "no message": Kind(grpc.StatusCode.INVALID_ARGUMENT, request=b"\xff" * 1000),
    "too many parts": Kind(grpc.StatusCode.INVALID_ARGUMENT, request=b"\x0a\x00" * 20_000),
    "invalid fields": Kind(grpc.StatusCode.INVALID_ARGUMENT, request=b"\x0a\x01/"),
    "not there": Kind(grpc.StatusCode.NOT_FOUND, looked_up_twice),
    "no registry": Kind(grpc.StatusCode.UNAVAILABLE, failing_with(lambda: Unreachable("gone"))),
    "a bug": Kind(grpc.StatusCode.INTERNAL, failing_with(lambda: ValueError("oh"))),
    "something was cancelled": Kind(grpc.StatusCode.UNAVAILABLE, failing_with(asyncio.CancelledError)),
    "too slow": Kind(grpc.StatusCode.DEADLINE_EXCEEDED, never_answered, limits=SHORT),
    "stopping": Kind(grpc.StatusCode.UNAVAILABLE, draining=True),
}


@pytest.fixture(autouse=True, scope="module")
def _only_new_objects() -> Iterator[None]:
    """The collector passes over what was there before: after thousands of other tests, that takes most of the time."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@contextmanager
def collected() -> Iterator[list[object]]:
    """What nothing but the garbage collector frees, of what is made in the block; complete after it."""
    garbage: list[object] = []
    gc.collect()
    gc.disable()
    try:
        yield garbage
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        garbage.extend(gc.garbage)
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()


def of_the_server(garbage: list[object]) -> list[object]:
    """Those that belong to a call of the server. What the client leaves is its own matter."""
    return [
        thing
        for thing in garbage
        if isinstance(thing, Message | ServedCall | Call | grpc.aio.AbortError)
        or type(thing).__name__ in ("_ServicerContext", "RPCState", "_MessageReceiver")
        or (isinstance(thing, types.FrameType) and thing.f_code.co_filename.startswith(SOURCES))
        or (isinstance(thing, BaseException) and type(thing).__module__.startswith("portus_gateway"))
    ]


@asynccontextmanager
async def failing(kind: Kind) -> AsyncIterator[Gateway]:
    registry = ScriptedRegistry() if kind.hook is None else ScriptedRegistry(kind.hook)
    async with serve(registry, limits=kind.limits, interceptors=kind.interceptors) as gateway:
        if kind.draining:
            gateway.server._boundary.drain()
            gateway.server._boundary.goaway_sent()
        yield gateway


async def code_of(gateway: Gateway, rpc: str, request: bytes | None = None) -> grpc.StatusCode:
    try:
        await finish(gateway.channel, rpc, request)
    except grpc.aio.AioRpcError as error:
        return error.code()
    return grpc.StatusCode.OK


async def no_calls(gateway: Gateway) -> None:
    """Waits until the server has let go of all calls."""
    while gateway.server._boundary._serving.calls:
        await asyncio.sleep(0.001)
    # What the loop still has to do for the last one.
    for _ in range(5):
        await asyncio.sleep(0.001)


@pytest.mark.parametrize("rpc", FAILING)
@pytest.mark.parametrize("kind", KINDS)
async def test_a_failed_call_leaves_nothing(kind: str, rpc: str) -> None:
    way = KINDS[kind]
    if kind == "invalid fields" and rpc in ("Catalog", "StreamCatalog"):
        pytest.skip("has no field that is invalid in this way")
    async with failing(way) as gateway:
        assert await code_of(gateway, rpc, way.request) == way.code
        await no_calls(gateway)
        with collected() as garbage:
            for _ in range(CALLS):
                await code_of(gateway, rpc, way.request)
            await no_calls(gateway)
        assert of_the_server(garbage) == []


@pytest.mark.parametrize("kind", KINDS)
async def test_a_batch_leaves_nothing_of_what_failed_in_it(kind: str) -> None:
    way = KINDS[kind]
    async with failing(way) as gateway:
        await code_of(gateway, "BatchGetManifests", way.request)
        await no_calls(gateway)
        with collected() as garbage:
            for _ in range(CALLS):
                await code_of(gateway, "BatchGetManifests", way.request)
            await no_calls(gateway)
        assert of_the_server(garbage) == []


@pytest.mark.parametrize("kind", [kind for kind in KINDS if KINDS[kind].hook is not None])
async def test_a_listing_leaves_nothing_of_what_failed_in_it(kind: str) -> None:
    fail = KINDS[kind].hook
    assert fail is not None

    async def fail_at_tags(method: str) -> None:
        if method == "list_tags":
            await fail(method)

    request = CatalogRequest(include_tags=True).SerializeToString()
    async with serve(ScriptedRegistry(fail_at_tags), limits=KINDS[kind].limits) as gateway:
        for rpc in ("Catalog", "StreamCatalog"):
            await code_of(gateway, rpc, request)
            await no_calls(gateway)
            with collected() as garbage:
                for _ in range(CALLS):
                    await code_of(gateway, rpc, request)
                await no_calls(gateway)
            assert of_the_server(garbage) == []


@pytest.mark.parametrize("rpc", REQUESTS)
async def test_a_call_that_succeeds_leaves_nothing(rpc: str) -> None:
    async with serve(ScriptedRegistry()) as gateway:
        await code_of(gateway, rpc)
        with collected() as garbage:
            for _ in range(CALLS):
                assert await code_of(gateway, rpc) == grpc.StatusCode.OK
            await no_calls(gateway)
        assert of_the_server(garbage) == []


@pytest.mark.parametrize("rpc", FAILING)
async def test_a_caller_who_goes_away_leaves_nothing(rpc: str) -> None:
    gate = Gate()
    async with serve(ScriptedRegistry(gate)) as gateway:
        with collected() as garbage:
            for _ in range(CALLS):
                gate.entered.clear()
                call = asyncio.ensure_future(finish(gateway.channel, rpc))
                await soon(gate.entered.wait())
                call.cancel()
                await asyncio.gather(call, return_exceptions=True)
            await no_calls(gateway)
        assert of_the_server(garbage) == []
