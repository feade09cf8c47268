"""What a refusal of the registry becomes."""

import base64
import json
import logging

import pytest
from aiohttp import web

from portus_gateway.distribution import Credentials, Repository, RetryPolicy, StaticPassword, Tag
from portus_gateway.distribution.errors import DistributionError, InvalidRequest
from tests.distribution.clients import PASSWORD, client
from tests.distribution.upstream import Upstream, answer, basic_challenge, bearer_challenge, refusal

APP = Repository("team/app")
TAGS = answer(200, '{"name": "team/app", "tags": ["v1"]}')
BASIC = "Basic " + base64.b64encode(f"portus:{PASSWORD}".encode()).decode()


def token(secret: str = "t0ken", **fields: object) -> web.Response:
    return answer(200, json.dumps({"token": secret, **fields}))


async def test_a_token_that_the_registry_echoes_is_not_in_the_error(
    upstream: Upstream, token_service: Upstream, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    upstream.script(bearer_challenge(token_service.url), refusal(400, "TAG_INVALID", "you sent Bearer s3cr3t-t0ken"))
    token_service.script(token("s3cr3t-t0ken"))
    async with client(upstream.url, realm=token_service.url) as registry:
        with pytest.raises(DistributionError, match="you sent Bearer") as caught:
            await registry.get_manifest(APP, Tag("v1"))
    assert "s3cr3t-t0ken" not in str(caught.value)
    assert "s3cr3t-t0ken" not in caplog.text
    assert PASSWORD not in caplog.text


@pytest.mark.parametrize(
    ("made", "error", "reason"),
    [
        (refusal(404, "NAME_UNKNOWN"), "NotFound", "NAME_UNKNOWN"),
        (refusal(404, "DENIED"), "Denied", "DENIED"),
        (refusal(404, "UNAUTHORIZED"), "Denied", "DENIED"),
        (refusal(404, "UNSUPPORTED"), "Unsupported", "UNSUPPORTED"),
        (answer(404, "<html>"), "RegistryFault", "UPSTREAM_ERROR"),
        (answer(404, '{"errors": []}'), "RegistryFault", "UPSTREAM_ERROR"),
        (answer(404, '{"errors": [{"code": "<b>"}]}'), "RegistryFault", "UPSTREAM_ERROR"),
        (refusal(400, "NAME_INVALID"), "InvalidRequest", "NAME_INVALID"),
        (refusal(400, "UNSUPPORTED"), "Unsupported", "UNSUPPORTED"),
        (refusal(405, "UNSUPPORTED"), "Unsupported", "UNSUPPORTED"),
        (answer(405, "no"), "Unsupported", "UNSUPPORTED"),
        (refusal(403, "DENIED"), "Denied", "DENIED"),
        (refusal(416, "RANGE_INVALID"), "RangeInvalid", "RANGE_INVALID"),
        (refusal(429, "TOOMANYREQUESTS"), "TooManyRequests", "TOOMANYREQUESTS"),
        (refusal(500, "UNKNOWN"), "RegistryFault", "UPSTREAM_ERROR"),
        (answer(418), "RegistryFault", "UPSTREAM_ERROR"),
        # Without the registry's error document it is not the registry that refuses the caller's request.
        *((answer(status, "<html>"), "RegistryFault", "UPSTREAM_ERROR") for status in (400, 403, 406, 413, 414, 422)),
        (answer(400, '{"message": "no"}'), "RegistryFault", "UPSTREAM_ERROR"),
        (answer(403, '{"errors": [{"status": 403, "message": "no"}]}'), "Denied", "DENIED"),
        (answer(416), "RangeInvalid", "RANGE_INVALID"),
        (answer(429, "<html>"), "TooManyRequests", "TOOMANYREQUESTS"),
        (answer(500), "RegistryFault", "UPSTREAM_ERROR"),
        (answer(500, "<html>"), "Unavailable", "UPSTREAM_UNAVAILABLE"),
        (answer(524), "Unavailable", "UPSTREAM_UNAVAILABLE"),
        (
            answer(400, "Client sent an HTTP request to an HTTPS server.\n"),
            "WrongAddress",
            "UPSTREAM_SETUP",
        ),
        (answer(400, "<h1>The plain HTTP request was sent to HTTPS port"), "WrongAddress", "UPSTREAM_SETUP"),
        (answer(204), "RegistryFault", "UPSTREAM_ERROR"),
        (answer(500, "no page", Content_Type="text/html; charset=utf-8"), "Unavailable", "UPSTREAM_UNAVAILABLE"),
        (answer(408), "Unavailable", "UPSTREAM_UNAVAILABLE"),
        (answer(499), "Unavailable", "UPSTREAM_UNAVAILABLE"),
        (answer(520), "Unavailable", "UPSTREAM_UNAVAILABLE"),
        (answer(529, "overloaded"), "Unavailable", "UPSTREAM_UNAVAILABLE"),
        (answer(530), "RegistryFault", "UPSTREAM_ERROR"),
        (refusal(409, "CONFLICT"), "PreconditionFailed", "CONFLICT"),
        (answer(412), "PreconditionFailed", "UPSTREAM_PRECONDITION_FAILED"),
        (refusal(503, "UNAVAILABLE"), "Unavailable", "UPSTREAM_UNAVAILABLE"),
    ],
)
async def test_each_refusal_has_its_error(upstream: Upstream, made: web.Response, error: str, reason: str) -> None:
    upstream.script(made)
    async with client(upstream.url) as registry:
        with pytest.raises(DistributionError) as caught:
            await registry.list_tags(APP, 10)
    assert (type(caught.value).__name__, caught.value.reason) == (error, reason)


async def test_unprintable_text_of_the_registry_is_cleaned(upstream: Upstream) -> None:
    upstream.script(answer(400, json.dumps({"errors": [{"code": "X", "message": "a\x1b[31m\nb" + "c" * 1000}]})))
    async with client(upstream.url) as registry:
        with pytest.raises(DistributionError) as caught:
            await registry.list_tags(APP, 10)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 400


async def test_a_password_that_the_registry_repeats_in_its_own_spelling_is_not_in_the_error(upstream: Upstream) -> None:
    password = "p?>p?>"  # whose Basic form has a slash, which JSON may write as `\\/`

    async def repeat(request: web.Request) -> web.StreamResponse:
        sent = request.headers.get("Authorization")
        if sent is None:
            return basic_challenge()
        return refusal(400, "NAME_INVALID", f"{sent} is portus:{password}".replace("/", "\\/"))

    upstream.script(repeat)
    async with client(upstream.url, credentials=Credentials("portus", StaticPassword(password))) as registry:
        with pytest.raises(InvalidRequest) as caught:
            await registry.list_tags(APP, 10)
    assert password not in str(caught.value)
    assert base64.b64encode(f"portus:{password}".encode()).decode() not in str(caught.value)
    assert "(Basic [redacted] is [redacted]:[redacted])" in str(caught.value)


async def test_no_cause_of_an_error_holds_the_request_with_its_credential(upstream: Upstream) -> None:
    async def garble(request: web.Request) -> web.StreamResponse:
        if request.headers.get("Authorization") is None:
            return basic_challenge()
        assert request.transport is not None
        request.transport.write(b"HTTP/9 garbage\r\n\r\n")
        request.transport.close()
        return answer(200)

    upstream.script(garble)
    async with client(upstream.url, retries=RetryPolicy(attempts=1)) as registry:
        with pytest.raises(DistributionError) as caught:
            await registry.list_tags(APP, 10)
    assert "Basic" not in repr(caught.value.__cause__)
