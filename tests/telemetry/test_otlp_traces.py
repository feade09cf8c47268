"""What is recorded of calls, where a whole gateway would not show it."""

import json
from collections.abc import AsyncIterator

import grpc
import pytest

from portus_gateway.access.caller import NOBODY, Caller
from portus_gateway.access.current_call import Call
from portus_gateway.access.rpcs import RPCS
from portus_gateway.rpc.observation import FinishedCall
from portus_gateway.telemetry import traces as module
from portus_gateway.telemetry.otlp_traces import OtlpTraces
from tests.e2e.trace_collector import Collector, http_collector

METHOD = "/portus.registry.v1.RegistryService/Catalog"
TRACE = "0af7651916cd43dd8448eb211c80319c"
STATE = ("tracestate", "vendor=1")
CONTEXT = (("traceparent", f"00-{TRACE}-b7ad6b7169203331-01"), STATE)
MOST_SPANS = 500
SCANNER = Caller.known_as("token", ["token:scanner"])


@pytest.fixture
async def collector() -> AsyncIterator[Collector]:
    async with http_collector() as running:
        yield running


@pytest.fixture(autouse=True)
def environment(collector: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in collector.variables.items():
        monkeypatch.setenv(name, value)


def call(*metadata: tuple[str, str], anonymous: bool = False) -> tuple[Call, Caller]:
    return Call(RPCS["Catalog"], "request-1", metadata, peer="ipv6:%5B::1%5D:4711"), NOBODY if anonymous else SCANNER


def finished(code: grpc.StatusCode, reason: str = "") -> FinishedCall:
    return FinishedCall(
        method=METHOD,
        rpc=RPCS["Catalog"],
        code=code,
        reason=reason,
        seconds=1.0,
        request_id="request-1",
        peer="",
        request=None,
    )


async def test_a_call_with_very_many_steps_counts_those_that_are_left_out(collector: Collector) -> None:
    traces = OtlpTraces(trusts_anonymous=True)
    span = traces.call_began(*call(*CONTEXT), METHOD, 2.0)
    for _ in range(MOST_SPANS + 10):
        child = span.child("step")
        last = child.child("inner")
        child.set("a", "b")
        child.link(span)
        child.end()
        last.end()
    # What is left out continues the trace all the same.
    assert last.trace_id == TRACE
    assert last.headers["traceparent"].startswith(f"00-{TRACE}-")
    span.call_finished(finished(grpc.StatusCode.OK))
    await traces.close()
    ended = await collector.named("/Catalog")
    assert ended.attributes["portus.spans_left_out"] == 2 * (MOST_SPANS + 10) - MOST_SPANS
    assert len(collector.spans) == MOST_SPANS + 1
    assert (ended.attributes["client.address"], ended.attributes["client.port"]) == ("::1", 4711)


@pytest.mark.parametrize(
    ("code", "error", "kind"),
    [
        (grpc.StatusCode.OK, False, None),
        (grpc.StatusCode.NOT_FOUND, False, "NAME_UNKNOWN"),
        (grpc.StatusCode.CANCELLED, False, "CANCELLED"),
        (grpc.StatusCode.UNAVAILABLE, True, "UPSTREAM_UNAVAILABLE"),
        (grpc.StatusCode.DEADLINE_EXCEEDED, True, "DEADLINE_EXCEEDED"),
    ],
)
async def test_only_failures_of_the_server_are_errors(
    collector: Collector, code: grpc.StatusCode, error: bool, kind: str | None
) -> None:
    traces = OtlpTraces(trusts_anonymous=True)
    reason = kind if kind and kind != code.name else ""
    traces.call_began(*call(), METHOD, 0.0).call_finished(finished(code, reason))
    await traces.close()
    ended = await collector.named("/Catalog")
    assert (ended.error, ended.attributes.get("error.type")) == (error, kind)
    assert ended.attributes["rpc.grpc.status_code"] == code.value[0]


@pytest.mark.parametrize("trusted", [True, False])
async def test_the_context_of_an_anonymous_caller_counts_only_where_nobody_has_a_credential(
    collector: Collector, trusted: bool
) -> None:
    traces = OtlpTraces(trusts_anonymous=trusted)
    span = traces.call_began(*call(*CONTEXT, anonymous=True), METHOD, 0.0)
    span.call_finished(finished(grpc.StatusCode.OK))
    await traces.close()
    ended = await collector.named("/Catalog")
    assert (ended.trace == TRACE) is trusted
    assert [link[0] for link in ended.links] == ([] if trusted else [TRACE])


@pytest.mark.parametrize(
    ("metadata", "continued"),
    [
        (CONTEXT, True),
        ((*CONTEXT, CONTEXT[0]), False),
        ((("traceparent", "00-0-0-01"),), False),
        ((("traceparent", "x" * 5000),), False),
        ((STATE,), False),
        ((CONTEXT[0], ("tracestate", "k=" + "x" * 5000)), True),
    ],
    ids=["one", "two", "malformed", "very long", "state alone", "very long state"],
)
async def test_only_one_valid_context_is_continued(
    caplog: pytest.LogCaptureFixture, metadata: tuple[tuple[str, str], ...], continued: bool
) -> None:
    traces = OtlpTraces(trusts_anonymous=True)
    span = traces.call_began(*call(*metadata), METHOD, 0.0)
    sent = span.child("GET tags", "client").headers
    span.call_finished(finished(grpc.StatusCode.OK))
    await traces.close()
    assert (span.trace_id == TRACE) is continued
    assert sent.get("tracestate") == ("vendor=1" if STATE in metadata and continued else None)
    assert len(json.dumps(dict(sent))) < 700
    assert not caplog.records, "callers could fill the log"


@pytest.mark.parametrize(
    ("propagators", "passes"),
    [("tracecontext,baggage", True), ("b3,tracecontext", True), ("none", False), ("b3", False)],
)
async def test_no_context_goes_in_or_out_without_the_propagator(
    monkeypatch: pytest.MonkeyPatch, propagators: str, passes: bool
) -> None:
    monkeypatch.setenv("OTEL_PROPAGATORS", propagators)
    traces = OtlpTraces(trusts_anonymous=True)
    span = traces.call_began(*call(*CONTEXT, ("baggage", "user=1")), METHOD, 0.0)
    assert (span.trace_id == TRACE) is passes
    assert sorted(span.headers) == (["traceparent", "tracestate"] if passes else [])
    await traces.close()


async def test_shared_work_that_outlives_its_first_caller_is_still_recorded(collector: Collector) -> None:
    traces = OtlpTraces(trusts_anonymous=True)
    span = traces.call_began(*call(), METHOD, 0.0)
    work = span.child("registry read")
    span.call_finished(finished(grpc.StatusCode.CANCELLED))
    request = work.child("GET tags", "client")
    request.end("500")
    # Only the first end counts.
    request.end("again")
    work.end("MANIFEST_UNKNOWN")
    late = span.child("late")
    late.end()
    await traces.close()
    assert {each.name for each in collector.spans} >= {"registry read", "GET tags", "late"}
    ended = await collector.named("GET tags")
    assert (ended.error, ended.attributes["error.type"]) == (True, "500")
    # That something does not exist is an ordinary answer.
    read = await collector.named("registry read")
    assert (read.error, read.attributes["error.type"]) == (False, "MANIFEST_UNKNOWN")


@pytest.mark.parametrize(
    ("variables", "wanted"),
    [
        ({}, False),
        ({"OTEL_SERVICE_NAME": "gateway", "OTEL_RESOURCE_ATTRIBUTES": "a=b"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c:4318/v1/traces"}, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": " "}, False),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, True),
        ({"OTEL_TRACES_EXPORTER": "console, otlp"}, True),
        ({"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}, False),
        ({"OTEL_SDK_DISABLED": "True", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}, False),
    ],
)
def test_which_variables_ask_for_traces(variables: dict[str, str], wanted: bool) -> None:
    assert module.wanted(variables) is wanted
