"""Addresses whose scheme or host name does not fit the server: the operator's to mend, and so no time to try again."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from portus_gateway.distribution import Configuration, DistributionClient, RetryPolicy
from portus_gateway.distribution.concern import Concern
from portus_gateway.distribution.errors import DistributionError, Unreachable, WrongAddress
from tests.access.certificates import Authority
from tests.distribution.clients import QUICK, Counting
from tests.distribution.upstream import Upstream, answer

NAME = "localhost"


@asynccontextmanager
async def registry_with(authority: Authority, name: str, folder: Path) -> AsyncIterator[Upstream]:
    """A registry that shows a certificate for `name`."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*authority.issue(dns=[name]).write(folder))
    async with Upstream(context) as upstream:
        upstream.script(answer(200))
        yield upstream


async def error_at(url: str, authority: Authority | None, folder: Path) -> tuple[DistributionError, Counting]:
    ca_file = folder / "ca.pem"
    ca_file.write_bytes((authority or Authority()).pem)
    observer = Counting()
    configuration = Configuration(
        url=url, ca_file=ca_file, timeouts=QUICK, retries=RetryPolicy(attempts=3, first_delay=0.001)
    )
    async with DistributionClient(configuration, observer) as registry:
        with pytest.raises(DistributionError) as caught:
            await registry.ping()
    return caught.value, observer


async def test_a_trusted_certificate_for_the_right_name_is_accepted(tmp_path: Path) -> None:
    authority = Authority()
    ca_file = tmp_path / "ca.pem"
    ca_file.write_bytes(authority.pem)
    async with registry_with(authority, NAME, tmp_path) as upstream:
        configuration = Configuration(url=f"https://{NAME}:{upstream.port}", ca_file=ca_file)
        async with DistributionClient(configuration) as registry:
            await registry.ping()


async def test_a_certificate_for_another_name_is_the_wrong_address(tmp_path: Path) -> None:
    authority = Authority()
    async with registry_with(authority, "elsewhere.test", tmp_path) as upstream:
        error, observer = await error_at(f"https://{NAME}:{upstream.port}", authority, tmp_path)
    assert type(error) is WrongAddress
    # Trusting more authorities would not help.
    assert error.concern is Concern.REGISTRY_URL
    assert "for another host name" in str(error)
    assert NAME in error.operator_detail
    assert observer.retries == []


async def test_a_certificate_of_an_unknown_authority_may_be_trusted_by_a_setting(tmp_path: Path) -> None:
    async with registry_with(Authority(), NAME, tmp_path) as upstream:
        error, _ = await error_at(f"https://{NAME}:{upstream.port}", None, tmp_path)
    assert type(error) is Unreachable
    assert error.concern is Concern.CA_FILE
    assert not error.sent


async def test_https_to_a_port_without_tls(tmp_path: Path) -> None:
    async with Upstream() as upstream:
        upstream.script(answer(200))
        error, observer = await error_at(f"https://{NAME}:{upstream.port}", None, tmp_path)
    assert type(error) is WrongAddress
    assert error.concern is Concern.REGISTRY_URL
    assert "does not use TLS" in str(error)
    assert observer.retries == []


async def test_http_to_a_port_with_tls_of_a_server_that_hangs_up(tmp_path: Path) -> None:
    async with registry_with(Authority(), NAME, tmp_path) as upstream:
        error, _ = await error_at(f"http://{NAME}:{upstream.port}", None, tmp_path)
    # Such a server says nothing, or an alert of TLS. There is no telling which it was.
    assert type(error).__name__ in ("Unreachable", "NotHttp")


async def test_http_to_a_server_that_answers_with_an_alert_of_tls(tmp_path: Path, unused_tcp_port: int) -> None:
    async def alert(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(bytes.fromhex("15030100020246"))
        writer.close()

    async with await asyncio.start_server(alert, "127.0.0.1", unused_tcp_port):
        error, _ = await error_at(f"http://127.0.0.1:{unused_tcp_port}", None, tmp_path)
    assert type(error).__name__ == "NotHttp"
    assert isinstance(error, DistributionError)
    assert error.concern is Concern.REGISTRY_URL
