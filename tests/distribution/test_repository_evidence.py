"""A repository that never had a tag is told from one that does not exist, where the catalog proves it."""

import asyncio
import json

import pytest
from aiohttp import web

from portus_gateway.distribution import Page, Repository, repository_evidence
from portus_gateway.distribution.errors import NotFound
from tests.distribution.clients import client
from tests.distribution.upstream import Scripted, Upstream, answer, refusal

APP = Repository("team/app")
UNKNOWN = refusal(404, "NAME_UNKNOWN")


def catalog(*names: str) -> web.Response:
    return answer(200, json.dumps({"repositories": names}))


async def test_a_repository_that_the_catalog_lists_has_no_tags(upstream: Upstream) -> None:
    upstream.script(UNKNOWN, catalog("team/ap-x", "team/app", "team/b"))
    async with client(upstream.url) as registry:
        assert await registry.list_tags(APP, 10) == Page((), None)
    assert upstream.requests[1].target == "/v2/_catalog?n=100&last=team%2Fap"


async def test_a_name_of_one_character_is_looked_for_from_the_start(upstream: Upstream) -> None:
    upstream.script(UNKNOWN, catalog("a"))
    async with client(upstream.url) as registry:
        assert await registry.list_tags(Repository("a"), 10) == Page((), None)
    assert upstream.requests[1].target == "/v2/_catalog?n=100"


NO_PROOF: list[Scripted] = [
    catalog("team/app-2", "team"),
    answer(200, '{"repositories": null}'),
    answer(200, "<html>"),
    answer(200, "[]"),
    answer(200, "x" * 100_000),
    refusal(403, "DENIED"),
    refusal(401, "UNAUTHORIZED"),
    refusal(404, "UNSUPPORTED"),
    refusal(500, "UNKNOWN"),
]


@pytest.mark.parametrize("given", NO_PROOF, ids=lambda given: str(given.status))
async def test_without_proof_the_registrys_word_stands(upstream: Upstream, given: Scripted) -> None:
    upstream.script(UNKNOWN, given)
    async with client(upstream.url) as registry:
        with pytest.raises(NotFound) as caught:
            await registry.list_tags(APP, 10)
    assert caught.value.reason == "NAME_UNKNOWN"
    assert len(upstream.requests) == 2


async def test_a_catalog_that_takes_long_is_not_waited_for_and_asked_once_at_a_time(
    upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repository_evidence, "_LONGEST_SECONDS", 0.2)

    running = most = 0

    async def slow(request: web.Request) -> web.StreamResponse:
        nonlocal running, most
        if request.path == "/v2/_catalog":
            running += 1
            most = max(most, running)
            try:
                await asyncio.Event().wait()
            finally:
                running -= 1
        return refusal(404, "NAME_UNKNOWN")

    upstream.script(slow)
    async with client(upstream.url) as registry:
        asking = [registry.list_tags(APP, 10) for _ in range(5)]
        outcomes = await asyncio.wait_for(asyncio.gather(*asking, return_exceptions=True), 5)
    assert {type(outcome) for outcome in outcomes} == {NotFound}
    assert most == 1


async def test_who_lists_what_has_tags_pays_nothing(upstream: Upstream) -> None:
    upstream.script(answer(200, '{"tags": ["v1"]}'), refusal(404, "UNSUPPORTED"))
    async with client(upstream.url) as registry:
        await registry.list_tags(APP, 10)
        assert len(upstream.requests) == 1
        with pytest.raises(Exception, match="UNSUPPORTED"):
            await registry.list_tags(APP, 10)
    assert len(upstream.requests) == 2
