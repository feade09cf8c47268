"""Traces, if variables of OpenTelemetry (`OTEL_…`) ask for them. Without them, nothing of OpenTelemetry is loaded."""

import os
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from importlib.util import find_spec
from typing import Protocol

import structlog

from portus_gateway.aio.spans import Tracer
from portus_gateway.rpc.call_tracing import CallTracer

_log = structlog.get_logger(__name__)

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PACKAGES = ("opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http", "opentelemetry.exporter.otlp.proto.grpc")


class GatewayTracer(CallTracer, Tracer, Protocol):
    """Records calls, and what the gateway does by itself."""


def wanted(environment: Mapping[str, str]) -> bool:
    """Whether traces are to be exported: an endpoint is set or OTEL_TRACES_EXPORTER is `otlp`, and nothing says no.

    Other variables, such as OTEL_RESOURCE_ATTRIBUTES, do not suffice: clusters set them for every program.
    """
    if environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    exporter = environment.get("OTEL_TRACES_EXPORTER", "").strip().lower()
    if exporter:
        return "otlp" in [name.strip() for name in exporter.split(",")]
    return any(environment.get(name, "").strip() for name in _ENDPOINTS)


@asynccontextmanager
async def traces(*, trusts_anonymous: bool) -> AsyncGenerator[GatewayTracer | None, None]:
    """What records traces for as long as the block runs; None if nothing is to be recorded.

    With `trusts_anonymous`, calls without a credential may continue the traces of their callers: something else than
    the gateway decides who reaches it. The last spans are exported at the end, within a few seconds. Whatever is wrong
    with the variables or the collector is logged, and the gateway serves without traces.
    """
    if not wanted(os.environ):
        yield None
        return
    if not _is_installed():
        _log.warning(
            "traces are asked for, but OpenTelemetry is not installed: install portus-gateway with its extra 'otel'"
        )
        yield None
        return
    from portus_gateway.telemetry.otlp_traces import OtlpTraces

    try:
        tracer = OtlpTraces(trusts_anonymous=trusts_anonymous)
    except Exception as error:
        # Libraries report wrong values of variables by errors of many kinds.
        _log.warning(
            "traces are off: a variable of OpenTelemetry has a wrong value", problem=f"{type(error).__name__}: {error}"
        )
        yield None
        return
    try:
        yield tracer
    finally:
        await tracer.close()


def _is_installed() -> bool:
    try:
        return all(find_spec(package) is not None for package in _PACKAGES)
    except ModuleNotFoundError:
        # `find_spec` loads the packages above the one that it looks for.
        return False
