"""A repository that never had a tag is told from one that does not exist, where the catalog proves it."""

import asyncio
import json

import pytest
from aiohttp import web

from portus_gateway.distribution import Repository, repository_evidence
from tests.distribution.clients import client
from tests.distribution.upstream import Scripted, Upstream, answer, refusal

APP = Repository("team/app")


def catalog(*names: str) -> web.Response:
    return answer(200, json.dumps({"repositories": names}))


async def test_a_repository_that_the_catalog_lists_has_no_tags(upstream: Upstream) -> None:
    upstream.script(catalog("team/ap-x", "team/app", "team/b"))
    async with client(upstream.url) as registry:
        assert await registry.is_in_catalog(APP)
    assert upstream.requests[0].target == "/v2/_catalog?n=100&last=team%2Fap"


async def test_a_name_of_one_character_is_looked_for_from_the_start(upstream: Upstream) -> None:
    upstream.script(catalog("a"))
    async with client(upstream.url) as registry:
        assert await registry.is_in_catalog(Repository("a"))
    assert upstream.requests[0].target == "/v2/_catalog?n=100"


NO_PROOF: list[Scripted] = [
    catalog("team/app-2", "team"),
    answer(200, '{"repositories": null}'),
    answer(200, "<html>"),
    answer(200, "[]"),
    answer(200, "x" * 100_000),
    refusal(403, "DENIED"),
    refusal(401, "UNAUTHORIZED"),
    refusal(404, "UNSUPPORTED"),
    answer(404, '{"repositories": ["team/app"]}'),
    refusal(500, "UNKNOWN"),
]


@pytest.mark.parametrize("given", NO_PROOF, ids=lambda given: str(given.status))
async def test_what_does_not_list_it_proves_nothing(upstream: Upstream, given: Scripted) -> None:
    upstream.script(given)
    async with client(upstream.url) as registry:
        assert not await registry.is_in_catalog(APP)
    assert len(upstream.requests) == 1


async def test_a_catalog_that_takes_long_is_not_waited_for_and_asked_once_at_a_time(
    upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repository_evidence, "_LONGEST_SECONDS", 0.2)

    running = most = 0

    async def slow(_: web.Request) -> web.StreamResponse:
        nonlocal running, most
        running += 1
        most = max(most, running)
        try:
            await asyncio.Event().wait()
        finally:
            running -= 1
        raise AssertionError

    upstream.script(slow)
    async with client(upstream.url) as registry:
        asking = [registry.is_in_catalog(APP) for _ in range(5)]
        assert await asyncio.wait_for(asyncio.gather(*asking), 5) == [False] * 5
    assert most == 1
