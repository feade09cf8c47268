"""GetRegistryInfo."""

import asyncio

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration

from portus.registry.v1.registry_service_pb2 import GetRegistryInfoRequest, GetRegistryInfoResponse, Limits
from portus_gateway.devregistry import DevRegistry, Fault
from portus_gateway.distribution.errors import (
    ChallengeUnusable,
    CredentialsRejected,
    Denied,
    DistributionError,
    InvalidRequest,
    RealmRefused,
    RegistryFault,
    TooManyRequests,
    Unavailable,
    Unreachable,
    UntrustedAnswer,
    UpstreamTimeout,
    WrongAddress,
)
from portus_gateway.operations import registry_status
from portus_gateway.rpc.server import ServerLimits
from tests.rpc.failures import Failure, read
from tests.rpc.gateways import VERSION, Gateway, serve, serve_over, soon
from tests.rpc.scripted_registry import Gate, ScriptedRegistry, raising

INFO = GetRegistryInfoRequest()


async def test_it_tells_all_that_there_is_to_know() -> None:
    limits = ServerLimits(
        max_concurrent_calls=7, max_call_duration=2.5, max_manifest_bytes=5_000_000, max_upstream_requests=3
    )
    async with serve(ScriptedRegistry(), limits=limits) as gateway:
        answer = await gateway.stub.GetRegistryInfo(INFO)
    assert answer == GetRegistryInfoResponse(
        reachable=True,
        api_version="registry/2.0",
        gateway_version=VERSION,
        limits=Limits(
            default_page_size=100,
            max_page_size=1000,
            max_manifest_bytes=5_000_000,
            max_concurrent_calls=7,
            max_call_duration=Duration(seconds=2, nanos=500_000_000),
            max_upstream_requests=3,
        ),
        deletion_enabled=True,
    )
    assert not answer.HasField("registry_status")


async def test_a_gateway_that_does_not_delete_says_so() -> None:
    async with serve(ScriptedRegistry(), deletion_enabled=False) as gateway:
        assert not (await gateway.stub.GetRegistryInfo(INFO)).deletion_enabled


async def test_it_asks_the_registry_anew_each_time(registry: DevRegistry, gateway: Gateway) -> None:
    for _ in range(2):
        answer = await gateway.stub.GetRegistryInfo(INFO)
        assert (answer.reachable, answer.api_version) == (True, "registry/2.0")
    assert registry.requests.count(route="ping", status=200) == 2


@pytest.mark.parametrize(
    ("error", "reachable"),
    [
        (Unreachable("no"), False),
        (UpstreamTimeout("no"), False),
        (Unavailable("no"), False),
        # Something answered, but not as a registry does.
        (RegistryFault("no"), False),
        (UntrustedAnswer("no"), False),
        (WrongAddress("no"), False),
        (CredentialsRejected("no"), True),
        (RealmRefused("no"), True),
        (ChallengeUnusable("no"), True),
        (Denied("no"), True),
        (TooManyRequests("no"), True),
        (InvalidRequest("no"), True),
    ],
    ids=lambda value: value.reason if isinstance(value, DistributionError) else str(value),
)
async def test_a_problem_is_an_answer_and_not_an_error(error: DistributionError, reachable: bool) -> None:
    async with serve(ScriptedRegistry(raising(error))) as gateway:
        answer = await gateway.stub.GetRegistryInfo(INFO)
    assert (answer.reachable, answer.api_version, answer.gateway_version) == (reachable, "", VERSION)
    reported = read(answer.registry_status)
    assert (reported.message, reported.reason, reported.domain) == ("no", error.reason, "portus-gateway")


async def condition(gateway: Gateway) -> tuple[bool, Failure]:
    answer = await gateway.stub.GetRegistryInfo(INFO)
    return answer.reachable, read(answer.registry_status)


async def test_a_registry_that_is_gone(registry: DevRegistry) -> None:
    async with serve_over(registry) as gateway:
        await registry.__aexit__(None, None, None)
        reachable, reported = await condition(gateway)
    assert (reachable, reported.code, reported.reason) == (False, grpc.StatusCode.UNAVAILABLE, "UPSTREAM_UNREACHABLE")


async def test_a_registry_that_rejects_the_gateways_account(registry: DevRegistry, gateway: Gateway) -> None:
    with registry.inject(Fault(route="token", status=401)):
        reachable, reported = await condition(gateway)
    assert (reachable, reported.code, reported.reason) == (
        True,
        grpc.StatusCode.INTERNAL,
        "UPSTREAM_CREDENTIALS_REJECTED",
    )
    assert registry.password not in reported.message


async def test_something_else_that_listens_there(registry: DevRegistry, gateway: Gateway) -> None:
    with registry.inject(Fault(route="ping", status=404)):
        reachable, reported = await condition(gateway)
    assert (reachable, reported.reason) == (False, "UPSTREAM_ERROR")
    assert "no Distribution registry is there. The gateway's operator has to look" in reported.message


async def test_a_registry_that_says_nothing_is_not_waited_for_to_the_callers_deadline() -> None:
    gate = Gate()
    async with serve(ScriptedRegistry(gate)) as gateway:
        answer = await soon(gateway.stub.GetRegistryInfo(INFO, timeout=0.5))
        assert gate.cancelled.is_set()
    assert not answer.reachable
    assert read(answer.registry_status).outcome == (grpc.StatusCode.UNAVAILABLE, "UPSTREAM_TIMEOUT")


async def test_nor_for_as_long_as_a_patient_caller_would(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry_status, "_PATIENCE", 0.05)
    started = asyncio.get_running_loop().time()
    async with serve(ScriptedRegistry(Gate())) as gateway:
        answer = await soon(gateway.stub.GetRegistryInfo(INFO, timeout=60))
    assert asyncio.get_running_loop().time() - started < 5
    assert read(answer.registry_status).reason == "UPSTREAM_TIMEOUT"
