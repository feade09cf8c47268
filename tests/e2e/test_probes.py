"""What an orchestrator asks: `/livez`, `/readyz`, and `portus-gateway healthcheck`."""

import asyncio
import signal
import sys
import urllib.error
import urllib.request
from asyncio.subprocess import PIPE
from pathlib import Path

import grpc
import pytest

from portus_gateway.devregistry import DevRegistry, Fault
from portus_gateway.telemetry.gateway_health import STOPPING
from tests.access.certificates import Authority
from tests.e2e.gateway_process import GatewayProcess, clean_environment, gateway_process, outcome
from tests.e2e.test_serve import stub
from tests.e2e.test_workers import TAGS

METRICS = ("--metrics-listen", "127.0.0.1:0", "--readiness-interval", "100ms")
PATIENCE = 20.0
# What `healthcheck` takes a second to load, and does not need.
NOT_NEEDED = ("aiohttp", "pydantic", "structlog", "cryptography", "importlib.metadata", "rich")
# What a gateway without metrics, workers, tokens, TLS, traces, index and reflection does not need.
NOT_USED = (
    "aiohttp.web",
    "grpc_reflection.v1alpha",
    "jwt",
    "portus_gateway.workers",
    "portus_gateway.telemetry.metrics_server",
    "portus_gateway.access.tls",
    "portus_gateway.access.jwt_authenticator",
    "portus_gateway.devregistry",
    "portus_gateway.index.live_index",
    "portus_gateway.index.receiver",
    "portus_gateway.index.sqlite",
    "asyncpg",
    "opentelemetry",
    "rich",
    "sqlite3",
)


async def probe(gateway: GatewayProcess, path: str) -> tuple[int, str]:
    """The status and the text of the answer."""

    def ask() -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"http://{gateway.metrics}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    return await asyncio.to_thread(ask)


async def until_ready_is(gateway: GatewayProcess, status: int) -> str:
    async with asyncio.timeout(PATIENCE):
        while True:
            found, text = await probe(gateway, "/readyz")
            if found == status:
                return text
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_readyz_says_whether_the_registry_can_be_used_and_if_not_why(
    registry: DevRegistry, settings: dict[str, str], workers: str
) -> None:
    async with gateway_process("serve", "--workers", workers, *METRICS, **settings) as gateway:
        assert await until_ready_is(gateway, 200) == "ok\n"
        registry.inject(Fault.parse("ping:status=503"))
        text = await until_ready_is(gateway, 503)
        assert text.startswith("not ready: ping: the registry answered 503")
        assert text.count("not ready:") == 1
        assert await probe(gateway, "/livez") == (200, "ok\n")


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_readyz_names_the_setting_and_no_account(
    registry: DevRegistry, settings: dict[str, str], workers: str
) -> None:
    wrong = {**settings, "PORTUS_PASSWORD": "wrong-s3cret", "PORTUS_USERNAME": "somebody"}
    async with gateway_process("serve", "--workers", workers, *METRICS, **wrong) as gateway:
        await gateway.event("registry not ready")
        async with asyncio.timeout(PATIENCE):
            while "Check PORTUS_USERNAME" not in (text := (await probe(gateway, "/readyz"))[1]):
                await asyncio.sleep(0.02)
    assert "wrong-s3cret" not in text
    assert "somebody" not in text
    assert registry.realm not in text


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_a_gateway_that_stops_is_alive_and_not_ready(
    registry: DevRegistry, settings: dict[str, str], workers: str
) -> None:
    async with gateway_process("serve", "--workers", workers, *METRICS, **settings) as gateway:
        await until_ready_is(gateway, 200)
        registry.inject(Fault.parse("tags:delay=1,times=1"))
        async with grpc.aio.insecure_channel(gateway.address) as channel:
            call = asyncio.ensure_future(stub(channel).ListTags(TAGS, timeout=20))
            await registry.requests.wait_for(1, route="tags")
            gateway.signal(signal.SIGTERM)
            assert await until_ready_is(gateway, 503) == f"not ready: {STOPPING}\n"
            assert await probe(gateway, "/livez") == (200, "ok\n")
            await call
        assert await gateway.ended() == 0


async def test_a_file_that_cannot_be_read_is_named_by_its_setting(settings: dict[str, str], tmp_path: Path) -> None:
    tokens, policy = tmp_path / "tokens", tmp_path / "policy.toml"
    tokens.write_text(f"scanner sha256:{'0' * 64}\n")
    policy.write_text('[[allow]]\nname = "a"\nprincipals = ["token:scanner"]\nrpcs = ["read"]\nrepositories = ["**"]\n')
    access = {"PORTUS_CALLER_TOKEN_FILE": str(tokens), "PORTUS_POLICY_FILE": str(policy)}
    async with gateway_process("serve", *METRICS, **settings, **access) as gateway:
        await until_ready_is(gateway, 200)
        tokens.unlink()
        gateway.signal(signal.SIGHUP)
        text = await until_ready_is(gateway, 503)
        assert text == "not ready: the file of PORTUS_CALLER_TOKEN_FILE cannot be read\n"
        tokens.write_text(f"scanner sha256:{'0' * 64}\n")
        gateway.signal(signal.SIGHUP)
        await until_ready_is(gateway, 200)


async def test_healthcheck_trusts_the_certificate_in_the_settings_for_whatever_name_it_has(
    settings: dict[str, str], tmp_path: Path
) -> None:
    authority = Authority()
    certificate, key = authority.issue(dns=["gateway.example"]).write(tmp_path)
    tls = {"PORTUS_TLS_CERTIFICATE_FILE": str(certificate), "PORTUS_TLS_KEY_FILE": str(key)}
    other = tmp_path / "other.pem"
    other.write_bytes(authority.issue(dns=["gateway.example"]).certificate)
    async with gateway_process("serve", **settings, **tls) as gateway:
        own = {"PORTUS_LISTEN": gateway.address, "PORTUS_TLS_CERTIFICATE_FILE": str(certificate)}
        assert await outcome("healthcheck", **own) == (0, "SERVING\n", "")
        status, _, errors = await outcome("healthcheck", **{**own, "PORTUS_TLS_CERTIFICATE_FILE": str(other)})
        assert (status, "CERTIFICATE_VERIFY_FAILED" in errors) == (1, True)
        ca_file = ("--ca-file", str(tmp_path / "ca.pem"))
        (tmp_path / "ca.pem").write_bytes(authority.pem)
        for arguments, advice in (((), "give --ca-file"), (ca_file, "--address must be a name")):
            status, _, errors = await outcome("healthcheck", "--address", gateway.address, *arguments)
            assert (status, advice in errors) == (1, True), errors
    status, _, errors = await outcome("healthcheck", **own)
    assert (status, "UNAVAILABLE" in errors) == (1, True)
    for content, problem in (("no certificate", "no certificate in PEM format"), (None, "cannot be read")):
        certificate.unlink()
        if content is not None:
            certificate.write_text(content)
        status, _, errors = await outcome("healthcheck", **own)
        assert (status, problem in errors) == (1, True)
        certificate.touch()


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (("ca-file", "certificate"), "a client certificate needs both --certificate and --key"),
        (("ca-file", "key"), "a client certificate needs both --certificate and --key"),
        (("certificate", "key"), "a client certificate needs TLS: also give --ca-file"),
        (("ca-file", "certificate", "key"), "file.pem is empty"),
    ],
    ids=["no-key", "no-certificate", "no-tls", "empty"],
)
async def test_healthcheck_says_what_a_client_certificate_needs(
    tmp_path: Path, given: tuple[str, ...], told: str
) -> None:
    file = tmp_path / "file.pem"
    file.touch()
    options = [f"--{name}={file}" for name in given]
    status, _, errors = await outcome("healthcheck", "--address", "127.0.0.1:1", *options)
    assert status == 2
    assert errors.splitlines()[-1].endswith(told)


async def loaded_by(program: str, *arguments: str, **variables: str) -> set[str]:
    """The modules that a Python program has loaded when it has run."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        program + "\nprint('\\n'.join(sys.modules))",
        *arguments,
        env=clean_environment(variables),
        stdout=PIPE,
    )
    output, _ = await process.communicate()
    assert process.returncode == 0
    return set(output.decode().split("\n"))


async def test_healthcheck_loads_no_more_than_it_needs(settings: dict[str, str]) -> None:
    program = "import sys; from portus_gateway.cli import main; main(standalone_mode=False)"
    async with gateway_process("serve", **settings) as gateway:
        loaded = await loaded_by(program, "healthcheck", PORTUS_LISTEN=gateway.address)
    assert "grpc" in loaded
    assert loaded.isdisjoint(NOT_NEEDED), loaded & set(NOT_NEEDED)


async def test_a_gateway_loads_nothing_that_its_settings_do_not_use(settings: dict[str, str]) -> None:
    program = """
import asyncio, sys
import click
from portus_gateway.cli import main
assert main.get_command(click.Context(main), "serve") is not None
from portus_gateway import settings
from portus_gateway import app
async def start():
    async with app.running(settings.load({"listen": "127.0.0.1:0", "reflection": False})):
        pass
asyncio.run(start())
"""
    loaded = await loaded_by(program, **settings)
    assert "portus_gateway.rpc.server" in loaded
    assert loaded.isdisjoint(NOT_USED), loaded & set(NOT_USED)
