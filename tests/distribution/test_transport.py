"""Redirects: followed within the registry, and nowhere else."""

import base64
import json

import pytest
from aiohttp import web

from portus_gateway.distribution import Repository
from portus_gateway.distribution.errors import (
    RegistryFault,
)
from tests.distribution.clients import PASSWORD, client
from tests.distribution.upstream import Upstream, answer, bearer_challenge

APP = Repository("team/app")
TAGS = answer(200, '{"name": "team/app", "tags": ["v1"]}')
BASIC = "Basic " + base64.b64encode(f"portus:{PASSWORD}".encode()).decode()


def token(secret: str = "t0ken", **fields: object) -> web.Response:
    return answer(200, json.dumps({"token": secret, **fields}))


async def test_a_redirect_within_the_registry_keeps_the_token(upstream: Upstream, token_service: Upstream) -> None:
    upstream.script(bearer_challenge(token_service.url), answer(307, Location="/elsewhere?a=b"), TAGS)
    token_service.script(token())
    async with client(upstream.url, realm=token_service.url) as registry:
        await registry.list_tags(APP, 10)
    last = upstream.requests[-1]
    assert (last.target, last.authorization) == ("/elsewhere?a=b", "Bearer t0ken")


async def test_a_redirect_to_another_origin_is_not_followed(upstream: Upstream) -> None:
    async with Upstream() as hostile:
        hostile.script(TAGS)
        for location in (f"{hostile.url}/x", f"//127.0.0.1:{hostile.port}/x", f"https://127.0.0.1:{upstream.port}/"):
            upstream.script(answer(302, Location=location))
            async with client(upstream.url) as registry:
                with pytest.raises(RegistryFault, match="not followed"):
                    await registry.list_tags(APP, 10)
        assert not hostile.requests


@pytest.mark.parametrize("location", ["", "http://[", "javascript:alert(1)", "ftp://x/"])
async def test_a_redirect_to_nowhere_is_an_error(upstream: Upstream, location: str) -> None:
    upstream.script(answer(302, Location=location))
    async with client(upstream.url) as registry:
        with pytest.raises(RegistryFault, match="redirected"):
            await registry.list_tags(APP, 10)


async def test_redirects_in_a_circle_end(upstream: Upstream) -> None:
    upstream.script(answer(302, Location="/a"))
    async with client(upstream.url) as registry:
        with pytest.raises(RegistryFault, match="more than 5 times"):
            await registry.list_tags(APP, 10)
    assert len(upstream.requests) == 6
