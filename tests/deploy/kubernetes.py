"""Kubernetes manifests: read, checked against the schemas of Kubernetes, and against rules of our own."""

import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import yaml
from kubernetes_validate.utils import ValidationError, latest_version, validate

from portus_gateway.settings import SECRETS, Settings, variable_of
from tests.deploy.project import ROOT

Node: TypeAlias = "str | int | float | bool | list[Node] | dict[str, Node] | None"
# The oldest version that the chart supports, and the newest that is known.
VERSIONS = ("1.27", latest_version())
# Kinds that operators bring. Kubernetes has no schema for them.
CUSTOM = {"Certificate", "ServiceMonitor", "PrometheusRule"}
FILES = "/etc/portus-gateway"
CHART = ROOT / "deploy/helm/portus-gateway"


@dataclass(frozen=True, slots=True)
class Manifest:
    """One object."""

    node: Mapping[str, Node]

    @property
    def kind(self) -> str:
        return str(self.node["kind"])

    @property
    def name(self) -> str:
        return str(self.at("metadata", "name"))

    def at(self, *path: str | int) -> Node:
        """The value at a path, None if there is none."""
        return at(dict(self.node), *path)


def at(node: Node, *path: str | int) -> Node:
    for key in path:
        match node, key:
            case dict(), str():
                node = node.get(key)
            case list(), int():
                node = node[key]
            case _:
                return None
    return node


def items(node: Node) -> list[dict[str, Node]]:
    """A list of objects; empty if there is none."""
    assert node is None or isinstance(node, list)
    found: list[dict[str, Node]] = []
    for item in node or []:
        assert isinstance(item, dict)
        found.append(item)
    return found


def texts(node: Node) -> dict[str, str]:
    """An object whose values are text."""
    assert node is None or isinstance(node, dict)
    assert all(isinstance(value, str) for value in (node or {}).values()), node
    return {name: str(value) for name, value in (node or {}).items()}


class Manifests(Sequence[Manifest]):
    """The objects of one installation."""

    def __init__(self, text: str) -> None:
        self._all = [Manifest(document) for document in yaml.safe_load_all(text) if document]

    def __getitem__(self, index: int) -> Manifest:  # type: ignore[override]  # no slices are needed
        return self._all[index]

    def __len__(self) -> int:
        return len(self._all)

    def of_kind(self, kind: str) -> list[Manifest]:
        return [each for each in self._all if each.kind == kind]

    def one(self, kind: str) -> Manifest:
        (found,) = self.of_kind(kind)
        return found

    @property
    def pod(self) -> Node:
        return self.one("Deployment").at("spec", "template", "spec")

    @property
    def container(self) -> Node:
        return at(self.pod, "containers", 0)

    @property
    def settings(self) -> dict[str, str]:
        """The variables of the container, which a ConfigMap has."""
        assert at(self.container, "env") is None
        (source,) = items(at(self.container, "envFrom"))
        (found,) = [each for each in self.of_kind("ConfigMap") if each.name == at(source, "configMapRef", "name")]
        return texts(found.at("data"))


def render(values: str, folder: Path, *arguments: str) -> Manifests:
    """What the chart makes of `values` (YAML). Raises `CalledProcessError`, whose `stderr` says what is wrong."""
    file = folder / "values.yaml"
    file.write_text(values)
    return Manifests(helm("template", "gw", str(CHART), "--namespace", "registry", "--values", str(file), *arguments))


def helm(*arguments: str) -> str:
    program = Path(sys.executable).with_name("helm")
    return subprocess.run([program, *arguments], check=True, capture_output=True, text=True, timeout=60).stdout


def problems(manifests: Manifests) -> Iterator[str]:
    """What is wrong with an installation."""
    yield from _schema_problems(manifests)
    yield from _pod_problems(manifests)
    yield from _reference_problems(manifests)
    yield from _setting_problems(manifests)


def _schema_problems(manifests: Manifests) -> Iterator[str]:
    for manifest in manifests:
        if manifest.kind in CUSTOM:
            if manifest.at("metadata", "name") is None or not isinstance(manifest.at("spec"), dict):
                yield f"{manifest.kind} has no name or no spec"
            continue
        for version in VERSIONS:
            try:
                validate(dict(manifest.node), version, strict=True)
            except ValidationError as error:
                yield f"{manifest.kind} {manifest.name}, Kubernetes {version}: {error}"


def _pod_problems(manifests: Manifests) -> Iterator[str]:
    pod, container = manifests.pod, manifests.container
    wanted: dict[tuple[str, ...], Node] = {
        ("securityContext", "runAsNonRoot"): True,
        ("securityContext", "seccompProfile", "type"): "RuntimeDefault",
        ("automountServiceAccountToken",): False,
        ("enableServiceLinks",): False,
    }
    yield from (f"pod: {'.'.join(path)} is not {value}" for path, value in wanted.items() if at(pod, *path) != value)
    wanted = {
        ("securityContext", "allowPrivilegeEscalation"): False,
        ("securityContext", "readOnlyRootFilesystem"): True,
        ("securityContext", "capabilities", "drop"): ["ALL"],
        ("livenessProbe", "httpGet", "path"): "/livez",
        ("startupProbe", "httpGet", "path"): "/livez",
        ("readinessProbe", "httpGet", "path"): "/readyz",
    }
    for path, value in wanted.items():
        if at(container, *path) != value:
            yield f"container: {'.'.join(path)} is not {value}"
    ports = {str(port["name"]): port["containerPort"] for port in items(at(container, "ports"))}
    for probe in ("livenessProbe", "startupProbe", "readinessProbe"):
        if at(container, probe, "httpGet", "port") not in ports:
            yield f"container: {probe} asks a port that it does not have"
    for path in (("requests", "cpu"), ("requests", "memory"), ("limits", "memory")):
        if at(container, "resources", *path) is None:
            yield f"container: resources.{'.'.join(path)} is missing"
    written = {str(mount["name"]) for mount in items(at(container, "volumeMounts")) if not mount.get("readOnly")}
    if written - {"index"}:
        yield f"container: it may write to {written}"
    if written and (manifests.one("Deployment").at("spec", "strategy", "type") != "Recreate"):
        yield "Deployment: two pods would write to one volume"
    match at(pod, "terminationGracePeriodSeconds"), at(container, "lifecycle", "preStop", "exec", "command"):
        case int() as grace, ["sleep", str() as pause]:
            if grace <= int(pause) + int(manifests.settings["PORTUS_DRAIN_GRACE"]):
                yield "pod: running calls cannot finish within terminationGracePeriodSeconds"
        case _:
            yield "pod: it has no terminationGracePeriodSeconds or no preStop"
    for setting, port in (
        ("PORTUS_LISTEN", "grpc"),
        ("PORTUS_METRICS_LISTEN", "metrics"),
        ("PORTUS_MTLS_LISTEN", "grpc-mtls"),
        ("PORTUS_NOTIFICATIONS_LISTEN", "notifications"),
    ):
        listening = manifests.settings.get(setting)
        if (None if listening is None else int(listening.removeprefix(":"))) != ports.get(port):
            yield f"container: {setting} is {listening}, and the port {port} is {ports.get(port)}"


def _reference_problems(manifests: Manifests) -> Iterator[str]:
    """What is named and is not there."""
    labels = texts(manifests.one("Deployment").at("spec", "template", "metadata", "labels"))
    selectors = [each.at("spec", "selector", "matchLabels") for each in manifests.of_kind("Deployment")]
    selectors += [each.at("spec", "selector", "matchLabels") for each in manifests.of_kind("PodDisruptionBudget")]
    selectors += [each.at("spec", "selector") for each in manifests.of_kind("Service")]
    selectors += [each.at("spec", "podSelector", "matchLabels") for each in manifests.of_kind("NetworkPolicy")]
    for selector in selectors:
        if not texts(selector) or not texts(selector).items() <= labels.items():
            yield f"{selector} does not select the pods"
    ports = {port["name"] for port in items(at(manifests.container, "ports"))}
    for service in manifests.of_kind("Service"):
        if service.at("spec", "clusterIP") != "None":
            yield "the Service is not headless"
        for port in items(service.at("spec", "ports")):
            if port["targetPort"] not in ports:
                yield f"the Service names the port {port['targetPort']}"
    for policy in manifests.of_kind("NetworkPolicy"):
        for rule in items(policy.at("spec", "ingress")):
            for port in items(rule["ports"]):
                if port["port"] not in ports:
                    yield f"the NetworkPolicy names the port {port['port']}"
    mounts = {str(mount["name"]): str(mount["mountPath"]) for mount in items(at(manifests.container, "volumeMounts"))}
    volumes = {str(volume["name"]): volume for volume in items(at(manifests.pod, "volumes"))}
    if set(mounts) != set(volumes):
        yield f"the volumes {set(volumes)} are not the mounts {set(mounts)}"
    made = {each.name for kind in ("ConfigMap", "Secret", "ServiceAccount") for each in manifests.of_kind(kind)}
    for manifest in made:
        if not manifest.startswith(manifests.one("Deployment").name):
            yield f"{manifest} is not named for the installation"
    for variable, value in manifests.settings.items():
        file = value.removeprefix("sqlite://")
        if file.startswith("/") and not any(file.startswith(f"{path}/") for path in mounts.values()):
            yield f"{variable} is {value}, where nothing is mounted"
    if any("subPath" in mount for mount in items(at(manifests.container, "volumeMounts"))):
        yield "a file that is mounted by subPath never changes"


def _setting_problems(manifests: Manifests) -> Iterator[str]:
    known = {variable_of(name) for name in Settings.model_fields}
    secret = {variable_of(name) for name in SECRETS}
    # Those of OpenTelemetry are checked by its libraries.
    ours = (name for name in manifests.settings if not name.startswith("OTEL_"))
    yield from (f"{name} is no setting" for name in ours if name not in known)
    yield from (f"{name} has credentials" for name in manifests.settings if name.endswith("_HEADERS"))
    yield from (f"{name} is a secret" for name in manifests.settings if name in secret)
