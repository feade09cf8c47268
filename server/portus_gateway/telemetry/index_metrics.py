"""Metrics of the live index."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from portus_gateway.index.observer import NotificationOutcome, ReadOutcome, RequestOutcome
from portus_gateway.index.store import IndexState
from portus_gateway.telemetry.plain_counts import BUCKETS

INDEX_GAUGES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "portus_index_usable": "1 while the store of the index can be used.",
        "portus_index_ready": "1 once the whole registry has been read.",
        "portus_index_leader": "1 in the process that walks the catalog.",
        "portus_index_walk_age_seconds": "Time since the last complete walk began.",
        "portus_index_repositories": "Repositories in the index; 0 in processes that do not lead.",
        "portus_index_tags": "Tags in the index; 0 in processes that do not lead.",
        "portus_index_dirty_repositories": "Repositories that are to be read; 0 in processes that do not lead.",
        "portus_index_oldest_dirty_seconds": "How long a repository has been waiting to be read.",
        "portus_index_oldest_digest_check_seconds": "Age of the oldest check of what a tag points to.",
    }
)
"""The gauges and their descriptions. They are 0 in workers that do not keep the index up to date: one does.

Only the process that leads counts repositories and tags.
"""


class IndexMetrics:
    """Counts what the index does (`index.observer.IndexObserver`)."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._events = Counter(
            "portus_index_notifications_total",
            "Events of notifications that came in, by outcome.",
            ("outcome",),
            registry=registry,
        )
        self._requests = Counter(
            "portus_index_notification_requests_total",
            "Requests with notifications, by outcome.",
            ("outcome",),
            registry=registry,
        )
        self._reads = Counter(
            "portus_index_reads_total", "Repositories read for the index, by outcome.", ("outcome",), registry=registry
        )
        self._read_seconds = Histogram(
            "portus_index_read_seconds", "How long reading a repository took.", buckets=BUCKETS, registry=registry
        )
        self._changes = Counter(
            "portus_index_changes_total",
            "Changes found, by what led to the read. `walk`: no notification had announced them.",
            ("source",),
            registry=registry,
        )
        self._unconfirmed = Counter(
            "portus_index_unconfirmed_hints_total",
            "Tags of notifications that the registry never showed as announced.",
            registry=registry,
        )
        self._delay = Histogram(
            "portus_index_notification_delay_seconds",
            "From the time of a registry's event to its change in the index.",
            buckets=BUCKETS,
            registry=registry,
        )
        self._walks = Counter(
            "portus_index_walks_total", "Walks that ended, by outcome.", ("outcome",), registry=registry
        )
        self._walk_seconds = Gauge(
            "portus_index_walk_seconds", "How long the last walk over the catalog took.", registry=registry
        )

        self._gauges = {name: Gauge(name, description, registry=registry) for name, description in INDEX_GAUGES.items()}

        self._watchers = Gauge("portus_index_watchers", "Watches that run.", registry=registry)
        self._watch_lag = Histogram(
            "portus_index_watch_lag_seconds",
            "From a change in the index to its sending to a watcher; long for a watcher that catches up.",
            buckets=BUCKETS,
            registry=registry,
        )

    def notified(self, outcome: NotificationOutcome, count: int) -> None:
        if count:
            self._events.labels(outcome).inc(count)

    def notification_request(self, outcome: RequestOutcome) -> None:
        self._requests.labels(outcome).inc()

    def repository_read(self, outcome: ReadOutcome, seconds: float) -> None:
        self._reads.labels(outcome).inc()
        self._read_seconds.observe(seconds)

    def changes_found(self, source: Literal["notification", "walk"], count: int) -> None:
        self._changes.labels(source).inc(count)

    def hints_unconfirmed(self, count: int) -> None:
        self._unconfirmed.inc(count)

    def notification_delay(self, seconds: float) -> None:
        self._delay.observe(max(0.0, seconds))

    def walked(self, seconds: float, *, held: bool) -> None:
        self._walks.labels("held" if held else "complete").inc()
        self._walk_seconds.set(seconds)

    def walk_failed(self) -> None:
        self._walks.labels("failed").inc()

    def watching(self, change: int) -> None:
        self._watchers.inc(change)

    def watched(self, lag: float) -> None:
        self._watch_lag.observe(max(0.0, lag))

    def looked_at(self, state: IndexState | None, *, leads: bool) -> None:
        gauges = self._gauges
        gauges["portus_index_usable"].set(state is not None)
        gauges["portus_index_leader"].set(leads)
        if state is None:
            return
        gauges["portus_index_ready"].set(state.ready)
        gauges["portus_index_repositories"].set(state.repositories)
        gauges["portus_index_tags"].set(state.tags)
        gauges["portus_index_dirty_repositories"].set(state.dirty)
        for name, since in (
            ("portus_index_walk_age_seconds", state.walk_started),
            ("portus_index_oldest_dirty_seconds", state.oldest_dirty),
            ("portus_index_oldest_digest_check_seconds", state.oldest_check),
        ):
            gauges[name].set(0 if since is None else max(0.0, state.now - since))
