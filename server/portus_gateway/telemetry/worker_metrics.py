"""The metrics of several workers as those of one gateway."""

from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from portus_gateway.telemetry.figures import Family, Figures
from portus_gateway.telemetry.index_metrics import INDEX_GAUGES

_Labels = tuple[tuple[str, str], ...]
_PARENT = "parent"
# Gauges of which the lowest of all workers counts.
_LOWEST = ("portus_registry_ready", "portus_access_file_valid", "portus_certificate_expiry_timestamp_seconds")


def figures_of(registry: CollectorRegistry) -> Figures:
    """What a registry has counted so far."""
    return Figures(
        families=[
            Family(
                name=metric.name,
                documentation=metric.documentation,
                type=metric.type,
                samples=[(sample.name, sample.labels, sample.value) for sample in metric.samples],
            )
            for metric in registry.collect()
        ]
    )


class WorkerMetrics:
    """Adds up what workers count, those that have ended included: no counter ever goes back.

    Counters, histograms and gauges are summed. Whether the registry and the files can be used, and when the certificate
    expires, are the lowest of all workers; what the index has is the highest. Information is kept once. Figures of one
    process (`process_*`) have a label `worker`: its number, or `parent`. A worker that died is counted with its last
    figures.
    """

    def __init__(self) -> None:
        self._own = CollectorRegistry()
        ProcessCollector(registry=self._own)
        self._live: dict[int, Figures] = {}
        self._ended = _Sum()
        self._restarts = 0

    def update(self, worker: int, figures: Figures) -> None:
        """Takes the latest figures of a worker in place of those before."""
        self._live[worker] = figures

    def ended(self, worker: int) -> None:
        """A worker has ended: its counters stay, its gauges go."""
        figures = self._live.pop(worker, None)
        if figures is not None:
            self._ended.add(family for family in figures.families if _lasts(family))

    def restarted(self) -> None:
        """A worker was started in place of one that died."""
        self._restarts += 1

    def exposition(self, serving: int) -> bytes:
        """All metrics in Prometheus' text format; `serving` is how many workers serve."""
        total = _Sum()
        total.add(_labelled(figures_of(self._own).families, _PARENT))
        total.add(self._ended.families())
        for worker, figures in sorted(self._live.items()):
            total.add(_labelled(figures.families, str(worker)))
        total.add(
            [
                Family(
                    name="portus_workers",
                    documentation="Workers that serve.",
                    type="gauge",
                    samples=[("portus_workers", {}, serving)],
                ),
                Family(
                    name="portus_worker_restarts",
                    documentation="Workers that were started in place of one that died.",
                    type="counter",
                    samples=[("portus_worker_restarts_total", {}, self._restarts)],
                ),
            ]
        )
        return total.exposition()


class _Sum(Collector):
    def __init__(self) -> None:
        self._families: dict[str, tuple[str, str, dict[tuple[str, _Labels], float]]] = {}

    def add(self, families: Iterable[Family]) -> None:
        for family in families:
            _, _, values = self._families.setdefault(family.name, (family.documentation, family.type, {}))
            for name, labels, value in family.samples:
                key = (name, tuple(labels.items()))
                values[key] = _combination(family.name, name)(values[key], value) if key in values else value

    def families(self) -> list[Family]:
        return [
            Family(
                name=name,
                documentation=documentation,
                type=kind,
                samples=[(sample, dict(labels), value) for (sample, labels), value in values.items()],
            )
            for name, (documentation, kind, values) in self._families.items()
        ]

    def collect(self) -> Iterable[Metric]:
        for family in self.families():
            metric = Metric(family.name, family.documentation, family.type)
            for name, labels, value in family.samples:
                metric.add_sample(name, labels, value)
            yield metric

    def exposition(self) -> bytes:
        registry = CollectorRegistry()
        registry.register(self)
        return generate_latest(registry)


def _combination(family: str, sample: str) -> Callable[[float, float], float]:
    # When a counter began: the first of all did.
    if sample.endswith("_created") or family in _LOWEST:
        return min
    if family in INDEX_GAUGES:
        return max
    return max if family.endswith("_info") else float.__add__


def _lasts(family: Family) -> bool:
    return family.type in ("counter", "histogram") and not family.name.startswith("process_")


def _labelled(families: Iterable[Family], worker: str) -> Iterable[Family]:
    for family in families:
        if family.name.startswith("process_"):
            samples = [(name, {"worker": worker, **labels}, value) for name, labels, value in family.samples]
            yield family.model_copy(update={"samples": samples})
        else:
            yield family
