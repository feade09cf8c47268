"""Time-outs, sizes, retries: seen through `ping` and `list_tags`, against a server that does as it is told."""

import asyncio
import gzip
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from portus_gateway.aio.deadline import DeadlineExceeded, within
from portus_gateway.distribution import Repository, Tag, Timeouts
from portus_gateway.distribution.concern import Concern
from portus_gateway.distribution.errors import (
    AnswerTooLarge,
    NotHttp,
    TooManyRequests,
    Unavailable,
    Unreachable,
    UntrustedAnswer,
    UpstreamTimeout,
)
from tests.distribution.clients import Counting, client
from tests.distribution.upstream import Upstream, answer, refusal

APP = Repository("team/app")
TAGS = answer(200, '{"name": "team/app", "tags": ["v1"]}')


async def reset(request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def hang(request: web.Request) -> web.StreamResponse:
    await asyncio.Event().wait()
    raise AssertionError(request)


@asynccontextmanager
async def interim_without_end() -> AsyncIterator[str]:
    """A server that has always one more `100 Continue` to send; answers with its address."""
    talking: set[asyncio.Task[None]] = set()

    async def talk(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        talking.add(task)
        try:
            while True:
                writer.write(b"HTTP/1.1 100 Continue\r\n\r\n" * 1000)
                await writer.drain()
                await asyncio.sleep(0)
        except ConnectionError:
            # Hung up on.
            pass
        finally:
            talking.discard(task)
            writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        for task in talking:
            task.cancel()
        await asyncio.gather(*talking, return_exceptions=True)


async def test_endless_interim_answers_close_the_connection() -> None:
    async with interim_without_end() as address, client(address) as registry:
        with pytest.raises(Unreachable, match="was lost before its answer"):
            async with within(5):
                await registry.ping()


async def truncated(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Length": "1000"})
    await response.prepare(request)
    await response.write(b'{"tags": [')
    return await reset(request)


@pytest.mark.parametrize(
    "fault",
    [
        *(reset, truncated, answer(502), answer(503), answer(504), refusal(429, "TOOMANYREQUESTS")),
        # Those of proxies, and pages of whatever is in between.
        *(answer(status, "<html>") for status in (408, 460, 499, 500, 501, 507, 520, 522, 524, 529, 530)),
    ],
)
async def test_a_passing_fault_is_not_seen_by_the_caller(upstream: Upstream, fault: web.Response) -> None:
    observer = Counting()
    upstream.script(fault, TAGS)
    async with client(upstream.url, observer=observer) as registry:
        assert [str(tag) for tag in (await registry.list_tags(APP, 10)).items] == ["v1"]
    assert observer.retries == ["tags"]
    assert len(upstream.requests) == 2


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (reset, Unreachable),
        (truncated, Unreachable),
        (answer(502), Unavailable),
        (answer(503), Unavailable),
        (answer(504), Unavailable),
        (answer(524), Unavailable),
        (answer(499), Unavailable),
        (answer(500, "<html>"), Unavailable),
        (refusal(429, "TOOMANYREQUESTS"), TooManyRequests),
    ],
)
async def test_a_lasting_fault_is_an_error_after_the_last_attempt(
    upstream: Upstream, fault: web.Response, error: type[Exception]
) -> None:
    upstream.script(fault)
    async with client(upstream.url) as registry:
        with pytest.raises(error):
            await registry.list_tags(APP, 10)
    assert len(upstream.requests) == 3


@pytest.mark.parametrize("status", [400, 404, 405, 409, 500, 501])
async def test_other_errors_are_not_asked_for_again(upstream: Upstream, status: int) -> None:
    upstream.script(refusal(status, "UNKNOWN"))
    async with client(upstream.url) as registry:
        with pytest.raises(Exception, match=str(status)):
            await registry.get_manifest(APP, Tag("v1"))
    assert len(upstream.requests) == 1


async def test_nobody_listens(unused_tcp_port: int) -> None:
    async with client(f"http://127.0.0.1:{unused_tcp_port}") as registry:
        with pytest.raises(Unreachable, match="no connection to the registry: connection refused") as caught:
            await registry.ping()
    assert caught.value.operator_detail == f"http://127.0.0.1:{unused_tcp_port}"
    assert caught.value.reason == "UPSTREAM_UNREACHABLE"
    assert not caught.value.sent


async def test_a_wait_that_the_deadline_does_not_allow_is_not_begun(upstream: Upstream) -> None:
    upstream.script(refusal(429, "TOOMANYREQUESTS", Retry_After="1"))
    async with client(upstream.url) as registry:
        with pytest.raises(TooManyRequests) as caught:
            async with within(0.9):
                await registry.list_tags(APP, 10)
    assert caught.value.retry_after == 1
    assert len(upstream.requests) == 1


async def test_a_longer_wait_than_the_policy_allows_is_the_callers_to_make(upstream: Upstream) -> None:
    upstream.script(answer(503, Retry_After="3600"))
    async with client(upstream.url) as registry:
        with pytest.raises(Unavailable) as caught:
            await registry.list_tags(APP, 10)
    assert caught.value.retry_after == 3600
    assert len(upstream.requests) == 1


async def test_a_registry_that_does_not_answer_is_a_timeout_of_ours(upstream: Upstream) -> None:
    upstream.script(hang)
    observer = Counting()
    timeouts = Timeouts(connect=1, read=0.05, total=1)
    async with client(upstream.url, timeouts=timeouts, observer=observer) as registry:
        with pytest.raises(UpstreamTimeout) as caught:
            await registry.ping()
    assert caught.value.reason == "UPSTREAM_TIMEOUT"
    # Not asked again: what is slow gets slower.
    assert observer.requests == [("GET", "ping", "timeout")]


async def test_a_slow_drip_ends_at_the_total(upstream: Upstream) -> None:
    async def drip(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b" ")
            await asyncio.sleep(0.01)

    upstream.script(drip)
    async with client(upstream.url, timeouts=Timeouts(connect=1, read=1, total=0.1)) as registry:
        with pytest.raises(UpstreamTimeout):
            await registry.ping()


async def test_the_callers_deadline_ends_the_request(upstream: Upstream) -> None:
    ended = asyncio.Event()

    async def watched(request: web.Request) -> web.StreamResponse:
        try:
            return await hang(request)
        finally:
            ended.set()

    upstream.script(watched)
    async with client(upstream.url) as registry:
        with pytest.raises(DeadlineExceeded):
            async with within(0.05):
                await registry.ping()
        # The connection is closed with it: the registry need not go on.
        await asyncio.wait_for(ended.wait(), 5)


async def test_the_earlier_of_two_deadlines_counts(upstream: Upstream) -> None:
    upstream.script(hang)
    async with client(upstream.url) as registry:
        with pytest.raises(DeadlineExceeded):
            async with within(0.05), within(60):
                await registry.ping()


@pytest.mark.parametrize("declared", [True, False])
async def test_an_endless_body_is_given_up_at_the_limit(upstream: Upstream, declared: bool) -> None:
    sent = 0

    async def endless(request: web.Request) -> web.StreamResponse:
        nonlocal sent
        response = web.StreamResponse(headers={"Content-Length": str(2**40)} if declared else {})
        await response.prepare(request)
        while True:
            await response.write(b" " * 65536)
            sent += 65536

    upstream.script(endless)
    async with client(upstream.url) as registry:
        with pytest.raises(AnswerTooLarge) as caught:
            await registry.list_tags(APP, 10)
    assert caught.value.reason == "UPSTREAM_ANSWER_TOO_LARGE"
    # What the sockets' buffers hold comes on top of the limit of 16 MiB.
    assert sent < 40 * 2**20


async def test_of_an_error_only_the_beginning_is_read(upstream: Upstream) -> None:
    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(status=500)
        await response.prepare(request)
        while True:
            await response.write(b"x" * 65536)

    upstream.script(endless)
    async with client(upstream.url) as registry:
        with pytest.raises(Unavailable):
            await registry.list_tags(APP, 10)


async def test_a_compressed_answer_is_refused_without_being_decompressed(upstream: Upstream) -> None:
    upstream.script(answer(200, gzip.compress(b" " * 50_000_000), Content_Encoding="gzip"))
    async with client(upstream.url) as registry:
        with pytest.raises(UntrustedAnswer, match="compressed"):
            await registry.list_tags(APP, 10)
    assert upstream.requests[0].headers["Accept-Encoding"] == "identity"


async def test_what_is_not_http_is_an_error(unused_tcp_port: int) -> None:
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(b"SSH-2.0-OpenSSH\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(greet, "127.0.0.1", unused_tcp_port)
    async with server, client(f"http://127.0.0.1:{unused_tcp_port}") as registry:
        with pytest.raises(NotHttp, match="not HTTP") as caught:
            await registry.ping()
    assert caught.value.concern is Concern.REGISTRY_URL


async def test_at_most_so_many_requests_run_at_a_time(upstream: Upstream) -> None:
    running = most = 0
    all_there = asyncio.Event()

    async def counted(_: web.Request) -> web.StreamResponse:
        nonlocal running, most
        running += 1
        most = max(most, running)
        if running == 3:
            all_there.set()
        # The third arrives, or the test hangs; a fourth would be counted before any of them ends.
        await all_there.wait()
        await asyncio.sleep(0)
        running -= 1
        return web.Response(body=b'{"tags": null}')

    upstream.script(counted)
    async with client(upstream.url, concurrency=3) as registry:
        await asyncio.gather(*(registry.list_tags(APP, 10) for _ in range(12)))
    assert most == 3


async def test_a_proxy_of_the_environment_is_not_used(upstream: Upstream, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.delenv("no_proxy", raising=False)
    upstream.script(TAGS)
    async with client(upstream.url) as registry:
        await registry.list_tags(APP, 10)


async def test_cancellation_reaches_the_request_and_frees_its_slot(upstream: Upstream) -> None:
    begun = asyncio.Event()

    async def hang_noted(request: web.Request) -> web.StreamResponse:
        begun.set()
        return await hang(request)

    observer = Counting()
    upstream.script(hang_noted, TAGS)
    async with client(upstream.url, concurrency=1, observer=observer) as registry:
        task = asyncio.create_task(registry.list_tags(APP, 10))
        await asyncio.wait_for(begun.wait(), 5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.wait_for(registry.list_tags(APP, 10), 5)
    assert [outcome for _, _, outcome in observer.requests] == ["cancelled", "200"]
