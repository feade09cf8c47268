"""Which calls get a span, what it is told, and how long callers wait for a place."""

import asyncio
from dataclasses import dataclass, field

import grpc
import pytest

from portus_gateway.access.caller import Caller
from portus_gateway.access.current_call import Call
from portus_gateway.access.errors import CallerConcurrencyExceeded, PermissionDenied, Unauthenticated
from portus_gateway.aio import spans
from portus_gateway.errors import GatewayError
from portus_gateway.rpc.interception import IncomingCall
from portus_gateway.rpc.observation import FinishedCall
from portus_gateway.rpc.unread_answers import UnreadAnswers
from tests.recorded_spans import RecordedSpan
from tests.rpc import health_calls
from tests.rpc.failures import failure_of
from tests.rpc.gateways import SERVICE, finish, serve, soon
from tests.rpc.interceptors import Interceptor
from tests.rpc.scripted_registry import Gate, ScriptedRegistry

SCANNER = Caller.known_as("token", ["token:scanner"])


@dataclass(eq=False)
class CallSpan(RecordedSpan):
    finished: list[FinishedCall] = field(default_factory=list)

    def call_finished(self, call: FinishedCall) -> None:
        self.finished.append(call)
        self.end(call.reason)


@dataclass
class Tracer:
    """Keeps the spans of calls."""

    calls: list[CallSpan] = field(default_factory=list)
    elapsed: list[float] = field(default_factory=list)

    def call_began(self, call: Call, caller: Caller, method: str, seconds: float) -> CallSpan:
        assert call.peer
        self.calls.append(CallSpan(f"{caller.name} {method}"))
        self.elapsed.append(seconds)
        return self.calls[-1]


class Known(Interceptor):
    """Knows the caller of each call, and then raises `error`, if there is one."""

    def __init__(self, *errors: GatewayError) -> None:
        self._errors = list(errors)

    async def enter(self, incoming: IncomingCall) -> None:
        incoming.call.caller = SCANNER
        if self._errors:
            raise self._errors.pop(0)


class Unknown(Interceptor):
    async def enter(self, incoming: IncomingCall) -> None:
        raise Unauthenticated("who are you", reason="CREDENTIAL_MISSING")


@pytest.mark.parametrize("rpc", ["ListTags", "StreamCatalog"])
async def test_the_registry_is_asked_within_the_span_of_the_call(rpc: str) -> None:
    tracer = Tracer()
    seen: list[spans.Span | None] = []

    async def look(_: str) -> None:
        seen.append(spans.current())

    async with serve(ScriptedRegistry(look), interceptors=[Known()], tracer=tracer) as gateway:
        await finish(gateway.channel, rpc)
        await finish(gateway.channel, rpc)
    assert [call.name for call in tracer.calls] == [f"token:scanner /{SERVICE}/{rpc}"] * 2
    assert set(seen) == set(tracer.calls)
    assert all(call.ended and not call.error for call in tracer.calls)
    # There was a place, and memory.
    assert [call.tree for call in tracer.calls] == [[], []]
    assert [call.finished[0].code for call in tracer.calls] == [grpc.StatusCode.OK] * 2
    assert all(0 <= elapsed < 5 for elapsed in tracer.elapsed)


async def test_a_known_caller_that_is_refused_has_a_span_and_a_stranger_has_none() -> None:
    tracer = Tracer()
    async with serve(ScriptedRegistry(), interceptors=[Known(PermissionDenied("no"))], tracer=tracer) as gateway:
        refused = await failure_of(finish(gateway.channel, "ListTags"))
    async with serve(ScriptedRegistry(), interceptors=[Unknown()], tracer=tracer) as gateway:
        stranger = await failure_of(finish(gateway.channel, "ListTags"))
    assert [refused.code, stranger.code] == [grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.UNAUTHENTICATED]
    (call,) = tracer.calls
    assert (call.error, call.finished[0].code) == ("POLICY_DENIED", grpc.StatusCode.PERMISSION_DENIED)


async def test_calls_of_nobody_and_health_checks_have_no_span() -> None:
    tracer = Tracer()
    async with serve(ScriptedRegistry(), tracer=tracer) as gateway:
        await finish(gateway.channel, "ListTags")
    async with serve(ScriptedRegistry(), interceptors=[Known()], tracer=tracer) as gateway:
        await health_calls.check(gateway.channel)
    assert tracer.calls == []


async def test_the_wait_for_a_place_is_a_step(monkeypatch: pytest.MonkeyPatch) -> None:
    tracer = Tracer()

    class Full(Known):
        async def enter(self, incoming: IncomingCall) -> None:
            # A place is waited for if a call has just been answered, whose place will soon be free.
            monkeypatch.setattr(incoming, "_answered", True)
            await super().enter(incoming)

    full = CallerConcurrencyExceeded("too many")
    async with serve(ScriptedRegistry(), interceptors=[Full(full, full)], tracer=tracer) as gateway:
        await finish(gateway.channel, "ListTags")
    (call,) = tracer.calls
    assert call.tree == ["wait for place"]
    assert not call.children[0].error
    assert not call.error


@pytest.mark.parametrize("rpc", ["ListTags", "StreamCatalog"])
async def test_the_wait_for_memory_is_a_step(monkeypatch: pytest.MonkeyPatch, rpc: str) -> None:
    tracer = Tracer()
    # There is none at once, but there is as soon as the answer waits for it.
    monkeypatch.setattr(UnreadAnswers, "take", lambda *_: False)
    async with serve(ScriptedRegistry(), interceptors=[Known()], tracer=tracer) as gateway:
        await finish(gateway.channel, rpc)
    (call,) = tracer.calls
    assert set(call.tree) == {"wait for memory"}
    assert not call.children[0].error


async def test_a_caller_that_leaves_ends_the_span() -> None:
    tracer = Tracer()
    gate = Gate()
    async with serve(ScriptedRegistry(gate), interceptors=[Known()], tracer=tracer) as gateway:
        call = asyncio.ensure_future(finish(gateway.channel, "ListTags"))
        await soon(gate.entered.wait())
        call.cancel()
        await soon(gateway.calls.ended.wait())
        # The span is told right after the observer.
        await asyncio.sleep(0)
    assert [span.finished[0].code for span in tracer.calls] == [grpc.StatusCode.CANCELLED]
