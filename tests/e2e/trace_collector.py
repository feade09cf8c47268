"""A collector of traces: takes OTLP over HTTP or gRPC, as real ones do, and gives tests the spans."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import grpc
from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import (
    TraceServiceServicer,
    add_TraceServiceServicer_to_server,
)
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1 import trace_pb2

PATIENCE = 30.0
Value = str | int | bool


@dataclass(frozen=True)
class CollectedSpan:
    """One span as it came."""

    name: str
    kind: str
    trace: str
    id: str
    parent: str
    error: bool
    attributes: dict[str, Value]
    links: tuple[tuple[str, str], ...]
    resource: dict[str, Value]


@dataclass
class Collector:
    """What has come so far. `variables` make a gateway export to it."""

    variables: dict[str, str]
    spans: list[CollectedSpan] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    hangs: bool = False
    _grown: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def take(self, body: bytes, headers: Iterable[tuple[str, str]]) -> None:
        request = ExportTraceServiceRequest.FromString(body)
        while self.hangs:
            await asyncio.sleep(PATIENCE)
        async with self._grown:
            self.bodies.append(body)
            self.headers.append({name.lower(): value for name, value in headers})
            for resource in request.resource_spans:
                described = _values(resource.resource.attributes)
                self.spans += (_span(span, described) for scope in resource.scope_spans for span in scope.spans)
            self._grown.notify_all()

    async def span(self, fits: Callable[[CollectedSpan], bool]) -> CollectedSpan:
        """The first span that fits, now or later."""
        (found, *_) = await self.when(lambda spans: [span for span in spans if fits(span)])
        return found

    async def named(self, name: str) -> CollectedSpan:
        """The first span whose name ends like this."""
        return await self.span(lambda span: span.name.endswith(name))

    async def when(self, found: Callable[[list[CollectedSpan]], list[CollectedSpan]]) -> list[CollectedSpan]:
        """What `found` finds, as soon as that is anything."""
        async with asyncio.timeout(PATIENCE), self._grown:
            await self._grown.wait_for(lambda: found(self.spans))
        return found(self.spans)

    def children_of(self, parent: CollectedSpan) -> list[CollectedSpan]:
        return [span for span in self.spans if span.trace == parent.trace and span.parent == parent.id]

    def tree(self, root: CollectedSpan) -> list[object]:
        """The names below `root`, each followed by the list of its own children, if it has any."""
        names: list[object] = []
        for child in self.children_of(root):
            names.append(child.name)
            if below := self.tree(child):
                names.append(below)
        return names


@asynccontextmanager
async def http_collector() -> AsyncGenerator[Collector, None]:
    collector = Collector({})

    async def traces(request: web.Request) -> web.Response:
        await collector.take(await request.read(), request.headers.items())
        return web.Response(
            body=ExportTraceServiceResponse().SerializeToString(), content_type="application/x-protobuf"
        )

    application = web.Application()
    application.router.add_post("/v1/traces", traces)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        collector.variables = _variables(f"http://127.0.0.1:{port}", "http/protobuf")
        yield collector
    finally:
        await runner.cleanup()


class _Service(TraceServiceServicer):
    def __init__(self, collector: Collector) -> None:
        self._collector = collector

    async def Export(  # noqa: N802
        self,
        request: ExportTraceServiceRequest,
        context: "grpc.aio.ServicerContext[ExportTraceServiceRequest, ExportTraceServiceResponse]",
    ) -> ExportTraceServiceResponse:
        metadata = [(key, str(value)) for key, value in context.invocation_metadata() or ()]
        await self._collector.take(request.SerializeToString(), metadata)
        return ExportTraceServiceResponse()


@asynccontextmanager
async def grpc_collector() -> AsyncGenerator[Collector, None]:
    collector = Collector({})
    server = grpc.aio.server()
    add_TraceServiceServicer_to_server(_Service(collector), server)  # type: ignore[no-untyped-call]
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    collector.variables = _variables(f"http://127.0.0.1:{port}", "grpc")
    try:
        yield collector
    finally:
        await server.stop(None)


def _variables(endpoint: str, protocol: str) -> dict[str, str]:
    return {
        "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
        "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
        "OTEL_BSP_SCHEDULE_DELAY": "50",
    }


def _span(span: trace_pb2.Span, resource: dict[str, Value]) -> CollectedSpan:
    return CollectedSpan(
        name=span.name,
        kind=trace_pb2.Span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_"),
        trace=span.trace_id.hex(),
        id=span.span_id.hex(),
        parent=span.parent_span_id.hex(),
        error=span.status.code == trace_pb2.Status.STATUS_CODE_ERROR,
        attributes=_values(span.attributes),
        links=tuple((link.trace_id.hex(), link.span_id.hex()) for link in span.links),
        resource=resource,
    )


def _values(attributes: Iterable[KeyValue]) -> dict[str, Value]:
    values: dict[str, Value] = {}
    for attribute in attributes:
        kind = attribute.value.WhichOneof("value")
        if kind == "int_value":
            values[attribute.key] = attribute.value.int_value
        elif kind == "bool_value":
            values[attribute.key] = attribute.value.bool_value
        else:
            values[attribute.key] = attribute.value.string_value
    return values
