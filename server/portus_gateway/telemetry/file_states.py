"""The state of files that are loaded again while the gateway runs, as metrics: their validity, and when they expire."""

from collections.abc import Iterable, Mapping
from typing import Protocol

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector


class FileState(Protocol):
    """What is known of one file."""

    @property
    def problems(self) -> tuple[str, ...]:
        """What is wrong with it now."""

    @property
    def loads(self) -> int:
        """How often it was loaded."""

    @property
    def failures(self) -> int:
        """How often it could not be loaded."""


class FileStates(Collector):
    """Shows `files`, each by the name of its setting."""

    def __init__(self, files: Mapping[str, FileState]) -> None:
        self._files = files

    def collect(self) -> Iterable[Metric]:
        valid = GaugeMetricFamily(
            "portus_access_file_valid",
            "1 while the file of this setting is valid; 0 where it is not, so that an older one is in force.",
            labels=("setting",),
        )
        loads = CounterMetricFamily(
            "portus_access_file_loads",
            "How often the file of this setting was loaded, by outcome.",
            labels=("setting", "outcome"),
        )
        for setting, file in self._files.items():
            valid.add_metric((setting,), 0 if file.problems else 1)
            loads.add_metric((setting, "loaded"), file.loads)
            loads.add_metric((setting, "refused"), file.failures)
        return (valid, loads)


class Certificate(FileState, Protocol):
    """What is known of the gateway's certificate."""

    @property
    def expires(self) -> float:
        """When it expires, in seconds since 1970."""


class CertificateState(Collector):
    """Shows when the gateway's certificate expires."""

    def __init__(self, certificate: Certificate) -> None:
        self._certificate = certificate

    def collect(self) -> Iterable[Metric]:
        yield GaugeMetricFamily(
            "portus_certificate_expiry_timestamp_seconds",
            "When the certificate that the gateway serves with expires, in seconds since 1970.",
            self._certificate.expires,
        )
