"""What the operator is told of a registry that cannot be used: where it was looked for, and what to change."""

import asyncio
import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from portus_gateway.distribution import Configuration, DistributionClient
from portus_gateway.distribution.concern import Concern
from portus_gateway.distribution.errors import Unreachable, UpstreamTimeout
from portus_gateway.errors import GatewayError
from portus_gateway.operations.registry_status import registry_status
from portus_gateway.operations.setting_advice import ADVICE, NOT_CONNECTED, operator_text, public_text
from tests.access.certificates import Authority

NO_TLS = b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n"


@asynccontextmanager
async def server(answer: bytes, context: ssl.SSLContext | None = None) -> AsyncGenerator[str, None]:
    """A server that answers everything with `answer`; yields its address without a scheme."""

    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context) as listening:
        yield f"127.0.0.1:{listening.sockets[0].getsockname()[1]}"


async def problem_of(configuration: Configuration) -> GatewayError:
    async with DistributionClient(configuration) as client:
        status = await registry_status(client)
    assert not status.ready
    assert status.problem is not None
    return status.problem


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "http://registry.invalid:5000"])
async def test_the_log_of_a_registry_that_is_down_has_its_address_and_advice(url: str) -> None:
    problem = await problem_of(Configuration(url=url))
    assert url in operator_text(problem)
    assert operator_text(problem).endswith(NOT_CONNECTED)
    assert url not in public_text(problem)
    assert public_text(problem).endswith(NOT_CONNECTED)


async def test_the_error_for_a_certificate_of_another_name_has_both_names(tmp_path: Path) -> None:
    authority = Authority()
    ca_file = tmp_path / "ca.pem"
    ca_file.write_bytes(authority.pem)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*authority.issue(dns=["registry.example"]).write(tmp_path))
    async with server(b"", context) as address:
        text = operator_text(await problem_of(Configuration(url=f"https://{address}", ca_file=ca_file)))
    assert text.startswith("the certificate of the registry is for another host name")
    assert address in text
    assert text.endswith(ADVICE[Concern.REGISTRY_URL])
    assert "its certificate must have that name" in text


async def test_the_log_of_a_wrong_scheme_names_the_setting() -> None:
    async with server(NO_TLS) as address:
        for scheme, message in (("http", "uses TLS, but its"), ("https", "does not use TLS, but its")):
            text = operator_text(await problem_of(Configuration(url=f"{scheme}://{address}")))
            assert text.startswith(f"the registry {message} configured address begins with {scheme}://")
            assert "Check PORTUS_REGISTRY_URL: scheme (http or https)" in text


def test_a_server_that_is_only_slow_is_no_reason_to_look_at_its_address() -> None:
    assert operator_text(UpstreamTimeout("slow")) == "slow"
    assert operator_text(UpstreamTimeout("no connection", sent=False)).endswith(NOT_CONNECTED)
    assert operator_text(Unreachable("not trusted", concern=Concern.CA_FILE)).endswith(ADVICE[Concern.CA_FILE])
