"""`portus-gateway serve` as its operator meets it: settings, signals, logs, metrics."""

import asyncio
import json
import re
import resource
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import grpc
import pytest
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

from portus.registry.v1 import registry_service_pb2, registry_service_pb2_grpc
from portus_gateway.devregistry import DevRegistry, Fault
from tests.e2e.gateway_process import GatewayProcess, gateway_process, outcome

CATALOG = registry_service_pb2.CatalogRequest(include_tags=True)


def stub(channel: grpc.aio.Channel) -> "registry_service_pb2_grpc.RegistryServiceAsyncStub":
    return registry_service_pb2_grpc.RegistryServiceStub(channel)


def reason_of(error: grpc.aio.AioRpcError) -> tuple[grpc.StatusCode, str]:
    details = dict(error.trailing_metadata())["grpc-status-details-bin"]
    assert isinstance(details, bytes)
    information = ErrorInfo()
    assert Status.FromString(details).details[0].Unpack(information)
    return error.code(), information.reason


def check(channel: grpc.aio.Channel) -> "grpc.aio.UnaryUnaryMultiCallable[HealthCheckRequest, HealthCheckResponse]":
    return channel.unary_unary(
        "/grpc.health.v1.Health/Check", HealthCheckRequest.SerializeToString, HealthCheckResponse.FromString
    )


def watch(channel: grpc.aio.Channel) -> "grpc.aio.UnaryStreamMultiCallable[HealthCheckRequest, HealthCheckResponse]":
    return channel.unary_stream(
        "/grpc.health.v1.Health/Watch", HealthCheckRequest.SerializeToString, HealthCheckResponse.FromString
    )


async def status_of(watching: "grpc.aio.UnaryStreamCall[HealthCheckRequest, HealthCheckResponse]") -> int:
    answer = await watching.read()
    assert isinstance(answer, HealthCheckResponse)
    return int(answer.status)


def metrics_of(gateway: GatewayProcess) -> str:
    with urllib.request.urlopen(f"http://{gateway.metrics}/metrics", timeout=5) as answer:
        return str(answer.read().decode())


async def test_it_serves_the_catalog_with_the_whole_token_flow(registry: DevRegistry, settings: dict[str, str]) -> None:
    async with (
        gateway_process("serve", **settings) as gateway,
        grpc.aio.insecure_channel(gateway.address) as channel,
    ):
        answer = await stub(channel).Catalog(CATALOG, timeout=10)
        assert [repository.name for repository in answer.repositories] == [
            "charts/shop",
            "library/alpine",
            "library/nginx",
            "team/app",
            "team/worker",
        ]
        assert list(answer.repositories[4].tags) == ["0.9"]
    assert registry.tokens.requests.count(route="token", status=200) > 0


async def test_every_mistake_in_the_settings_is_reported_at_once(tmp_path: Path) -> None:
    status, output, errors = await outcome(
        "serve",
        "--read-timeout",
        "soon",
        PORTUS_REGISTRY_URL="https://user:s3cret-in-url@registry.example/v2/",
        PORTUS_PASSWORD="s3cret-password",
        PORTUS_PASSWORD_FILE=str(tmp_path / "missing"),
        PORTUS_LISTEN="0.0.0.0:50051",
    )
    assert status == 78
    assert output == ""
    assert errors.startswith("portus-gateway: 5 problems in the settings:\n")
    for variable in ("PORTUS_REGISTRY_URL", "PORTUS_PASSWORD_FILE", "PORTUS_INSECURE", "PORTUS_READ_TIMEOUT"):
        assert f"  {variable} (" in errors
    assert "s3cret" not in errors
    assert "Traceback" not in errors


async def test_a_port_that_is_taken_is_one_clear_line(settings: dict[str, str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        status, _, errors = await outcome("serve", "--listen", address, **settings)
        assert status == 1
        in_use = f"Error: cannot listen on {address}: the address is in use: stop the process that uses it, or"
        assert in_use in errors
        assert "Traceback" not in errors
        status, _, errors = await outcome("serve", "--listen=127.0.0.1:0", "--metrics-listen", address, **settings)
        assert status == 1
        assert in_use in errors
        assert "Traceback" not in errors


async def test_a_misspelt_command_is_suggested() -> None:
    for command, meant in (("serv", " Did you mean 'serve'?"), ("xyz", "")):
        status, _, errors = await outcome(command)
        assert status == 2
        assert errors.endswith(f"Error: No such command '{command}'.{meant}\n")


@pytest.mark.parametrize(
    "arguments", [["serve", "--help"], ["--help"], ["--version"], ["descriptor-set"]], ids=" ".join
)
def test_output_that_cannot_be_written_is_one_clear_line(arguments: list[str]) -> None:
    with Path("/dev/full").open("w") as full:
        finished = subprocess.run(
            [sys.executable, "-m", "portus_gateway", *arguments],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
        )
    assert (finished.returncode, finished.stderr) == (1, "Error: cannot write the output: No space left on device\n")


def test_an_interrupted_command_ends_at_once_without_a_word() -> None:
    # A shell may have told the tests to ignore the signal, and the command inherits that.
    command = """if True:
        import signal
        signal.signal(signal.SIGINT, signal.default_int_handler)
        from portus_gateway.cli import main
        main()
    """
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(60)
        process = subprocess.Popen(
            [
                sys.executable,
                "-c",
                command,
                "healthcheck",
                "--timeout=60",
                f"--address=127.0.0.1:{silent.getsockname()[1]}",
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        connection, _ = silent.accept()
        with connection:
            process.send_signal(signal.SIGINT)
            output = process.communicate(timeout=30)
    assert (process.returncode, *output) == (130, "", "")


async def test_two_gateways_never_share_a_port(settings: dict[str, str]) -> None:
    async with gateway_process("serve", **settings) as first:
        status, _, errors = await outcome("serve", "--listen", first.address, **settings)
    assert status == 1
    assert f"cannot listen on {first.address}" in errors


async def test_off_loopback_it_says_loudly_that_callers_need_no_credential(settings: dict[str, str]) -> None:
    everywhere = ("--listen", "0.0.0.0:0", "--allow-anonymous", "--insecure")
    async with gateway_process("serve", *everywhere, **settings) as gateway:
        await gateway.event("callers need no credential: whoever reaches this address has the gateway's powers")
        await gateway.event("no TLS: credentials and contents go over the wire open")


@pytest.mark.parametrize("command", ["serve", "dev"])
async def test_a_misspelt_variable_is_a_mistake(settings: dict[str, str], command: str) -> None:
    status, _, errors = await outcome(command, PORTUS_ALOW_DELETE="true", PORTUS_DRAIN_GRACE="long", **settings)
    assert status == 78
    assert errors.startswith("portus-gateway: 2 problems in the settings:")
    assert "PORTUS_ALOW_DELETE: is not a setting of the gateway: did you mean PORTUS_ALLOW_DELETE?" in errors


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_lets_a_running_call_finish(
    registry: DevRegistry, settings: dict[str, str], number: signal.Signals
) -> None:
    registry.inject(Fault.parse("manifests:delay=1.5,times=1"))
    async with (
        gateway_process("serve", **settings) as gateway,
        grpc.aio.insecure_channel(gateway.address) as channel,
    ):
        request = registry_service_pb2.GetManifestRequest(repository="team/app", tag="1.1.0")
        call = stub(channel).GetManifest(request, timeout=20)
        await registry.requests.wait_for(route="manifests")
        gateway.signal(number)
        await gateway.event("draining")
        assert (await call).manifest.raw
        assert await gateway.ended() == 0
        await gateway.event("stopped")


async def test_the_grace_is_bounded_and_running_calls_get_a_reason(
    registry: DevRegistry, settings: dict[str, str]
) -> None:
    registry.inject(Fault.parse("manifests:hang"))
    async with (
        gateway_process("serve", "--drain-grace", "2s", **settings) as gateway,
        grpc.aio.insecure_channel(gateway.address) as channel,
    ):
        request = registry_service_pb2.GetManifestRequest(repository="team/app", tag="1.1.0")
        call = stub(channel).GetManifest(request, timeout=60)
        await registry.requests.wait_for(route="manifests")
        gateway.signal(signal.SIGTERM)
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await call
        assert reason_of(failed.value) == (grpc.StatusCode.UNAVAILABLE, "SHUTTING_DOWN")
        assert await gateway.ended() == 0


async def test_draining_says_not_serving_and_ends_the_watchers(settings: dict[str, str]) -> None:
    async with (
        gateway_process("serve", **settings) as gateway,
        grpc.aio.insecure_channel(gateway.address) as channel,
    ):
        watching = watch(channel)(HealthCheckRequest(), timeout=20)
        statuses = [await status_of(watching)]
        gateway.signal(signal.SIGTERM)
        statuses.append(await status_of(watching))
        assert statuses == [HealthCheckResponse.SERVING, HealthCheckResponse.NOT_SERVING]
        assert await gateway.ended() == 0


async def test_a_second_signal_ends_it_at_once(registry: DevRegistry, settings: dict[str, str]) -> None:
    registry.inject(Fault.parse("manifests:hang"))
    async with (
        gateway_process("serve", **settings) as gateway,
        grpc.aio.insecure_channel(gateway.address) as channel,
    ):
        request = registry_service_pb2.GetManifestRequest(repository="team/app", tag="1.1.0")
        call = stub(channel).GetManifest(request, timeout=60)
        await registry.requests.wait_for(route="manifests")
        gateway.signal(signal.SIGTERM)
        await gateway.event("draining")
        gateway.signal(signal.SIGTERM)
        assert await gateway.ended() == -signal.SIGTERM
        call.cancel()


async def test_readiness_follows_the_registry_and_liveness_does_not(
    registry: DevRegistry, settings: dict[str, str]
) -> None:
    fault = registry.inject(Fault.parse("ping:status=503"))
    async with (
        gateway_process(
            "serve", PORTUS_READINESS_INTERVAL="200ms", PORTUS_UPSTREAM_ATTEMPTS="1", **settings
        ) as gateway,
        grpc.aio.insecure_channel(gateway.address) as channel,
    ):
        name = HealthCheckRequest(service="portus.registry.v1.RegistryService")
        problem = await asyncio.wait_for(gateway.event("registry not ready"), 10)
        assert problem["reason"] == "UPSTREAM_UNAVAILABLE"
        assert (await check(channel)(name, timeout=5)).status == HealthCheckResponse.NOT_SERVING
        alive = await check(channel)(HealthCheckRequest(), timeout=5)
        assert alive.status == HealthCheckResponse.SERVING
        watching = watch(channel)(name, timeout=20)
        assert await status_of(watching) == HealthCheckResponse.NOT_SERVING
        fault.remove()
        assert await status_of(watching) == HealthCheckResponse.SERVING
        watching.cancel()
        pings = registry.requests.count(route="ping")
        for _ in range(20):
            await check(channel)(name, timeout=5)
        assert registry.requests.count(route="ping") - pings < 10


async def test_metrics_count_calls_by_method_and_code_and_what_went_upstream(
    registry: DevRegistry, settings: dict[str, str]
) -> None:
    registry.inject(Fault.parse("tags:status=503,times=1"))
    async with (
        gateway_process("serve", PORTUS_METRICS_LISTEN="127.0.0.1:0", **settings) as gateway,
        grpc.aio.insecure_channel(gateway.address) as channel,
    ):
        await stub(channel).ListTags(registry_service_pb2.ListTagsRequest(repository="team/app"), timeout=10)
        await stub(channel).ListTags(registry_service_pb2.ListTagsRequest(repository="team/app"), timeout=10)
        with pytest.raises(grpc.aio.AioRpcError):
            await stub(channel).ListTags(registry_service_pb2.ListTagsRequest(repository="team/none"), timeout=10)
        await gateway.event("registry ready")
        text = await asyncio.to_thread(metrics_of, gateway)
    service = 'grpc_service="portus.registry.v1.RegistryService"'
    for line in (
        f'grpc_server_handled_total{{grpc_code="OK",grpc_method="ListTags",{service}}} 2.0',
        f'grpc_server_handled_total{{grpc_code="NotFound",grpc_method="ListTags",{service}}} 1.0',
        f'grpc_server_in_flight{{grpc_method="ListTags",{service}}} 0.0',
        'portus_gateway_errors_total{grpc_method="ListTags",reason="NAME_UNKNOWN"} 1.0',
        # Two for each listing: that it is complete needs proof.
        'portus_upstream_requests_total{method="GET",outcome="200",route="tags"} 4.0',
        'portus_upstream_requests_total{method="GET",outcome="503",route="tags"} 1.0',
        'portus_upstream_retries_total{route="tags"} 1.0',
        "portus_registry_ready 1.0",
    ):
        assert line in text.splitlines()
    assert 'portus_token_fetches_total{outcome="ok"}' in text
    assert "portus_token_cache_hits_total" in text
    assert re.search(r"^portus_gateway_tasks [1-9]", text, re.MULTILINE)
    assert registry.password not in text


async def test_no_secret_gets_into_the_log(registry: DevRegistry, settings: dict[str, str]) -> None:
    registry.inject(Fault.parse("tags:status=500"))
    async with (
        gateway_process("serve", PORTUS_LOG_LEVEL="debug", **settings) as gateway,
        grpc.aio.insecure_channel(gateway.address) as channel,
    ):
        await stub(channel).Catalog(CATALOG, timeout=10)
        with pytest.raises(grpc.aio.AioRpcError):
            await stub(channel).ListTags(
                registry_service_pb2.ListTagsRequest(repository="team/app"),
                timeout=10,
                metadata=(("authorization", "Bearer caller-token"), ("x-request-id", "abc-123")),
            )
        await gateway.event("registry ready")
        gateway.signal(signal.SIGTERM)
        assert await gateway.ended() == 0
    log = "\n".join(gateway.log)
    calls = [json.loads(line) for line in gateway.log if '"call"' in line]
    assert [(call["method"], call["code"], call.get("reason")) for call in calls] == [
        ("Catalog", "OK", None),
        ("ListTags", "INTERNAL", "UPSTREAM_ERROR"),
    ]
    assert calls[1]["request_id"] == "abc-123"
    assert calls[1]["repository"] == "team/app"
    assert registry.password not in log
    assert "eyJ" not in log  # what every JWT begins with
    assert "caller-token" not in log


async def test_a_password_that_the_token_service_rejects_reads_as_the_gateways_own_fault(
    registry: DevRegistry,
    settings: dict[str, str],
) -> None:
    async with (
        gateway_process("serve", **{**settings, "PORTUS_PASSWORD": "wrong-s3cret"}) as gateway,
        grpc.aio.insecure_channel(gateway.address) as channel,
    ):
        call = stub(channel).Catalog(CATALOG, timeout=10, metadata=(("x-request-id", "abc-123"),))
        with pytest.raises(grpc.aio.AioRpcError, match="its log says more under the request id abc-123") as failed:
            await call
        assert reason_of(failed.value) == (grpc.StatusCode.INTERNAL, "UPSTREAM_CREDENTIALS_REJECTED")
        logged = [await gateway.event("registry not ready"), await gateway.event("call")]
        assert logged[1]["request_id"] == "abc-123"
        for line in logged:
            assert line["reason"] == "UPSTREAM_CREDENTIALS_REJECTED"
            assert registry.realm in str(line["problem"])
            assert "Check PORTUS_USERNAME and PORTUS_PASSWORD" in str(line["problem"])
    assert "wrong-s3cret" not in "\n".join(gateway.log)


async def test_a_registry_that_does_not_ask_for_the_account_is_reported_at_the_start(settings: dict[str, str]) -> None:
    async with (
        DevRegistry(auth="anonymous") as registry,
        gateway_process("serve", **{**settings, "PORTUS_REGISTRY_URL": registry.url}) as gateway,
    ):
        ready = await gateway.event("registry ready")
    assert (ready["level"], ready["reason"]) == ("warning", "ACCOUNT_NOT_ASKED_FOR")
    assert "PORTUS_REGISTRY_AUTH" in str(ready["problem"])


async def test_a_low_soft_limit_of_open_files_is_raised(settings: dict[str, str]) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(512, hard), hard))
    try:
        async with gateway_process("serve", **settings) as gateway:
            raised, _ = resource.prlimit(gateway.process.pid, resource.RLIMIT_NOFILE)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert raised == (65_536 if hard == resource.RLIM_INFINITY else min(hard, 65_536))


async def test_a_rotated_password_file_is_read_again(
    registry: DevRegistry, settings: dict[str, str], tmp_path: Path
) -> None:
    del settings["PORTUS_PASSWORD"]
    file = tmp_path / "password"
    file.write_text("not yet the right one\n")
    async with (
        gateway_process("serve", PORTUS_PASSWORD_FILE=str(file), **settings) as gateway,
        grpc.aio.insecure_channel(gateway.address) as channel,
    ):
        with pytest.raises(grpc.aio.AioRpcError):
            await stub(channel).Catalog(CATALOG, timeout=10)
        file.write_text(registry.password + "\n")
        assert (await stub(channel).Catalog(CATALOG, timeout=10)).repositories


async def test_deletes_are_off_until_enabled(registry: DevRegistry, settings: dict[str, str]) -> None:
    digest = registry.push("team/gone", "1")
    request = registry_service_pb2.DeleteManifestRequest(repository="team/gone", digest=digest, expected_tags=["1"])
    async with (
        gateway_process("serve", **settings) as gateway,
        grpc.aio.insecure_channel(gateway.address) as channel,
    ):
        call = stub(channel).DeleteManifest(request, timeout=10)
        with pytest.raises(grpc.aio.AioRpcError, match="PORTUS_ALLOW_DELETE=true") as refused:
            await call
        assert reason_of(refused.value) == (grpc.StatusCode.FAILED_PRECONDITION, "DELETION_DISABLED")
    async with (
        gateway_process("serve", "--allow-delete", **settings) as gateway,
        grpc.aio.insecure_channel(gateway.address) as channel,
    ):
        assert list((await stub(channel).DeleteManifest(request, timeout=10)).deleted_tags) == ["1"]


async def test_the_exit_status_of_healthcheck_says_whether_it_serves(settings: dict[str, str]) -> None:
    async with gateway_process("serve", **settings) as gateway:
        assert await outcome("healthcheck", PORTUS_LISTEN=gateway.address) == (0, "SERVING\n", "")
        await gateway.event("registry ready")
        assert (await outcome("healthcheck", "--ready", "--address", gateway.address))[0] == 0
        address = gateway.address
    status, _, errors = await outcome("healthcheck", "--address", address)
    assert status == 1
    # What to do comes first, and the words of gRPC after it.
    assert errors.startswith(
        f"Error: {address}: nothing listens there: is the gateway running, and is the address right? ("
    )
    status, _, errors = await outcome("healthcheck", "--address", "no-such-host.invalid:50051")
    assert status == 1
    assert "the host name is not known: is the address right? (UNAVAILABLE" in errors
