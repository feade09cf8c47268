"""Addresses that do not fit the registry: the gateway's trouble, and no mistake of its callers."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import grpc
import pytest

from portus.registry.v1.registry_service_pb2 import GetManifestRequest, GetRegistryInfoRequest, ListTagsRequest
from portus_gateway.distribution import Configuration
from tests import programs
from tests.access.certificates import Authority
from tests.real.gateways import Failure, failure_of, gateway_over
from tests.real.registry_process import serving

pytestmark = pytest.mark.asyncio(loop_scope="session")

SETUP = (grpc.StatusCode.INTERNAL, "UPSTREAM_SETUP")


async def assert_all_calls_fail(configuration: Configuration, message: str) -> None:
    async with gateway_over(configuration) as gateway:
        failures = [
            await failure_of(gateway.ListTags(ListTagsRequest(repository="team/app"))),
            await failure_of(gateway.GetManifest(GetManifestRequest(repository="team/app", tag="v1"))),
            Failure.of((await gateway.GetRegistryInfo(GetRegistryInfoRequest())).registry_status),
        ]
    for failure in failures:
        assert failure.kind == SETUP
        assert message in failure.message


@pytest.mark.parametrize("program", [programs.docker_registry, programs.distribution])
async def test_wrong_schemes_and_names(tmp_path: Path, program: Callable[[], str]) -> None:
    authority = Authority()
    ca_file = tmp_path / "ca.pem"
    ca_file.write_bytes(authority.pem)
    certificate = authority.issue(dns=["registry.test"]).write(tmp_path)
    async with serving(program(), tmp_path / "tls", auth=None, certificate=certificate) as registry:
        plain = Configuration(url=f"http://{registry.authority}")
        await assert_all_calls_fail(plain, "the registry uses TLS, but its configured address begins with http://")
        named = replace(plain, url=f"https://{registry.authority}", ca_file=ca_file)
        await assert_all_calls_fail(named, "for another host name")
    async with serving(program(), tmp_path / "plain", auth=None) as registry:
        encrypted = Configuration(url=f"https://{registry.authority}")
        await assert_all_calls_fail(encrypted, "the registry does not use TLS")
