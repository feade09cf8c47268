"""The alert rules and the dashboard: each query against gateways that serve, by a real Prometheus."""

import asyncio
import hashlib
import json
import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path

import grpc
import pytest
import yaml

from portus.registry.v1 import registry_service_pb2_grpc
from portus.registry.v1.registry_service_pb2 import (
    CatalogRequest,
    DeleteManifestRequest,
    GetManifestRequest,
    ListTagsRequest,
)
from portus.registry.v1.registry_service_pb2_grpc import RegistryServiceStub
from portus_gateway.devregistry import DevRegistry, Fault, seed_demo
from tests import programs
from tests.access.certificates import Authority
from tests.deploy.kubernetes import Manifests, render
from tests.deploy.project import ROOT
from tests.deploy.prometheus_server import PrometheusServer, prometheus_server
from tests.e2e.gateway_process import GatewayProcess, gateway_process

RULES = ROOT / "deploy/prometheus/portus-gateway.rules.yaml"
RULE_TESTS = ROOT / "deploy/prometheus/portus-gateway.test.yaml"
DASHBOARD = ROOT / "deploy/grafana/portus-gateway.json"
CHART_FILES = ROOT / "deploy/helm/portus-gateway/files"
PATIENCE = 60.0
POLICY = """
[[allow]]
name = "all"
principals = ["anonymous"]
rpcs = ["*"]
repositories = ["**"]
"""
# What the troubles of the test cannot bring about. deploy/prometheus/portus-gateway.test.yaml has these alerts.
NOT_PROVOKED = {
    *("PortusGatewayDown", "PortusGatewaySlow", "PortusGatewayRegistrySlow"),
    *("PortusGatewayLogLinesDropped", "PortusGatewayFilesExhausted", "PortusGatewayWorkersRestart"),
    *("PortusGatewayIndexUnusable", "PortusGatewayIndexBehind", "PortusGatewayIndexWalkOverdue"),
    "PortusGatewayIndexRepairs",
}


def alerts() -> dict[str, dict[str, object]]:
    (group,) = yaml.safe_load(RULES.read_text())["groups"]
    return {rule["alert"]: rule for rule in group["rules"]}


def promtool(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [programs.promtool(), *arguments], cwd=folder, capture_output=True, text=True, check=False, timeout=60
    )


def test_the_rules_are_valid_and_do_what_their_tests_say() -> None:
    for arguments in (("check", "rules", RULES.name), ("test", "rules", RULE_TESTS.name)):
        checked = promtool(*arguments, folder=RULES.parent)
        assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.parametrize("alert", alerts())
def test_every_alert_has_a_test_that_fails_without_it(alert: str, tmp_path: Path) -> None:
    rules = yaml.safe_load(RULES.read_text())
    group = rules["groups"][0]
    group["rules"] = [rule for rule in group["rules"] if rule["alert"] != alert]
    (tmp_path / RULES.name).write_text(yaml.safe_dump(rules))
    (tmp_path / RULE_TESTS.name).write_text(RULE_TESTS.read_text())
    assert promtool("test", "rules", RULE_TESTS.name, folder=tmp_path).returncode != 0


def test_every_alert_is_quiet_while_what_it_looks_at_is_in_good_order() -> None:
    (good,) = [test for test in yaml.safe_load(RULE_TESTS.read_text())["tests"] if "good order" in test["name"]]
    present = {series["series"].partition("{")[0] for series in good["input_series"]}
    for name, rule in alerts().items():
        looked_at = {selector.partition("{")[0] for selector in selectors(str(rule["expr"]))}
        assert looked_at, name
        assert looked_at <= present, name
    (no_alert,) = good["promql_expr_test"]
    assert (no_alert["expr"], no_alert["exp_samples"][0]["value"]) == ("count(ALERTS) or vector(0)", 0)


def test_every_alert_has_a_severity_and_a_place_in_the_documents() -> None:
    document = (RULES.parent / "README.md").read_text()
    for name, rule in alerts().items():
        assert rule["labels"] in ({"severity": "critical"}, {"severity": "warning"})
        assert isinstance(rule["annotations"], dict)
        assert set(rule["annotations"]) == {"summary", "description"}
        assert f"\n### {name}\n" in document
    assert set(re.findall(r"^### (Portus\w+)$", document, re.MULTILINE)) == set(alerts())


def test_the_dashboard_is_what_its_script_makes() -> None:
    made = subprocess.run([sys.executable, ROOT / "deploy/grafana/generate", "--check"], check=False, timeout=60)
    assert made.returncode == 0, "run deploy/grafana/generate"
    panels = json.loads(DASHBOARD.read_text())["panels"]
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels]
    assert len(set(places)) == len(panels)
    assert all(panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24 for panel in panels)


def test_the_chart_brings_the_same_rules_and_dashboard(tmp_path: Path) -> None:
    for file in (RULES, DASHBOARD):
        assert (CHART_FILES / file.name).read_text() == file.read_text(), f"copy {file} to {CHART_FILES}"
    manifests = render(
        """
registry: {url: 'http://registry', anonymous: true}
tls: {insecure: true}
callers: {anonymous: true}
metrics: {prometheusRule: {enabled: true, labels: {release: prometheus}}, dashboard: {enabled: true}}
""",
        tmp_path,
    )
    assert manifests.one("PrometheusRule").at("spec") == yaml.safe_load(RULES.read_text())
    assert manifests.one("PrometheusRule").at("metadata", "labels", "release") == "prometheus"
    assert json.loads(dashboard_in(manifests)) == json.loads(DASHBOARD.read_text())


def dashboard_in(manifests: Manifests) -> str:
    (found,) = [each for each in manifests.of_kind("ConfigMap") if each.at("metadata", "labels", "grafana_dashboard")]
    return str(found.at("data", DASHBOARD.name))


def expressions() -> Iterator[tuple[str, str]]:
    """The queries of the dashboard, with values for its variables, each after its panel's title."""
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        for target in panel.get("targets", ()):
            expression = target["expr"].replace("$__rate_interval", "30s")
            yield panel["title"], expression.replace("$job", ".+").replace("$instance", ".+")


def selectors(expression: str) -> set[str]:
    """The metrics that an expression is about, with their labels: `portus_gateway_info{version="1"}`."""
    return set(re.findall(r"\b(?:portus|grpc_server|process)_\w+(?:\{[^}]*\})?", expression))


async def calls_of_all_kinds(gateway: GatewayProcess, registry: DevRegistry) -> None:
    digest = registry.push("team/gone", "1")
    registry.inject(Fault.parse("tags:status=503,times=1"))
    async with grpc.aio.insecure_channel(gateway.address) as channel:
        stub = RegistryServiceStub(channel)
        await stub.Catalog(CatalogRequest(include_tags=True), timeout=10)
        for _ in range(2):
            await stub.GetManifest(GetManifestRequest(repository="team/app", tag="1.0.0"), timeout=10)
        await stub.DeleteManifest(
            DeleteManifestRequest(repository="team/gone", digest=digest, expected_tags=["1"]), timeout=10
        )
        with pytest.raises(grpc.aio.AioRpcError):
            await stub.ListTags(ListTagsRequest(repository="team/none"), timeout=10)


async def notify(address: str) -> None:
    """Announces a push, as a registry does."""
    event = {"action": "push", "target": {"repository": "team/app", "tag": "1.0.0", "digest": f"sha256:{'1' * 64}"}}
    request = urllib.request.Request(
        f"http://{address}/notifications",
        json.dumps({"events": [event]}).encode(),
        {"Authorization": "Bearer s3cret", "Content-Type": "application/vnd.docker.distribution.events.v1+json"},
    )

    def send() -> None:
        with urllib.request.urlopen(request, timeout=10) as answer:
            assert answer.status == 202

    await asyncio.to_thread(send)


async def failing_calls(stub: "registry_service_pb2_grpc.RegistryServiceAsyncStub", registry: DevRegistry) -> None:
    """A delete that cannot be recorded, and more calls than are allowed at the same time."""
    digest = registry.push("team/kept", "1")
    request = DeleteManifestRequest(repository="team/kept", digest=digest, expected_tags=["1"])
    listing = ListTagsRequest(repository="team/app")
    await asyncio.gather(
        stub.DeleteManifest(request, timeout=10),
        *(stub.ListTags(listing, timeout=10) for _ in range(20)),
        return_exceptions=True,
    )


async def test_every_query_finds_what_gateways_expose_and_alerts_fire_in_trouble_only(tmp_path: Path) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text(POLICY)
    certificate, key = Authority().issue(dns=["localhost"], lifetime=timedelta(days=3)).write(tmp_path)
    common = {"PORTUS_METRICS_LISTEN": "127.0.0.1:0", "PORTUS_ALLOW_DELETE": "true", "PORTUS_READINESS_INTERVAL": "0.5"}
    rules = yaml.safe_load(RULES.read_text())
    for rule in rules["groups"][0]["rules"]:
        rule.pop("for", None)
    async with AsyncExitStack() as stack:
        registry = await stack.enter_async_context(DevRegistry())
        seed_demo(registry)
        common |= {
            "PORTUS_REGISTRY_URL": registry.url,
            "PORTUS_TOKEN_REALM": registry.realm,
            "PORTUS_PASSWORD": registry.password,
            "PORTUS_POLICY_FILE": str(policy),
        }
        (tmp_path / "tokens").write_text(f"registry sha256:{hashlib.sha256(b's3cret').hexdigest()}\n")
        index = {
            "PORTUS_INDEX": f"sqlite://{tmp_path / 'index.db'}",
            "PORTUS_NOTIFICATIONS_LISTEN": "127.0.0.1:0",
            "PORTUS_NOTIFICATIONS_TOKEN_FILE": str(tmp_path / "tokens"),
        }
        good = await stack.enter_async_context(gateway_process("serve", "--workers", "2", **common, **index))
        notifications = str((await good.event("receiving notifications"))["address"])
        await good.event("registry ready")
        locked_out = await stack.enter_async_context(gateway_process("serve", **common | {"PORTUS_PASSWORD": "wrong"}))
        changed = tmp_path / "changed.toml"
        changed.write_text(POLICY)
        troubles = {
            "PORTUS_AUDIT_LOG": "/dev/full",
            "PORTUS_MAX_CONCURRENT_CALLS": "1",
            "PORTUS_TLS_CERTIFICATE_FILE": str(certificate),
            "PORTUS_TLS_KEY_FILE": str(key),
            "PORTUS_POLICY_FILE": str(changed),
        }
        troubled = await stack.enter_async_context(gateway_process("serve", **common | troubles))
        jobs = {"good": [good.metrics], "locked out": [locked_out.metrics], "troubled": [troubled.metrics]}
        server = await stack.enter_async_context(prometheus_server(tmp_path, jobs, yaml.safe_dump(rules)))
        async with asyncio.timeout(PATIENCE):
            while len(await server.query("portus_gateway_info")) < len(jobs):
                await asyncio.sleep(0.1)
            changed.write_text("not a policy")
            credentials = grpc.ssl_channel_credentials(certificate.read_bytes())
            address = f"localhost:{troubled.address.rpartition(':')[2]}"
            channel = await stack.enter_async_context(grpc.aio.secure_channel(address, credentials))
            wanted = {alert for alert in alerts() if alert not in NOT_PROVOKED}
            while missing := wanted - {alert for alert, job in await server.firing() if job != "good"}:
                await calls_of_all_kinds(good, registry)
                await notify(notifications)
                await failing_calls(RegistryServiceStub(channel), registry)
                async with grpc.aio.insecure_channel(locked_out.address) as other:
                    with pytest.raises(grpc.aio.AioRpcError):
                        await RegistryServiceStub(other).Catalog(CatalogRequest(), timeout=10)
                await asyncio.sleep(0.5)
        assert not missing
        assert {alert for alert, job in await server.firing() if job == "good"} == set()
        await assert_queries_find_something(server)
        await assert_every_panel_is_drawn(server, tmp_path)


async def assert_every_panel_is_drawn(server: PrometheusServer, folder: Path) -> None:
    """`deploy/grafana/draw` asks a real server, and finds data for each panel."""
    picture = folder / "dashboard.svg"
    command = [sys.executable, str(ROOT / "deploy/grafana/draw"), "--prometheus", f"http://{server.address}"]
    command += ["--minutes", "1", "--scrape-interval", "0.5", "--picture", str(picture)]
    drawn = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=60)
    assert drawn.returncode == 0, drawn.stderr
    assert "No data" not in await asyncio.to_thread(picture.read_text)


async def assert_queries_find_something(server: PrometheusServer) -> None:
    for title, expression in expressions():
        assert await server.query(expression), f"the panel {title!r} is empty: {expression}"
    for name, rule in alerts().items():
        for selector in selectors(str(rule["expr"])):
            assert await server.query(selector), f"{name}: no gateway has {selector}"
