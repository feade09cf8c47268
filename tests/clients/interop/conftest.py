"""Gateways that all tests of this folder share, and the certificates that they use."""

import hashlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest

from portus_gateway.devregistry import DevRegistry, Fault, image, seed_demo
from tests.clients.interop.background import running
from tests.clients.interop.gateways import configuration_of, gateway, requiring
from tests.clients.interop.programs import PROGRAMS, Program
from tests.clients.python.certificates import Authority

TOKEN = "open-sesame"


@dataclass(frozen=True, slots=True)
class Gateways:
    """Gateways in plaintext and with TLS over one registry: their addresses and credentials."""

    plaintext: str
    tls: str
    """It also requires the token."""
    ca_file: Path
    other_ca_file: Path
    token_file: Path
    wrong_token_file: Path
    registry: str
    """Host and port of the registry, which use HTTP."""


@pytest.fixture(params=PROGRAMS, ids=lambda program: program.language)
def program(request: pytest.FixtureRequest) -> Program:
    """The scenario in each language."""
    chosen: Program = request.param
    chosen.require()
    return chosen


@pytest.fixture(scope="session")
def gateways(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateways]:
    """Over the demo images, one repository without tags, and one whose tags cannot be listed."""
    with running(_gateways(tmp_path_factory.mktemp("gateways"))) as served:
        yield served


@asynccontextmanager
async def _gateways(folder: Path) -> AsyncIterator[Gateways]:
    authority = Authority()
    pair = authority.issue("localhost")
    files = {
        "ca.pem": authority.pem,
        "other-ca.pem": Authority().pem,
        "token": f"{TOKEN}\n".encode(),
        "wrong-token": b"close-sesame\n",
        "hashes": f"interop sha256:{hashlib.sha256(TOKEN.encode()).hexdigest()}\n".encode(),
    }
    for name, content in files.items():
        (folder / name).write_bytes(content)
    credentials = grpc.ssl_server_credentials([(pair.key, pair.certificate)])
    # It has the referrers API.
    async with DevRegistry(flavour="oci-1.1") as registry:
        seed_demo(registry)
        registry.push("team/untagged", "latest", content=image("untagged"))
        registry.untag("team/untagged", "latest")
        registry.push("team/broken", "latest", content=image("broken"))
        registry.inject(Fault(route="tags", repository="team/broken", status=500))
        configuration = configuration_of(registry)
        async with (
            gateway(configuration) as plaintext,
            gateway(configuration, credentials=credentials, interceptors=[requiring(folder / "hashes")]) as tls,
        ):
            yield Gateways(
                plaintext=plaintext,
                # The name in the certificate.
                tls=tls.replace("127.0.0.1", "localhost"),
                ca_file=folder / "ca.pem",
                other_ca_file=folder / "other-ca.pem",
                token_file=folder / "token",
                wrong_token_file=folder / "wrong-token",
                registry=registry.url.removeprefix("http://"),
            )
