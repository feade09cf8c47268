"""Prometheus metrics: what calls come in, what requests go out, and how both end.

Those of calls have the names that gRPC's own Prometheus middleware gives them, so that dashboards for it fit.
"""

import asyncio
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import accumulate

import grpc
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from portus_gateway.cached_registry import Outcome
from portus_gateway.rpc.observation import FinishedCall
from portus_gateway.worker_channel import Figures
from portus_gateway.worker_metrics import figures_of

_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)


class Metrics:
    """Counts what it observes: calls (`rpc.CallObserver`), requests (`distribution.UpstreamObserver`), the cache."""

    def __init__(self, version: str) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        self._calls = _Calls()
        self._registry.register(self._calls)
        self._registry.register(_Tasks())
        self._reasons = self._counter(
            "portus_gateway_errors_total", "Calls that failed, by their error's reason.", "grpc_method", "reason"
        )
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
        self._request_series: dict[tuple[str, str, str], tuple[Counter, Histogram]] = {}
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
        self._answers: dict[Outcome, Counter] = {}

    async def exposition(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return generate_latest(self._registry)

    def figures(self) -> Figures:
        """The same, to be added up with those of other workers."""
        return figures_of(self._registry)

    def call_started(self, method: str) -> None:
        self._calls.of(method).started += 1

    def call_finished(self, call: FinishedCall) -> None:
        counts = self._calls.of(call.method)
        if call.code is grpc.StatusCode.OK:
            # Apart from the others: to look a code up takes as long as all the rest of this.
            counts.well += 1
        else:
            counts.failed[call.code] = counts.failed.get(call.code, 0) + 1
        counts.buckets[bisect_left(_BUCKETS, call.seconds)] += 1
        counts.seconds += call.seconds
        if call.reason:
            self._reasons.labels(counts.name, call.reason).inc()

    def request_finished(self, *, method: str, route: str, outcome: str, seconds: float) -> None:
        # To find a series by its labels takes longer than to count: those that were found are kept.
        kind = (method, route, outcome)
        series = self._request_series.get(kind)
        if series is None:
            series = self._requests.labels(*kind), self._request_seconds.labels(method, route)
            self._request_series[kind] = series
        count, times = series
        count.inc()
        times.observe(seconds)

    def token_fetched(self, *, outcome: str, seconds: float) -> None:
        self._token_fetches.labels(outcome).inc()
        self._token_seconds.observe(seconds)

    def token_reused(self) -> None:
        self._token_reuses.inc()

    def retried(self, *, route: str) -> None:
        self._retries.labels(route).inc()

    def manifest_answered(self, outcome: Outcome) -> None:
        answers = self._answers.get(outcome)
        if answers is None:
            answers = self._answers[outcome] = self._manifests.labels(outcome)
        answers.inc()

    def cache_resized(self, size: int, entries: int) -> None:
        self._cache_size.set(size)
        self._cache_entries.set(entries)

    def registry_ready(self, ready: bool) -> None:
        """Whether the registry can be used, as the last check found."""
        self._ready.set(ready)

    def _counter(self, name: str, description: str, *labels: str) -> Counter:
        return Counter(name, description, labels, registry=self._registry)

    def _histogram(self, name: str, description: str, *labels: str) -> Histogram:
        return Histogram(name, description, labels, buckets=_BUCKETS, registry=self._registry)


@dataclass(slots=True)
class _Counts:
    """What there is to say of the calls of one method. `buckets` has one more, for calls longer than all of them."""

    service: str
    name: str
    started: int = 0
    well: int = 0
    failed: dict[grpc.StatusCode, int] = field(default_factory=dict)
    buckets: list[int] = field(default_factory=lambda: [0] * (len(_BUCKETS) + 1))
    seconds: float = 0.0

    @property
    def handled(self) -> Mapping[grpc.StatusCode, int]:
        """How many calls ended with each code."""
        return ({grpc.StatusCode.OK: self.well} if self.well else {}) | self.failed


class _Calls(Collector):
    """Counts calls in plain numbers, which are made into metrics when somebody asks: the library's own counters take
    longer than all else that is done for a call from the cache.
    """

    def __init__(self) -> None:
        self._methods: dict[str, _Counts] = {}

    def of(self, method: str) -> _Counts:
        counts = self._methods.get(method)
        if counts is None:
            service, _, name = method.strip("/").rpartition("/")
            counts = self._methods[method] = _Counts(service, name)
        return counts

    def collect(self) -> Iterable[Metric]:
        labels = ("grpc_service", "grpc_method")
        started = CounterMetricFamily("grpc_server_started", "Calls that came in.", labels=labels)
        handled = CounterMetricFamily("grpc_server_handled", "Calls that ended.", labels=(*labels, "grpc_code"))
        handling = HistogramMetricFamily("grpc_server_handling_seconds", "How long calls took.", labels=labels)
        running = GaugeMetricFamily("grpc_server_in_flight", "Calls that are being served.", labels=labels)
        for counts in self._methods.values():
            method = (counts.service, counts.name)
            started.add_metric(method, counts.started)
            for code, count in counts.handled.items():
                handled.add_metric((*method, _camel_case(code)), count)
            bounds = [*map(floatToGoString, _BUCKETS), "+Inf"]
            cumulated = list(zip(bounds, accumulate(counts.buckets), strict=True))
            handling.add_metric(method, cumulated, counts.seconds)
            running.add_metric(method, counts.started - sum(counts.handled.values()))
        return (started, handled, handling, running)


class _Tasks(Collector):
    """Counts the tasks of the event loop: what grows there, and never ends, is a leak. To be asked in the loop."""

    def collect(self) -> Iterable[Metric]:
        yield GaugeMetricFamily("portus_gateway_tasks", "Tasks of the event loop.", len(asyncio.all_tasks()))

    def describe(self) -> Iterable[Metric]:
        # Asked for at once, when there is no loop yet; else all is collected for it.
        yield GaugeMetricFamily("portus_gateway_tasks", "Tasks of the event loop.")


def _camel_case(code: grpc.StatusCode) -> str:
    """`NotFound` for NOT_FOUND, as the middleware of other languages has it; OK is `OK`."""
    return "OK" if code is grpc.StatusCode.OK else code.name.title().replace("_", "")
