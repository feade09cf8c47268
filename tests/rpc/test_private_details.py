"""What callers are told of a failure on the registry's side: no address, no account, no password, whatever failed."""

import asyncio
import json
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import pytest
from aiohttp import web

from portus.registry.v1.registry_service_pb2 import (
    CatalogRequest,
    DeleteManifestRequest,
    GetManifestRequest,
    GetRegistryInfoRequest,
    ListTagsRequest,
)
from portus_gateway.distribution import (
    Configuration,
    Credentials,
    DistributionClient,
    PasswordFile,
    RetryPolicy,
    StaticPassword,
    Timeouts,
)
from portus_gateway.distribution.concern import Concern
from portus_gateway.distribution.errors import DistributionError
from portus_gateway.distribution.manifest import OCI_MANIFEST
from portus_gateway.errors import GatewayError
from portus_gateway.operations.setting_advice import ADVICE, operator_text
from portus_gateway.settings import Settings, variable_of
from tests.access.certificates import Authority
from tests.distribution.upstream import Scripted, Upstream, answer, basic_challenge, bearer_challenge, refusal
from tests.rpc.gateways import Gateway, serve
from tests.rpc.scripted_registry import DIGEST, RAW

ACCOUNT = "account-of-the-house"
PASSWORD = "correct-horse-battery"
REALM_PATH = "/token-path-of-the-house"
REQUEST_ID = "the-callers-request"
TOKEN = answer(200, '{"token": "t0ken-of-the-house"}')


@dataclass
class Site:
    """A registry and its token service, by names of which callers must see none."""

    registry: Upstream
    tokens: Upstream
    folder: Path
    scheme: str = "http"
    host: str = "localhost"
    use_environment_proxy: bool = False
    ca_file: Path | None = None
    credentials: Credentials | None = field(default_factory=lambda: Credentials(ACCOUNT, StaticPassword(PASSWORD)))

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.host}:{self.registry.port}"

    @property
    def realm(self) -> str:
        return f"{self.tokens.url}{REALM_PATH}"

    def private(self) -> Iterator[str]:
        yield from (f"localhost:{self.registry.port}", f"127.0.0.1:{self.registry.port}", "127.0.0.1", "//localhost")
        yield from (f"127.0.0.1:{self.tokens.port}", REALM_PATH, ACCOUNT, PASSWORD, "t0ken-of-the-house", "PORTUS_")

    def everything(self) -> str:
        """What a registry may say that knows more than callers should."""
        return f"dial {self.url}/v2/ as {ACCOUNT} with t0ken-of-the-house of {self.realm}, or {self.registry.url}: no"

    def challenge(self) -> web.Response:
        return bearer_challenge(self.realm)

    def configuration(self) -> Configuration:
        return Configuration(
            url=self.url,
            credentials=self.credentials,
            token_realm=self.realm,
            ca_file=self.ca_file,
            timeouts=Timeouts(connect=2, read=0.2, total=1, delete=0.2),
            retries=RetryPolicy(attempts=1),
            use_environment_proxy=self.use_environment_proxy,
        )


def authorized(registry: Callable[[Site], Scripted]) -> Callable[[Site], None]:
    """The registry answers with this once it is shown a token."""

    def set_up(site: Site) -> None:
        wanted = registry(site)

        async def admit(request: web.Request) -> web.StreamResponse:
            if "Authorization" not in request.headers:
                made: Scripted = site.challenge()
            else:
                made = wanted
            if isinstance(made, web.Response):
                return web.Response(status=made.status, headers=made.headers, body=made.body)
            assert callable(made)
            return await made(request)

        site.registry.script(admit)
        site.tokens.script(TOKEN)

    return set_up


def refusing_token(tokens: Callable[[Site], Scripted]) -> Callable[[Site], None]:
    """The token service answers with this."""

    def set_up(site: Site) -> None:
        site.registry.script(site.challenge())
        site.tokens.script(tokens(site))

    return set_up


def challenging(challenge: Callable[[Site], web.Response]) -> Callable[[Site], None]:
    """The registry answers with this to whatever it is shown."""

    def set_up(site: Site) -> None:
        site.registry.script(challenge(site))

    return set_up


async def reset(request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def hang(_: web.Request) -> web.StreamResponse:
    await asyncio.Event().wait()
    return web.Response()


async def garble(request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.write(b"HTTP/9 garbage\r\n\r\n")
    request.transport.close()
    return web.Response()


def nobody(site: Site) -> None:
    site.registry.port = _unused_port()


def _unused_port() -> int:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        port: int = bound.getsockname()[1]
        return port


def unknown_host(site: Site) -> None:
    site.host = "registry-of-the-house.invalid"


def no_password_file(site: Site) -> None:
    site.credentials = Credentials(ACCOUNT, PasswordFile(site.folder / "missing"))
    site.registry.script(site.challenge())


def no_account(site: Site) -> None:
    site.credentials = None
    site.registry.script(basic_challenge())


def no_tls(site: Site) -> None:
    site.scheme = "https"


def tls(name: str, *, trusted: bool) -> Callable[[Site], None]:
    """The registry shows a certificate for `name`."""

    def set_up(site: Site) -> None:
        authority = Authority()
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(*authority.issue(dns=[name]).write(site.folder))
        site.registry.ssl_context = context
        site.scheme = "https"
        if trusted:
            site.ca_file = site.folder / "ca.pem"
            site.ca_file.write_bytes(authority.pem)

    return set_up


def through_a_proxy(site: Site) -> None:
    # A CONNECT, which the token service refuses.
    site.use_environment_proxy = True
    site.scheme = "https"
    site.tokens.script(answer(502))


@dataclass(frozen=True)
class Case:
    name: str
    set_up: Callable[[Site], None]
    error: str
    """The class of the error that comes of it."""


CASES = (
    Case("nobody listens", nobody, "Unreachable"),
    Case("unknown host", unknown_host, "Unreachable"),
    Case("no TLS there", no_tls, "WrongAddress"),
    Case("certificate for another name", tls("another-house.test", trusted=True), "WrongAddress"),
    Case("certificate of an unknown authority", tls("localhost", trusted=False), "Unreachable"),
    Case("proxy", through_a_proxy, "Unreachable"),
    Case("reset", authorized(lambda _: reset), "Unreachable"),
    Case("hang", authorized(lambda _: hang), "UpstreamTimeout"),
    Case("not HTTP", authorized(lambda _: garble), "NotHttp"),
    Case("503", authorized(lambda site: refusal(503, "UNAVAILABLE", site.everything())), "Unavailable"),
    Case("500", authorized(lambda site: refusal(500, "UNKNOWN", site.everything())), "RegistryFault"),
    Case("429", authorized(lambda site: refusal(429, "TOOMANYREQUESTS", site.everything())), "TooManyRequests"),
    Case("404", authorized(lambda site: refusal(404, "NAME_UNKNOWN", site.everything())), "NotFound"),
    Case("404 of a proxy", authorized(lambda site: answer(404, site.everything())), "RegistryFault"),
    Case("400", authorized(lambda site: refusal(400, "NAME_INVALID", site.everything())), "InvalidRequest"),
    Case("405", authorized(lambda site: refusal(405, "UNSUPPORTED", site.everything())), "Unsupported"),
    Case("416", authorized(lambda site: refusal(416, "RANGE_INVALID", site.everything())), "RangeInvalid"),
    Case("400 of a proxy", authorized(lambda site: answer(400, site.everything())), "RegistryFault"),
    Case("524 of a proxy", authorized(lambda site: answer(524, site.everything())), "Unavailable"),
    Case("TLS port", authorized(lambda _: answer(400, "sent an HTTP request to an HTTPS server")), "WrongAddress"),
    Case("403", authorized(lambda site: refusal(403, "DENIED", site.everything())), "Denied"),
    Case("409", authorized(lambda site: refusal(409, "CONFLICT", site.everything())), "PreconditionFailed"),
    Case("refused with a fresh token", authorized(lambda site: site.challenge()), "Denied"),
    Case(
        "redirect", authorized(lambda site: answer(302, Location=f"{site.realm}/t0ken-of-the-house")), "RegistryFault"
    ),
    Case("not JSON", authorized(lambda site: answer(200, site.everything())), "UntrustedAnswer"),
    Case("too large", authorized(lambda _: answer(200, b" " * (17 * 2**20))), "AnswerTooLarge"),
    Case("password refused", refusing_token(lambda site: answer(401, site.everything())), "CredentialsRejected"),
    Case("password refused by Basic", challenging(lambda _: basic_challenge()), "CredentialsRejected"),
    Case("password file is gone", no_password_file, "CredentialsRejected"),
    Case("no account", no_account, "ChallengeUnusable"),
    Case("token service 400", refusing_token(lambda site: answer(400, site.everything())), "RegistryFault"),
    Case("token service 503", refusing_token(lambda site: answer(503, site.everything())), "Unavailable"),
    Case("token service 429", refusing_token(lambda site: answer(429, site.everything())), "TooManyRequests"),
    Case("token service is no such", refusing_token(lambda site: answer(200, site.everything())), "UntrustedAnswer"),
    Case("token service resets", refusing_token(lambda _: reset), "Unreachable"),
    Case("token service hangs", refusing_token(lambda _: hang), "UpstreamTimeout"),
    Case("another realm", challenging(lambda site: bearer_challenge(f"{site.tokens.url}/else")), "RealmRefused"),
    Case("unknown scheme", challenging(lambda _: answer(401, WWW_Authenticate=f"X{ACCOUNT}")), "ChallengeUnusable"),
)
# Of a caller's own words, of content, of a delete: tested below. Of a blob: tested in test_get_manifest.
_ELSEWHERE = {
    "TooManyOpenFiles",
    "GatewaySetup",
    "InvalidName",
    "IncompleteListing",
    "RedirectRefused",
    "DigestMismatch",
    "ContentUnclear",
    "DeleteOutcomeUnknown",
}


class Recorded:
    """Calls of a client, and the classes of the errors that they ended with."""

    def __init__(self, client: DistributionClient) -> None:
        self.client = client
        self.errors: list[GatewayError] = []

    def __getattr__(self, name: str) -> object:
        method = getattr(self.client, name)

        async def call(*arguments: object, **named: object) -> object:
            try:
                return await method(*arguments, **named)
            except GatewayError as error:
                self.errors.append(error)
                raise

        return call


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    registry, tokens = Upstream(), Upstream()
    async with tokens:
        yield Site(registry, tokens, tmp_path)


@asynccontextmanager
async def serving(site: Site, set_up: Callable[[Site], None]) -> AsyncIterator[tuple[Gateway, Recorded]]:
    site.registry.port = 0
    async with site.registry:
        set_up(site)
        if site.registry.ssl_context is not None:
            await site.registry.restart()
        async with DistributionClient(site.configuration()) as client:
            recorded = Recorded(client)
            async with serve(recorded) as gateway:  # type: ignore[arg-type]  # whatever the client has, it has
                yield gateway, recorded


def of_error(error: grpc.aio.AioRpcError) -> str:
    """All that a caller gets of a failed call, as a text."""
    parts = [error.details(), *(error.trailing_metadata() or ()), *(error.initial_metadata() or ())]
    return "\n".join(map(repr, parts))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_no_failure_reveals_an_address_or_an_account(
    case: Case, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    if case.set_up is through_a_proxy:
        monkeypatch.setenv("https_proxy", site.tokens.url)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    metadata = (("x-request-id", REQUEST_ID),)
    async with serving(site, case.set_up) as (gateway, recorded):
        private = set(site.private())
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await gateway.stub.ListTags(ListTagsRequest(repository="team/app"), metadata=metadata, timeout=10)
        error = recorded.errors[0]
        assert type(error).__name__ == case.error, repr(error)
        reported = [of_error(failed.value)]
        for call in (
            gateway.stub.GetManifest(GetManifestRequest(repository="team/app", tag="1"), metadata=metadata, timeout=10),
            gateway.stub.Catalog(CatalogRequest(include_tags=True), metadata=metadata, timeout=10),
            gateway.stub.DeleteManifest(
                DeleteManifestRequest(repository="team/app", digest=DIGEST.text, force=True),
                metadata=metadata,
                timeout=10,
            ),
        ):
            with pytest.raises(grpc.aio.AioRpcError) as failed:
                await call
            reported.append(of_error(failed.value))
        reported.append(
            repr(await gateway.stub.GetRegistryInfo(GetRegistryInfoRequest(), metadata=metadata, timeout=10))
        )
    for text in reported:
        assert {secret for secret in private if secret in text} == set(), text
    assert isinstance(error, DistributionError)
    if error.concern is not None:
        # The caller's error names the log, and the log has the details.
        assert f"its log says more under the request id {REQUEST_ID}" in reported[0]
        assert "PORTUS_" in gateway.calls.finished[0].problem
    for text in (operator_text(error), gateway.calls.finished[0].problem):
        assert PASSWORD not in text
        assert "t0ken-of-the-house" not in text


def test_every_kind_of_failure_was_tried() -> None:
    def kinds(base: type[DistributionError]) -> Iterator[str]:
        for kind in base.__subclasses__():
            if kind.__module__ == DistributionError.__module__:
                yield kind.__name__
                yield from kinds(kind)

    assert {case.error for case in CASES} | _ELSEWHERE == set(kinds(DistributionError))


async def test_a_failed_part_reveals_no_address_and_no_account(site: Site) -> None:
    def tags_fail(site: Site) -> None:
        async def catalog_alone(request: web.Request) -> web.StreamResponse:
            if "_catalog" in request.path:
                return answer(200, '{"repositories": ["team/app", "team/other"]}')
            return answer(404, site.everything())

        site.registry.script(catalog_alone)

    async with serving(site, tags_fail) as (gateway, _):
        page = await gateway.stub.Catalog(CatalogRequest(include_tags=True), timeout=10)
    assert len(page.repositories) == 2
    text = repr(page)
    assert {secret for secret in site.private() if secret in text} == set()
    assert "its log says more" in page.repositories[0].tags_status.message


async def test_a_delete_whose_outcome_is_unknown_reveals_no_more(site: Site) -> None:
    def cut_off(site: Site) -> None:
        async def delete_hangs(request: web.Request) -> web.StreamResponse:
            if request.headers.get("Authorization") is None:
                return site.challenge()
            if request.method == "DELETE":
                return await reset(request)
            if "tags/list" in request.path:
                return answer(200, json.dumps({"name": "team/app", "tags": []}))
            return answer(200, RAW, Docker_Content_Digest=DIGEST.text, Content_Type=OCI_MANIFEST)

        site.registry.script(delete_hangs)
        site.tokens.script(TOKEN)

    async with serving(site, cut_off) as (gateway, recorded):
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await gateway.stub.DeleteManifest(
                DeleteManifestRequest(repository="team/app", digest=DIGEST.text, force=True), timeout=10
            )
    assert type(recorded.errors[-1]).__name__ == "DeleteOutcomeUnknown"
    assert {secret for secret in site.private() if secret in of_error(failed.value)} == set()
    assert site.url in gateway.calls.finished[0].problem


def test_every_concern_has_its_advice_which_names_real_settings() -> None:
    assert set(ADVICE) == set(Concern)
    settings = {variable_of(name) for name in Settings.model_fields}
    for advice in ADVICE.values():
        assert {word.strip(".,:") for word in advice.split() if word.startswith("PORTUS_")} <= settings
