"""Whose answers these are: the account's, also where a registry answers strangers; and what a refusal says of it."""

import base64
import json
from collections.abc import Callable

import pytest
from aiohttp import web
from yarl import URL

from portus_gateway.distribution import Authentication, Credentials, Repository, StaticPassword, challenge_search
from portus_gateway.distribution.concern import Concern
from portus_gateway.distribution.errors import (
    ChallengeUnusable,
    CredentialsRejected,
    Denied,
    DistributionError,
    InvalidRequest,
    NotFound,
    Unavailable,
)
from tests.distribution.clients import PASSWORD, PORTUS, client
from tests.distribution.upstream import Handler, Upstream, answer, basic_challenge, bearer_challenge, refusal

APP = Repository("team/app")
SECRET_APP = Repository("secret/app")
BASIC = "Basic " + base64.b64encode(f"portus:{PASSWORD}".encode()).decode()
Challenge = Callable[[], web.Response]


def open_registry(challenge: Challenge, shows: Callable[[str], bool], challenged: str) -> Handler:
    """A registry that answers strangers, but with the repositories of all alone.

    `challenged` is what it asks for an account for: `ping`, `catalog`, `delete`, or nothing.
    """

    async def serve(request: web.Request) -> web.StreamResponse:
        known = shows(request.headers.get("Authorization", ""))
        if not known and (request.headers.get("Authorization") or challenged == kind_of(request)):
            return challenge()
        if request.method == "DELETE":
            return refusal(404, "NAME_UNKNOWN")
        if request.path == "/v2/":
            return answer(200, "{}")
        if request.path == "/v2/_catalog":
            names = ["secret/app", "team/app"] if known else ["team/app"]
            return answer(200, json.dumps({"repositories": names}))
        if request.path.startswith("/v2/secret/") and not known:
            return refusal(404, "NAME_UNKNOWN")
        return answer(200, '{"tags": ["v1"]}')

    return serve


def kind_of(request: web.Request) -> str:
    kinds = {"/v2/": "ping", "/v2/_catalog": "catalog"}
    return "delete" if request.method == "DELETE" else kinds.get(request.path, "tags")


@pytest.mark.parametrize("challenged", ["ping", "catalog", "delete"])
@pytest.mark.parametrize("first", ["ping", "catalog", "tags"])
async def test_a_registry_that_answers_strangers_is_made_to_ask_for_the_account(
    upstream: Upstream, challenged: str, first: str
) -> None:
    upstream.script(open_registry(basic_challenge, lambda shown: shown == BASIC, challenged))
    async with client(upstream.url, credentials=PORTUS) as registry:
        if first == "ping":
            assert not (await registry.ping()).account_is_unused
        elif first == "catalog":
            assert SECRET_APP in (await registry.list_repositories(10)).items
        # The first answer is the account's already, and so are all that follow.
        assert (await registry.list_tags(SECRET_APP, 10)).items
        assert SECRET_APP in (await registry.list_repositories(10)).items
        before = len(upstream.requests)
        await registry.list_tags(APP, 10)
    assert len(upstream.requests) == before + 1
    assert upstream.requests[-1].authorization == BASIC


async def test_an_account_that_is_never_asked_for_is_reported_and_searched_for_once(upstream: Upstream) -> None:
    upstream.script(open_registry(basic_challenge, lambda shown: shown == BASIC, "nothing"))
    async with client(upstream.url, credentials=PORTUS) as registry:
        assert (await registry.ping()).account_is_unused
        searched = len(upstream.requests)
        with pytest.raises(NotFound):
            await registry.list_tags(SECRET_APP, 10)
        assert (await registry.ping()).account_is_unused
    assert len(upstream.requests) == searched + 2
    assert {request.authorization for request in upstream.requests} == {None}
    deleted = [request.path for request in upstream.requests if request.method == "DELETE"]
    assert len(deleted) == 1
    assert deleted[0].startswith("/v2/portus-gateway/authentication-check/manifests/sha256:")


async def test_without_an_account_nothing_is_searched_for(upstream: Upstream) -> None:
    upstream.script(open_registry(basic_challenge, lambda shown: shown == BASIC, "delete"))
    async with client(upstream.url, credentials=None) as registry:
        assert not (await registry.ping()).account_is_unused
        assert (await registry.list_tags(APP, 10)).items
    assert [request.method for request in upstream.requests] == ["GET", "GET"]


@pytest.mark.parametrize("after", [0.0, 60.0])
async def test_a_search_that_meets_errors_is_begun_anew_after_a_while(
    upstream: Upstream, monkeypatch: pytest.MonkeyPatch, after: float
) -> None:
    monkeypatch.setattr(challenge_search, "_AGAIN_AFTER", after)
    ill = True
    shown = open_registry(basic_challenge, lambda shown: shown == BASIC, "delete")

    async def serve(request: web.Request) -> web.StreamResponse:
        return answer(500) if ill and request.method == "DELETE" else await shown(request)

    upstream.script(serve)
    async with client(upstream.url, credentials=PORTUS) as registry:
        assert (await registry.ping()).account_is_unused
        ill = False
        searched = len(upstream.requests)
        if after:
            with pytest.raises(NotFound):
                await registry.list_tags(SECRET_APP, 10)
            assert len(upstream.requests) == searched + 1
        else:
            assert (await registry.list_tags(SECRET_APP, 10)).items


async def test_a_search_that_does_not_reach_the_registry_is_no_answer(upstream: Upstream) -> None:
    async def serve(request: web.Request) -> web.StreamResponse:
        if "tags" in request.path:
            return answer(200, '{"tags": ["v1"]}')
        assert request.transport is not None
        request.transport.abort()
        return answer(200)

    upstream.script(serve)
    async with client(upstream.url, credentials=PORTUS) as registry:
        with pytest.raises(Unavailable):
            await registry.list_tags(APP, 10)


@pytest.mark.parametrize("challenged", ["ping", "nothing"])
async def test_with_basic_the_password_is_shown_at_once(upstream: Upstream, challenged: str) -> None:
    upstream.script(open_registry(basic_challenge, lambda shown: shown == BASIC, challenged))
    async with client(upstream.url, credentials=PORTUS, authentication=Authentication.BASIC) as registry:
        assert (await registry.list_tags(SECRET_APP, 10)).items
        assert not (await registry.ping()).account_is_unused
    assert {request.authorization for request in upstream.requests} == {BASIC}


async def test_with_basic_no_token_service_sees_the_password(upstream: Upstream, token_service: Upstream) -> None:
    upstream.script(bearer_challenge(token_service.url))
    configured = client(upstream.url, realm=token_service.url, credentials=PORTUS, authentication=Authentication.BASIC)
    async with configured as registry:
        with pytest.raises(ChallengeUnusable, match="another kind") as caught:
            await registry.list_tags(APP, 10)
    assert caught.value.concern is Concern.AUTHENTICATION
    assert not token_service.requests


@pytest.mark.parametrize("challenged", ["ping", "catalog", "delete", "tags"])
async def test_with_token_no_request_for_content_goes_without_one(
    upstream: Upstream, token_service: Upstream, challenged: str
) -> None:
    realm = f"{token_service.url}/v2/token"
    challenge = bearer_challenge(realm)
    upstream.script(open_registry(lambda: challenge, lambda shown: shown == "Bearer t", challenged))
    token_service.script(answer(200, '{"token": "t"}'))
    async with client(upstream.url, realm=realm, authentication=Authentication.TOKEN) as registry:
        assert (await registry.list_tags(SECRET_APP, 10)).items
    assert {seen.authorization for seen in upstream.requests if "/secret/" in seen.path} == {"Bearer t"}
    assert {seen.authorization for seen in token_service.requests} == {BASIC}


async def test_with_token_and_a_registry_that_names_no_service_the_configured_one_is_asked(
    upstream: Upstream, token_service: Upstream
) -> None:
    upstream.script(open_registry(basic_challenge, lambda shown: shown == "Bearer t", "nothing"))
    token_service.script(answer(200, '{"token": "t"}'))
    async with client(upstream.url, realm=token_service.url, authentication=Authentication.TOKEN) as registry:
        assert (await registry.list_tags(SECRET_APP, 10)).items
    async with client(upstream.url, credentials=PORTUS, authentication=Authentication.TOKEN) as registry:
        with pytest.raises(ChallengeUnusable, match="where to get a token") as caught:
            await registry.list_tags(APP, 10)
    assert caught.value.concern is Concern.TOKEN_REALM


async def test_with_token_the_registry_never_sees_the_password(upstream: Upstream, token_service: Upstream) -> None:
    upstream.script(basic_challenge())
    async with client(upstream.url, realm=token_service.url, authentication=Authentication.TOKEN) as registry:
        with pytest.raises(ChallengeUnusable, match="another kind"):
            await registry.list_tags(APP, 10)
    assert {request.authorization for request in upstream.requests} == {None}


def one_repository_refused(challenge: Challenge, *, ping_is_open: bool = False) -> Handler:
    """A registry with Basic that takes our password, and refuses it one repository."""

    async def serve(request: web.Request) -> web.StreamResponse:
        shown = request.headers.get("Authorization")
        if request.path == "/v2/" and ping_is_open:
            return answer(200)
        if shown != BASIC:
            return basic_challenge()
        return challenge() if "/secret/" in request.path else answer(200, '{"tags": ["v1"]}')

    return serve


@pytest.mark.parametrize(
    "challenge",
    [basic_challenge, lambda: answer(401), lambda: answer(401, WWW_Authenticate="")],
    ids=["basic", "none", "empty"],
)
async def test_a_password_that_works_elsewhere_is_refused_a_right(upstream: Upstream, challenge: Challenge) -> None:
    upstream.script(one_repository_refused(challenge))
    async with client(upstream.url, credentials=PORTUS) as registry:
        with pytest.raises(Denied, match="the gateway's account lacks that right"):
            await registry.list_tags(SECRET_APP, 10)
        assert (await registry.list_tags(APP, 10)).items


async def test_where_the_version_check_is_open_what_worked_before_counts(upstream: Upstream) -> None:
    upstream.script(one_repository_refused(basic_challenge, ping_is_open=True))
    async with client(upstream.url, credentials=PORTUS) as registry:
        # Nothing shows that the password is good, yet.
        with pytest.raises(CredentialsRejected):
            await registry.list_tags(SECRET_APP, 10)
    async with client(upstream.url, credentials=PORTUS) as registry:
        await registry.list_tags(APP, 10)
        with pytest.raises(Denied):
            await registry.list_tags(SECRET_APP, 10)


async def test_a_wrong_password_is_no_missing_right_however_open_the_version_check_is(upstream: Upstream) -> None:
    upstream.script(one_repository_refused(basic_challenge, ping_is_open=True))
    wrong = Credentials("portus", StaticPassword("wrong"))
    async with client(upstream.url, credentials=wrong) as registry:
        for repository in (APP, SECRET_APP):
            with pytest.raises(CredentialsRejected):
                await registry.list_tags(repository, 10)


@pytest.mark.parametrize(
    "challenge",
    [basic_challenge, lambda: answer(401), lambda: answer(401, WWW_Authenticate="")],
    ids=["basic", "none", "empty"],
)
async def test_a_token_that_works_elsewhere_is_refused_a_right(
    upstream: Upstream, token_service: Upstream, challenge: Challenge
) -> None:
    async def serve(request: web.Request) -> web.StreamResponse:
        if request.headers.get("Authorization") != "Bearer t":
            return bearer_challenge(token_service.url)
        return challenge() if "/secret/" in request.path else answer(200, '{"tags": ["v1"]}')

    upstream.script(serve)
    token_service.script(answer(200, '{"token": "t"}'))
    async with client(upstream.url, realm=token_service.url) as registry:
        await registry.list_tags(APP, 10)
        with pytest.raises(Denied):
            await registry.list_tags(SECRET_APP, 10)
        await registry.list_tags(APP, 10)
    # A challenge for Basic does not make the gateway send its password where tokens work.
    assert BASIC not in {request.authorization for request in upstream.requests}


def token_service_that_refuses(status: int, without_scope: int) -> Handler:
    async def serve(request: web.Request) -> web.StreamResponse:
        scopes = URL(str(request.rel_url)).query.getall("scope", [])
        if not scopes:
            return answer(without_scope, '{"token": "t"}')
        return answer(status) if any("secret/" in scope for scope in scopes) else answer(200, '{"token": "t"}')

    return serve


@pytest.mark.parametrize(
    ("status", "without_scope", "after_success", "error"),
    [
        (403, 200, False, Denied),
        (401, 200, False, Denied),
        (403, 403, True, Denied),
        (403, 403, False, CredentialsRejected),
        (403, 401, True, CredentialsRejected),
        (401, 401, True, CredentialsRejected),
    ],
)
async def test_a_token_service_that_refuses_one_scope_refuses_a_right(
    upstream: Upstream,
    token_service: Upstream,
    status: int,
    without_scope: int,
    after_success: bool,
    error: type[DistributionError],
) -> None:
    async def serve(request: web.Request) -> web.StreamResponse:
        if request.headers.get("Authorization") == "Bearer t":
            return answer(200, '{"tags": ["v1"]}')
        repository = "/".join(request.path.split("/")[2:4])
        return bearer_challenge(token_service.url, f"repository:{repository}:pull")

    upstream.script(serve)
    token_service.script(token_service_that_refuses(status, without_scope))
    async with client(upstream.url, realm=token_service.url) as registry:
        if after_success:
            await registry.list_tags(APP, 10)
        with pytest.raises(error):
            await registry.list_tags(SECRET_APP, 10)


@pytest.mark.parametrize("refused", [answer(400, "expired"), answer(403), refusal(403, "DENIED")])
async def test_an_expired_token_refused_by_400_or_403_is_replaced_once(
    upstream: Upstream, token_service: Upstream, refused: web.Response
) -> None:
    good = {"Bearer t1"}
    given = 0

    async def serve(request: web.Request) -> web.StreamResponse:
        shown = request.headers.get("Authorization")
        if shown is None:
            return bearer_challenge(token_service.url)
        if shown in good:
            return answer(200, '{"tags": ["v1"]}')
        return web.Response(status=refused.status, headers=refused.headers, body=refused.body)

    async def give(_: web.Request) -> web.StreamResponse:
        nonlocal given
        given += 1
        return answer(200, json.dumps({"token": f"t{given}"}))

    upstream.script(serve)
    token_service.script(give)
    async with client(upstream.url, realm=token_service.url) as registry:
        await registry.list_tags(APP, 10)
        good.clear()
        good.add("Bearer t2")
        await registry.list_tags(APP, 10)
        good.clear()
        for _ in range(3):
            with pytest.raises(DistributionError):
                await registry.list_tags(APP, 10)
    # One in place of the second; that one was never good, so that its refusal says nothing of its age.
    assert given == 3


async def test_a_request_that_is_wrong_costs_no_token(upstream: Upstream, token_service: Upstream) -> None:
    page = answer(200, '{"tags": ["v1"]}')
    upstream.script(bearer_challenge(token_service.url), page, refusal(400, "NAME_INVALID"))
    token_service.script(answer(200, '{"token": "t"}'))
    async with client(upstream.url, realm=token_service.url) as registry:
        await registry.list_tags(APP, 10)
        with pytest.raises(InvalidRequest):
            await registry.list_tags(APP, 10)
    assert len(token_service.requests) == 1


def challenge_with(error: str, realm: str) -> web.Response:
    field = f'Bearer realm="{realm}",service="registry",scope="repository:team/app:pull"'
    return refusal(401, "UNAUTHORIZED", WWW_Authenticate=f'{field},error="{error}"' if error else field)


@pytest.mark.parametrize("error", ["invalid_token", ""])
async def test_a_fresh_token_is_tried_again_when_the_clocks_may_differ(
    upstream: Upstream, token_service: Upstream, error: str
) -> None:
    early = challenge_with(error, token_service.url)
    upstream.script(challenge_with("", token_service.url), early, answer(200, '{"tags": ["v1"]}'))
    token_service.script(answer(200, '{"token": "t"}'))
    async with client(upstream.url, realm=token_service.url) as registry:
        assert (await registry.list_tags(APP, 10)).items
    assert [seen.authorization for seen in upstream.requests] == [None, "Bearer t", "Bearer t"]
    assert len(token_service.requests) == 1


async def test_a_token_that_stays_invalid_speaks_of_clocks(upstream: Upstream, token_service: Upstream) -> None:
    upstream.script(challenge_with("invalid_token", token_service.url))
    token_service.script(answer(200, '{"token": "t"}'))
    async with client(upstream.url, realm=token_service.url) as registry:
        with pytest.raises(Denied, match="clocks"):
            await registry.list_tags(APP, 10)
    assert len(upstream.requests) == 3


async def test_a_right_that_is_missing_is_not_waited_for(upstream: Upstream, token_service: Upstream) -> None:
    upstream.script(challenge_with("insufficient_scope", token_service.url))
    token_service.script(answer(200, '{"token": "t"}'))
    async with client(upstream.url, realm=token_service.url) as registry:
        with pytest.raises(Denied, match="lacks that right"):
            await registry.list_tags(APP, 10)
    assert len(upstream.requests) == 2


@pytest.mark.parametrize(
    "challenge",
    [
        'Bearer realm="http://[::", Bearer realm="{realm}",service="s"',
        'Bearer realm="{realm}",realm="{realm}", Bearer realm="{realm}",service="s"',
        'Bearer realm="https://elsewhere.test/", Bearer realm="{realm}",service="s"',
    ],
)
async def test_of_two_challenges_the_good_one_counts(
    upstream: Upstream, token_service: Upstream, challenge: str
) -> None:
    asked = answer(401, WWW_Authenticate=challenge.format(realm=token_service.url))
    upstream.script(asked, answer(200, '{"tags": ["v1"]}'))
    token_service.script(answer(200, '{"token": "t"}'))
    async with client(upstream.url, realm=token_service.url) as registry:
        assert (await registry.list_tags(APP, 10)).items
