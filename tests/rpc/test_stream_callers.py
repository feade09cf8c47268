"""A stream ends soon after its caller would not be let in any more."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from pathlib import Path

import grpc
import pytest

from portus.registry.v1.registry_service_pb2 import (
    BatchDeleteManifestsRequest,
    BatchDeleteManifestsResponse,
    DeleteManifestRequest,
    ReadBlobRequest,
    ReadBlobResponse,
    StreamCatalogRequest,
)
from portus_gateway.access import authentication as authentication_module
from portus_gateway.access.authentication import Authentication
from portus_gateway.access.caller import Caller
from portus_gateway.access.client_certificates import caller_of_certificate
from portus_gateway.access.jwt_authenticator import JwtAuthenticator
from portus_gateway.access.key_sources import KeyFile
from portus_gateway.access.tls import ServerCertificate
from portus_gateway.access.token_file import TokenFile
from portus_gateway.devregistry import DevRegistry, Fault
from portus_gateway.rpc import serving
from tests.access.certificates import Authority
from tests.access.gateways import bearer, channel, gateway, stub
from tests.access.issuer import AUDIENCE, ISSUER, Issuer
from tests.access.policies import TEAM_A, Fixed, parsed
from tests.access.test_token_file import line
from tests.rpc.failures import Failure, failure_of

Code = grpc.StatusCode
NOBODY = "[[allow]]\nname = 'nobody'\nprincipals = ['token:b']\nrpcs = ['read']\nrepositories = ['**']\n"


@pytest.fixture(autouse=True)
def _checked_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "_CALLER_INTERVAL", 0.02)


@pytest.fixture
async def registry() -> AsyncIterator[DevRegistry]:
    async with DevRegistry() as served:
        served.push("team-a/app", "1.0")
        yield served


@pytest.fixture
def tokens(tmp_path: Path) -> TokenFile:
    path = tmp_path / "tokens"
    path.write_text(line("a", "secret-a") + line("root", "secret-root"))
    return TokenFile(path)


@pytest.fixture
def authentication(tokens: TokenFile) -> Authentication:
    return Authentication(bearers=[tokens], certificates=False, anonymous=False)


async def changed(tokens: TokenFile, content: str) -> None:
    tokens.path.write_text(content)
    assert await tokens.reload()


async def asked(registry: DevRegistry, route: str, method: str = "GET") -> None:
    """Waits until the registry has such a request."""
    await registry.requests.wait_for(route=route, method=method)


async def listing(opened: grpc.aio.Channel, token: str) -> Failure:
    """How a StreamCatalog fails that the registry does not answer."""
    call = stub(opened).StreamCatalog(StreamCatalogRequest(), metadata=bearer(token), timeout=20)
    return await failure_of(call.read())


async def ended(registry: DevRegistry, opened: grpc.aio.Channel, token: str, withdraw: Callable[[], object]) -> Failure:
    """How a StreamCatalog ends that is running when `withdraw` is called."""
    with registry.inject(Fault.parse("catalog:delay=30")):
        failure = asyncio.create_task(listing(opened, token))
        await asked(registry, "catalog")
        withdrawn = withdraw()
        if asyncio.iscoroutine(withdrawn):
            await withdrawn
        return await failure


async def test_a_token_that_is_withdrawn_ends_its_streams(
    registry: DevRegistry, tokens: TokenFile, authentication: Authentication
) -> None:
    async with gateway(registry, authentication) as address, channel(address) as opened:
        failure = await ended(registry, opened, "secret-a", lambda: changed(tokens, ""))
    assert failure.outcome == (Code.UNAUTHENTICATED, "CREDENTIAL_INVALID")
    assert failure.message == "this gateway does not know the bearer token"


async def test_a_token_that_expires_ends_its_streams(registry: DevRegistry, tmp_path: Path) -> None:
    issuer = Issuer()
    keys = tmp_path / "keys"
    keys.write_bytes(issuer.jwks)
    jwt = JwtAuthenticator(issuer=ISSUER, audiences=[AUDIENCE], keys=KeyFile(keys), leeway=0)
    authentication = Authentication(bearers=[jwt], certificates=False, anonymous=False)
    token = issuer.token(exp=int(time.time()) + 3)
    async with gateway(registry, authentication, policy=None) as address, channel(address) as opened:
        failure = await ended(registry, opened, token, lambda: None)
    assert failure.outcome == (Code.UNAUTHENTICATED, "CREDENTIAL_INVALID")
    assert failure.message == "the bearer token is not accepted: it has expired"


async def test_a_client_certificate_that_expires_ends_its_streams(
    registry: DevRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    late = 0.0

    def caller_later(connection: Mapping[str, Iterable[bytes]]) -> Caller | None:
        return caller_of_certificate(connection, now=lambda: time.time() + late)

    def expire() -> None:
        nonlocal late
        late = 31 * 24 * 3600.0

    monkeypatch.setattr(authentication_module, "caller_of_certificate", caller_later)
    authority = Authority()
    (tmp_path / "clients.pem").write_bytes(authority.pem)
    certificate = ServerCertificate(*authority.server().write(tmp_path), tmp_path / "clients.pem")
    pair = authority.issue(common_names=["ci"])
    async with (
        gateway(
            registry,
            Authentication(bearers=[], certificates=True, anonymous=False),
            policy=None,
            credentials=certificate.credentials(client_certificates=True),
        ) as address,
        channel(address, grpc.ssl_channel_credentials(authority.pem, pair.key, pair.certificate)) as opened,
    ):
        failure = await ended(registry, opened, "", expire)
    assert failure.outcome == (Code.UNAUTHENTICATED, "CREDENTIAL_INVALID")
    assert "expired" in failure.message


async def test_a_right_that_is_withdrawn_ends_streams(registry: DevRegistry, authentication: Authentication) -> None:
    policy = Fixed(parsed(TEAM_A))

    def withdraw() -> None:
        policy.policy = parsed(NOBODY)

    async with gateway(registry, authentication, policy=policy) as address, channel(address) as opened:
        failure = await ended(registry, opened, "secret-a", withdraw)
    assert failure.outcome == (Code.PERMISSION_DENIED, "POLICY_DENIED")
    assert failure.message == "token:a may not call StreamCatalog"


async def test_a_token_that_is_given_to_another_caller_ends_its_streams(
    registry: DevRegistry, tokens: TokenFile, authentication: Authentication
) -> None:
    async with gateway(registry, authentication) as address, channel(address) as opened:
        failure = await ended(registry, opened, "secret-a", lambda: changed(tokens, line("b", "secret-a")))
    assert failure.outcome == (Code.UNAUTHENTICATED, "CREDENTIAL_INVALID")
    assert "another caller" in failure.message


async def test_a_delete_that_was_sent_is_completed_and_told(
    registry: DevRegistry, tokens: TokenFile, authentication: Authentication
) -> None:
    digest = registry.tags("team-a/app")["1.0"]
    request = BatchDeleteManifestsRequest(
        repository="team-a/app", requests=[DeleteManifestRequest(digest=digest, expected_tags=["1.0"])]
    )
    async with gateway(registry, authentication) as address, channel(address) as opened:
        with registry.inject(Fault.parse("manifests:method=DELETE,delay=2")):
            call = stub(opened).BatchDeleteManifests(request, metadata=bearer("secret-root"), timeout=20)
            answer = asyncio.create_task(call.read())
            await asked(registry, "manifests", "DELETE")
            await changed(tokens, "")
            answered = await answer
            assert isinstance(answered, BatchDeleteManifestsResponse)
            (result,) = answered.results
            assert list(result.deleted.deleted_tags) == ["1.0"]
            assert (await failure_of(call.read())).outcome == (Code.UNAUTHENTICATED, "CREDENTIAL_INVALID")


async def test_a_blob_is_read_to_its_end(
    registry: DevRegistry, tokens: TokenFile, authentication: Authentication
) -> None:
    content = b"x" * 1000
    digest = registry.push_blob("team-a/app", content)
    async with gateway(registry, authentication) as address, channel(address) as opened:
        with registry.inject(Fault.parse("blobs:delay=1")):
            request = ReadBlobRequest(repository="team-a/app", digest=digest)
            blob = stub(opened).ReadBlob(request, metadata=bearer("secret-root"), timeout=20)
            reading = asyncio.create_task(blob.read())
            await asked(registry, "blobs")
            # The callers have been checked when this has ended.
            failure = await ended(registry, opened, "secret-root", lambda: changed(tokens, ""))
            assert failure.code is Code.UNAUTHENTICATED
            first, second = await reading, await blob.read()
            assert isinstance(first, ReadBlobResponse)
            assert isinstance(second, ReadBlobResponse)
            assert (first.size, second.chunk) == (len(content), content)
