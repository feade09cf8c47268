"""Spans of OpenTelemetry, exported by OTLP. Loaded only if traces are wanted.

The names of attributes are those of OpenTelemetry's semantic conventions for gRPC and HTTP. What they have no name for
begins with `portus.`.
"""

import asyncio
import logging
import os
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Final
from urllib.parse import urlsplit
from uuid import uuid4

import grpc
import structlog
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from portus_gateway import __version__
from portus_gateway.access.caller import Caller
from portus_gateway.access.current_call import Call
from portus_gateway.aio.spans import Kind, Span, Value
from portus_gateway.rpc.observation import FinishedCall
from portus_gateway.rpc.peer_address import host_and_port

_log = structlog.get_logger(__name__)

# A call may read thousands of tags. What is beyond this number of spans is counted, so that one call does not take the
# place of all others.
_MOST_SPANS: Final = 500
# How long the end of the process waits for the last export, in seconds.
_LAST_EXPORT: Final = 3.0
_KINDS: Final[Mapping[Kind, trace.SpanKind]] = {
    "internal": trace.SpanKind.INTERNAL,
    "client": trace.SpanKind.CLIENT,
    "server": trace.SpanKind.SERVER,
}
# As the conventions for gRPC say: other codes are not the server's failure.
_FAULTS: Final = frozenset(
    {
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.UNIMPLEMENTED,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DATA_LOSS,
    }
)
_W3C: Final = TraceContextTextMapPropagator()
_ERROR: Final = trace.Status(trace.StatusCode.ERROR)
# They log each failed export several times, where `_ToldOnce` has one line, and each malformed context of a caller.
_NOISY: Final = (
    "opentelemetry.exporter",
    "opentelemetry.sdk._shared_internal",
    "opentelemetry.sdk.trace.export",
    "opentelemetry.trace",
)


class OtlpTraces:
    """Records spans and exports them, as the variables `OTEL_…` say (`traces.GatewayTracer`).

    With `trusts_anonymous`, calls without a credential may continue the traces of their callers. Raises what the
    libraries raise for wrong values of the variables.
    """

    def __init__(self, *, trusts_anonymous: bool) -> None:
        self._trusts_anonymous = trusts_anonymous
        self._propagates = _propagates(os.environ.get("OTEL_PROPAGATORS", ""))
        exporter, endpoint = _exporter()
        for name in _NOISY:
            logging.getLogger(name).setLevel(logging.CRITICAL + 1)
        self._provider = TracerProvider(resource=_resource(), shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(_ToldOnce(exporter, endpoint)))
        self._tracer = self._provider.get_tracer("portus-gateway", __version__)
        _log.info("traces are exported", endpoint=endpoint)

    async def close(self) -> None:
        """Exports the last spans, within a few seconds: a collector that does not answer must not keep the process."""
        loop = asyncio.get_running_loop()
        done = asyncio.Event()

        def shut_down() -> None:
            self._provider.shutdown()
            # The loop may have ended meanwhile.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(done.set)

        # A daemon, so that an export that hangs does not keep the process from ending.
        threading.Thread(target=shut_down, name="last-export", daemon=True).start()
        try:
            async with asyncio.timeout(_LAST_EXPORT):
                await done.wait()
        except TimeoutError:
            _log.warning("the last spans were not exported in time, and are lost", seconds=_LAST_EXPORT)

    def root(self, name: str, kind: Kind = "internal", attributes: Mapping[str, Value] | None = None) -> Span:
        span = self._tracer.start_span(name, Context(), _KINDS[kind], attributes)
        return _Recorded(span, _Family(self._tracer, propagates=self._propagates))

    def call_began(self, call: Call, caller: Caller, method: str, seconds: float) -> "_CallSpan":
        service, _, name = method.strip("/").rpartition("/")
        address, port = host_and_port(call.peer) or (call.peer, 0)
        attributes: dict[str, Value] = {
            "rpc.system": "grpc",
            "rpc.service": service,
            "rpc.method": name,
            "client.address": address,
            "portus.request_id": call.request_id,
            "enduser.id": caller.name,
        }
        if port:
            attributes["client.port"] = port
        context = _context_of(call.metadata) if self._propagates else Context()
        links: list[trace.Link] = []
        if caller.kind == "anonymous" and not self._trusts_anonymous:
            # A stranger must not choose trace ids, or force an export by the flag in its context.
            theirs = trace.get_current_span(context).get_span_context()
            context = Context()
            if theirs.is_valid:
                links.append(trace.Link(theirs))
        span = self._tracer.start_span(
            f"{service}/{name}",
            context,
            trace.SpanKind.SERVER,
            attributes,
            links,
            start_time=time.time_ns() - int(seconds * 1e9),
        )
        return _CallSpan(span, _Family(self._tracer, propagates=self._propagates))


class _Family:
    """What all spans of one call share."""

    __slots__ = ("begun", "propagates", "tracer")

    def __init__(self, tracer: trace.Tracer, *, propagates: bool) -> None:
        self.tracer = tracer
        self.propagates = propagates
        self.begun = 0


class _Unrecorded:
    """A step that is not recorded, because its call is not, or has too many steps. It has the context of its parent."""

    __slots__ = ("_family", "_span")

    def __init__(self, span: trace.Span, family: _Family) -> None:
        self._span = span
        self._family = family

    @property
    def context(self) -> trace.SpanContext:
        return self._span.get_span_context()

    @property
    def trace_id(self) -> str:
        return trace.format_trace_id(self.context.trace_id)

    @property
    def headers(self) -> Mapping[str, str]:
        fields: dict[str, str] = {}
        if self._family.propagates:
            _W3C.inject(fields, trace.set_span_in_context(self._span, Context()))
        return fields

    def child(self, name: str, kind: Kind = "internal", attributes: Mapping[str, Value] | None = None) -> Span:
        family = self._family
        family.begun += 1
        # Not whether it is being recorded: shared work goes on when the span of its first caller has ended.
        if family.begun > _MOST_SPANS or not self.context.trace_flags.sampled:
            return _Unrecorded(self._span, family)
        context = trace.set_span_in_context(self._span, Context())
        span = family.tracer.start_span(name, context, _KINDS[kind], attributes)
        return _Recorded(span, family, fails=kind == "client")

    def link(self, other: Span) -> None:
        pass

    def set(self, name: str, value: Value) -> None:
        pass

    def end(self, error: str = "") -> None:
        pass


class _Recorded(_Unrecorded):
    """A step that is recorded, if the sampler wants it.

    With `fails`, an error makes it a failed one. An error of an inner step is none by itself: that a tag does not exist
    is an ordinary answer.
    """

    __slots__ = ("_ended", "_fails")

    def __init__(self, span: trace.Span, family: _Family, *, fails: bool = True) -> None:
        super().__init__(span, family)
        self._ended = False
        self._fails = fails

    def link(self, other: Span) -> None:
        if isinstance(other, _Unrecorded):
            self._span.add_link(other.context)

    def set(self, name: str, value: Value) -> None:
        self._span.set_attribute(name, value)

    def end(self, error: str = "") -> None:
        if self._ended:
            return
        self._ended = True
        if error:
            self._span.set_attribute("error.type", error)
            if self._fails:
                self._span.set_status(_ERROR)
        self._span.end()


class _CallSpan(_Recorded):
    """The span of a call (`rpc.call_tracing.CallSpan`)."""

    __slots__ = ()

    def call_finished(self, call: FinishedCall) -> None:
        number: int = call.code.value[0]
        self.set("rpc.grpc.status_code", number)
        if call.repository:
            self.set("portus.repository", call.repository)
        if call.validate_only:
            self.set("portus.validate_only", True)
        if self._family.begun > _MOST_SPANS:
            self.set("portus.spans_left_out", self._family.begun - _MOST_SPANS)
        if call.code in _FAULTS:
            self.end(call.reason or call.code.name)
            return
        if call.code is not grpc.StatusCode.OK:
            self.set("error.type", call.reason or call.code.name)
        self.end()


class _ToldOnce(SpanExporter):
    """Exports by `exporter`. An outage is one line in the log, and its end another."""

    def __init__(self, exporter: SpanExporter, endpoint: str) -> None:
        self._exporter = exporter
        self._endpoint = endpoint
        self._lost = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        problem = ""
        try:
            result = self._exporter.export(spans)
        except Exception as error:
            # Calls go on, whatever a library does.
            result, problem = SpanExportResult.FAILURE, type(error).__name__
        if result is SpanExportResult.SUCCESS:
            if self._lost:
                _log.info("traces are exported again", endpoint=self._endpoint, lost_spans=self._lost)
                self._lost = 0
            return result
        if not self._lost:
            _log.warning(
                "traces cannot be exported, and are lost until they can: check the collector",
                endpoint=self._endpoint,
                **({"problem": problem} if problem else {}),
            )
        self._lost += len(spans)
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()


def _exporter() -> tuple[SpanExporter, str]:
    """The exporter that the variables ask for, and its endpoint without secrets, for the log."""
    environment = os.environ
    protocol = environment.get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL") or environment.get("OTEL_EXPORTER_OTLP_PROTOCOL")
    protocol = (protocol or "http/protobuf").strip().lower()
    endpoint = environment.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") or environment.get("OTEL_EXPORTER_OTLP_ENDPOINT")
    # One of the two libraries is loaded.
    if protocol == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter

        return GrpcExporter(), _without_secrets(endpoint or "http://localhost:4317")
    if protocol != "http/protobuf":
        raise ValueError(f"OTEL_EXPORTER_OTLP_PROTOCOL is {protocol!r}; `grpc` and `http/protobuf` are supported")
    endpoint = endpoint or "http://localhost:4318"
    if not endpoint.strip().lower().startswith(("http://", "https://")):
        # The exporter finds this out only when it exports. The value is not told: it could contain a password.
        raise ValueError(
            "the endpoint for OTLP must begin with http:// or https://, such as http://localhost:4318, unless"
            " OTEL_EXPORTER_OTLP_PROTOCOL is `grpc`"
        )
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpExporter

    return HttpExporter(), _without_secrets(endpoint)


def _without_secrets(endpoint: str) -> str:
    parts = urlsplit(endpoint)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}" if parts.netloc else endpoint


def _resource() -> Resource:
    """What is exported: OTEL_RESOURCE_ATTRIBUTES and OTEL_SERVICE_NAME, and the gateway's own words where they lack."""
    own: dict[str, Value] = {
        "service.name": "portus-gateway",
        "service.version": __version__,
        "service.instance.id": str(uuid4()),
        "process.pid": os.getpid(),
    }
    return Resource.create({**own, **OTELResourceDetector().detect().attributes})


def _propagates(propagators: str) -> bool:
    """Whether OTEL_PROPAGATORS has W3C Trace Context, the only one that is supported."""
    names = [name.strip().lower() for name in propagators.split(",") if name.strip()] or ["tracecontext"]
    # Baggage is not passed on: callers' data does not concern the registry.
    if unknown := [name for name in names if name not in ("tracecontext", "baggage", "none")]:
        _log.warning("OTEL_PROPAGATORS: only tracecontext is supported", ignored=unknown)
    return "tracecontext" in names


def _context_of(metadata: Iterable[tuple[str, str | bytes]]) -> Context:
    """The trace context that a caller sent; an empty one if it sent none or more than one."""
    parents: list[str] = []
    states: list[str] = []
    for key, value in metadata:
        if isinstance(value, str) and key == "traceparent":
            parents.append(value)
        elif isinstance(value, str) and key == "tracestate":
            states.append(value)
    if len(parents) != 1:
        return Context()
    return _W3C.extract({"traceparent": parents, "tracestate": states}, Context())
