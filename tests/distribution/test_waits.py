"""What hangs, breaks or ends while a request waits: it must not reach those who do nothing wrong."""

import asyncio
import json
import os
import resource
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest
from aiohttp import web
from yarl import URL

from portus_gateway.aio.deadline import within
from portus_gateway.distribution import Credentials, PasswordFile, Repository, RetryPolicy, Timeouts, admission
from portus_gateway.distribution.errors import TooManyOpenFiles, Unreachable, UpstreamTimeout
from tests.distribution.clients import PASSWORD, Counting, client
from tests.distribution.upstream import Upstream, answer, bearer_challenge

APP = Repository("team/app")
TAGS = '{"tags": ["v1"]}'


async def challenge_by_path(request: web.Request, realm: str) -> web.StreamResponse:
    """A registry that accepts any token, and asks for one of the repository that is named."""
    if "Authorization" in request.headers:
        return answer(200, TAGS)
    repository = "/".join(request.path.split("/")[2:4])
    return bearer_challenge(realm, f"repository:{repository}:pull")


class SwallowingTokens:
    """A token service that never answers the first requests."""

    def __init__(self, swallowed: int) -> None:
        self._left = swallowed
        self.hanging = 0

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        if not self._left:
            return answer(200, '{"token": "t"}')
        self._left -= 1
        self.hanging += 1
        try:
            await asyncio.Event().wait()
        finally:
            self.hanging -= 1
        raise AssertionError(request)


async def test_token_requests_that_hang_end_with_their_callers_and_block_nobody(
    upstream: Upstream, token_service: Upstream
) -> None:
    tokens = SwallowingTokens(8)
    upstream.script(lambda request: challenge_by_path(request, token_service.url))
    token_service.script(tokens)
    patient = Timeouts(connect=5, read=30, total=60, token=30)
    async with client(upstream.url, realm=token_service.url, timeouts=patient) as registry:
        callers = [asyncio.create_task(registry.list_tags(Repository(f"team/app-{n}"), 10)) for n in range(8)]
        async with asyncio.timeout(10):
            while tokens.hanging < 8:
                await asyncio.sleep(0.01)
        for caller in callers:
            caller.cancel()
        await asyncio.gather(*callers, return_exceptions=True)
        async with within(10):
            assert (await registry.list_tags(APP, 10)).items
        async with asyncio.timeout(10):
            while tokens.hanging:
                await asyncio.sleep(0.01)  # the service notices the end of its connections


async def test_a_token_request_that_hangs_ends_by_itself_though_its_caller_waits(
    upstream: Upstream, token_service: Upstream
) -> None:
    upstream.script(lambda request: challenge_by_path(request, token_service.url))
    token_service.script(SwallowingTokens(1))
    patient = Timeouts(connect=5, read=30, total=60, token=0.2)
    observer = Counting()
    async with client(upstream.url, realm=token_service.url, timeouts=patient, observer=observer) as registry:
        with pytest.raises(UpstreamTimeout, match="gave no token within") as caught:
            await registry.list_tags(APP, 10)
        assert not caught.value.sent
        assert (await registry.list_tags(APP, 10)).items
    assert observer.tokens == ["failed", "ok"]


@asynccontextmanager
async def resetting_server() -> AsyncIterator[tuple[str, asyncio.Event, list[int]]]:
    """A server that keeps connections. Once the event is set, it resets those that it had before at their next use."""
    doom = asyncio.Event()
    served: list[int] = []
    talking: set[asyncio.Task[None]] = set()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        talking.add(task)
        is_doomed = not doom.is_set()
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                if doom.is_set() and is_doomed:
                    writer.transport.abort()
                    return
                served.append(1)
                await asyncio.sleep(0.02)  # so that requests at the same time need connections of their own
                body = TAGS.encode()
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            talking.discard(task)
            writer.close()

    async with await asyncio.start_server(talk, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", doom, served
        for task in talking:
            task.cancel()


async def test_kept_connections_that_were_reset_cost_no_read_its_answer() -> None:
    observer = Counting()
    async with (
        resetting_server() as (url, doom, _),
        client(url, credentials=None, observer=observer, retries=RetryPolicy(attempts=1)) as registry,
    ):
        await asyncio.gather(*(registry.list_tags(Repository(f"team/app-{n}"), 10) for n in range(8)))
        doom.set()
        for _ in range(5):
            assert (await registry.list_tags(APP, 10)).items
    assert observer.retries == ["tags"] * 5


@contextmanager
def no_more_files() -> Iterator[None]:
    """Lets this process open no more files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = os.dup(0)
    os.close(lowest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_a_gateway_without_files_does_not_blame_the_registry(upstream: Upstream, tmp_path: Path) -> None:
    upstream.script(answer(200, TAGS))
    observer = Counting()
    async with client(upstream.url, observer=observer) as registry:
        with no_more_files(), pytest.raises(TooManyOpenFiles) as caught:
            await registry.list_tags(APP, 10)
        assert (await registry.list_tags(APP, 10)).items
    assert (caught.value.reason, caught.value.sent) == ("TOO_MANY_OPEN_FILES", False)
    file = tmp_path / "password"
    file.write_text(PASSWORD)
    with no_more_files(), pytest.raises(TooManyOpenFiles):
        Credentials("portus", PasswordFile(file)).basic_authorization()


async def test_a_new_connection_that_breaks_is_an_attempt(upstream: Upstream) -> None:
    async def reset(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.abort()
        return answer(200)

    upstream.script(reset)
    async with client(upstream.url, retries=RetryPolicy(attempts=1)) as registry:
        with pytest.raises(Unreachable):
            await registry.list_tags(APP, 10)
    assert len(upstream.requests) == 1


@pytest.mark.parametrize("is_announced", [True, False])
async def test_tokens_that_end_while_their_requests_wait_are_renewed(
    upstream: Upstream, token_service: Upstream, is_announced: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admission, "_LONGEST_WAIT", 0.02)
    lifetime = 0.1

    async def give(request: web.Request) -> web.StreamResponse:
        scope = URL(str(request.rel_url)).query.get("scope", "")
        announced = {"expires_in": lifetime} if is_announced else {}
        return answer(200, json.dumps({"token": f"{scope}@{time.monotonic()}", **announced}))

    async def serve(request: web.Request) -> web.StreamResponse:
        _, _, token = request.headers.get("Authorization", "").partition("@")
        if not token or time.monotonic() - float(token) > lifetime:
            return await challenge_by_path(web_request_without_credentials(request), token_service.url)
        await asyncio.sleep(0.03)
        return answer(200, TAGS)

    upstream.script(serve)
    token_service.script(give)
    quick = RetryPolicy(attempts=1, clock_delay=0.01)
    async with client(upstream.url, realm=token_service.url, concurrency=2, retries=quick) as registry:
        pages = await asyncio.gather(*(registry.list_tags(Repository(f"team/app-{n}"), 10) for n in range(24)))
    assert all(page.items for page in pages)


def web_request_without_credentials(request: web.Request) -> web.Request:
    return request.clone(headers={})
