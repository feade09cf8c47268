"""The Helm chart: valid in every combination of values that matters, and of use to a gateway."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from portus_gateway import __version__, settings
from portus_gateway.devregistry import EVERYTHING, DevRegistry, User
from portus_gateway.settings import SECRETS, Settings, variable_of
from portus_gateway.telemetry.traces import wanted
from tests.access.certificates import Authority
from tests.deploy.kubernetes import CHART, FILES, Manifests, at, helm, items, problems, render, texts
from tests.deploy.project import ROOT
from tests.e2e.gateway_process import gateway_process
from tests.e2e.test_probes import until_ready_is

PASSWORD = "registry-s3cret"
HASH = "0" * 64
POLICY = """
[[allow]]
name = "the scanner reads"
principals = ["token:scanner"]
rpcs = ["read"]
repositories = ["**"]
"""
OPEN = "tls: {insecure: true}\ncallers: {anonymous: true}\n"
REGISTRY = f"registry: {{url: 'https://registry.example:5000', password: {PASSWORD}}}\n"
INDENTED = POLICY.replace("\n", "\n    ")
TOKENS = f"callers:\n  tokens: {{lines: [scanner sha256:{HASH}]}}\n"
COMBINATIONS = {
    "behind a mesh": REGISTRY + OPEN,
    "tokens and a Secret with a certificate": REGISTRY
    + TOKENS
    + f"tls: {{secretName: tls}}\npolicy:\n  content: |{INDENTED}\n",
    "everything exists already": """
registry:
  url: https://registry.example:5000
  tokenRealm: https://portus.example/v2/token
  passwordSecret: {name: portus, key: word}
  ca: {configMap: authorities, key: ca.pem}
tls: {secretName: tls}
callers:
  tokens: {secret: callers, key: lines}
policy: {configMap: policy, key: rules.toml}
pageTokenKeys: {secret: keys}
serviceAccount: {create: false, name: robot}
networkPolicy: {enabled: false}
podDisruptionBudget: {enabled: false}
topologySpread: false
""",
    "client certificates on a port of their own, by cert-manager": REGISTRY
    + f"""
tls:
  certManager: {{enabled: true, issuerRef: {{name: authority, kind: ClusterIssuer}}, dnsNames: [gateway.example]}}
callers:
  mtls: {{enabled: true, port: 50052}}
  tokens: {{lines: [scanner sha256:{HASH}]}}
  jwt: {{issuer: 'https://login.example', audience: gateway, keysUrl: 'https://login.example/keys', claims: groups}}
policy: {{configMap: policy}}
deletes: true
""",
    "client certificates alone": """
registry: {url: 'https://r', username: gateway, password: registry-s3cret, ca: {secret: authorities}}
tls: {secretName: tls}
callers: {mtls: {enabled: true, caConfigMap: clients, caKey: ca.pem}}
policy: {configMap: policy}
""",
    "an index with notifications": REGISTRY
    + OPEN
    + """
replicas: 1
index: {enabled: true, size: 10Gi, storageClass: fast, notifications: {port: 8090, tokenSecret: notifications}}
""",
    "an index in PostgreSQL": REGISTRY
    + OPEN
    + """
autoscaling: {enabled: true}
index:
  enabled: true
  postgres: {url: 'postgresql://gateway@db.example/gateway', passwordSecret: database}
""",
    "an index on a claim that exists": REGISTRY + OPEN + "replicas: 1\nindex: {enabled: true, existingClaim: mine}\n",
    "without an account, with every part": "registry: {url: 'http://registry:5000', anonymous: true}\n"
    + OPEN
    + """
replicas: 5
autoscaling: {enabled: true, maxReplicas: 20}
metrics:
  port: 9464
  serviceMonitor: {enabled: true, labels: {release: prometheus}}
networkPolicy:
  callers: [{namespaceSelector: {matchLabels: {team: a}}}]
  metrics: [{namespaceSelector: {matchLabels: {name: monitoring}}}]
  egress: [{ports: [{port: 5000}]}]
service: {port: 8443, annotations: {a: b}}
settings: {MAX_CONCURRENT_CALLS: 1000, MAX_MANIFEST_BYTES: 16777216, CALLER_RATE: 2.5, REFLECTION: false}
otel:
  EXPORTER_OTLP_ENDPOINT: http://collector:4318
  TRACES_SAMPLER: parentbased_traceidratio
  TRACES_SAMPLER_ARG: 0.1
image:
  repository: registry.example/portus-gateway
  digest: sha256:1111111111111111111111111111111111111111111111111111111111111111
imagePullSecrets: [{name: pull}]
podAnnotations: {a: b}
podLabels: {c: d}
nodeSelector: {disk: fast}
tolerations: [{key: a, operator: Exists}]
affinity: {nodeAffinity: {}}
priorityClassName: high
drainGraceSeconds: 60
preStopSeconds: 10
fullnameOverride: gateway
""",
}
every_combination = pytest.mark.parametrize("values", COMBINATIONS.values(), ids=COMBINATIONS.keys())


@every_combination
def test_every_combination_is_valid(values: str, tmp_path: Path) -> None:
    manifests = render(values, tmp_path)
    assert list(problems(manifests)) == []
    # A secret is in a Secret, and nowhere else.
    assert all(manifest.kind == "Secret" for manifest in manifests if PASSWORD in json.dumps(manifest.node))


@every_combination
def test_every_combination_makes_settings_that_a_gateway_accepts(
    values: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifests = render(values, tmp_path)
    for name, value in mounted(manifests, tmp_path).items():
        monkeypatch.setenv(name, value)
    loaded = settings.load(variables=manifests.settings)
    assert not loaded.listen.is_loopback
    assert loaded.allow_delete == ("deletes: true" in values)


def mounted(manifests: Manifests, folder: Path) -> dict[str, str]:
    """The settings with files of this machine, which a container would have from its volumes."""
    authority = Authority()
    certificate = authority.issue(dns=["gw-portus-gateway.registry.svc"])
    contents = {
        "PORTUS_PASSWORD_FILE": PASSWORD.encode(),
        "PORTUS_CA_FILE": authority.pem,
        "PORTUS_TLS_CERTIFICATE_FILE": certificate.certificate,
        "PORTUS_TLS_KEY_FILE": certificate.key,
        "PORTUS_TLS_CLIENT_CA_FILE": authority.pem,
        "PORTUS_CALLER_TOKEN_FILE": f"scanner sha256:{HASH}\n".encode(),
        "PORTUS_POLICY_FILE": POLICY.encode(),
        "PORTUS_PAGE_TOKEN_KEY_FILE": b"k" * 40,
        "PORTUS_INDEX_PASSWORD_FILE": b"s3cret",
        "PORTUS_NOTIFICATIONS_TOKEN_FILE": f"registry sha256:{HASH}\n".encode(),
    }
    variables = dict(manifests.settings)
    for name, value in variables.items():
        if value.startswith(FILES):
            file = folder / value.removeprefix("/")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(contents[name])
            variables[name] = str(file)
    return variables


def test_what_the_chart_makes_of_contents_are_the_files_that_the_settings_name(tmp_path: Path) -> None:
    manifests = render(COMBINATIONS["tokens and a Secret with a certificate"], tmp_path)
    files: dict[str, str] = {}
    volumes = {str(volume["name"]): volume for volume in items(at(manifests.pod, "volumes"))}
    for mount in items(at(manifests.container, "volumeMounts")):
        volume = volumes[str(mount["name"])]
        name = at(volume, "secret", "secretName") or at(volume, "configMap", "name")
        for manifest in manifests:
            if manifest.kind in ("Secret", "ConfigMap") and manifest.name == name:
                data = texts(manifest.at("data")) | texts(manifest.at("stringData"))
                files |= {f"{mount['mountPath']}/{key}": text for key, text in data.items()}
    assert files[manifests.settings["PORTUS_PASSWORD_FILE"]] == PASSWORD
    assert files[manifests.settings["PORTUS_POLICY_FILE"]].strip() == POLICY.strip()
    assert files[manifests.settings["PORTUS_CALLER_TOKEN_FILE"]] == f"scanner sha256:{HASH}\n"


class ConfigMapVolume:
    """A folder as the kubelet makes it: `file` is a link to `..data`, which is a link to a folder with the content."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self._versions = 0
        file.unlink()
        file.symlink_to(f"..data/{file.name}")

    def replace(self, content: str) -> None:
        self._versions += 1
        version = self.file.parent / f"..{self._versions}"
        version.mkdir()
        (version / self.file.name).write_text(content)
        link = self.file.parent / "..data_tmp"
        link.symlink_to(version.name)
        link.rename(self.file.parent / "..data")


async def test_a_policy_that_the_kubelet_replaces_is_used_without_a_restart(tmp_path: Path) -> None:
    rendered = render(COMBINATIONS["tokens and a Secret with a certificate"], tmp_path)
    variables = mounted(rendered, tmp_path)
    variables |= {"PORTUS_LISTEN": "127.0.0.1:0", "PORTUS_METRICS_LISTEN": "127.0.0.1:0"}
    volume = ConfigMapVolume(Path(variables["PORTUS_POLICY_FILE"]))
    volume.replace(POLICY)
    async with DevRegistry([User("portus", PASSWORD, EVERYTHING)]) as registry:
        variables |= {"PORTUS_REGISTRY_URL": registry.url, "PORTUS_TOKEN_REALM": registry.realm}
        async with gateway_process("serve", **variables) as gateway:
            await until_ready_is(gateway, 200)
            volume.replace(POLICY.replace("reads", "reads all"))
            loaded = await gateway.event("loaded")
    assert loaded["path"] == str(volume.file)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ("registry: {url: 'https://r'}\n" + OPEN, "registry.passwordSecret.name"),
        ("registry: {url: '', anonymous: true}\n" + OPEN, "registry.url is required"),
        (REGISTRY + "callers: {anonymous: true}", "set tls.secretName"),
        (REGISTRY + "tls: {insecure: true}", "set callers.mtls"),
        (REGISTRY + TOKENS + "tls: {insecure: true}", "set policy.content"),
        (
            REGISTRY + "tls: {insecure: true}\npolicy: {configMap: p}\ncallers: {mtls: {enabled: true}}",
            "mtls needs TLS",
        ),
        (REGISTRY + "tls: {certManager: {enabled: true}}\ncallers: {anonymous: true}", "issuerRef.name is required"),
        (REGISTRY + OPEN + "policy: {content: a, configMap: b}", "either policy.content"),
        (REGISTRY.replace("}", ", passwordSecret: {name: a}}") + OPEN, "either registry.password"),
        (REGISTRY + OPEN + "index: {enabled: true}", "or replicas: 1"),
        (REGISTRY + OPEN + "index: {postgres: {passwordSecret: a}}", "index.postgres.url is required"),
        (REGISTRY + OPEN + "index: {enabled: true, postgres: {url: 'postgresql://a:b@c/d'}}", "index.postgres.url"),
        (REGISTRY + OPEN + "index: {notifications: {port: 1, tokenSecret: a}}", "needs index.enabled"),
        (REGISTRY + OPEN + "replicas: 1\nindex: {enabled: true, notifications: {port: 1}}", "tokenSecret is required"),
        (REGISTRY + OPEN + "replica: 3", "replica"),
        (REGISTRY + OPEN + "settings: {LISTEN: ':1'}", "LISTEN"),
        (REGISTRY + OPEN + "settings: {PASSWORD: x}", "PASSWORD"),
        # They have credentials.
        (REGISTRY + OPEN + "otel: {EXPORTER_OTLP_HEADERS: 'api-key=x'}", "EXPORTER_OTLP_HEADERS"),
        (REGISTRY + OPEN + "otel: {EXPORTER_OTLP_TRACES_HEADERS: 'api-key=x'}", "EXPORTER_OTLP_TRACES_HEADERS"),
        (REGISTRY.replace("https://", "https://user:word@") + OPEN, "url"),
    ],
)
def test_values_that_do_not_fit_together_are_told(values: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(subprocess.CalledProcessError) as failed:
        render(values, tmp_path)
    assert message in failed.value.stderr


def test_lint_has_nothing_to_say(tmp_path: Path) -> None:
    file = tmp_path / "values.yaml"
    for values in COMBINATIONS.values():
        file.write_text(values)
        found = helm("lint", str(CHART), "--strict", "--values", str(file))
        assert [line for line in found.splitlines() if line.startswith("[") and "icon is recommended" not in line] == []


def test_a_change_of_a_setting_replaces_the_pods_and_one_of_the_policy_does_not(tmp_path: Path) -> None:
    def template(values: str) -> object:
        return render(values, tmp_path).one("Deployment").at("spec", "template")

    values = COMBINATIONS["tokens and a Secret with a certificate"]
    assert template(values) != template(values + "drainGraceSeconds: 30")
    assert template(values) == template(values.replace("scanner reads", "scanner reads all"))


def test_variables_of_opentelemetry_are_those_that_ask_for_traces(tmp_path: Path) -> None:
    values = COMBINATIONS["without an account, with every part"]
    variables = render(values, tmp_path).settings
    assert {name: value for name, value in variables.items() if name.startswith("OTEL_")} == {
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318",
        "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
        "OTEL_TRACES_SAMPLER_ARG": "0.1",
    }
    assert wanted(variables)


def test_the_chart_has_the_version_of_the_gateway() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["version"] == chart["appVersion"] == __version__


def test_values_that_have_a_place_of_their_own_are_no_further_settings() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    refused = set(schema["properties"]["settings"]["propertyNames"]["not"]["enum"])
    written = set(re.findall(r"^PORTUS_(\w+):", (CHART / "templates/_helpers.tpl").read_text(), re.MULTILINE))
    assert refused == written | {name.upper() for name in SECRETS}
    assert {f"PORTUS_{name}" for name in refused} <= {variable_of(name) for name in Settings.model_fields}


def test_every_value_is_in_the_schema() -> None:
    """`additionalProperties` is false everywhere, so that helm lint finds the others."""

    def closed(schema: dict[str, object], values: dict[str, object]) -> None:
        properties = schema.get("properties")
        if not isinstance(properties, dict):
            return
        assert schema["additionalProperties"] is False
        assert set(properties) - {"global"} == set(values)
        for name, value in values.items():
            if isinstance(value, dict):
                closed(properties[name], value)

    closed(json.loads((CHART / "values.schema.json").read_text()), yaml.safe_load((CHART / "values.yaml").read_text()))


def test_the_notes_say_what_to_do_next(tmp_path: Path) -> None:
    """Helm shows them after an installation only. Here they are rendered as the text of an object."""
    chart = tmp_path / "chart"
    shutil.copytree(CHART, chart)
    notes = chart / "templates/NOTES.txt"
    (chart / "templates/notes.yaml").write_text(
        '{{- define "notes" -}}'
        + notes.read_text()
        + '{{- end }}\nkind: Notes\nmetadata: {name: notes}\ntext: {{ include "notes" . | quote }}\n'
    )
    file = tmp_path / "values.yaml"
    file.write_text(COMBINATIONS["behind a mesh"])
    shown = ("--namespace", "registry", "--values", str(file), "--show-only", "templates/notes.yaml")
    text = str(Manifests(helm("template", "gw", str(chart), *shown)).one("Notes").at("text"))
    assert "dns:///gw-portus-gateway.registry.svc:50051" in text
    assert "there is no policy" in text
    assert PASSWORD not in text


def test_the_documents_show_values_that_work(tmp_path: Path) -> None:
    text = (ROOT / "deploy/helm/README.md").read_text()
    found = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    assert found
    for values in found:
        assert list(problems(render(values, tmp_path))) == []
