"""Manifests and blobs: what is fetched is what was asked for, and what is deleted is known."""

import asyncio
import json
import threading
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path

import pytest
from aiohttp import web

from portus_gateway.aio.carried_through import BREAK_OFF
from portus_gateway.aio.deadline import within
from portus_gateway.distribution import Configuration, Digest, DistributionClient, Image, Repository, Tag, Timeouts
from portus_gateway.distribution.concern import Concern
from portus_gateway.distribution.configuration import MANIFEST_LIMIT
from portus_gateway.distribution.errors import (
    AnswerTooLarge,
    DeleteOutcomeUnknown,
    Denied,
    DigestMismatch,
    DistributionError,
    NotFound,
    PreconditionFailed,
    RedirectRefused,
    RegistryFault,
    Unavailable,
    Unreachable,
    Unsupported,
    UntrustedAnswer,
)
from portus_gateway.distribution.manifest import MANIFEST_MEDIA_TYPES, OCI_INDEX, OCI_MANIFEST
from portus_gateway.distribution.reference import Reference
from tests.distribution.clients import PASSWORD, PORTUS, client
from tests.distribution.test_exchange import hang, reset
from tests.distribution.upstream import Scripted, Upstream, answer, basic_challenge, bearer_challenge, refusal

APP = Repository("team/app")
V1 = Tag("v1")
RAW = json.dumps({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "layers": []}, indent=3).encode()
SHA256 = Digest.of(RAW)
SHA512 = Digest.of(RAW, "sha512")
OTHER = Digest.of(b"other")


def manifest(
    raw: bytes = RAW, *, announced: Digest | str | None = SHA256, media_type: str = OCI_MANIFEST
) -> web.Response:
    fields = {"Docker_Content_Digest": str(announced)} if announced else {}
    return answer(200, raw, Content_Type=media_type, **fields)


@pytest.mark.parametrize(
    ("reference", "announced", "expected"),
    [
        (V1, SHA256, SHA256),
        (V1, SHA512, SHA512),
        (V1, None, SHA256),
        (SHA256, SHA256, SHA256),
        (SHA256, None, SHA256),
        (SHA512, SHA512, SHA512),
        # The registry stores it under another algorithm than we asked by: the bytes are those that we asked for.
        (SHA512, SHA256, SHA512),
        (SHA256, OTHER, SHA256),
    ],
)
async def test_the_bytes_are_those_of_the_digest(
    upstream: Upstream, reference: Reference, announced: Digest | None, expected: Digest
) -> None:
    upstream.script(manifest(announced=announced))
    async with client(upstream.url) as registry:
        got = await registry.get_manifest(APP, reference)
    assert got.raw == RAW
    assert (got.descriptor.digest, got.descriptor.size) == (expected, len(RAW))
    assert isinstance(got.content, Image)


@pytest.mark.parametrize(
    ("reference", "announced", "error"),
    [
        (V1, OTHER, DigestMismatch),
        (OTHER, OTHER, DigestMismatch),
        (OTHER, SHA256, DigestMismatch),
        (OTHER, None, DigestMismatch),
        (V1, "sha256:zz", UntrustedAnswer),
        (V1, "blake3:" + "a" * 64, UntrustedAnswer),
    ],
)
async def test_other_bytes_are_never_passed_on(
    upstream: Upstream, reference: Reference, announced: Digest | str | None, error: type[DistributionError]
) -> None:
    upstream.script(manifest(announced=announced))
    async with client(upstream.url) as registry:
        with pytest.raises(error) as caught:
            await registry.get_manifest(APP, reference)
    assert type(caught.value) is error


async def test_all_four_types_are_accepted_and_the_path_is_as_it_stands(upstream: Upstream) -> None:
    upstream.script(manifest())
    async with client(upstream.url) as registry:
        await registry.get_manifest(APP, SHA256)
        await registry.resolve_manifest(APP, V1)
    get, head = upstream.requests
    assert get.target == f"/v2/team/app/manifests/{SHA256}"
    assert (head.method, head.target) == ("HEAD", "/v2/team/app/manifests/v1")
    for request in (get, head):
        assert set(request.headers["Accept"].split(", ")) == set(MANIFEST_MEDIA_TYPES)


async def test_a_manifest_of_the_largest_size_and_one_byte_more(upstream: Upstream) -> None:
    largest = b'{"schemaVersion": 2, "a": "' + b"x" * (4 * 2**20 - 29) + b'"}'
    assert len(largest) == 4 * 2**20
    upstream.script(manifest(largest, announced=None), manifest(largest + b" ", announced=None))
    async with client(upstream.url) as registry:
        assert len((await registry.get_manifest(APP, V1)).raw) == 4 * 2**20
        with pytest.raises(AnswerTooLarge):
            await registry.get_manifest(APP, V1)


async def test_a_manifest_of_schema_1_is_said_to_be_one(upstream: Upstream) -> None:
    upstream.script(manifest(announced=OTHER, media_type="application/vnd.docker.distribution.manifest.v1+prettyjws"))
    async with client(upstream.url) as registry:
        with pytest.raises(Unsupported) as caught:
            await registry.get_manifest(APP, V1)
    assert caught.value.reason == "SCHEMA_1"


async def test_what_a_tag_points_to(upstream: Upstream) -> None:
    upstream.script(manifest(media_type=f"{OCI_MANIFEST}; charset=utf-8"))
    async with client(upstream.url) as registry:
        descriptor = await registry.resolve_manifest(APP, V1)
    assert (descriptor.digest, descriptor.media_type, descriptor.size) == (SHA256, OCI_MANIFEST, len(RAW))
    assert len(upstream.requests) == 1


@pytest.mark.parametrize("head", [answer(200), answer(405), answer(404)])
async def test_a_head_that_leaves_it_open_is_followed_by_a_get(upstream: Upstream, head: web.Response) -> None:
    upstream.script(head, manifest())
    async with client(upstream.url) as registry:
        assert (await registry.resolve_manifest(APP, V1)).digest == SHA256
    assert [request.method for request in upstream.requests] == ["HEAD", "GET"]


INDEX = b'{"schemaVersion":2,"manifests":[]}'


@pytest.mark.parametrize("media_type", ["text/plain", "application/json", "application/octet-stream"])
@pytest.mark.parametrize("announced", [Digest.of(INDEX), None])
async def test_an_index_of_a_generic_type_is_one_for_both_requests(
    upstream: Upstream, media_type: str, announced: Digest | None
) -> None:
    upstream.script(*[manifest(INDEX, announced=announced, media_type=media_type)] * 3)
    async with client(upstream.url) as registry:
        resolved = await registry.resolve_manifest(APP, V1)
        got = await registry.get_manifest(APP, V1)
    assert resolved == got.descriptor
    assert (got.kind, got.descriptor.media_type) == ("index", OCI_INDEX)
    # A HEAD does not say what it is.
    assert [request.method for request in upstream.requests] == ["HEAD", "GET", "GET"]


async def test_what_cannot_be_told_has_the_type_that_the_registry_says_for_both_requests(upstream: Upstream) -> None:
    both = b'{"config":{},"layers":[],"manifests":[]}'
    upstream.script(*[manifest(both, announced=Digest.of(both), media_type="text/plain")] * 3)
    async with client(upstream.url) as registry:
        resolved = await registry.resolve_manifest(APP, V1)
        got = await registry.get_manifest(APP, V1)
    assert resolved == got.descriptor
    assert got.descriptor.media_type == "text/plain"
    assert got.problem is not None
    assert (got.kind, got.problem.reason) == (None, "CONTENT_AMBIGUOUS")


async def test_a_length_of_0_in_a_head_is_no_size(upstream: Upstream) -> None:
    upstream.script(answer(200, b"", Content_Type=OCI_MANIFEST, Docker_Content_Digest=str(SHA256), Content_Length="0"))
    async with client(upstream.url) as registry:
        resolved = await registry.resolve_manifest(APP, V1)
    assert (resolved.digest, resolved.size) == (SHA256, None)
    assert len(upstream.requests) == 1


@pytest.mark.parametrize("size", [100, 100_000])
async def test_right_bytes_are_passed_on_whatever_they_say_and_wrong_ones_never(upstream: Upstream, size: int) -> None:
    # Of either size: small ones are read in place, others on a thread.
    raw = b'{"annotations":{"a":"caf\xe9"}}'.ljust(size)
    upstream.script(manifest(raw, announced=Digest.of(raw)), manifest(raw[:-1], announced=Digest.of(raw)))
    async with client(upstream.url) as registry:
        got = await registry.get_manifest(APP, V1)
        with pytest.raises(DigestMismatch):
            await registry.get_manifest(APP, V1)
    assert (got.raw, got.content) == (raw, None)
    assert got.problem is not None
    assert got.problem.reason == "CONTENT_INVALID"


@pytest.mark.parametrize(("size", "elsewhere"), [(1000, False), (100_000, True)])
async def test_a_large_manifest_is_read_on_another_thread(
    upstream: Upstream, monkeypatch: pytest.MonkeyPatch, size: int, elsewhere: bool
) -> None:
    threads: list[int] = []
    verify = Digest.verify

    def observed(digest: Digest, content: bytes) -> None:
        threads.append(threading.get_ident())
        verify(digest, content)

    monkeypatch.setattr(Digest, "verify", observed)
    raw = RAW.ljust(size)
    upstream.script(manifest(raw, announced=Digest.of(raw)))
    async with client(upstream.url) as registry:
        await registry.get_manifest(APP, V1)
    assert [thread != threading.get_ident() for thread in threads] == [elsewhere]


@pytest.mark.parametrize("code", ["MANIFEST_UNKNOWN", "NAME_UNKNOWN"])
async def test_what_is_not_there_is_named(upstream: Upstream, code: str) -> None:
    upstream.script(refusal(404, code))
    async with client(upstream.url) as registry:
        with pytest.raises(NotFound) as caught:
            await registry.resolve_manifest(APP, V1)
    assert caught.value.reason == code
    assert "team/app:v1" in str(caught.value)


async def test_a_404_that_is_not_the_registrys_is_not_absence(upstream: Upstream) -> None:
    upstream.script(answer(404, "<html>nginx</html>"))
    async with client(upstream.url) as registry:
        with pytest.raises(RegistryFault):
            await registry.resolve_manifest(APP, V1)
        with pytest.raises(RegistryFault):
            await registry.blob_exists(APP, SHA256)


async def test_a_head_that_announces_another_digest_than_asked_for(upstream: Upstream) -> None:
    upstream.script(manifest())
    async with client(upstream.url) as registry:
        with pytest.raises(UntrustedAnswer):
            await registry.resolve_manifest(APP, OTHER)


async def test_a_delete_is_sent_once_and_believed(upstream: Upstream) -> None:
    upstream.script(answer(202))
    async with client(upstream.url) as registry:
        await registry.delete_manifest(APP, SHA256)
    (request,) = upstream.requests
    assert (request.method, request.target) == ("DELETE", f"/v2/team/app/manifests/{SHA256}")


LOST: list[Scripted] = [reset, hang, answer(502), answer(503), answer(504)]


@pytest.mark.parametrize("lost", LOST)
@pytest.mark.parametrize("kind", ["manifests", "blobs"])
async def test_a_delete_whose_answer_got_lost_succeeded_when_the_thing_is_gone(
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
async def test_a_delete_whose_answer_got_lost_is_unknown_when_the_thing_is_there(
    upstream: Upstream, lost: Scripted, kind: str
) -> None:
    upstream.script(manifest(), lost, manifest())
    async with client(upstream.url) as registry:
        await registry.resolve_manifest(APP, V1)
        with pytest.raises(DeleteOutcomeUnknown, match="Look again") as caught:
            await (registry.delete_manifest if kind == "manifests" else registry.delete_blob)(APP, SHA256)
    assert caught.value.reason == "DELETE_OUTCOME_UNKNOWN"
    assert [request.method for request in upstream.requests].count("DELETE") == 1


async def test_a_delete_that_never_left_is_not_looked_after(unused_tcp_port: int) -> None:
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
async def test_a_delete_that_cannot_be_looked_after_is_unknown_and_nothing_else(
    upstream: Upstream, looked: Callable[[], Scripted], kind: str
) -> None:
    upstream.script(manifest(), reset, *(looked() for _ in range(8)))
    async with client(upstream.url) as registry:
        await registry.resolve_manifest(APP, V1)
        with pytest.raises(DeleteOutcomeUnknown, match="could not be seen afterwards"):
            await (registry.delete_manifest if kind == "manifests" else registry.delete_blob)(APP, SHA256)
    assert [request.method for request in upstream.requests].count("DELETE") == 1


async def test_a_blob_whose_repository_is_gone_after_its_delete_has_gone_with_it(upstream: Upstream) -> None:
    upstream.script(manifest(), reset, refusal(404, "NAME_UNKNOWN"), refusal(404, "NAME_UNKNOWN"))
    async with client(upstream.url) as registry:
        await registry.resolve_manifest(APP, V1)
        await registry.delete_blob(APP, SHA256)


async def test_a_page_that_is_no_manifest_is_not_taken_for_one_that_exists(upstream: Upstream) -> None:
    upstream.script(*(answer(200, "<html>Log in</html>", Content_Type="text/html") for _ in range(2)))
    async with client(upstream.url) as registry:
        with pytest.raises(DigestMismatch):
            await registry.resolve_manifest(APP, SHA256)
    assert [request.method for request in upstream.requests] == ["HEAD", "GET"]


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


async def test_a_delete_on_its_way_is_not_broken_off_by_who_goes_away(upstream: Upstream) -> None:
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
    upstream.script(hang)
    async with client(upstream.url) as registry:
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


async def test_a_delete_that_waits_for_its_turn_is_not_sent_for_who_has_gone(upstream: Upstream) -> None:
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
        task.cancel(BREAK_OFF)
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


async def test_a_blob_is_there_also_when_its_storage_is_elsewhere(upstream: Upstream) -> None:
    async with Upstream() as storage:
        upstream.script(answer(307, Location=f"{storage.url}/signed"), answer(200), refusal(404, "BLOB_UNKNOWN"))
        async with client(upstream.url) as registry:
            assert await registry.blob_exists(APP, SHA256)
            assert await registry.blob_exists(APP, SHA256)
            assert not await registry.blob_exists(APP, SHA256)
        assert not storage.requests


async def test_a_blob_of_an_unknown_repository(upstream: Upstream) -> None:
    upstream.script(refusal(404, "NAME_UNKNOWN"))
    async with client(upstream.url) as registry:
        with pytest.raises(NotFound) as caught:
            await registry.blob_exists(APP, SHA256)
    assert caught.value.reason == "NAME_UNKNOWN"


async def test_what_is_known_is_asked_after_and_not_sent_again(upstream: Upstream) -> None:
    upstream.script(manifest(), answer(304, b""), manifest(RAW + b" ", announced=Digest.of(RAW + b" ")))
    async with client(upstream.url) as registry:
        known = await registry.get_manifest(APP, V1)
        assert await registry.get_manifest(APP, V1, known=known) is known
        assert (await registry.get_manifest(APP, V1, known=known)).descriptor.digest == Digest.of(RAW + b" ")
    assert [seen.headers.get("If-None-Match") for seen in upstream.requests] == [None, f'"{SHA256}"', f'"{SHA256}"']


async def test_not_modified_is_no_answer_to_who_knows_nothing(upstream: Upstream) -> None:
    upstream.script(answer(304, b""))
    async with client(upstream.url) as registry:
        with pytest.raises(RegistryFault):
            await registry.get_manifest(APP, V1)


async def test_a_digest_is_asked_after_without_its_own_name_which_would_always_be_not_modified(
    upstream: Upstream,
) -> None:
    upstream.script(manifest(), manifest(), refusal(404, "MANIFEST_UNKNOWN"))
    async with client(upstream.url) as registry:
        known = await registry.get_manifest(APP, SHA256)
        assert await registry.get_manifest(APP, SHA256, known=known) is known
        with pytest.raises(NotFound):
            await registry.get_manifest(APP, SHA256, known=known)
    assert [seen.headers.get("If-None-Match") for seen in upstream.requests] == [None] * len(upstream.requests)
    assert upstream.requests[1].method == "HEAD"


async def test_any_page_that_says_welcome_is_no_manifest(upstream: Upstream) -> None:
    upstream.script(answer(200, '{"status": "welcome"}', Content_Type="application/json"))
    async with client(upstream.url) as registry:
        with pytest.raises(UntrustedAnswer, match="no manifest") as caught:
            await registry.get_manifest(APP, V1)
    assert caught.value.concern is Concern.REGISTRY_URL


async def test_a_delete_whose_token_could_not_be_had_never_left(upstream: Upstream, token_service: Upstream) -> None:
    upstream.script(bearer_challenge(token_service.url, "repository:team/app:delete"))
    token_service.script(answer(503), answer(503), answer(503), answer(200, '{"token": "t"}'))
    async with client(upstream.url, realm=token_service.url) as registry:
        with pytest.raises(Unavailable) as caught:
            await registry.delete_manifest(APP, SHA256)
    assert not isinstance(caught.value, DeleteOutcomeUnknown)
    # Nothing was looked up either: there is nothing to find out.
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


async def test_a_blob_is_read_and_verified(upstream: Upstream) -> None:
    upstream.script(answer(200, RAW), answer(200, b"other"), refusal(404, "BLOB_UNKNOWN"))
    async with client(upstream.url) as registry:
        assert await registry.get_blob(APP, SHA256) == RAW
        with pytest.raises(DigestMismatch):
            await registry.get_blob(APP, SHA256)
        with pytest.raises(NotFound):
            await registry.get_blob(APP, SHA256)
    assert upstream.requests[0].target == f"/v2/team/app/blobs/{SHA256}"


async def test_a_blob_is_read_up_to_the_size_of_manifests(upstream: Upstream) -> None:
    upstream.script(answer(200, b"x" * (MANIFEST_LIMIT + 1)))
    async with client(upstream.url) as registry:
        with pytest.raises(AnswerTooLarge):
            await registry.get_blob(APP, SHA256)


async def test_a_blob_in_the_registrys_storage_is_fetched_there_without_any_credential(upstream: Upstream) -> None:
    async def redirect(request: web.Request) -> web.StreamResponse:
        if request.headers.get("Authorization") is None:
            return basic_challenge()
        return answer(307, Location=f"http://user:secret@127.0.0.1:{storage.port}/signed?a=b%2Fc#f")

    async with Upstream() as storage:
        upstream.script(redirect)
        # Its challenge is not answered, and what it sends is checked like what the registry sends.
        storage.script(answer(302, Location="/further"), answer(200, RAW), basic_challenge(), answer(200, b"other"))
        async with client(upstream.url, credentials=PORTUS, blob_origins=[storage.url]) as registry:
            assert await registry.get_blob(APP, SHA256) == RAW
            with pytest.raises(Denied) as denied:
                await registry.get_blob(APP, SHA256)
            with pytest.raises(DigestMismatch):
                await registry.get_blob(APP, SHA256)
        assert [seen.target for seen in storage.requests] == ["/signed?a=b%2Fc", "/further", *["/signed?a=b%2Fc"] * 2]
        assert [seen.authorization for seen in storage.requests] == [None] * 4
    assert "secret" not in str(denied.value)


@pytest.mark.parametrize("steps", [0, 1], ids=["by the registry", "by its storage"])
async def test_a_redirect_to_an_origin_that_is_not_allowed_is_refused(upstream: Upstream, steps: int) -> None:
    async with Upstream() as storage, Upstream() as other:
        elsewhere = answer(307, Location=f"http://user:secret@127.0.0.1:{other.port}/signed?key=secret")
        upstream.script(answer(307, Location=f"{storage.url}/signed") if steps else elsewhere)
        storage.script(elsewhere)
        async with client(upstream.url, credentials=PORTUS, blob_origins=[storage.url]) as registry:
            with pytest.raises(RedirectRefused) as refused:
                await registry.get_blob(APP, SHA256)
        assert not other.requests
        assert len(storage.requests) == steps
    assert refused.value.reason == "REDIRECT_REFUSED"
    assert refused.value.concern is Concern.BLOB_ORIGINS
    assert refused.value.operator_detail == f"to http://127.0.0.1:{other.port}"
    assert "127.0.0.1" not in str(refused.value)


async def test_a_blob_may_be_redirected_within_the_registry(upstream: Upstream) -> None:
    upstream.script(answer(307, Location="/elsewhere"), answer(200, RAW))
    async with client(upstream.url) as registry:
        assert await registry.get_blob(APP, SHA256) == RAW
    assert [seen.target for seen in upstream.requests] == [f"/v2/team/app/blobs/{SHA256}", "/elsewhere"]


async def test_a_blob_from_the_storage_is_bounded_in_size(upstream: Upstream) -> None:
    async with Upstream() as storage:
        upstream.script(answer(307, Location=f"{storage.url}/signed"))
        storage.script(answer(200, b"x" * (MANIFEST_LIMIT + 1)))
        async with client(upstream.url, blob_origins=[storage.url]) as registry:
            with pytest.raises(AnswerTooLarge):
                await registry.get_blob(APP, SHA256)


@pytest.mark.parametrize("location", ["", "ftp://elsewhere.test/", "//", "http://"])
async def test_a_redirect_to_nowhere_is_not_followed(upstream: Upstream, location: str) -> None:
    upstream.script(answer(307, Location=location))
    async with client(upstream.url, credentials=PORTUS) as registry:
        with pytest.raises(RegistryFault):
            await registry.get_blob(APP, SHA256)


async def test_a_storage_that_redirects_for_ever_is_given_up(upstream: Upstream) -> None:
    async with Upstream() as storage:
        upstream.script(answer(307, Location=f"{storage.url}/again"))
        storage.script(answer(307, Location="/again"))
        async with client(upstream.url, blob_origins=[storage.url]) as registry:
            with pytest.raises(RegistryFault, match="more than 5 times"):
                await registry.get_blob(APP, SHA256)
        assert len(storage.requests) == 5


async def test_a_blob_that_a_get_finds_is_there_however_large(upstream: Upstream) -> None:
    async def no_heads(request: web.Request) -> web.StreamResponse:
        return answer(404) if request.method == "HEAD" else answer(200, b"x" * 200_000)

    upstream.script(no_heads)
    async with client(upstream.url) as registry:
        assert await registry.blob_exists(APP, SHA256)


@pytest.mark.parametrize("status", [302, 303, 307, 308])
async def test_a_blob_that_is_kept_elsewhere_is_there(upstream: Upstream, status: int) -> None:
    upstream.script(answer(status, Location="https://storage.test/x"))
    async with client(upstream.url) as registry:
        assert await registry.blob_exists(APP, SHA256)


async def test_whoever_retries_while_the_client_closes_is_told_so(upstream: Upstream) -> None:
    upstream.script(answer(503, Retry_After="1"))
    async with client(upstream.url) as registry:
        reading = asyncio.ensure_future(registry.list_tags(APP, 10))
        while not upstream.requests:
            await asyncio.sleep(0)
        await asyncio.sleep(0.05)
    with pytest.raises(Unavailable) as caught:
        await reading
    assert caught.value.reason == "SHUTTING_DOWN"


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


async def test_a_delete_that_failed_and_took_no_effect_is_the_registrys_failure(upstream: Upstream) -> None:
    upstream.script(refusal(500, "UNKNOWN"), manifest())
    async with client(upstream.url) as registry:
        with pytest.raises(RegistryFault):
            await registry.delete_manifest(APP, SHA256)


# What stands between the gateway and the registry answers these when it has waited for too long.
OF_PROXIES = [
    *(answer(status, "error code") for status in (408, 460, 499, 500, 501, 520, 522, 524, 527, 529)),
    answer(500, "<html>Internal Server Error</html>", Content_Type="text/html"),
    answer(504, "<html>Gateway Time-out</html>", Content_Type="text/html"),
]


@pytest.mark.parametrize("given", OF_PROXIES, ids=lambda given: str(given.status))
async def test_behind_a_proxys_answer_a_delete_may_go_on(upstream: Upstream, given: web.Response) -> None:
    upstream.script(given, manifest(), given, refusal(404, "MANIFEST_UNKNOWN"))
    async with client(upstream.url) as registry:
        with pytest.raises(DeleteOutcomeUnknown, match="the registry may not be done yet"):
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
async def test_what_the_registry_refuses_as_things_are_is_told_in_its_words(
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


async def test_reads_are_not_answered_by_a_cache_on_the_way(upstream: Upstream) -> None:
    upstream.script(manifest(), manifest(), answer(200, '{"tags": []}'), answer(200), answer(202))
    async with client(upstream.url) as registry:
        await registry.resolve_manifest(APP, V1)
        await registry.get_manifest(APP, V1)
        await registry.list_tags(APP, 10)
        await registry.blob_exists(APP, SHA256)
        await registry.delete_manifest(APP, SHA256)
    assert [seen.headers.get("Cache-Control") for seen in upstream.requests] == ["no-cache"] * 4 + [None]


async def test_a_delete_that_nobody_can_look_up_is_unknown(upstream: Upstream) -> None:
    upstream.script(answer(502), answer(503))
    async with client(upstream.url) as registry:
        with pytest.raises(DeleteOutcomeUnknown, match="could not be seen afterwards"):
            await registry.delete_manifest(APP, SHA256)


async def test_a_registry_that_is_busy_with_our_requests_still_answers_whether_it_is_there(upstream: Upstream) -> None:
    release = asyncio.Event()

    async def busy(request: web.Request) -> web.StreamResponse:
        if request.path != "/v2/":
            await release.wait()
            return manifest()
        return answer(200)

    upstream.script(busy)
    async with client(upstream.url, concurrency=2, timeouts=Timeouts()) as registry:
        reading = [asyncio.ensure_future(registry.get_manifest(APP, V1)) for _ in range(4)]
        while len(upstream.requests) < 2:
            await asyncio.sleep(0)
        async with within(5):
            await registry.ping()
        release.set()
        await asyncio.gather(*reading)


async def test_what_the_registry_repeats_of_a_credential_is_shown_nowhere(upstream: Upstream) -> None:
    async def repeat(request: web.Request) -> web.StreamResponse:
        if request.headers.get("Authorization") is None:
            return basic_challenge()
        if request.path == "/v2/":
            return answer(200, Docker_Distribution_Api_Version=f"registry/{PASSWORD}")
        if "tags" in request.path:
            return answer(307, Location=f"https://storage.test/{PASSWORD}")
        return answer(200, "{}", Content_Type=f"x/{PASSWORD}")

    upstream.script(repeat)
    async with client(upstream.url, credentials=PORTUS) as registry:
        with pytest.raises(DistributionError) as redirected:
            await registry.list_tags(APP, 10)
        with pytest.raises(UntrustedAnswer) as typed:
            await registry.get_manifest(APP, V1)
        version = await registry.ping()
    shown = str(redirected.value) + redirected.value.operator_detail + str(typed.value) + version.api_version
    assert PASSWORD not in shown
    assert "https://storage.test/[redacted]" in redirected.value.operator_detail


async def test_the_environments_proxy_brings_no_credential_of_its_own(
    upstream: Upstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password else\nmachine registry.test login a password b\n")
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("http_proxy", upstream.url)
    monkeypatch.setenv("no_proxy", "")
    upstream.script(answer(200))
    configuration = Configuration(url="http://registry.test", use_environment_proxy=True)
    async with DistributionClient(configuration) as registry:
        await registry.ping()
    (through_the_proxy,) = upstream.requests
    assert through_the_proxy.authorization is None
    assert "registry.test" in through_the_proxy.target
    upstream.requests.clear()
    upstream.script(answer(200))
    async with DistributionClient(replace(configuration, url=upstream.url, use_environment_proxy=False)) as registry:
        await registry.ping()
    assert upstream.requests[0].authorization is None
