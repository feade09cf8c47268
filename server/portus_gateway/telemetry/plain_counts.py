"""Counts events in plain numbers, and makes metrics of them when they are collected.

The library's own counters have labels and locks. They take longer than everything else in a call that is answered from
the cache. These counts belong to one event loop.
"""

import asyncio
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import accumulate
from typing import get_args

import grpc
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from portus_gateway.registry.cached import Outcome
from portus_gateway.rpc.observation import FinishedCall
from portus_gateway.telemetry import logs

BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
_BOUNDS = (*map(floatToGoString, BUCKETS), "+Inf")


@dataclass(slots=True)
class _Times:
    """A histogram of durations, in seconds. `buckets` has one more than `BUCKETS`, for longer durations."""

    buckets: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS) + 1))
    sum: float = 0.0

    def observe(self, seconds: float) -> None:
        self.buckets[bisect_left(BUCKETS, seconds)] += 1
        self.sum += seconds

    def cumulated(self) -> list[tuple[str, int]]:
        return list(zip(_BOUNDS, accumulate(self.buckets), strict=True))


@dataclass(slots=True)
class _MethodCounts:
    """Counts of the calls of one method."""

    service: str
    name: str
    started: int = 0
    succeeded: int = 0
    failed: dict[grpc.StatusCode, int] = field(default_factory=dict)
    times: _Times = field(default_factory=_Times)

    @property
    def handled(self) -> Mapping[grpc.StatusCode, int]:
        """How many calls ended with each code."""
        return ({grpc.StatusCode.OK: self.succeeded} if self.succeeded else {}) | self.failed


class CallCounts(Collector):
    """Calls to the gateway."""

    def __init__(self) -> None:
        self._methods: dict[str, _MethodCounts] = {}

    def started(self, method: str) -> None:
        self._of(method).started += 1

    def finished(self, call: FinishedCall) -> None:
        counts = self._of(call.method)
        if call.code is grpc.StatusCode.OK:
            # Counted apart from the failures, because a look-up by code takes as long as the rest of this function.
            counts.succeeded += 1
        else:
            counts.failed[call.code] = counts.failed.get(call.code, 0) + 1
        counts.times.observe(call.seconds)

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
            handling.add_metric(method, counts.times.cumulated(), counts.times.sum)
            running.add_metric(method, counts.started - sum(counts.handled.values()))
        return (started, handled, handling, running)

    def _of(self, method: str) -> _MethodCounts:
        counts = self._methods.get(method)
        if counts is None:
            service, _, name = method.strip("/").rpartition("/")
            counts = self._methods[method] = _MethodCounts(service, name)
        return counts


class RequestCounts(Collector):
    """Requests to the registry and the token service."""

    def __init__(self) -> None:
        self._outcomes: dict[tuple[str, str, str], int] = {}
        self._times: dict[tuple[str, str], _Times] = {}

    def finished(self, method: str, route: str, outcome: str, seconds: float) -> None:
        kind = (method, route, outcome)
        self._outcomes[kind] = self._outcomes.get(kind, 0) + 1
        times = self._times.get((method, route))
        if times is None:
            times = self._times[method, route] = _Times()
        times.observe(seconds)

    def collect(self) -> Iterable[Metric]:
        requests = CounterMetricFamily(
            "portus_upstream_requests",
            "Requests to the registry and the token service, by HTTP status or kind of failure.",
            labels=("method", "route", "outcome"),
        )
        seconds = HistogramMetricFamily(
            "portus_upstream_request_seconds", "How long those requests took.", labels=("method", "route")
        )
        for kind, count in self._outcomes.items():
            requests.add_metric(kind, count)
        for request, times in self._times.items():
            seconds.add_metric(request, times.cumulated(), times.sum)
        return (requests, seconds)


class ManifestCounts(Collector):
    """Manifests that were requested from the cache."""

    def __init__(self) -> None:
        self._outcomes: dict[Outcome, int] = dict.fromkeys(get_args(Outcome), 0)

    def answered(self, outcome: Outcome) -> None:
        self._outcomes[outcome] = self._outcomes.get(outcome, 0) + 1

    def collect(self) -> Iterable[Metric]:
        answers = CounterMetricFamily(
            "portus_manifest_cache",
            "Manifests asked of the cache: hit, revalidated (the registry said that it is the same), or miss.",
            labels=("outcome",),
        )
        for outcome, count in self._outcomes.items():
            answers.add_metric((outcome,), count)
        yield answers


class DroppedLines(Collector):
    """Log lines that were dropped."""

    def collect(self) -> Iterable[Metric]:
        yield CounterMetricFamily(
            "portus_dropped_log_lines",
            "Log lines that were dropped, because nobody read the log.",
            logs.dropped_lines(),
        )


class TaskCount(Collector):
    """The number of tasks of the event loop. If it only grows, there is a leak. It must be collected in the loop."""

    def collect(self) -> Iterable[Metric]:
        yield GaugeMetricFamily("portus_gateway_tasks", "Tasks of the event loop.", len(asyncio.all_tasks()))

    def describe(self) -> Iterable[Metric]:
        # Asked for at once, when there is no loop yet; else all is collected for it.
        yield GaugeMetricFamily("portus_gateway_tasks", "Tasks of the event loop.")


def _camel_case(code: grpc.StatusCode) -> str:
    """`NotFound` for NOT_FOUND, as the middleware of other languages has it; OK is `OK`."""
    return "OK" if code is grpc.StatusCode.OK else code.name.title().replace("_", "")
