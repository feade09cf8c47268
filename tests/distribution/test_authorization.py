"""Credentials: who is asked for them, who gets them, and above all who does not."""

import asyncio
import base64
import json
from pathlib import Path
from urllib.parse import parse_qsl

import pytest
from aiohttp import web

from portus_gateway.aio.single_flight import WorkEnded
from portus_gateway.distribution import Credentials, Digest, PasswordFile, Repository, StaticPassword
from portus_gateway.distribution.concern import Concern
from portus_gateway.distribution.errors import (
    ChallengeUnusable,
    CredentialsRejected,
    Denied,
    DistributionError,
    RealmRefused,
    RegistryFault,
    TooManyRequests,
    Unavailable,
    UntrustedAnswer,
    WrongAddress,
)
from tests.distribution.clients import PASSWORD, PORTUS, Counting, client
from tests.distribution.upstream import Upstream, answer, basic_challenge, bearer_challenge

APP = Repository("team/app")
TAGS_BODY = '{"name": "team/app", "tags": ["v1"]}'
TAGS = answer(200, TAGS_BODY)
BASIC = "Basic " + base64.b64encode(f"portus:{PASSWORD}".encode()).decode()


def token(secret: str = "t0ken", **fields: object) -> web.Response:
    return answer(200, json.dumps({"token": secret, **fields}))


async def test_the_whole_flow(upstream: Upstream, token_service: Upstream) -> None:
    realm = f"{token_service.url}/v2/token"
    upstream.script(bearer_challenge(realm, "repository:team/app:pull"), TAGS)
    token_service.script(token())
    async with client(upstream.url, realm=realm) as registry:
        await registry.list_tags(APP, 10)
    assert [request.authorization for request in upstream.requests] == [None, "Bearer t0ken"]
    (asked,) = token_service.requests
    assert asked.authorization == BASIC
    assert asked.path == "/v2/token"
    assert sorted(parse_qsl(asked.query)) == [
        ("account", "portus"),
        ("scope", "repository:team/app:pull"),
        ("service", "registry"),
    ]


async def test_several_scopes_are_asked_for_each_on_its_own(upstream: Upstream, token_service: Upstream) -> None:
    upstream.script(bearer_challenge(token_service.url, "repository:b:push,pull repository:a:pull"), TAGS)
    token_service.script(token())
    async with client(upstream.url, realm=token_service.url) as registry:
        await registry.list_tags(APP, 10)
    scopes = [value for name, value in parse_qsl(token_service.requests[0].query) if name == "scope"]
    assert scopes == ["repository:a:pull", "repository:b:pull,push"]


async def test_a_realm_with_a_query_keeps_it(upstream: Upstream, token_service: Upstream) -> None:
    upstream.script(bearer_challenge(f"{token_service.url}/auth?tenant=a%26b"), TAGS)
    token_service.script(token())
    async with client(upstream.url, realm=f"{token_service.url}/auth") as registry:
        await registry.list_tags(APP, 10)
    assert ("tenant", "a&b") in parse_qsl(token_service.requests[0].query)


async def test_after_the_first_challenge_requests_carry_a_token_from_the_start(
    upstream: Upstream, token_service: Upstream
) -> None:
    upstream.script(bearer_challenge(token_service.url), TAGS)
    token_service.script(token("first"), token("second"))
    async with client(upstream.url, realm=token_service.url) as registry:
        await registry.list_tags(APP, 10)
        await registry.list_tags(APP, 10)
        await registry.list_tags(Repository("team/other"), 10)
    assert [request.authorization for request in upstream.requests] == [
        None,
        "Bearer first",
        "Bearer first",
        "Bearer second",
    ]
    assert ("scope", "repository:team/other:pull") in parse_qsl(token_service.requests[1].query)


async def test_the_scope_that_the_registry_names_goes_before_the_one_expected(
    upstream: Upstream, token_service: Upstream
) -> None:
    upstream.script(bearer_challenge(token_service.url, "repository:team/app:*"), answer(202), answer(404, "{}"))
    token_service.script(token())
    async with client(upstream.url, realm=token_service.url) as registry:
        await registry.delete_blob(APP, Digest("sha256:" + "a" * 64))
    assert ("scope", "repository:team/app:*") in parse_qsl(token_service.requests[0].query)


async def test_a_refused_token_is_replaced_once_and_then_it_ends(upstream: Upstream, token_service: Upstream) -> None:
    upstream.script(bearer_challenge(token_service.url))
    token_service.script(token())
    async with client(upstream.url, realm=token_service.url) as registry:
        with pytest.raises(Denied, match="repository:team/app:pull") as caught:
            await registry.list_tags(APP, 10)
        assert caught.value.reason == "DENIED"
        assert token_service.url in caught.value.operator_detail
        # The challenge, a fresh token, and the same one a little later, in case that a clock is late.
        assert len(upstream.requests) == 3
        with pytest.raises(Denied):
            await registry.list_tags(APP, 10)
    # A kept token, a fresh one, and that one later: never a third.
    assert len(upstream.requests) == 6
    assert len(token_service.requests) == 2


async def test_a_token_that_expired_on_the_way_is_replaced(upstream: Upstream, token_service: Upstream) -> None:
    challenge = bearer_challenge(token_service.url)
    upstream.script(challenge, TAGS, challenge, TAGS)
    token_service.script(token("old"), token("new"))
    async with client(upstream.url, realm=token_service.url) as registry:
        await registry.list_tags(APP, 10)
        await registry.list_tags(APP, 10)
    assert [request.authorization for request in upstream.requests] == [
        None,
        "Bearer old",
        "Bearer old",
        "Bearer new",
    ]


async def test_one_fetch_serves_all_who_wait(upstream: Upstream, token_service: Upstream) -> None:
    release = asyncio.Event()
    asked = asyncio.Event()

    async def slow_token(_: web.Request) -> web.StreamResponse:
        asked.set()
        await release.wait()
        return web.Response(body=b'{"token": "t"}')

    async def by_token(request: web.Request) -> web.StreamResponse:
        known = request.headers.get("Authorization") == "Bearer t"
        made = TAGS if known else bearer_challenge(token_service.url)
        return web.Response(status=made.status, headers=made.headers, body=made.body)

    upstream.script(by_token)
    token_service.script(slow_token)
    async with client(upstream.url, realm=token_service.url) as registry:
        first = asyncio.create_task(registry.list_tags(APP, 10))
        others = [asyncio.create_task(registry.list_tags(APP, 10)) for _ in range(20)]
        await asyncio.wait_for(asked.wait(), 5)
        # Whoever began the fetch goes away; the others must not notice.
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        release.set()
        await asyncio.wait_for(asyncio.gather(*others), 5)
    assert len(token_service.requests) == 1


async def test_waiters_of_a_fetch_are_answered_when_the_client_closes(
    upstream: Upstream, token_service: Upstream
) -> None:
    asked = asyncio.Event()

    async def never(_: web.Request) -> web.StreamResponse:
        asked.set()
        await asyncio.Event().wait()
        return web.Response()

    upstream.script(bearer_challenge(token_service.url))
    token_service.script(never)
    registry = client(upstream.url, realm=token_service.url)
    async with registry:
        waiter = asyncio.create_task(registry.list_tags(APP, 10))
        await asyncio.wait_for(asked.wait(), 5)
    with pytest.raises(WorkEnded) as caught:
        await asyncio.wait_for(waiter, 5)
    assert caught.value.reason == "SHUTTING_DOWN"


@pytest.mark.parametrize(
    "body", ['{"token": "t0ken"}', '{"access_token": "t0ken"}', '{"token": "", "access_token": "t0ken"}']
)
async def test_both_names_of_the_token(upstream: Upstream, token_service: Upstream, body: str) -> None:
    upstream.script(bearer_challenge(token_service.url), TAGS)
    token_service.script(answer(200, body))
    async with client(upstream.url, realm=token_service.url) as registry:
        await registry.list_tags(APP, 10)
    assert upstream.requests[1].authorization == "Bearer t0ken"


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"expires_in": None},
        {"expires_in": 0},
        {"expires_in": "900"},
        {"expires_in": 10**400},
        {"issued_at": "yesterday"},
        {"expires_in": 900, "issued_at": "2026-11-24T10:00:00Z"},
        # Nothing in Go's time, and the time of a cache: a token that has just come is not over.
        {"expires_in": 900, "issued_at": "0001-01-01T00:00:00Z"},
        {"expires_in": 900, "issued_at": "2026-11-24T09:44:00Z"},
    ],
)
async def test_a_token_is_used_again_whatever_is_missing(
    upstream: Upstream, token_service: Upstream, fields: dict[str, object]
) -> None:
    upstream.script(bearer_challenge(token_service.url), TAGS)
    token_service.script(answer(200, json.dumps({"token": "t", **fields}), Date="Tue, 24 Nov 2026 10:00:01 GMT"))
    async with client(upstream.url, realm=token_service.url) as registry:
        await registry.list_tags(APP, 10)
        await registry.list_tags(APP, 10)
    assert len(token_service.requests) == 1


@pytest.mark.parametrize(
    "fields",
    [
        {"expires_in": 1e-9},
        {"expires_in": 900, "issued_at": "2026-11-24T09:45:00.000001Z"},
    ],
)
async def test_a_token_near_its_end_is_not_used_again(
    upstream: Upstream, token_service: Upstream, fields: dict[str, object]
) -> None:
    upstream.script(bearer_challenge(token_service.url), TAGS)
    token_service.script(answer(200, json.dumps({"token": "t", **fields}), Date="Tue, 24 Nov 2026 10:00:00 GMT"))
    async with client(upstream.url, realm=token_service.url) as registry:
        await registry.list_tags(APP, 10)
        await registry.list_tags(APP, 10)
    assert len(token_service.requests) == 2


@pytest.mark.parametrize(
    "body",
    [
        "",
        "[]",
        "null",
        '{"token": 1}',
        '{"token": "a b"}',
        '{"token": "a\\nX-Evil: 1"}',
        '{"token": ""}',
        "[" * 100_000,
        # The registry would not read it, and the gateway keeps up to 1024 tokens.
        json.dumps({"token": "a" * (64 * 1024 + 1)}),
    ],
)
async def test_a_200_without_a_token_is_an_error(upstream: Upstream, token_service: Upstream, body: str) -> None:
    upstream.script(bearer_challenge(token_service.url))
    token_service.script(answer(200, body))
    async with client(upstream.url, realm=token_service.url) as registry:
        with pytest.raises(UntrustedAnswer, match="the token service answered 200"):
            await registry.list_tags(APP, 10)


@pytest.mark.parametrize("status", [401, 403])
async def test_a_rejected_password_reads_as_the_gateways_own_fault(
    upstream: Upstream, token_service: Upstream, status: int
) -> None:
    observer = Counting()
    upstream.script(bearer_challenge(f"{token_service.url}/v2/token"))
    token_service.script(answer(status, json.dumps({"error": f"no {PASSWORD}"})))
    async with client(upstream.url, realm=f"{token_service.url}/v2/token", observer=observer) as registry:
        with pytest.raises(CredentialsRejected) as caught:
            await registry.list_tags(APP, 10)
    assert caught.value.reason == "UPSTREAM_CREDENTIALS_REJECTED"
    assert caught.value.concern is Concern.ACCOUNT
    for needed in ("'portus'", f"{token_service.url}/v2/token", "repository:team/app:pull"):
        assert needed in caught.value.operator_detail
    assert PASSWORD not in str(caught.value) + caught.value.operator_detail
    assert observer.tokens == ["rejected"]


@pytest.mark.parametrize(
    ("made", "error"),
    [
        (answer(400), RegistryFault),
        (answer(404), RegistryFault),
        (answer(500), RegistryFault),
        (answer(503), Unavailable),
        (answer(500, "<html>"), Unavailable),
        (answer(524), Unavailable),
        (answer(400, "Client sent an HTTP request to an HTTPS server."), WrongAddress),
        (answer(429, Retry_After="7"), TooManyRequests),
        (answer(302, Location="http://127.0.0.1:1/"), RegistryFault),
    ],
)
async def test_a_token_service_in_trouble_is_named_as_such(
    upstream: Upstream, token_service: Upstream, made: web.Response, error: type[DistributionError]
) -> None:
    upstream.script(bearer_challenge(token_service.url))
    token_service.script(made)
    async with client(upstream.url, realm=token_service.url) as registry:
        with pytest.raises(error, match="the token service"):
            await registry.list_tags(APP, 10)


async def test_a_rotated_password_file_is_read_again(
    upstream: Upstream, token_service: Upstream, tmp_path: Path
) -> None:
    secret = tmp_path / "password"
    secret.write_text("old\n")

    async def rotating(request: web.Request) -> web.StreamResponse:
        given = base64.b64decode(request.headers["Authorization"].removeprefix("Basic ")).decode()
        if given == "portus:new":
            return web.Response(body=b'{"token": "t"}')
        secret.write_text("new\r\n")
        return web.Response(status=401)

    upstream.script(bearer_challenge(token_service.url), TAGS)
    token_service.script(rotating)
    credentials = Credentials("portus", PasswordFile(secret))
    async with client(upstream.url, realm=token_service.url, credentials=credentials) as registry:
        await registry.list_tags(APP, 10)
    assert len(token_service.requests) == 2


@pytest.mark.parametrize("content", [None, b"\xff\xfe"])
async def test_a_password_file_that_cannot_be_read(
    upstream: Upstream, token_service: Upstream, tmp_path: Path, content: bytes | None
) -> None:
    secret = tmp_path / "password"
    if content is not None:
        secret.write_bytes(content)
    upstream.script(bearer_challenge(token_service.url))
    credentials = Credentials("portus", PasswordFile(secret))
    async with client(upstream.url, realm=token_service.url, credentials=credentials) as registry:
        with pytest.raises(CredentialsRejected, match="the file with the gateway's own password") as caught:
            await registry.list_tags(APP, 10)
    assert caught.value.concern is Concern.PASSWORD_FILE
    assert not token_service.requests


async def test_anonymous_tokens(upstream: Upstream, token_service: Upstream) -> None:
    upstream.script(bearer_challenge(token_service.url), TAGS)
    token_service.script(token())
    async with client(upstream.url, realm=token_service.url, credentials=None) as registry:
        await registry.list_tags(APP, 10)
    (asked,) = token_service.requests
    assert asked.authorization is None
    assert "account" not in dict(parse_qsl(asked.query))


async def test_basic_authentication(upstream: Upstream) -> None:
    upstream.script(basic_challenge(), TAGS)
    async with client(upstream.url, credentials=PORTUS) as registry:
        await registry.list_tags(APP, 10)
        await registry.list_tags(APP, 10)
    assert [request.authorization for request in upstream.requests] == [None, BASIC, BASIC]


async def test_basic_authentication_rejected(upstream: Upstream) -> None:
    upstream.script(basic_challenge())
    async with client(upstream.url, credentials=PORTUS) as registry:
        # A challenge at first, then the password, which is tried once more at /v2/.
        for tries in (3, 5):
            with pytest.raises(CredentialsRejected) as caught:
                await registry.list_tags(APP, 10)
            assert caught.value.concern is Concern.ACCOUNT
            assert len(upstream.requests) == tries


async def test_basic_authentication_without_credentials(upstream: Upstream) -> None:
    upstream.script(basic_challenge())
    async with client(upstream.url, credentials=None) as registry:
        with pytest.raises(ChallengeUnusable, match="the gateway has none") as caught:
            await registry.list_tags(APP, 10)
    assert caught.value.concern is Concern.NO_ACCOUNT


async def test_an_anonymous_registry_gets_no_credentials(upstream: Upstream) -> None:
    upstream.script(TAGS)
    async with client(upstream.url, credentials=PORTUS) as registry:
        await registry.list_tags(APP, 10)
    assert {request.authorization for request in upstream.requests} == {None}


async def test_bearer_goes_before_basic(upstream: Upstream, token_service: Upstream) -> None:
    upstream.script(
        answer(401, WWW_Authenticate=f'Basic realm="r", Bearer realm="{token_service.url}",service="s"'), TAGS
    )
    token_service.script(token())
    async with client(upstream.url, realm=token_service.url) as registry:
        await registry.list_tags(APP, 10)
    assert upstream.requests[1].authorization == "Bearer t0ken"


@pytest.mark.parametrize(
    ("challenge", "why"),
    [
        ({}, "without saying"),
        ({"WWW_Authenticate": "Negotiate"}, "Bearer and Basic are"),
        ({"WWW_Authenticate": 'Bearer service="s"'}, "no usable realm"),
        ({"WWW_Authenticate": "Bearer realm=,service=s"}, "no usable realm"),
        ({"WWW_Authenticate": 'Bearer realm="javascript:alert(1)"'}, "no usable realm"),
        ({"WWW_Authenticate": 'Bearer realm="ftp://x/"'}, "no usable realm"),
        ({"WWW_Authenticate": 'Bearer realm="http://[::"'}, "no usable realm"),
        ({"WWW_Authenticate": 'Bearer realm="x'}, "malformed"),
    ],
)
async def test_a_challenge_that_cannot_be_answered(upstream: Upstream, challenge: dict[str, str], why: str) -> None:
    upstream.script(answer(401, **challenge))
    async with client(upstream.url, credentials=PORTUS) as registry:
        with pytest.raises(ChallengeUnusable, match=why):
            await registry.list_tags(APP, 10)
    assert len(upstream.requests) == 1


@pytest.mark.parametrize("address", ["{url}/service/token", "/service/token"])
async def test_a_realm_on_the_registry_itself_needs_no_setting(upstream: Upstream, address: str) -> None:
    upstream.script(bearer_challenge(address.format(url=upstream.url)), token(), TAGS)
    async with client(upstream.url, credentials=PORTUS) as registry:
        await registry.list_tags(APP, 10)
    assert upstream.requests[1].path == "/service/token"
    assert upstream.requests[1].authorization == BASIC


async def test_a_realm_that_is_not_the_pinned_one_gets_no_password(upstream: Upstream, token_service: Upstream) -> None:
    async with Upstream() as hostile:
        hostile.script(token())
        for realm in (
            f"{hostile.url}/v2/token",
            f"{token_service.url}/other/path",
            f"http://127.0.0.1:{token_service.port}@127.0.0.1:{hostile.port}/v2/token",
            f"https://127.0.0.1:{token_service.port}/v2/token",
        ):
            upstream.script(bearer_challenge(realm))
            async with client(upstream.url, realm=f"{token_service.url}/v2/token") as registry:
                with pytest.raises(RealmRefused) as caught:
                    await registry.list_tags(APP, 10)
            assert caught.value.reason == "UPSTREAM_REALM_REFUSED"
            assert caught.value.concern is Concern.TOKEN_REALM
            assert str(caught.value) == (
                "the registry names a token service that is not the configured one, so the password was not sent"
            )
        assert not hostile.requests
    assert not token_service.requests


async def test_without_a_pinned_realm_only_the_registry_is_one(upstream: Upstream, token_service: Upstream) -> None:
    upstream.script(bearer_challenge(token_service.url))
    async with client(upstream.url, credentials=PORTUS) as registry:
        with pytest.raises(RealmRefused) as caught:
            await registry.list_tags(APP, 10)
    assert str(caught.value) == (
        "the registry names a token service at another address, and none is configured, so the password was not sent"
    )
    assert not token_service.requests


@pytest.mark.parametrize(
    ("realm", "named"),
    [
        (None, "at another address, and none is configured"),
        ("http://tokens.test/v2/token", "that is not the configured one"),
    ],
)
async def test_without_an_account_a_realm_elsewhere_is_not_said_to_get_no_password(
    upstream: Upstream, token_service: Upstream, realm: str | None, named: str
) -> None:
    upstream.script(bearer_challenge(token_service.url))
    async with client(upstream.url, realm=realm, credentials=None) as registry:
        with pytest.raises(RealmRefused) as caught:
            await registry.list_tags(APP, 10)
    assert str(caught.value) == f"the registry names a token service {named}, so no token was requested"
    assert not token_service.requests


@pytest.mark.parametrize("status", [401, 403])
async def test_a_token_service_that_wants_an_account_where_there_is_none(
    upstream: Upstream, token_service: Upstream, status: int
) -> None:
    upstream.script(bearer_challenge(token_service.url))
    token_service.script(answer(status))
    async with client(upstream.url, realm=token_service.url, credentials=None) as registry:
        with pytest.raises(CredentialsRejected) as caught:
            await registry.list_tags(APP, 10)
    assert str(caught.value).startswith(f"the token service refused the gateway, which has no account ({status})")
    assert caught.value.concern is Concern.NO_ACCOUNT


async def test_a_token_without_an_account_that_is_refused(upstream: Upstream, token_service: Upstream) -> None:
    upstream.script(bearer_challenge(token_service.url))
    token_service.script(token())
    async with client(upstream.url, realm=token_service.url, credentials=None) as registry:
        with pytest.raises(Denied, match="the gateway has no account, or the registry does not trust") as caught:
            await registry.list_tags(APP, 10)
    assert "account lacks" not in str(caught.value)


def test_a_password_is_in_no_repr() -> None:
    assert PASSWORD not in repr(Credentials("portus", StaticPassword(PASSWORD)))


async def test_calls_that_were_under_way_when_basic_was_learned_are_answered_too(upstream: Upstream) -> None:
    everybody = asyncio.Barrier(4)

    async def registry_with_a_password(request: web.Request) -> web.StreamResponse:
        if request.headers.get("Authorization") == BASIC:
            return answer(200, TAGS_BODY)
        await everybody.wait()
        return basic_challenge()

    upstream.script(registry_with_a_password)
    async with client(upstream.url, credentials=PORTUS) as registry:
        pages = await asyncio.gather(*(registry.list_tags(APP, 10) for _ in range(4)))
    assert [len(page.items) for page in pages] == [1] * 4


async def test_a_basic_password_that_was_rotated_is_read_again(upstream: Upstream, tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("old")

    async def rotated(request: web.Request) -> web.StreamResponse:
        sent = request.headers.get("Authorization")
        if sent is not None:
            file.write_text(PASSWORD)
        return answer(200, TAGS_BODY) if sent == BASIC else basic_challenge()

    upstream.script(basic_challenge(), answer(200, TAGS_BODY), rotated)
    async with client(upstream.url, credentials=Credentials("portus", PasswordFile(file))) as registry:
        await registry.list_tags(APP, 10)
        await registry.list_tags(APP, 10)


async def test_a_stale_token_of_the_scope_that_the_challenge_names_is_renewed_too(
    upstream: Upstream, token_service: Upstream
) -> None:
    # Distribution 2.6 asks for `*` to delete where `delete` was expected.
    accepted = {"t1"}
    given = 0

    async def registry_of_2_6(request: web.Request) -> web.StreamResponse:
        if request.headers.get("Authorization", "").removeprefix("Bearer ") in accepted:
            return answer(202)
        return bearer_challenge(token_service.url, "repository:team/app:*")

    async def give(_: web.Request) -> web.StreamResponse:
        nonlocal given
        given += 1
        return token(f"t{given}", expires_in=900)

    upstream.script(registry_of_2_6)
    token_service.script(give)
    async with client(upstream.url, realm=token_service.url) as registry:
        await registry.delete_manifest(APP, Digest.of(b"one"))
        await registry.delete_manifest(APP, Digest.of(b"two"))
        accepted.clear()
        accepted.add(f"t{given + 1}")  # the key was rotated: no token from before counts
        await registry.delete_manifest(APP, Digest.of(b"three"))
        accepted.clear()
        with pytest.raises(Denied):
            await registry.delete_manifest(APP, Digest.of(b"four"))


async def test_a_challenge_behind_a_redirect_is_answered(upstream: Upstream, token_service: Upstream) -> None:
    async def moved(request: web.Request) -> web.StreamResponse:
        if request.path.startswith("/v2/team/"):
            return answer(307, Location=request.path_qs.replace("/team/", "/moved/"))
        if request.headers.get("Authorization") == "Bearer t0ken":
            return answer(200, TAGS_BODY)
        return bearer_challenge(token_service.url, "repository:moved/app:pull")

    upstream.script(moved)
    token_service.script(token())
    async with client(upstream.url, realm=token_service.url) as registry:
        assert (await registry.list_tags(APP, 10)).items
