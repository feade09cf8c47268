"""Deletes: each is sent once, and what becomes of it is known or said to be unknown."""

import asyncio
import json
from collections.abc import Callable
from contextlib import closing, suppress

import pytest
from aiohttp import web

from portus_gateway.aio import spans
from portus_gateway.aio.carried_through import SHUTDOWN
from portus_gateway.aio.deadline import DeadlineExceeded, within
from portus_gateway.distribution import Digest, DistributionClient, Timeouts
from portus_gateway.distribution.errors import (
    DeleteOutcomeUnknown,
    NotFound,
    PreconditionFailed,
    RegistryFault,
    Unavailable,
    Unreachable,
    Unsupported,
    UntrustedAnswer,
)
from portus_gateway.distribution.manifest import OCI_MANIFEST
from tests.distribution.clients import client
from tests.distribution.test_exchange import hang, reset
from tests.distribution.test_manifests import APP, SHA256, V1, manifest
from tests.distribution.upstream import Scripted, Upstream, answer, bearer_challenge, refusal
from tests.recorded_spans import RecordedSpan


async def test_a_delete_is_sent_once_and_believed(upstream: Upstream) -> None:
    upstream.script(answer(202))
    async with client(upstream.url) as registry:
        await registry.delete_manifest(APP, SHA256)
    (request,) = upstream.requests
    assert (request.method, request.target) == ("DELETE", f"/v2/team/app/manifests/{SHA256}")


LOST: list[Scripted] = [reset, hang, answer(502), answer(503), answer(504)]


@pytest.mark.parametrize("lost", LOST)
@pytest.mark.parametrize("kind", ["manifests", "blobs"])
async def test_a_delete_with_a_lost_answer_succeeded_if_the_content_is_gone(
    upstream: Upstream, lost: Scripted, kind: str
) -> None:
    gone = refusal(404, "MANIFEST_UNKNOWN" if kind == "manifests" else "BLOB_UNKNOWN")
    # A first request makes the connection one that is used again, as it is in life.
    upstream.script(manifest(), lost, gone)
    async with client(upstream.url) as registry:
        await registry.resolve_manifest(APP, V1)
        await (registry.delete_manifest if kind == "manifests" else registry.delete_blob)(APP, SHA256)
    assert [request.method for request in upstream.requests].count("DELETE") == 1


@pytest.mark.parametrize("lost", LOST)
@pytest.mark.parametrize("kind", ["manifests", "blobs"])
async def test_a_delete_with_a_lost_answer_is_unknown_if_the_content_still_exists(
    upstream: Upstream, lost: Scripted, kind: str
) -> None:
    upstream.script(manifest(), lost, manifest())
    async with client(upstream.url) as registry:
        await registry.resolve_manifest(APP, V1)
        with pytest.raises(DeleteOutcomeUnknown, match="Check again") as caught:
            await (registry.delete_manifest if kind == "manifests" else registry.delete_blob)(APP, SHA256)
    assert caught.value.reason == "DELETE_OUTCOME_UNKNOWN"
    assert [request.method for request in upstream.requests].count("DELETE") == 1


async def test_a_delete_that_was_not_sent_is_not_checked_afterwards(unused_tcp_port: int) -> None:
    async with client(f"http://127.0.0.1:{unused_tcp_port}") as registry:
        with pytest.raises(Unreachable) as caught:
            await registry.delete_manifest(APP, SHA256)
    assert type(caught.value) is Unreachable


# What a registry may answer to the look after a delete; each several times, since some are asked again.
LOOKS: list[Callable[[], Scripted]] = [
    lambda: answer(429, Retry_After="7"),
    lambda: answer(500),
    lambda: answer(503, Retry_After="7"),
    lambda: refusal(403, "DENIED"),
    lambda: answer(404, "<html>nothing here</html>"),
    lambda: answer(401, WWW_Authenticate="Negotiate"),
    lambda: reset,
]


@pytest.mark.parametrize("looked", LOOKS)
@pytest.mark.parametrize("kind", ["manifests", "blobs"])
async def test_a_delete_that_cannot_be_checked_afterwards_is_unknown(
    upstream: Upstream, looked: Callable[[], Scripted], kind: str
) -> None:
    upstream.script(manifest(), reset, *(looked() for _ in range(8)))
    async with client(upstream.url) as registry:
        await registry.resolve_manifest(APP, V1)
        with pytest.raises(DeleteOutcomeUnknown, match="could not check whether it was deleted"):
            await (registry.delete_manifest if kind == "manifests" else registry.delete_blob)(APP, SHA256)
    assert [request.method for request in upstream.requests].count("DELETE") == 1


async def test_a_blob_whose_repository_is_gone_after_its_delete_has_gone_with_it(upstream: Upstream) -> None:
    upstream.script(manifest(), reset, refusal(404, "NAME_UNKNOWN"), refusal(404, "NAME_UNKNOWN"))
    async with client(upstream.url) as registry:
        await registry.resolve_manifest(APP, V1)
        await registry.delete_blob(APP, SHA256)


class Held:
    """A registry that takes a request, and answers when it is let."""

    def __init__(self, answer: web.Response) -> None:
        self.taken = asyncio.Event()
        self.let = asyncio.Event()
        self._answer = answer

    async def __call__(self, _: web.Request) -> web.StreamResponse:
        self.taken.set()
        await self.let.wait()
        return self._answer


async def on_its_way(registry: DistributionClient, held: Held) -> asyncio.Task[None]:
    """A delete that the registry has taken."""
    task = asyncio.create_task(registry.delete_manifest(APP, SHA256))
    await held.taken.wait()
    return task


async def test_a_sent_delete_is_not_cancelled_when_its_caller_disconnects(upstream: Upstream) -> None:
    held = Held(answer(202))
    upstream.script(held)
    async with client(upstream.url) as registry:
        task = await on_its_way(registry, held)
        for _ in range(2):
            task.cancel()
            await asyncio.sleep(0)
        held.let.set()
        await task
    assert task.cancelling() == 2
    assert [request.method for request in upstream.requests] == ["DELETE"]


async def test_nor_by_the_deadline_but_by_its_own_time_out(upstream: Upstream) -> None:
    upstream.script(hang, manifest())
    patient = Timeouts(connect=30, read=30, total=30, delete=0.5)
    async with asyncio.timeout(10), client(upstream.url, timeouts=patient) as registry:
        with pytest.raises(DeleteOutcomeUnknown, match="did not answer in time"):
            async with within(0.05):
                await registry.delete_manifest(APP, SHA256)


@pytest.mark.parametrize("status", [401, 403, 404, 405, 429, 307])
async def test_where_it_came_to_nothing_nothing_follows(upstream: Upstream, status: int) -> None:
    held = Held(answer(status, **{"WWW-Authenticate": 'Basic realm="x"'}))
    upstream.script(held)
    async with client(upstream.url) as registry:
        task = await on_its_way(registry, held)
        task.cancel()
        held.let.set()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert len(upstream.requests) == 1


async def test_a_waiting_delete_is_not_sent_after_its_caller_disconnected(upstream: Upstream) -> None:
    held = Held(answer(202))
    upstream.script(held)
    async with client(upstream.url, concurrency=2) as registry:
        first = await on_its_way(registry, held)
        second = asyncio.create_task(registry.delete_manifest(APP, SHA256))
        await asyncio.sleep(0)
        second.cancel()
        with pytest.raises(asyncio.CancelledError):
            await second
        held.let.set()
        await first
    assert len(upstream.requests) == 1


async def test_the_end_of_the_process_breaks_off_even_a_delete(upstream: Upstream) -> None:
    held = Held(answer(202))
    upstream.script(held)
    async with client(upstream.url) as registry:
        task = await on_its_way(registry, held)
        task.cancel(SHUTDOWN)
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_a_tag_is_deleted_by_its_name(upstream: Upstream) -> None:
    upstream.script(answer(202), refusal(404, "MANIFEST_UNKNOWN"))
    async with client(upstream.url) as registry:
        await registry.delete_tag(APP, V1)
        with pytest.raises(NotFound):
            await registry.delete_tag(APP, V1)
    assert [(seen.method, seen.target) for seen in upstream.requests] == [("DELETE", "/v2/team/app/manifests/v1")] * 2


@pytest.mark.parametrize("refused", [refusal(400, "DIGEST_INVALID"), refusal(405, "UNSUPPORTED")])
async def test_a_registry_that_deletes_by_digest_only(upstream: Upstream, refused: web.Response) -> None:
    upstream.script(refused)
    async with client(upstream.url) as registry:
        with pytest.raises(Unsupported) as caught:
            await registry.delete_tag(APP, V1)
    assert caught.value.reason == "UNSUPPORTED"


async def test_a_registry_with_deletion_disabled(upstream: Upstream) -> None:
    upstream.script(refusal(405, "UNSUPPORTED", "The operation is unsupported."))
    async with client(upstream.url) as registry:
        for refused in (
            registry.delete_manifest(APP, SHA256),
            registry.delete_blob(APP, SHA256),
            registry.check_deletion(APP),
        ):
            with pytest.raises(Unsupported) as caught:
                await refused
            assert caught.value.reason == "UNSUPPORTED"


async def test_the_check_for_deletion_names_nothing_that_exists(upstream: Upstream) -> None:
    upstream.script(refusal(404, "MANIFEST_UNKNOWN"))
    async with client(upstream.url) as registry:
        await asyncio.gather(registry.check_deletion(APP), registry.check_deletion(APP))
    one, other = upstream.requests
    assert (one.method, other.method) == ("DELETE", "DELETE")
    assert one.target != other.target


async def test_a_delete_whose_token_could_not_be_had_never_left(upstream: Upstream, token_service: Upstream) -> None:
    upstream.script(bearer_challenge(token_service.url, "repository:team/app:delete"))
    token_service.script(answer(503), answer(503), answer(503), answer(200, '{"token": "t"}'))
    async with client(upstream.url, realm=token_service.url) as registry:
        with pytest.raises(Unavailable) as caught:
            await registry.delete_manifest(APP, SHA256)
    assert not isinstance(caught.value, DeleteOutcomeUnknown)
    # Nothing was looked up either: there is nothing to find out.
    assert [seen.method for seen in upstream.requests] == ["DELETE"]


async def test_a_delete_whose_token_cannot_be_read_never_left(upstream: Upstream, token_service: Upstream) -> None:
    upstream.script(bearer_challenge(token_service.url, "repository:team/app:delete"))
    token_service.script(answer(200, "no token"))
    async with client(upstream.url, realm=token_service.url) as registry:
        with pytest.raises(UntrustedAnswer, match="the token service answered 200 with something that is not JSON"):
            await registry.delete_manifest(APP, SHA256)
    assert [seen.method for seen in upstream.requests] == ["DELETE"]


async def test_a_delete_that_was_carried_out_is_known_however_long_its_body_is(upstream: Upstream) -> None:
    upstream.script(answer(202, b"x" * 200_000))
    async with client(upstream.url) as registry:
        await registry.delete_manifest(APP, SHA256)


@pytest.mark.parametrize("status", [200, 202, 204])
async def test_a_registry_that_accepts_any_delete_would_delete(upstream: Upstream, status: int) -> None:
    upstream.script(answer(status))
    async with client(upstream.url) as registry:
        await registry.check_deletion(APP)


async def test_a_proxys_404_says_nothing_of_deletes(upstream: Upstream) -> None:
    upstream.script(answer(404, "<html>no route</html>"))
    async with client(upstream.url) as registry:
        with pytest.raises(RegistryFault):
            await registry.check_deletion(APP)


async def test_deletes_leave_slots_to_the_reads(upstream: Upstream) -> None:
    deletes = asyncio.Event()

    async def slow_deletes(request: web.Request) -> web.StreamResponse:
        if request.method == "DELETE":
            await deletes.wait()
            return answer(202)
        return manifest()

    upstream.script(slow_deletes)
    async with client(upstream.url, timeouts=Timeouts(delete=10), concurrency=4) as registry:
        deleting = [asyncio.ensure_future(registry.delete_manifest(APP, Digest.of(bytes([n])))) for n in range(4)]
        while not upstream.requests:
            await asyncio.sleep(0)
        async with within(5):
            await registry.get_manifest(APP, V1)
        deletes.set()
        await asyncio.gather(*deleting)


@pytest.mark.parametrize(
    "given", [answer(500), answer(502), answer(200), answer(204), answer(299)], ids=lambda given: str(given.status)
)
async def test_a_delete_that_took_effect_is_a_success_whatever_the_registry_said(
    upstream: Upstream, given: web.Response
) -> None:
    upstream.script(given, refusal(404, "MANIFEST_UNKNOWN"))
    async with client(upstream.url) as registry:
        await registry.delete_manifest(APP, SHA256)
    assert [seen.method for seen in upstream.requests].count("DELETE") == 1


async def test_a_redirect_of_a_delete_is_no_success(upstream: Upstream) -> None:
    upstream.script(answer(300))
    async with client(upstream.url) as registry:
        with pytest.raises(RegistryFault):
            await registry.delete_manifest(APP, SHA256)
    assert len(upstream.requests) == 1


@pytest.mark.parametrize("found", [b"HTTP/1.1 200 OK", b"HTTP/1.1 404 Not Found"])
async def test_an_answer_that_is_not_http_is_looked_into(found: bytes) -> None:
    """What was there before the delete was answered with rubbish may be gone."""
    body = b'{"errors": [{"code": "MANIFEST_UNKNOWN"}]}'

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with closing(writer), suppress(asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            rubbish = b"rubbish\r\n\r\n"
            sent = b"" if head.startswith(b"HEAD") else body
            answered = b"%s\r\nDocker-Content-Digest: %s\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s" % (
                found,
                SHA256.text.encode(),
                OCI_MANIFEST.encode(),
                len(body),
                sent,
            )
            writer.write(rubbish if head.startswith(b"DELETE") else answered)
            await writer.drain()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server, client(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}") as registry:
        if b"404" in found:
            await registry.delete_manifest(APP, SHA256)
        else:
            with pytest.raises(DeleteOutcomeUnknown, match=r"not HTTP.*may still delete it"):
                await registry.delete_manifest(APP, SHA256)


@pytest.mark.parametrize("looked", [manifest(), answer(503)], ids=["still there", "not seen"])
async def test_the_operator_learns_what_was_answered_to_a_delete_of_unknown_outcome(
    upstream: Upstream, looked: web.Response
) -> None:
    upstream.script(answer(502, "the upstream at 10.0.0.1 failed"), *[looked] * 8)
    async with client(upstream.url) as registry:
        with pytest.raises(DeleteOutcomeUnknown) as unknown:
            await registry.delete_manifest(APP, SHA256)
    assert "10.0.0.1" in unknown.value.operator_detail
    assert "10.0.0.1" not in str(unknown.value)


async def test_a_deadline_that_ends_the_look_after_a_delete_is_passed_on(upstream: Upstream) -> None:
    async def late() -> bool:
        raise DeadlineExceeded("late")

    upstream.script(answer(502))
    async with client(upstream.url) as registry:
        with pytest.raises(DeadlineExceeded):
            await registry._manifests._deletion.delete(APP, "/v2/team/app/manifests/v1", "manifests", late)


async def test_a_delete_that_waits_for_its_turn_says_so_in_its_trace(upstream: Upstream) -> None:
    held = Held(answer(202))
    upstream.script(held, answer(202))
    first, second = RecordedSpan(), RecordedSpan()

    async def delete(registry: DistributionClient, span: RecordedSpan, content: bytes) -> None:
        spans.work_in(span)
        await registry.delete_manifest(APP, Digest.of(content))

    async with client(upstream.url, concurrency=2) as registry:
        tasks = [asyncio.create_task(delete(registry, first, b"1"))]
        await held.taken.wait()
        tasks.append(asyncio.create_task(delete(registry, second, b"2")))
        while not second.children:
            await asyncio.sleep(0)
        held.let.set()
        await asyncio.gather(*tasks)
    waits = "wait for slot of deletes"
    assert (waits in first.tree, waits in second.tree) == (False, True)


async def test_a_delete_that_failed_and_took_no_effect_is_the_registrys_failure(upstream: Upstream) -> None:
    upstream.script(refusal(500, "UNKNOWN"), manifest())
    async with client(upstream.url) as registry:
        with pytest.raises(RegistryFault):
            await registry.delete_manifest(APP, SHA256)


# What stands between the gateway and the registry answers these when it has waited for too long.
OF_PROXIES = [
    # Without an error document, even a 500 need not be the registry's own.
    answer(500),
    *(answer(status, "error code") for status in (408, 460, 499, 500, 501, 520, 522, 524, 527, 529)),
    answer(500, "<html>Internal Server Error</html>", Content_Type="text/html"),
    answer(504, "<html>Gateway Time-out</html>", Content_Type="text/html"),
]


@pytest.mark.parametrize("given", OF_PROXIES, ids=lambda given: str(given.status))
async def test_a_delete_that_a_proxy_answered_may_still_be_carried_out(upstream: Upstream, given: web.Response) -> None:
    upstream.script(given, manifest(), given, refusal(404, "MANIFEST_UNKNOWN"))
    async with client(upstream.url) as registry:
        with pytest.raises(DeleteOutcomeUnknown, match="the registry may still delete it"):
            await registry.delete_manifest(APP, SHA256)
        # This time it was, before the look.
        await registry.delete_manifest(APP, SHA256)
    assert [seen.method for seen in upstream.requests].count("DELETE") == 2


@pytest.mark.parametrize("status", [408, 499])
async def test_a_proxys_answer_is_looked_into_for_a_caller_who_has_gone_too(upstream: Upstream, status: int) -> None:
    held = Held(answer(status))
    upstream.script(held, refusal(404, "MANIFEST_UNKNOWN"))
    async with client(upstream.url) as registry:
        task = await on_its_way(registry, held)
        task.cancel()
        held.let.set()
        await task
    assert [seen.method for seen in upstream.requests] == ["DELETE", "HEAD", "GET"]


REFUSALS = [
    refusal(409, "CONFLICT", "in use"),
    refusal(412, "PRECONDITION", "the deleting artifact is referenced by others"),
    answer(423, "locked"),
    answer(428),
    refusal(400, "GOOGLE_MANIFEST_DANGLING_TAG", "Manifest is still referenced by tag: v1"),
    refusal(403, "GOOGLE_MANIFEST_DANGLING_PARENT_IMAGE", "Manifest is still referenced by one or more parent images"),
]


@pytest.mark.parametrize("refused", REFUSALS, ids=lambda refused: str(refused.status))
async def test_a_refusal_in_the_current_state_has_the_registrys_words(
    upstream: Upstream, refused: web.Response
) -> None:
    upstream.script(refused)
    async with client(upstream.url) as registry:
        for call in (registry.delete_manifest, registry.delete_blob):
            with pytest.raises(PreconditionFailed) as caught:
                await call(APP, SHA256)
            stated = json.loads(refused.text)["errors"][0] if refused.text and refused.text[0] == "{" else None
            assert caught.value.reason == (stated["code"] if stated else "UPSTREAM_PRECONDITION_FAILED")
            assert (stated["message"] if stated else str(refused.status)) in str(caught.value)
    assert [seen.method for seen in upstream.requests] == ["DELETE", "DELETE"]


async def closes_at_the_second_request(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, methods: list[str]
) -> None:
    """Answers the first request of a connection, and closes it when a second one comes, as an idle time-out may."""
    for turn in range(2):
        head = await reader.readuntil(b"\r\n\r\n")
        methods.append(head.split(b" ", 1)[0].decode())
        if turn == 0:
            status = b"202 Accepted" if methods[-1] == "DELETE" else b"404 Not Found"
            body = b"" if methods[-1] in ("DELETE", "HEAD") else b'{"errors": [{"code": "MANIFEST_UNKNOWN"}]}'
            writer.write(b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n%s" % (status, len(body), body))
            await writer.drain()


async def test_a_delete_goes_over_a_connection_of_its_own() -> None:
    methods: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with closing(writer), suppress(asyncio.IncompleteReadError):
            await closes_at_the_second_request(reader, writer, methods)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, client(f"http://127.0.0.1:{port}") as registry:
        for _ in range(3):
            with pytest.raises(NotFound):
                await registry.resolve_manifest(APP, SHA256)
            await registry.delete_manifest(APP, SHA256)
            await registry.check_deletion(APP)
    assert methods.count("DELETE") == 6


async def test_a_delete_whose_check_fails_is_unknown(upstream: Upstream) -> None:
    upstream.script(answer(502), answer(503))
    async with client(upstream.url) as registry:
        with pytest.raises(DeleteOutcomeUnknown, match="could not check whether it was deleted"):
            await registry.delete_manifest(APP, SHA256)
