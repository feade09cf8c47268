"""A request that hangs ends with its callers, and keeps nobody who comes after them."""

import asyncio
import json
from collections.abc import Callable

from aiohttp import web

from portus_gateway.aio.deadline import DeadlineExceeded, within
from portus_gateway.distribution import Digest, Repository, Tag, Timeouts
from portus_gateway.registry.coalesced import CoalescedRegistry
from tests.distribution.clients import client
from tests.distribution.conftest import token_service, upstream
from tests.distribution.upstream import Upstream, answer, bearer_challenge

__all__ = ["token_service", "upstream"]

V1 = Tag("1.0")
RAW = b'{"layers": []}'
SLOTS = 4
LONG = Timeouts(connect=30, read=30, total=30)
SOON = 5.0
"""Seconds: far less than what the hung requests may take, far more than the callers' patience."""


class Swallow:
    """Answers nothing to the first `count` requests; says how they ended."""

    def __init__(self, count: int, otherwise: Callable[[], web.Response]) -> None:
        self._count = count
        self._otherwise = otherwise
        self.swallowed = 0
        self.ended = 0

    async def __call__(self, _: web.Request) -> web.StreamResponse:
        if self.swallowed == self._count:
            return self._otherwise()
        self.swallowed += 1
        try:
            await asyncio.Event().wait()
        finally:
            self.ended += 1
        raise AssertionError


def manifest() -> web.Response:
    return answer(
        200,
        RAW,
        Content_Type="application/vnd.oci.image.manifest.v1+json",
        Docker_Content_Digest=str(Digest.of(RAW)),
    )


async def impatient(registry: CoalescedRegistry, repository: str) -> None:
    async with within(0.2):
        await registry.get_manifest(Repository(repository), V1)


async def test_hung_token_requests_end_with_their_callers(upstream: Upstream, token_service: Upstream) -> None:
    async def guarded(request: web.Request) -> web.StreamResponse:
        if "Authorization" in request.headers:
            return manifest()
        repository = request.path.removeprefix("/v2/").partition("/manifests")[0]
        return bearer_challenge(token_service.url, f"repository:{repository}:pull")

    swallow = Swallow(SLOTS, lambda: answer(200, json.dumps({"token": "t"})))
    upstream.script(guarded)
    token_service.script(swallow)
    async with (
        client(upstream.url, realm=token_service.url, concurrency=SLOTS, timeouts=LONG) as direct,
        CoalescedRegistry(direct) as registry,
    ):
        callers = [impatient(registry, f"team/r{number}") for number in range(SLOTS)]
        assert [type(outcome) for outcome in await asyncio.gather(*callers, return_exceptions=True)] == [
            DeadlineExceeded
        ] * SLOTS
        assert swallow.swallowed == SLOTS
        async with asyncio.timeout(SOON):
            # Another repository, and one whose token was asked for.
            for repository in ("team/other", "team/r0"):
                assert (await registry.get_manifest(Repository(repository), V1)).raw == RAW
            while swallow.ended < SLOTS:
                await asyncio.sleep(0)


async def test_hung_requests_to_the_registry_end_with_their_callers(upstream: Upstream) -> None:
    swallow = Swallow(SLOTS, manifest)
    upstream.script(swallow)
    async with client(upstream.url, concurrency=SLOTS, timeouts=LONG) as direct, CoalescedRegistry(direct) as registry:
        callers = [impatient(registry, f"team/r{number}") for number in range(SLOTS)]
        assert [type(outcome) for outcome in await asyncio.gather(*callers, return_exceptions=True)] == [
            DeadlineExceeded
        ] * SLOTS
        async with asyncio.timeout(SOON):
            for repository in ("team/other", "team/r0"):
                assert (await registry.get_manifest(Repository(repository), V1)).raw == RAW
            while swallow.ended < SLOTS:
                await asyncio.sleep(0)


async def test_a_hung_request_of_a_patient_caller_keeps_nobody_else(upstream: Upstream) -> None:
    upstream.script(Swallow(1, manifest))
    async with (
        client(upstream.url, concurrency=SLOTS, timeouts=LONG) as direct,
        CoalescedRegistry(direct, patience=0.1) as registry,
    ):
        patient = asyncio.ensure_future(registry.get_manifest(Repository("team/app"), V1))
        while not upstream.requests:
            await asyncio.sleep(0)
        async with asyncio.timeout(SOON):
            assert (await registry.get_manifest(Repository("team/app"), V1)).raw == RAW
            # The patient one is helped, too.
            assert (await patient).raw == RAW
