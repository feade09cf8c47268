"""Prometheus metrics: what calls come in, what requests go out, and how both end.

Those of calls have the names that gRPC's own Prometheus middleware gives them, so that dashboards for it fit.
"""

import grpc
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

from portus_gateway.cached_registry import Outcome
from portus_gateway.rpc.observation import FinishedCall

_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)


class Metrics:
    """Counts what it observes: calls (`rpc.CallObserver`), requests (`distribution.UpstreamObserver`), the cache."""

    def __init__(self, version: str) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        method = ("grpc_service", "grpc_method")
        self._started = self._counter("grpc_server_started_total", "Calls that came in.", *method)
        self._handled = self._counter("grpc_server_handled_total", "Calls that ended.", *method, "grpc_code")
        self._reasons = self._counter(
            "portus_gateway_errors_total", "Calls that failed, by their error's reason.", "grpc_method", "reason"
        )
        self._handling = self._histogram("grpc_server_handling_seconds", "How long calls took.", *method)
        self._running = Gauge("grpc_server_in_flight", "Calls that are being served.", method, registry=self._registry)
        self._requests = self._counter(
            "portus_upstream_requests_total",
            "Requests to the registry and the token service, by HTTP status or kind of failure.",
            "method",
            "route",
            "outcome",
        )
        self._request_seconds = self._histogram(
            "portus_upstream_request_seconds", "How long those requests took.", "method", "route"
        )
        self._retries = self._counter("portus_upstream_retries_total", "Requests that were sent again.", "route")
        self._token_fetches = self._counter("portus_token_fetches_total", "Tokens that were asked for.", "outcome")
        self._token_seconds = self._histogram("portus_token_fetch_seconds", "How long fetching a token took.")
        self._token_reuses = self._counter(
            "portus_token_cache_hits_total", "Requests for which a token was there already."
        )
        self._manifests = self._counter(
            "portus_manifest_cache_total",
            "Manifests asked of the cache: hit, revalidated (the registry said that it is the same), or miss.",
            "outcome",
        )
        self._cache_size = Gauge(
            "portus_manifest_cache_bytes", "Memory that the cached manifests take, about.", registry=self._registry
        )
        self._cache_entries = Gauge("portus_manifest_cache_entries", "Manifests in the cache.", registry=self._registry)
        self._ready = Gauge(
            "portus_registry_ready", "1 while the registry answers and takes our account.", registry=self._registry
        )
        Gauge("portus_gateway_info", "The gateway's version.", ("version",), registry=self._registry).labels(
            version
        ).set(1)
        self._methods: dict[str, tuple[str, str]] = {}

    def exposition(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return generate_latest(self._registry)

    def call_started(self, method: str) -> None:
        labels = self._labels(method)
        self._started.labels(*labels).inc()
        self._running.labels(*labels).inc()

    def call_finished(self, call: FinishedCall) -> None:
        labels = self._labels(call.method)
        self._running.labels(*labels).dec()
        self._handled.labels(*labels, _camel_case(call.code)).inc()
        self._handling.labels(*labels).observe(call.seconds)
        if call.reason:
            self._reasons.labels(labels[1], call.reason).inc()

    def request_finished(self, *, method: str, route: str, outcome: str, seconds: float) -> None:
        self._requests.labels(method, route, outcome).inc()
        self._request_seconds.labels(method, route).observe(seconds)

    def token_fetched(self, *, outcome: str, seconds: float) -> None:
        self._token_fetches.labels(outcome).inc()
        self._token_seconds.observe(seconds)

    def token_reused(self) -> None:
        self._token_reuses.inc()

    def retried(self, *, route: str) -> None:
        self._retries.labels(route).inc()

    def manifest_answered(self, outcome: Outcome) -> None:
        self._manifests.labels(outcome).inc()

    def cache_resized(self, size: int, entries: int) -> None:
        self._cache_size.set(size)
        self._cache_entries.set(entries)

    def registry_ready(self, ready: bool) -> None:
        """Whether the registry can be used, as the last check found."""
        self._ready.set(ready)

    def _labels(self, method: str) -> tuple[str, str]:
        labels = self._methods.get(method)
        if labels is None:
            service, _, name = method.strip("/").rpartition("/")
            labels = self._methods[method] = (service, name)
        return labels

    def _counter(self, name: str, description: str, *labels: str) -> Counter:
        return Counter(name, description, labels, registry=self._registry)

    def _histogram(self, name: str, description: str, *labels: str) -> Histogram:
        return Histogram(name, description, labels, buckets=_BUCKETS, registry=self._registry)


def _camel_case(code: grpc.StatusCode) -> str:
    """`NotFound` for NOT_FOUND, as the middleware of other languages has it; OK is `OK`."""
    return "OK" if code is grpc.StatusCode.OK else code.name.title().replace("_", "")
