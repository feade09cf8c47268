"""Two callers with different rights, TLS, tokens, certificates, the audit log: the real process, as users set it up."""

import asyncio
import hashlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import aiohttp
import grpc
import pytest
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status
from grpc_health.v1 import health_pb2

from portus.registry.v1 import registry_service_pb2, registry_service_pb2_grpc
from portus_gateway.devregistry import DevRegistry
from tests.access.certificates import Authority
from tests.access.issuer import AUDIENCE, ISSUER, Issuer
from tests.e2e.gateway_process import clean_environment, gateway_process, outcome
from tests.e2e.test_grpcurl import GRPCURL, SERVICE

POLICY = """
[[allow]]
name = "the scanner reads all"
principals = ["token:scanner"]
rpcs = ["read"]
repositories = ["**"]

[[allow]]
name = "team a does what it likes in its own"
principals = ["token:team-a", "spiffe://example.org/team-a", "jwt:https://login.example.org#team-a"]
rpcs = ["*"]
repositories = ["team/app"]
"""

Stub = registry_service_pb2_grpc.RegistryServiceStub


def reason_of(error: grpc.aio.AioRpcError) -> tuple[grpc.StatusCode, str]:
    details = dict(error.trailing_metadata())["grpc-status-details-bin"]
    assert isinstance(details, bytes)
    information = ErrorInfo()
    assert Status.FromString(details).details[0].Unpack(information)
    return error.code(), information.reason


def bearer(token: str) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {token}"),)


@pytest.fixture
def protected(settings: dict[str, str], tmp_path: Path) -> dict[str, str]:
    """The settings of a gateway that knows its callers, over TLS."""
    authority = Authority()
    certificate, key = authority.issue(dns=["localhost"]).write(tmp_path)
    (tmp_path / "ca.pem").write_bytes(authority.pem)
    tokens = "".join(
        f"{name} sha256:{hashlib.sha256(f'{name}-s3cret'.encode()).hexdigest()}\n" for name in ("scanner", "team-a")
    )
    (tmp_path / "tokens").write_text(tokens)
    (tmp_path / "policy.toml").write_text(POLICY)
    return settings | {
        "PORTUS_LISTEN": "0.0.0.0:0",
        "PORTUS_TLS_CERTIFICATE_FILE": str(certificate),
        "PORTUS_TLS_KEY_FILE": str(key),
        "PORTUS_CALLER_TOKEN_FILE": str(tmp_path / "tokens"),
        "PORTUS_POLICY_FILE": str(tmp_path / "policy.toml"),
        "PORTUS_ALLOW_DELETE": "true",
        "PORTUS_AUDIT_LOG": str(tmp_path / "audit.jsonl"),
    }


def channel_to(address: str, folder: Path, **pair: bytes) -> grpc.aio.Channel:
    credentials = grpc.ssl_channel_credentials((folder / "ca.pem").read_bytes(), **pair)
    return grpc.aio.secure_channel(f"localhost:{address.rpartition(':')[2]}", credentials)


async def names_seen(stub: "registry_service_pb2_grpc.RegistryServiceAsyncStub", token: str) -> list[str]:
    answer = await stub.Catalog(registry_service_pb2.CatalogRequest(), metadata=bearer(token), timeout=10)
    return [repository.name for repository in answer.repositories]


async def test_two_callers_see_and_do_what_the_policy_says_and_no_more(
    registry: DevRegistry, protected: dict[str, str], tmp_path: Path
) -> None:
    async with gateway_process("serve", **protected) as gateway, channel_to(gateway.address, tmp_path) as channel:
        stub = Stub(channel)
        assert len(await names_seen(stub, "scanner-s3cret")) == 5
        assert await names_seen(stub, "team-a-s3cret") == ["team/app"]

        failures = []
        for repository in ("team/worker", "team/nothing"):
            request = registry_service_pb2.GetManifestRequest(repository=repository, tag="0.9")
            with pytest.raises(grpc.aio.AioRpcError) as hidden:
                await stub.GetManifest(request, metadata=bearer("team-a-s3cret"), timeout=10)
            assert reason_of(hidden.value) == (grpc.StatusCode.NOT_FOUND, "MANIFEST_UNKNOWN")
            failures.append(str(hidden.value.details()).replace(repository, "X"))
        assert failures[0] == failures[1]

        digest = registry.push("team/app", "gone")
        deletion = registry_service_pb2.DeleteManifestRequest(
            repository="team/app", digest=digest, expected_tags=["gone"]
        )
        with pytest.raises(grpc.aio.AioRpcError) as denied:
            await stub.DeleteManifest(deletion, metadata=bearer("scanner-s3cret"), timeout=10)
        assert reason_of(denied.value) == (grpc.StatusCode.PERMISSION_DENIED, "POLICY_DENIED")
        answer = await stub.DeleteManifest(deletion, metadata=bearer("team-a-s3cret"), timeout=10)
        assert list(answer.deleted_tags) == ["gone"]

        for metadata, reason in (((), "CREDENTIAL_MISSING"), (bearer("guess"), "CREDENTIAL_INVALID")):
            with pytest.raises(grpc.aio.AioRpcError) as nobody:
                await stub.Catalog(registry_service_pb2.CatalogRequest(), metadata=metadata, timeout=10)
            assert reason_of(nobody.value) == (grpc.StatusCode.UNAUTHENTICATED, reason)

    records = [json.loads(line) for line in (tmp_path / "audit.jsonl").read_text().splitlines()]
    assert [(record["caller"], record["event"], record.get("outcome")) for record in records] == [
        ("token:scanner", "refused", "refused"),
        ("token:team-a", "attempt", None),
        ("token:team-a", "outcome", "deleted"),
    ]
    assert digest in json.dumps(records[-1])
    assert "s3cret" not in "\n".join(gateway.log) + json.dumps(records)


async def test_grpcurl_with_and_without_credentials(protected: dict[str, str], tmp_path: Path) -> None:
    assert GRPCURL
    async with gateway_process("serve", **protected) as gateway:
        address = f"localhost:{gateway.address.rpartition(':')[2]}"

        def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
            return subprocess.run(
                [str(GRPCURL), "-cacert", str(tmp_path / "ca.pem"), *arguments],
                capture_output=True,
                text=True,
                timeout=30,
            )

        without = await asyncio.to_thread(run, address, f"{SERVICE}/Catalog")
        assert "Code: Unauthenticated" in without.stderr
        header = ("-H", "authorization: Bearer team-a-s3cret")
        with_token = await asyncio.to_thread(run, *header, address, f"{SERVICE}/Catalog")
        assert json.loads(with_token.stdout)["repositories"] == [{"name": "team/app"}]
        plaintext = await asyncio.to_thread(
            subprocess.run,
            [str(GRPCURL), "-plaintext", "-max-time", "5", address, "list"],
            capture_output=True,
            timeout=30,
        )
        assert plaintext.returncode != 0


async def test_certificates_on_a_port_of_their_own_and_jwts(protected: dict[str, str], tmp_path: Path) -> None:
    clients = Authority()
    (tmp_path / "clients.pem").write_bytes(clients.pem)
    issuer = Issuer()
    (tmp_path / "keys.json").write_bytes(issuer.jwks)
    more = {
        "PORTUS_TLS_CLIENT_CA_FILE": str(tmp_path / "clients.pem"),
        "PORTUS_MTLS_LISTEN": "127.0.0.1:0",
        "PORTUS_JWT_ISSUER": ISSUER,
        "PORTUS_JWT_AUDIENCE": AUDIENCE,
        "PORTUS_JWT_KEYS_FILE": str(tmp_path / "keys.json"),
    }
    async with gateway_process("serve", **protected, **more) as gateway:
        pair = clients.issue(uris=["spiffe://example.org/team-a"])
        async with channel_to(
            gateway.mtls, tmp_path, private_key=pair.key, certificate_chain=pair.certificate
        ) as channel:
            answer = await Stub(channel).Catalog(registry_service_pb2.CatalogRequest(), timeout=10)
            assert [repository.name for repository in answer.repositories] == ["team/app"]
        async with channel_to(gateway.mtls, tmp_path) as channel:
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await Stub(channel).Catalog(registry_service_pb2.CatalogRequest(), timeout=5)
            assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
        async with channel_to(gateway.address, tmp_path) as channel:
            token = issuer.token(sub="team-a")
            assert await names_seen(Stub(channel), token) == ["team/app"]


async def test_a_policy_is_read_again_on_sighup_and_a_bad_one_is_not_taken(
    protected: dict[str, str], tmp_path: Path
) -> None:
    async with gateway_process("serve", **protected) as gateway, channel_to(gateway.address, tmp_path) as channel:
        stub = Stub(channel)
        (tmp_path / "policy.toml").write_text("[[allow]]\nname = 'half a rule'\n")
        gateway.signal(signal.SIGHUP)
        await gateway.event("the new file is not valid and was not taken: the old one stays in force")
        assert await names_seen(stub, "team-a-s3cret") == ["team/app"]
        (tmp_path / "policy.toml").write_text(POLICY.replace('["team/app"]', '["team/*"]'))
        gateway.signal(signal.SIGHUP)
        while await names_seen(stub, "team-a-s3cret") == ["team/app"]:
            await asyncio.sleep(0.05)
        assert await names_seen(stub, "team-a-s3cret") == ["team/app", "team/worker"]


async def test_without_an_audit_log_nothing_is_deleted_and_a_broken_set_up_is_reported(
    protected: dict[str, str], tmp_path: Path
) -> None:
    status, _, errors = await outcome("serve", **{**protected, "PORTUS_AUDIT_LOG": str(tmp_path / "none" / "audit")})
    assert status == 78
    assert "audit" in errors
    (tmp_path / "policy.toml").write_text("[[allow]]\nprincipals = 3\n")
    status, _, errors = await outcome("serve", **protected)
    assert status == 78
    assert "policy.toml" in errors
    assert "Traceback" not in errors


async def test_policy_check_explains(tmp_path: Path) -> None:
    file = tmp_path / "policy.toml"
    file.write_text(POLICY)
    ask = ("policy", "check", "--file", str(file), "--caller", "token:team-a", "--rpc", "DeleteManifest")
    status, output, _ = await outcome(*ask, "--repository", "team/app")
    assert (status, "team a does what it likes in its own" in output) == (0, True)
    status, output, _ = await outcome(*ask, "--repository", "team/worker")
    assert status == 1
    assert output.strip()
    status, _, errors = await outcome(*ask)
    assert (status, "--repository" in errors) == (2, True)
    status, _, errors = await outcome(*ask[:4], "--repository", "team/app")
    assert (status, "--caller and --rpc" in errors) == (2, True)
    # No repository has such a name, so that nothing is allowed there.
    for name in ("team/app/../worker", "team/app/", "team//app", "Team/app", "team/app\n"):
        status, output, errors = await outcome(*ask, "--repository", name)
        assert (status, output) == (2, ""), name
        assert "not a valid repository" in errors


async def test_policy_check_without_a_caller_validates_the_file(tmp_path: Path) -> None:
    file = tmp_path / "policy.toml"
    file.write_text(POLICY)
    assert await outcome("policy", "check", "--file", str(file)) == (0, f"{file} is valid: 2 rules\n", "")
    assert (await outcome("policy", "check", PORTUS_POLICY_FILE=str(file)))[0] == 0
    file.write_text(POLICY.replace("rpcs", "rcps") + "repository = []")
    status, output, errors = await outcome("policy", "check", "--file", str(file))
    assert (status, output) == (78, "")
    assert errors.count("rcps") == 2


async def test_a_token_file_that_is_gone_shows_in_health_and_metrics(protected: dict[str, str], tmp_path: Path) -> None:
    async def health(channel: grpc.aio.Channel, service: str) -> int:
        check = channel.unary_unary(
            "/grpc.health.v1.Health/Check",
            health_pb2.HealthCheckRequest.SerializeToString,
            health_pb2.HealthCheckResponse.FromString,
        )
        return int((await check(health_pb2.HealthCheckRequest(service=service), timeout=10)).status)

    serving, not_serving = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING
    async with (
        gateway_process("serve", **protected, PORTUS_METRICS_LISTEN="127.0.0.1:0") as gateway,
        channel_to(gateway.address, tmp_path) as channel,
        aiohttp.ClientSession() as session,
    ):

        async def valid() -> str:
            async with session.get(f"http://{gateway.metrics}/metrics") as answer:
                text = await answer.text()
            return text.partition('portus_access_file_valid{setting="caller_token_file"} ')[2].partition("\n")[0]

        await gateway.event("registry ready")
        assert (await health(channel, SERVICE), await valid()) == (serving, "1.0")
        (tmp_path / "tokens").rename(tmp_path / "away")
        gateway.signal(signal.SIGHUP)
        async with asyncio.timeout(10):
            while await health(channel, SERVICE) != not_serving:
                await asyncio.sleep(0.02)
        assert await valid() == "0.0"
        # The process is well, and those who have a token are served for a time.
        assert await health(channel, "") == serving
        assert await names_seen(Stub(channel), "team-a-s3cret") == ["team/app"]
        (tmp_path / "away").rename(tmp_path / "tokens")
        gateway.signal(signal.SIGHUP)
        async with asyncio.timeout(10):
            while await health(channel, SERVICE) != serving:
                await asyncio.sleep(0.02)
        assert await valid() == "1.0"


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_a_hang_up_at_the_very_start_does_not_end_the_gateway(settings: dict[str, str], workers: str) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "portus_gateway", "serve"),
        env=clean_environment({**settings, "PORTUS_LISTEN": "127.0.0.1:0", "PORTUS_WORKERS": workers}),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    maps = Path(f"/proc/{process.pid}/maps")
    sent = 0

    async def hang_up() -> None:
        nonlocal sent
        while process.returncode is None and sent < 20:
            # Settings are loaded with pydantic: that is before anything is served, and before files are watched.
            if "pydantic_core" in maps.read_text():  # noqa: ASYNC240
                process.send_signal(signal.SIGHUP)
                sent += 1
            await asyncio.sleep(0.005)

    hanging_up = asyncio.create_task(hang_up())
    try:
        assert process.stderr is not None
        async with asyncio.timeout(60):
            async for line in process.stderr:
                if b"listening" in line:
                    break
        assert (process.returncode, sent) == (None, 20)
    finally:
        hanging_up.cancel()
        process.kill()
        await process.wait()


async def test_the_set_ups_of_the_manual_work_as_they_are_pasted(tmp_path: Path) -> None:
    manual = (Path(__file__).parents[2] / "docs" / "deploy.md").read_text()
    blocks = re.findall(r"```sh\n(.*?)```", manual, flags=re.DOTALL)
    assert len(blocks) == 5
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    script = "set -euo pipefail\n" + "\n".join(blocks).replace("50051", str(port))
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    process = await asyncio.create_subprocess_exec(
        "bash",
        "-c",
        script,
        cwd=tmp_path,
        env=clean_environment({"PATH": path}),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    output, errors = await asyncio.wait_for(process.communicate(), 120)
    assert process.returncode == 0, errors.decode()
    text = output.decode()
    assert text.startswith("allowed by allow rule 'team a may do everything with its own repositories'")
    # The scanner by certificate, with both tools, and by JWT; team a, which sees one, by token, with both.
    assert text.count("charts/shop") == 3
    assert text.count('"name": "team/app"') == 2
    assert len(re.findall(r"^team/app +1\.0\.0", text, flags=re.MULTILINE)) == 3
