"""What a trace shows of requests to the registry, its storage and the token service."""

import asyncio
from collections.abc import Iterator

import pytest
from aiohttp import web

from portus_gateway.aio import spans
from portus_gateway.distribution import Timeouts
from portus_gateway.distribution.digest import Digest
from portus_gateway.distribution.errors import DistributionError, Unreachable
from portus_gateway.distribution.names import Repository, Tag
from tests.distribution.clients import PASSWORD, client
from tests.distribution.upstream import Upstream, answer, bearer_challenge, refusal
from tests.recorded_spans import RecordedSpan

APP = Repository("team/app")
RAW = b"content"
SHA256 = Digest.of(RAW)


@pytest.fixture
def call() -> Iterator[RecordedSpan]:
    call = RecordedSpan()
    with spans.Step(call):
        yield call


def flat(call: RecordedSpan) -> list[RecordedSpan]:
    return [each for child in call.children for each in (child, *flat(child))]


async def seen(call: RecordedSpan, name: str) -> None:
    """Waits for a step to begin."""
    async with asyncio.timeout(10):
        while not any(span.name == name for span in flat(call)):
            await asyncio.sleep(0)


async def test_each_request_is_a_step_and_continues_the_trace(upstream: Upstream, call: RecordedSpan) -> None:
    async with Upstream() as tokens:
        upstream.script(bearer_challenge(f"{tokens.url}/token"), answer(200, '{"name": "team/app", "tags": ["1"]}'))
        tokens.script(answer(200, '{"token": "t0ken-of-the-registry"}'))
        async with client(upstream.url, realm=f"{tokens.url}/token") as registry:
            await registry.list_tags(APP, 10)
        requests = [*upstream.requests, *tokens.requests]
    found = [span for span in flat(call) if span.kind == "client"]
    named = {span.name: span for span in found}
    assert {"GET tags", "GET token"} <= set(named)
    assert {seen.headers.getall("traceparent")[0] for seen in requests} == {
        span.headers["traceparent"] for span in found
    }
    assert named["GET tags"].attributes == {
        "http.request.method": "GET",
        "http.response.status_code": 200,
        "server.address": "127.0.0.1",
        "server.port": upstream.port,
        "url.full": f"{upstream.url}/v2/team/app/tags/list",
        "portus.route": "tags",
    }
    assert all(span.ended and not span.error for span in found)
    assert {span.attributes["portus.scopes"] for span in flat(call) if span.name == "token fetch"} == {
        "repository:team/app:pull"
    }
    shown = str(call)
    assert "t0ken-of-the-registry" not in shown
    assert PASSWORD not in shown


async def test_the_storage_gets_no_trace_and_its_signature_is_not_shown(upstream: Upstream, call: RecordedSpan) -> None:
    async with Upstream() as storage:
        upstream.script(
            answer(307, Location=f"http://user:s3cret@127.0.0.1:{storage.port}/blob?X-Amz-Signature=s1gned")
        )
        storage.script(answer(200, RAW))
        async with client(upstream.url, blob_origins=[storage.url]) as registry:
            assert await registry.get_blob(APP, SHA256) == RAW
        (fetched,) = storage.requests
        assert not {"traceparent", "tracestate"} & {name.lower() for name in fetched.headers}
    assert [span.attributes["url.full"] for span in flat(call)] == [
        f"{upstream.url}/v2/team/app/blobs/{SHA256}",
        f"{storage.url}/blob",
    ]
    assert "s3cret" not in str(call)
    assert "s1gned" not in str(call)


async def test_retries_are_steps_with_their_number_and_the_pause_between_them(
    upstream: Upstream, call: RecordedSpan
) -> None:
    upstream.script(answer(503), answer(200, '{"name": "team/app", "tags": []}'))
    async with client(upstream.url) as registry:
        await registry.list_tags(APP, 10)
    tags = [span for span in flat(call) if span.name == "GET tags"]
    assert [(span.error, span.attributes.get("http.request.resend_count")) for span in tags[:2]] == [
        ("503", None),
        ("", 1),
    ]
    assert "wait before retry" in call.tree
    parents = [seen.headers["traceparent"] for seen in upstream.requests if "tags" in seen.target]
    assert parents[:2] == [span.headers["traceparent"] for span in tags[:2]]


@pytest.mark.parametrize(("status", "error"), [(404, ""), (401, ""), (403, "403"), (500, "500")])
async def test_ordinary_refusals_are_no_failed_requests(
    upstream: Upstream, call: RecordedSpan, status: int, error: str
) -> None:
    upstream.script(refusal(status, "MANIFEST_UNKNOWN" if status == 404 else "DENIED"))
    async with client(upstream.url) as registry:
        with pytest.raises(DistributionError):
            await registry.resolve_manifest(APP, Tag("1"))
    seen = [span for span in flat(call) if span.attributes.get("http.response.status_code") == status]
    assert seen
    assert {span.error for span in seen} == {error}


async def test_a_registry_that_is_not_there_is_an_error_of_its_kind(unused_tcp_port: int, call: RecordedSpan) -> None:
    async with client(f"http://127.0.0.1:{unused_tcp_port}") as registry:
        with pytest.raises(Unreachable):
            await registry.list_tags(APP, 10)
    assert {span.error for span in flat(call) if span.name == "GET tags"} == {"unreachable"}


async def test_the_wait_for_a_slot_is_a_step(upstream: Upstream, call: RecordedSpan) -> None:
    arrived = asyncio.Event()
    go_on = asyncio.Event()

    async def slow(_: web.Request) -> web.StreamResponse:
        arrived.set()
        await go_on.wait()
        return web.Response(text='{"name": "team/app", "tags": ["1"]}')

    upstream.script(slow)
    async with client(upstream.url, concurrency=1) as registry:
        first = asyncio.create_task(registry.list_tags(APP, 10))
        await arrived.wait()
        second = asyncio.create_task(registry.list_tags(Repository("team/other"), 10))
        await seen(call, "wait for slot")
        waits = [span for span in flat(call) if span.name == "wait for slot"]
        assert [span.ended for span in waits] == [False]
        go_on.set()
        await asyncio.gather(first, second)
    assert waits[0].ended
    assert waits[0].error == ""


async def test_the_wait_of_a_delete_for_other_deletes_is_a_step(upstream: Upstream, call: RecordedSpan) -> None:
    arrived = asyncio.Event()
    go_on = asyncio.Event()

    async def slow(request: web.Request) -> web.StreamResponse:
        if request.method == "DELETE":
            arrived.set()
            await go_on.wait()
        return web.Response(status=202)

    upstream.script(slow)
    async with client(upstream.url, concurrency=2, timeouts=Timeouts(connect=2, read=5, total=5, delete=5)) as registry:
        first = asyncio.create_task(registry.delete_blob(APP, SHA256))
        await arrived.wait()
        assert not any(span.name.startswith("wait for slot") for span in flat(call))
        second = asyncio.create_task(registry.delete_blob(APP, Digest.of(b"other")))
        await seen(call, "wait for slot of deletes")
        go_on.set()
        await asyncio.gather(first, second)
    assert [span.ended for span in flat(call) if span.name == "wait for slot of deletes"] == [True]


async def test_without_a_trace_nothing_is_sent(upstream: Upstream) -> None:
    upstream.script(answer(200, '{"name": "team/app", "tags": ["1"]}'))
    async with client(upstream.url) as registry:
        await registry.list_tags(APP, 10)
    assert all("traceparent" not in seen.headers for seen in upstream.requests)
