"""Prometheus metrics: what calls come in, what requests go out, and how both end.

Those of calls have the names that gRPC's own Prometheus middleware gives them, so that dashboards for it fit.
"""

from collections.abc import Mapping
from functools import cached_property
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

from portus_gateway.access.rpcs import RPCS
from portus_gateway.registry.cached import Outcome
from portus_gateway.rpc.observation import FinishedCall
from portus_gateway.telemetry.figures import Figures
from portus_gateway.telemetry.file_states import Certificate, CertificateState, FileState, FileStates
from portus_gateway.telemetry.index_metrics import IndexMetrics
from portus_gateway.telemetry.plain_counts import (
    BUCKETS,
    CallCounts,
    DroppedLines,
    ManifestCounts,
    RequestCounts,
    TaskCount,
)
from portus_gateway.telemetry.worker_metrics import figures_of

# Alerts look for an increase of these. Prometheus sees none if a series begins with its first event.
_ALERTED_REASONS: Final = frozenset({"TOO_MANY_CALLS", "UPSTREAM_CREDENTIALS_REJECTED"})
_ALERTED_DELETE_REASONS: Final = frozenset({"AUDIT_FAILED", "AUDIT_OUTCOME_NOT_RECORDED"})
_TOKEN_OUTCOMES: Final = ("ok", "failed", "rejected")


class Metrics:
    """Counts what it observes: calls (`rpc.CallObserver`), requests (`distribution.UpstreamObserver`), the cache."""

    def __init__(self, version: str) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        self._calls = CallCounts()
        self._requests = RequestCounts()
        self._manifests = ManifestCounts()
        for collector in (self._calls, self._requests, self._manifests, TaskCount(), DroppedLines()):
            self._registry.register(collector)
        self._reasons = self._counter(
            "portus_gateway_errors_total", "Calls that failed, by their error's reason.", "grpc_method", "reason"
        )
        for rpc in RPCS.values():
            for reason in _ALERTED_REASONS | (_ALERTED_DELETE_REASONS if rpc.deletes else frozenset()):
                self._reasons.labels(rpc.name, reason)
        self._retries = self._counter("portus_upstream_retries_total", "Requests that were sent again.", "route")
        self._blob_bytes = self._counter(
            "portus_upstream_blob_bytes_total", "Bytes of blobs that were read from the registry for ReadBlob."
        )
        self._token_fetches = self._counter("portus_token_fetches_total", "Tokens that were asked for.", "outcome")
        for outcome in _TOKEN_OUTCOMES:
            self._token_fetches.labels(outcome)
        self._token_seconds = self._histogram("portus_token_fetch_seconds", "How long fetching a token took.")
        self._token_reuses = self._counter(
            "portus_token_cache_hits_total", "Requests for which a token was there already."
        )
        self._cache_size = Gauge(
            "portus_manifest_cache_bytes", "Memory that the cached manifests take, about.", registry=self._registry
        )
        self._cache_entries = Gauge("portus_manifest_cache_entries", "Manifests in the cache.", registry=self._registry)
        self._ready = Gauge(
            "portus_registry_ready", "1 while the registry answers and takes our account.", registry=self._registry
        )
        self._call_limit = Gauge(
            "portus_gateway_call_limit",
            "How many calls of the RegistryService may run at the same time.",
            registry=self._registry,
        )
        Gauge("portus_gateway_info", "The gateway's version.", ("version",), registry=self._registry).labels(
            version
        ).set(1)

    def watch_files(self, files: Mapping[str, FileState]) -> None:
        """Shows the state of these files, each by the name of its setting."""
        self._registry.register(FileStates(files))

    def watch_certificate(self, certificate: Certificate) -> None:
        """Shows when the gateway's certificate expires."""
        self._registry.register(CertificateState(certificate))

    def limit_calls(self, limit: int) -> None:
        """Shows how many calls of the RegistryService may run at the same time."""
        self._call_limit.set(limit)

    @cached_property
    def index(self) -> IndexMetrics:
        """The metrics of the live index. They are shown from the first use: a gateway without an index has none."""
        return IndexMetrics(self._registry)

    async def exposition(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return generate_latest(self._registry)

    def figures(self) -> Figures:
        """The same, to be added up with those of other workers."""
        return figures_of(self._registry)

    def call_started(self, method: str) -> None:
        self._calls.started(method)

    def call_finished(self, call: FinishedCall) -> None:
        self._calls.finished(call)
        if call.reason:
            self._reasons.labels(call.method.rpartition("/")[2], call.reason).inc()

    def request_finished(self, *, method: str, route: str, outcome: str, seconds: float) -> None:
        self._requests.finished(method, route, outcome, seconds)

    def token_fetched(self, *, outcome: str, seconds: float) -> None:
        self._token_fetches.labels(outcome).inc()
        self._token_seconds.observe(seconds)

    def token_reused(self) -> None:
        self._token_reuses.inc()

    def blob_read(self, size: int) -> None:
        self._blob_bytes.inc(size)

    def retried(self, *, route: str) -> None:
        self._retries.labels(route).inc()

    def manifest_answered(self, outcome: Outcome) -> None:
        self._manifests.answered(outcome)

    def cache_resized(self, size: int, entries: int) -> None:
        self._cache_size.set(size)
        self._cache_entries.set(entries)

    def registry_ready(self, ready: bool) -> None:
        """Whether the registry can be used, as the last check found."""
        self._ready.set(ready)

    def _counter(self, name: str, description: str, *labels: str) -> Counter:
        return Counter(name, description, labels, registry=self._registry)

    def _histogram(self, name: str, description: str, *labels: str) -> Histogram:
        return Histogram(name, description, labels, buckets=BUCKETS, registry=self._registry)
