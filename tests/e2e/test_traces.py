"""Traces of the real process, as a collector gets them: over HTTP and over gRPC."""

import asyncio
import hashlib
import json
import signal
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import grpc
import pytest
from aiohttp import ClientSession
from google.rpc.error_details_pb2 import ErrorInfo
from grpc_status import rpc_status

from portus.registry.v1.registry_service_pb2 import (
    CatalogRequest,
    DeleteTagRequest,
    GetManifestRequest,
    ListTagsRequest,
)
from portus_gateway.devregistry import DevRegistry, Fault
from tests.e2e.gateway_process import GatewayProcess, clean_environment, gateway_process
from tests.e2e.test_serve import stub
from tests.e2e.trace_collector import CollectedSpan, Collector, grpc_collector, http_collector

SERVICE = "portus.registry.v1.RegistryService"
TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"
SAMPLED = f"00-{TRACE}-{PARENT}-01"
TOKEN = "caller-t0ken"
ENDS_WITHIN = 15.0
LATEST = GetManifestRequest(repository="team/app", tag="latest")


@pytest.fixture
async def collector() -> AsyncGenerator[Collector, None]:
    async with http_collector() as running:
        yield running


@pytest.fixture
def known_callers(tmp_path: Path) -> dict[str, str]:
    tokens = tmp_path / "tokens"
    tokens.write_text(f"scanner sha256:{hashlib.sha256(TOKEN.encode()).hexdigest()}\n")
    policy = tmp_path / "policy.toml"
    policy.write_text(
        """
[[allow]]
name = "all"
principals = ["anonymous", "token:scanner"]
rpcs = ["read"]
repositories = ["**"]
"""
    )
    return {"PORTUS_CALLER_TOKEN_FILE": str(tokens), "PORTUS_POLICY_FILE": str(policy)}


def calls(gateway: GatewayProcess) -> list[dict[str, object]]:
    return [record for record in map(json.loads, gateway.log) if record["event"] == "call"]


def with_context(context: str, token: str = "") -> tuple[tuple[str, str], ...]:
    credential = (("authorization", f"Bearer {token}"),) if token else ()
    return (("traceparent", context), *credential)


def is_call(code: int) -> Callable[[CollectedSpan], bool]:
    return lambda span: span.kind == "SERVER" and span.attributes["rpc.grpc.status_code"] == code


def trace_id_of(error: grpc.aio.AioRpcError) -> str:
    status = rpc_status.from_call(error)  # type: ignore[arg-type]
    assert status is not None
    info = ErrorInfo()
    for detail in status.details:
        if detail.Unpack(info):
            return info.metadata["trace_id"]
    raise AssertionError("no ErrorInfo")


@pytest.mark.parametrize("make", [http_collector, grpc_collector], ids=["http/protobuf", "grpc"])
async def test_a_call_is_a_tree_of_what_it_did_in_the_trace_of_its_caller(
    make: Callable[[], AbstractAsyncContextManager[Collector]], registry: DevRegistry, settings: dict[str, str]
) -> None:
    async with make() as collector:
        variables = collector.variables | {
            "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=test",
            "OTEL_EXPORTER_OTLP_HEADERS": "x-collector-key=c0llector-key",
        }
        async with gateway_process("serve", "--log-level", "debug", **settings, **variables) as gateway:
            # By then, it knows that the registry wants a token.
            await gateway.event("registry ready")
            async with grpc.aio.insecure_channel(gateway.address) as channel:
                await stub(channel).GetManifest(LATEST, metadata=with_context(SAMPLED), wait_for_ready=True)
            call = await collector.named("/GetManifest")
            gateway.signal(signal.SIGTERM)
            assert await gateway.ended() == 0
    assert (call.name, call.kind, call.trace, call.parent) == (f"{SERVICE}/GetManifest", "SERVER", TRACE, PARENT)
    assert collector.tree(call) == ["registry read", ["token fetch", ["GET token"], "GET manifests"]]
    assert not any(span.error for span in collector.spans)
    (record,) = calls(gateway)
    assert record["trace_id"] == TRACE
    assert call.attributes.pop("client.port")
    assert call.attributes == {
        "rpc.system": "grpc",
        "rpc.service": SERVICE,
        "rpc.method": "GetManifest",
        "rpc.grpc.status_code": 0,
        "client.address": "127.0.0.1",
        "enduser.id": "anonymous",
        "portus.repository": "team/app",
        "portus.request_id": record["request_id"],
    }
    assert call.resource["service.name"] == "portus-gateway"
    assert call.resource["deployment.environment.name"] == "test"
    assert all(headers["x-collector-key"] == "c0llector-key" for headers in collector.headers)
    read = await collector.named("GET manifests")
    assert (read.kind, read.attributes["http.response.status_code"]) == ("CLIENT", 200)
    assert read.attributes["url.full"] == f"{registry.url}/v2/team/app/manifests/latest"
    (sent,) = registry.requests.select(route="manifests")
    assert sent.headers["traceparent"] == f"00-{TRACE}-{read.id}-01"
    fetched = await collector.named("token fetch")
    assert fetched.attributes["portus.scopes"] == "repository:team/app:pull"
    assert "c0llector-key" not in "".join(gateway.log)
    assert all(registry.password.encode() not in body for body in collector.bodies)


async def test_an_error_names_its_trace_to_the_caller_in_the_log_and_in_the_audit_log(
    collector: Collector, settings: dict[str, str], tmp_path: Path
) -> None:
    audit = tmp_path / "audit.log"
    arguments = ("--allow-delete", "--audit-log", str(audit))
    async with gateway_process("serve", *arguments, **settings, **collector.variables) as gateway:
        async with grpc.aio.insecure_channel(gateway.address) as channel:
            request = DeleteTagRequest(repository="team/none", tag="1", expected_digest="sha256:" + "0" * 64)
            with pytest.raises(grpc.aio.AioRpcError) as failed:
                await stub(channel).DeleteTag(request, metadata=with_context(SAMPLED), wait_for_ready=True)
            call = await collector.span(is_call(failed.value.code().value[0]))
            # Without a context of its own, a call begins a trace.
            with pytest.raises(grpc.aio.AioRpcError) as other:
                await stub(channel).ListTags(ListTagsRequest(repository="team/none"))
            listing = await collector.named("/ListTags")
        records = await asyncio.to_thread(audit.read_text)
    assert failed.value.code() is grpc.StatusCode.NOT_FOUND
    assert trace_id_of(failed.value) == call.trace == TRACE
    assert call.attributes["error.type"] == "MANIFEST_UNKNOWN"
    assert not call.error, "the failure is the caller's"
    assert listing.parent == ""
    assert trace_id_of(other.value) == listing.trace != TRACE
    assert [record["trace_id"] for record in calls(gateway)] == [TRACE, listing.trace]
    assert {json.loads(line)["trace_id"] for line in records.splitlines()} == {TRACE}


async def test_a_failure_of_the_registry_is_an_error_in_the_trace(
    registry: DevRegistry, collector: Collector, settings: dict[str, str]
) -> None:
    registry.inject(Fault(route="tags", status=500))
    async with (
        gateway_process("serve", **settings, **collector.variables) as gateway,
        grpc.aio.insecure_channel(gateway.address) as channel,
    ):
        # By then, it knows that the registry wants a token: one request for the call.
        await gateway.event("registry ready")
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await stub(channel).ListTags(
                ListTagsRequest(repository="team/app"), metadata=with_context(SAMPLED), wait_for_ready=True
            )
        call = await collector.span(is_call(failed.value.code().value[0]))
    assert call.error
    (request,) = [span for span in collector.spans if span.name == "GET tags"]
    assert (request.error, request.attributes["error.type"]) == (True, "500")


async def test_strangers_leave_no_trace_whatever_they_send(
    collector: Collector, settings: dict[str, str], known_callers: dict[str, str]
) -> None:
    async with gateway_process("serve", **settings, **known_callers, **collector.variables) as gateway:
        async with grpc.aio.insecure_channel(gateway.address) as channel:
            for token in ("", "wrong"):
                with pytest.raises(grpc.aio.AioRpcError) as refused:
                    await stub(channel).GetManifest(LATEST, metadata=with_context(SAMPLED, token), wait_for_ready=True)
                assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
            await stub(channel).GetManifest(LATEST, metadata=with_context(SAMPLED, TOKEN))
        await collector.named("/GetManifest")
        gateway.signal(signal.SIGTERM)
        assert await gateway.ended() == 0
    (call,) = [span for span in collector.spans if span.kind == "SERVER"]
    assert (call.attributes["enduser.id"], call.trace) == ("token:scanner", TRACE)
    assert all(TOKEN.encode() not in body for body in collector.bodies)


async def test_a_caller_without_a_credential_cannot_choose_the_trace_where_others_have_one(
    collector: Collector, settings: dict[str, str], known_callers: dict[str, str]
) -> None:
    # No call is recorded, except for those whose callers ask for it.
    variables = collector.variables | {"OTEL_TRACES_SAMPLER": "parentbased_always_off"}
    arguments = ("--allow-anonymous", "--insecure", "--log-level", "debug")
    async with gateway_process("serve", *arguments, **settings, **known_callers, **variables) as gateway:
        async with grpc.aio.insecure_channel(gateway.address) as channel:
            await stub(channel).GetManifest(LATEST, metadata=with_context(SAMPLED), wait_for_ready=True)
            await stub(channel).GetManifest(LATEST, metadata=with_context(SAMPLED, TOKEN))
        await collector.named("/GetManifest")
        gateway.signal(signal.SIGTERM)
        assert await gateway.ended() == 0
    assert [span.attributes["enduser.id"] for span in collector.spans if span.kind == "SERVER"] == ["token:scanner"]
    anonymous, known = (record["trace_id"] for record in calls(gateway))
    assert anonymous != TRACE
    assert known == TRACE


def four_listings(spans: list[CollectedSpan]) -> list[CollectedSpan]:
    listings = [span for span in spans if span.name.endswith("/ListTags")]
    return listings if len(listings) == 4 else []


async def test_callers_that_share_a_request_are_linked_and_waits_are_shown(
    registry: DevRegistry, collector: Collector, settings: dict[str, str]
) -> None:
    async with (
        gateway_process("serve", "--upstream-concurrency", "1", **settings, **collector.variables) as gateway,
        grpc.aio.insecure_channel(gateway.address) as channel,
    ):
        await stub(channel).GetManifest(LATEST, wait_for_ready=True)
        registry.inject(Fault(route="tags", delay=0.3))
        same = ListTagsRequest(repository="team/app")
        other = ListTagsRequest(repository="team/worker")
        await asyncio.gather(*(stub(channel).ListTags(request) for request in (same, same, same, other)))
        listings = await collector.when(four_listings)
    trees = [collector.tree(listing) for listing in listings]
    names = json.dumps(trees)
    assert names.count('"wait for slot"') >= 1
    assert names.count('"wait for registry read"') >= 1
    reads = {(span.trace, span.id) for span in collector.spans if span.name == "registry read"}
    links = [span.links for span in collector.spans if span.name == "wait for registry read"]
    assert all(len(each) == 1 and set(each) <= reads for each in links)


async def test_a_call_that_is_not_sampled_is_not_exported_but_named(
    registry: DevRegistry, collector: Collector, settings: dict[str, str]
) -> None:
    async with gateway_process("serve", "--log-level", "debug", **settings, **collector.variables) as gateway:
        await gateway.event("registry ready")
        async with grpc.aio.insecure_channel(gateway.address) as channel:
            not_sampled = with_context(f"00-{TRACE}-{PARENT}-00")
            await stub(channel).GetManifest(LATEST, metadata=not_sampled, wait_for_ready=True)
            await stub(channel).Catalog(CatalogRequest(), metadata=with_context("no context"))
        catalog = await collector.named("/Catalog")
    assert not [span for span in collector.spans if span.trace == TRACE]
    assert [record["trace_id"] for record in calls(gateway)] == [TRACE, catalog.trace]
    (sent,) = registry.requests.select(route="manifests")
    assert sent.headers["traceparent"].startswith(f"00-{TRACE}-")
    assert sent.headers["traceparent"].endswith("-00")


async def test_each_worker_exports_its_own_calls(collector: Collector, settings: dict[str, str]) -> None:
    async with gateway_process("serve", "--workers", "2", **settings, **collector.variables) as gateway:
        processes: set[object] = set()
        async with asyncio.timeout(60):
            while len(processes) < 2:
                # Each channel is a connection, which the system gives to one of the workers.
                options = (("grpc.use_local_subchannel_pool", 1),)
                async with grpc.aio.insecure_channel(gateway.address, options=options) as channel:
                    await stub(channel).Catalog(CatalogRequest(), wait_for_ready=True)
                processes = {span.resource["process.pid"] for span in collector.spans}
        assert gateway.process.pid not in processes
        gateway.signal(signal.SIGTERM)
        assert await gateway.ended() == 0


@pytest.mark.parametrize("collector_state", ["down", "hanging"])
async def test_a_collector_that_fails_costs_calls_and_the_end_nothing_but_one_line(
    collector_state: str, collector: Collector, settings: dict[str, str], unused_tcp_port: int
) -> None:
    variables = collector.variables | {"OTEL_EXPORTER_OTLP_TIMEOUT": "1"}
    if collector_state == "down":
        variables["OTEL_EXPORTER_OTLP_ENDPOINT"] = f"http://user:s3cret@127.0.0.1:{unused_tcp_port}"
    else:
        collector.hangs = True
    async with gateway_process("serve", **settings, **variables) as gateway:
        async with grpc.aio.insecure_channel(gateway.address) as channel:
            await stub(channel).GetManifest(LATEST, wait_for_ready=True)
            failed = await gateway.event("traces cannot be exported, and are lost until they can: check the collector")
            for _ in range(20):
                await stub(channel).GetManifest(LATEST)
        gateway.signal(signal.SIGTERM)
        started = time.monotonic()
        assert await asyncio.wait_for(gateway.ended(), ENDS_WITHIN) == 0
        assert time.monotonic() - started < 10
    lines = "".join(gateway.log)
    assert lines.count("cannot be exported") == 1
    assert failed["level"] == "warning"
    assert "Traceback" not in lines
    assert "s3cret" not in lines


async def test_when_the_collector_is_back_the_log_says_how_many_spans_were_lost(
    collector: Collector, settings: dict[str, str]
) -> None:
    collector.hangs = True
    variables = collector.variables | {"OTEL_EXPORTER_OTLP_TIMEOUT": "1"}
    async with (
        gateway_process("serve", **settings, **variables) as gateway,
        grpc.aio.insecure_channel(gateway.address) as channel,
    ):
        await stub(channel).GetManifest(LATEST, wait_for_ready=True)
        await gateway.event("traces cannot be exported, and are lost until they can: check the collector")
        collector.hangs = False
        await stub(channel).Catalog(CatalogRequest())
        again = await gateway.event("traces are exported again")
        await collector.named("/Catalog")
    assert isinstance(again["lost_spans"], int)
    assert again["lost_spans"] > 0


@pytest.mark.parametrize(
    ("variables", "warning"),
    [
        ({"OTEL_SDK_DISABLED": "true"}, ""),
        ({"OTEL_TRACES_EXPORTER": "none"}, ""),
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "http/json"}, "a variable of OpenTelemetry has a wrong value"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "localhost:4318"}, "a variable of OpenTelemetry has a wrong value"),
        ({"OTEL_BSP_MAX_QUEUE_SIZE": "-1"}, "a variable of OpenTelemetry has a wrong value"),
    ],
)
async def test_traces_that_are_off_or_wrongly_set_up_keep_no_gateway_from_serving(
    collector: Collector, settings: dict[str, str], variables: dict[str, str], warning: str
) -> None:
    async with gateway_process(
        "serve", "--log-level", "debug", **settings, **collector.variables | variables
    ) as gateway:
        async with grpc.aio.insecure_channel(gateway.address) as channel:
            await stub(channel).GetManifest(LATEST, metadata=with_context(SAMPLED), wait_for_ready=True)
        gateway.signal(signal.SIGTERM)
        assert await gateway.ended() == 0
    assert not collector.spans
    (record,) = calls(gateway)
    assert "trace_id" not in record
    warnings = [line["event"] for line in map(json.loads, gateway.log) if line["level"] == "warning"]
    assert [warning in each for each in warnings] == ([True] if warning else [])


async def test_the_log_says_what_to_install(collector: Collector, settings: dict[str, str], tmp_path: Path) -> None:
    # A package of this name that has nothing in it is found first.
    (tmp_path / "opentelemetry").mkdir()
    (tmp_path / "opentelemetry/__init__.py").touch()
    async with gateway_process("serve", **settings, **collector.variables, PYTHONPATH=str(tmp_path)) as gateway:
        said = await gateway.event(
            "traces are asked for, but OpenTelemetry is not installed: install portus-gateway with its extra 'otel'"
        )
        async with grpc.aio.insecure_channel(gateway.address) as channel:
            await stub(channel).GetManifest(LATEST, wait_for_ready=True)
    assert said["level"] == "warning"


def test_without_variables_nothing_of_opentelemetry_is_loaded() -> None:
    code = """
import asyncio, sys
from portus_gateway import app
from portus_gateway.telemetry.traces import traces

async def main() -> None:
    async with traces(trusts_anonymous=True) as tracer:
        assert tracer is None

asyncio.run(main())
print([name for name in sys.modules if name.startswith("opentelemetry")])
"""
    # Such as clusters set for every program.
    environment = clean_environment({"OTEL_RESOURCE_ATTRIBUTES": "k8s.pod.name=a", "OTEL_SERVICE_NAME": "gateway"})
    run = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True, timeout=60
    )
    assert run.stdout == "[]\n"


async def test_what_the_index_does_are_traces_of_their_own(
    collector: Collector, registry: DevRegistry, settings: dict[str, str], tmp_path: Path
) -> None:
    tokens = tmp_path / "tokens"
    tokens.write_text(f"registry sha256:{hashlib.sha256(b's3cret').hexdigest()}\n")
    index = {
        "PORTUS_INDEX": f"sqlite://{tmp_path}/index.db",
        "PORTUS_NOTIFICATIONS_LISTEN": "127.0.0.1:0",
        "PORTUS_NOTIFICATIONS_TOKEN_FILE": str(tokens),
    }
    async with gateway_process("serve", **settings, **index, **collector.variables) as gateway:
        walk = await collector.named("index walk")
        read = await collector.span(
            lambda span: span.name == "index read" and span.attributes["portus.repository"] == "team/app"
        )
        receiving = await gateway.event("receiving notifications")
        async with ClientSession() as session:
            for token, status in (("wrong", 401), ("s3cret", 202)):
                headers = {"Authorization": f"Bearer {token}"}
                url = f"http://{receiving['address']}/notifications"
                async with session.post(url, data=b'{"events": []}', headers=headers) as answered:
                    assert answered.status == status
        received = await collector.named("POST /notifications")
    assert "GET catalog" in json.dumps(collector.tree(walk))
    assert "GET tags" in json.dumps(collector.tree(read))
    assert [walk.parent, read.parent, received.parent] == ["", "", ""]
    assert len({walk.trace, read.trace, received.trace}) == 3
    assert (received.kind, received.attributes["http.response.status_code"]) == ("SERVER", 202)
    assert len([span for span in collector.spans if span.name == "POST /notifications"]) == 1
    (sent, *_) = registry.requests.select(route="catalog")
    assert sent.headers["traceparent"].split("-")[1] == walk.trace
