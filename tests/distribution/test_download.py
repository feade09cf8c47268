"""Blobs that are read piece by piece: ranges, verification, breaks, and memory."""

import asyncio
import hashlib
import re
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from aiohttp import web

from portus_gateway.distribution import DistributionClient
from portus_gateway.distribution.concern import Concern
from portus_gateway.distribution.configuration import RetryPolicy, Timeouts
from portus_gateway.distribution.digest import Digest
from portus_gateway.distribution.download import Part
from portus_gateway.distribution.errors import (
    Denied,
    DigestMismatch,
    DistributionError,
    NotFound,
    RangeInvalid,
    RedirectRefused,
    RegistryFault,
    Unreachable,
    UntrustedAnswer,
    UpstreamTimeout,
)
from portus_gateway.distribution.names import Repository
from tests.access.certificates import Authority
from tests.distribution.clients import PORTUS, Counting, client
from tests.distribution.upstream import Upstream, answer, basic_challenge, refusal

APP = Repository("team/app")
MIB = 1024 * 1024
CONTENT = bytes(hashlib.shake_256(b"a blob").digest(1000)) * 3000
SIZE = len(CONTENT)
DIGEST = Digest.of(CONTENT)
EMPTY = Digest.of(b"")
_RANGE = re.compile(r"bytes=([0-9]+)-([0-9]*)")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


async def read(registry: DistributionClient, digest: Digest = DIGEST, part: Part = Part()) -> tuple[int | None, bytes]:  # noqa: B008
    """The blob's size as it is stated, and the bytes."""
    async with registry.open_blob(APP, digest, part) as blob:
        return blob.size, b"".join([chunk async for chunk in blob.chunks()])


def part_of(content: bytes, request: web.Request) -> tuple[int, int] | None:
    """The part that a request asks for. None: all of it."""
    found = _RANGE.fullmatch(request.headers.get("Range", ""))
    if found is None:
        return None
    return int(found[1]), min(int(found[2] or len(content)) + 1, len(content))


async def with_ranges(request: web.Request, content: bytes = CONTENT) -> web.StreamResponse:
    """Answers as a registry does that takes ranges."""
    part = part_of(content, request)
    if part is None:
        return answer(200, content)
    if part[0] >= part[1]:
        return answer(416, Content_Range=f"bytes */{len(content)}")
    return answer(206, content[part[0] : part[1]], Content_Range=f"bytes {part[0]}-{part[1] - 1}/{len(content)}")


def breaking(*positions: int) -> Handler:
    """Answers as `with_ranges`. The n-th answer breaks at the n-th of the positions in the blob."""
    left = list(positions)

    async def respond(request: web.Request) -> web.StreamResponse:
        whole = await with_ranges(request)
        if not left or request.method == "HEAD":
            return whole
        start, end = part_of(CONTENT, request) or (0, SIZE)
        response = web.StreamResponse(status=whole.status, headers=whole.headers)
        response.content_length = end - start
        await response.prepare(request)
        await response.write(CONTENT[start : left.pop(0)])
        assert request.transport is not None
        request.transport.close()
        return response

    return respond


async def without_length(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    response.enable_chunked_encoding()
    await response.prepare(request)
    await response.write(CONTENT)
    await response.write_eof()
    return response


async def ignoring_ranges(_: web.Request) -> web.StreamResponse:
    return answer(200, CONTENT)


@pytest.mark.parametrize("respond", [with_ranges, ignoring_ranges])
async def test_a_download_that_was_paused_goes_on_where_it_was(upstream: Upstream, respond: Handler) -> None:
    upstream.script(respond)
    async with client(upstream.url) as registry, registry.open_blob(APP, DIGEST, Part()) as blob:
        blob.pause()
        received = b""
        async for chunk in blob.chunks():
            received += chunk
            if len(received) in (len(chunk), SIZE):
                blob.pause()
                blob.pause()
    assert received == CONTENT


async def test_a_blob_is_read_in_chunks_and_verified(upstream: Upstream) -> None:
    upstream.script(with_ranges)
    async with client(upstream.url) as registry, registry.open_blob(APP, DIGEST, Part()) as blob:
        assert blob.size == SIZE
        chunks = [chunk async for chunk in blob.chunks()]
    assert b"".join(chunks) == CONTENT
    assert all(64 * 1024 <= len(chunk) <= MIB for chunk in chunks[:-1])
    assert [(seen.target, seen.headers.get("Range")) for seen in upstream.requests] == [
        (f"/v2/team/app/blobs/{DIGEST}", None)
    ]


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
async def test_other_bytes_than_those_of_the_digest_are_an_error_at_the_end(upstream: Upstream, algorithm: str) -> None:
    upstream.script(with_ranges)
    async with client(upstream.url) as registry:
        assert (await read(registry, Digest.of(CONTENT, algorithm)))[1] == CONTENT
        with pytest.raises(DigestMismatch) as mismatch:
            await read(registry, Digest.of(CONTENT + b"x", algorithm))
    assert mismatch.value.facts["actual"] == Digest.of(CONTENT, algorithm).text


async def test_a_blob_without_bytes(upstream: Upstream) -> None:
    upstream.script(lambda request: with_ranges(request, b""))
    async with client(upstream.url) as registry:
        assert await read(registry, EMPTY) == (0, b"")
        assert await read(registry, EMPTY, Part(0, 10)) == (0, b"")
        with pytest.raises(DigestMismatch):
            await read(registry, DIGEST)


@pytest.mark.parametrize("serve", [with_ranges, ignoring_ranges, without_length])
@pytest.mark.parametrize(
    "part",
    [
        Part(0, 1),
        Part(1),
        Part(5, 10),
        Part(SIZE - 1),
        Part(SIZE - 1, 100),
        Part(SIZE),
        Part(SIZE, 5),
        Part(0, SIZE + 1),
    ],
)
async def test_a_part_is_what_was_asked_for(upstream: Upstream, serve: Handler, part: Part) -> None:
    async def respond(request: web.Request) -> web.StreamResponse:
        return await (with_ranges(request) if request.method == "HEAD" else serve(request))

    upstream.script(respond)
    async with client(upstream.url) as registry:
        assert await read(registry, DIGEST, part) == (SIZE, CONTENT[part.offset : part.end])


@pytest.mark.parametrize("serve", [with_ranges, ignoring_ranges])
async def test_a_part_behind_the_end_is_refused(upstream: Upstream, serve: Handler) -> None:
    upstream.script(serve)
    async with client(upstream.url) as registry:
        with pytest.raises(RangeInvalid, match=f"it has {SIZE} bytes") as refused:
            await read(registry, DIGEST, Part(SIZE + 1))
    assert refused.value.reason == "RANGE_INVALID"


async def test_a_refused_range_without_a_size_is_looked_at_with_a_head(upstream: Upstream) -> None:
    async def respond(request: web.Request) -> web.StreamResponse:
        return answer(416) if request.method == "GET" else answer(200, CONTENT)

    upstream.script(respond)
    async with client(upstream.url) as registry:
        assert await read(registry, DIGEST, Part(SIZE)) == (SIZE, b"")
        with pytest.raises(RangeInvalid):
            await read(registry, DIGEST, Part(SIZE + 1))
        with pytest.raises(RangeInvalid, match="416"):
            await read(registry, DIGEST, Part(5))


async def test_a_refused_range_whose_body_is_cut_off(upstream: Upstream) -> None:
    """Distribution 2.8 states the length of the whole blob and sends a short text."""

    async def respond(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(status=416, headers={"Content-Range": f"bytes */{SIZE}"})
        response.content_length = SIZE
        await response.prepare(request)
        await response.write(b"invalid range\n")
        assert request.transport is not None
        request.transport.close()
        return response

    upstream.script(respond)
    async with client(upstream.url) as registry:
        assert await read(registry, DIGEST, Part(SIZE)) == (SIZE, b"")
        with pytest.raises(RangeInvalid):
            await read(registry, DIGEST, Part(SIZE + 1))
    assert len(upstream.requests) == 2


@pytest.mark.parametrize(
    "stated",
    [
        "",
        "bytes 5-14",
        "bytes 4-13/100",
        "bytes 4-14/100",
        "bytes 6-14/100",
        "bytes 5-15/100",
        "bytes 5-4/100",
        "bytes 5-14/10",
        "bytes */100",
        "items 5-14/100",
        "bytes 5-13/100",
    ],
)
async def test_a_range_that_was_not_asked_for_is_not_passed_on(upstream: Upstream, stated: str) -> None:
    upstream.script(answer(206, b"0123456789", Content_Range=stated))
    async with client(upstream.url) as registry:
        with pytest.raises(UntrustedAnswer) as refused:
            await read(registry, DIGEST, Part(5, 10))
    assert refused.value.reason == "UPSTREAM_ANSWER_INVALID"


async def test_a_part_that_nobody_asked_for_is_not_passed_on(upstream: Upstream) -> None:
    upstream.script(answer(206, b"0123456789", Content_Range="bytes 0-9/10"))
    async with client(upstream.url) as registry:
        with pytest.raises(UntrustedAnswer):
            await read(registry, DIGEST)


async def test_a_compressed_answer_is_not_passed_on(upstream: Upstream) -> None:
    upstream.script(answer(200, CONTENT, Content_Encoding="gzip"), with_ranges)
    async with client(upstream.url, downloads=1) as registry:
        with pytest.raises(UntrustedAnswer):
            await read(registry)
        # Its place is free again.
        assert (await read(registry))[1] == CONTENT


@pytest.mark.parametrize("part", [Part(), Part(1000, 2 * MIB), Part(SIZE - 2 * MIB)])
async def test_a_broken_download_goes_on_where_it_broke(upstream: Upstream, part: Part) -> None:
    first, second = part.offset + 300_000, part.offset + 300_001
    upstream.script(breaking(first, second))
    async with client(upstream.url) as registry:
        assert await read(registry, DIGEST, part) == (SIZE, CONTENT[part.offset : part.end])
    starts = [re.sub("-.*", "", seen.headers.get("Range", "bytes=0-")) for seen in upstream.requests]
    assert starts == [f"bytes={position}" for position in (part.offset, first, second)]


async def test_a_download_that_breaks_without_progress_is_given_up(upstream: Upstream) -> None:
    upstream.script(breaking(*[1000] * 20))
    received = b""
    async with client(upstream.url) as registry, registry.open_blob(APP, DIGEST, Part()) as blob:
        with pytest.raises(Unreachable):
            async for chunk in blob.chunks():
                received += chunk
    assert received == CONTENT[:1000]
    # As often as the retry policy says.
    assert len(upstream.requests) == 3


async def test_a_download_that_makes_progress_may_break_often(upstream: Upstream) -> None:
    upstream.script(breaking(MIB, MIB + 5, 2 * MIB + 10, 2 * MIB + 15))
    async with client(upstream.url) as registry:
        assert (await read(registry))[1] == CONTENT


async def test_a_blob_that_has_another_size_after_a_break_is_not_passed_on(upstream: Upstream) -> None:
    upstream.script(breaking(1000), answer(206, b"x", Content_Range="bytes 1000-1000/1001"))
    async with client(upstream.url) as registry:
        with pytest.raises(UntrustedAnswer, match="two sizes"):
            await read(registry)


async def test_a_download_goes_on_at_a_registry_that_ignores_ranges(upstream: Upstream) -> None:
    upstream.script(breaking(300_000), ignoring_ranges)
    async with client(upstream.url) as registry:
        assert (await read(registry))[1] == CONTENT


def in_slices(request: web.Request, size: int) -> web.StreamResponse:
    """Answers with at most `size` bytes, and never says how large the blob is."""
    found = _RANGE.fullmatch(request.headers.get("Range", ""))
    start = int(found[1]) if found else 0
    end = min(int((found and found[2]) or SIZE) + 1, start + size, SIZE)
    if start >= SIZE:
        return answer(416)
    return answer(206, CONTENT[start:end], Content_Range=f"bytes {start}-{end - 1}/*")


@pytest.mark.parametrize("part", [Part(), Part(1000), Part(1000, 2 * MIB), Part(1000, 10 * SIZE)], ids=str)
async def test_a_short_range_of_a_blob_of_unknown_size_is_not_taken_for_its_end(upstream: Upstream, part: Part) -> None:
    asked = 0
    first_chunk = asyncio.Event()

    async def respond(request: web.Request) -> web.StreamResponse:
        nonlocal asked
        if request.method == "HEAD":
            response = web.StreamResponse()
            response.enable_chunked_encoding()
            return response
        asked += 1
        if "Range" not in request.headers:
            # Breaks when the first bytes are read, without a length.
            response = web.StreamResponse()
            response.enable_chunked_encoding()
            await response.prepare(request)
            await response.write(CONTENT[:300_000])
            await first_chunk.wait()
            assert request.transport is not None
            request.transport.close()
            return response
        return in_slices(request, MIB + 1)

    upstream.script(respond)
    received = b""
    async with client(upstream.url) as registry, registry.open_blob(APP, DIGEST, part) as blob:
        async for chunk in blob.chunks():
            received += chunk
            first_chunk.set()
    end = SIZE if part.end is None else part.end
    assert received == CONTENT[part.offset : end]
    assert asked > 1


async def test_a_registry_that_stalls_is_given_up(upstream: Upstream) -> None:
    async def stall(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        response.content_length = SIZE
        await response.prepare(request)
        await response.write(CONTENT[:1000])
        await asyncio.Event().wait()
        return response

    upstream.script(stall)
    async with client(upstream.url, timeouts=Timeouts(read=0.2), retries=RetryPolicy(attempts=1)) as registry:
        with pytest.raises(UpstreamTimeout):
            await read(registry)


async def test_a_slow_reader_does_not_make_the_registry_look_slow(upstream: Upstream) -> None:
    """While nobody reads, the registry cannot send: this is not its fault."""
    content = CONTENT * 8
    upstream.script(lambda request: with_ranges(request, content))
    async with (
        client(upstream.url, timeouts=Timeouts(read=0.1, total=0.2), retries=RetryPolicy(attempts=1)) as registry,
        registry.open_blob(APP, Digest.of(content), Part()) as blob,
    ):
        chunks = blob.chunks()
        received = [await anext(chunks)]
        await asyncio.sleep(0.5)
        received += [chunk async for chunk in chunks]
    assert b"".join(received) == content


async def test_a_reader_that_does_not_read_stops_the_registry(upstream: Upstream) -> None:
    sent = 0
    stopped = asyncio.Event()

    async def respond(request: web.Request) -> web.StreamResponse:
        nonlocal sent
        response = web.StreamResponse()
        response.content_length = 512 * MIB
        await response.prepare(request)
        try:
            while sent < 512 * MIB:
                async with asyncio.timeout(0.3):
                    await response.write(b"x" * MIB)
                sent += MIB
        except TimeoutError:
            stopped.set()
        return response

    upstream.script(respond)
    async with client(upstream.url) as registry, registry.open_blob(APP, DIGEST, Part()) as blob:
        await anext(blob.chunks())
        await asyncio.wait_for(stopped.wait(), 10)
    # Most of it is in the buffers of both sockets.
    assert sent < 32 * MIB


@pytest.mark.parametrize(
    ("scripted", "expected", "reason"),
    [
        (refusal(404, "BLOB_UNKNOWN"), NotFound, "BLOB_UNKNOWN"),
        (refusal(404, "NAME_UNKNOWN"), NotFound, "NAME_UNKNOWN"),
        (refusal(403, "DENIED"), Denied, "DENIED"),
        (answer(500), RegistryFault, "UPSTREAM_ERROR"),
        (answer(204), RegistryFault, "UPSTREAM_ERROR"),
    ],
)
async def test_what_a_registry_refuses(
    upstream: Upstream, scripted: web.Response, expected: type[DistributionError], reason: str
) -> None:
    upstream.script(scripted)
    async with client(upstream.url) as registry:
        for part in (Part(), Part(1, 2)):
            with pytest.raises(expected) as refused:
                await read(registry, DIGEST, part)
            assert refused.value.reason == reason


async def test_the_storage_gets_the_range_and_no_credential(upstream: Upstream) -> None:
    async def redirect(request: web.Request) -> web.StreamResponse:
        if request.headers.get("Authorization") is None:
            return basic_challenge()
        return answer(307, Location=f"http://user:secret@127.0.0.1:{storage.port}/signed?a=b%2Fc#f")

    async with Upstream() as storage:
        upstream.script(redirect)
        storage.script(breaking(300_000))
        async with client(upstream.url, credentials=PORTUS, blob_origins=[storage.url]) as registry:
            assert (await read(registry))[1] == CONTENT
        seen = [(each.target, each.authorization, each.headers.get("Range")) for each in storage.requests]
        assert seen == [
            ("/signed?a=b%2Fc", None, None),
            # A signed address may have expired: the registry is asked for another one.
            ("/signed?a=b%2Fc", None, f"bytes=300000-{SIZE - 1}"),
        ]
    assert len([each for each in upstream.requests if each.authorization]) == 2


@pytest.mark.parametrize("after_break", [False, True])
async def test_a_redirect_to_an_origin_that_is_not_allowed_is_refused(upstream: Upstream, after_break: bool) -> None:
    async with Upstream() as other:
        elsewhere = answer(307, Location=f"{other.url}/signed?key=secret")
        upstream.script(*([breaking(300_000)] if after_break else []), elsewhere)
        async with client(upstream.url) as registry:
            with pytest.raises(RedirectRefused) as refused:
                await read(registry)
        assert not other.requests
    assert refused.value.concern is Concern.BLOB_ORIGINS


@pytest.fixture
async def one_at_a_time(upstream: Upstream) -> AsyncIterator[DistributionClient]:
    async with client(upstream.url, downloads=1, concurrency=1) as registry:
        yield registry


async def test_slow_readers_do_not_keep_other_requests_waiting(
    upstream: Upstream, one_at_a_time: DistributionClient
) -> None:
    upstream.script(with_ranges)
    async with asyncio.timeout(10), one_at_a_time.open_blob(APP, DIGEST, Part()) as blob:
        await anext(blob.chunks())
        assert await one_at_a_time.get_blob(APP, DIGEST) == CONTENT
        second = asyncio.ensure_future(read(one_at_a_time))
        await asyncio.sleep(0)
        assert not second.done()
        # One download waits for the other, and for nothing else.
        assert await one_at_a_time.blob_exists(APP, DIGEST)
        assert not second.done()
    assert (await second)[1] == CONTENT


@pytest.mark.parametrize("end", ["read", "left", "failed", "cancelled"])
async def test_a_download_that_ends_leaves_its_place(
    upstream: Upstream, one_at_a_time: DistributionClient, end: str
) -> None:
    upstream.script(with_ranges)

    async def left() -> None:
        async with one_at_a_time.open_blob(APP, DIGEST, Part()) as blob:
            async for _ in blob.chunks():
                if end == "failed":
                    raise ValueError
                if end == "cancelled":
                    await asyncio.Event().wait()
                if end == "left":
                    break

    task = asyncio.ensure_future(left())
    if end == "cancelled":
        while not upstream.requests:
            await asyncio.sleep(0.01)
        task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    async with asyncio.timeout(5):
        assert (await read(one_at_a_time))[1] == CONTENT


async def test_credentials_are_found_although_all_places_are_taken(upstream: Upstream) -> None:
    """The registry first answers without asking. The answer is put aside, and its place with it."""

    async def respond(request: web.Request) -> web.StreamResponse:
        if request.path == "/v2/" or (request.path == "/v2/_catalog" and "Authorization" not in request.headers):
            return basic_challenge()
        return await with_ranges(request)

    upstream.script(respond)
    async with client(upstream.url, credentials=PORTUS, downloads=1, concurrency=1) as registry:
        async with asyncio.timeout(5):
            assert (await read(registry))[1] == CONTENT
    assert upstream.requests[-1].authorization is not None


async def test_downloads_are_counted(upstream: Upstream) -> None:
    counting = Counting()
    upstream.script(with_ranges)
    async with client(upstream.url, observer=counting) as registry:
        await read(registry)
    assert counting.requests == [("GET", "blobs", "200")]
    assert counting.blob_bytes == SIZE


@pytest.mark.parametrize("trusted", [True, False])
async def test_the_storage_may_use_tls_with_an_authority_of_its_own(
    upstream: Upstream, tmp_path: Path, trusted: bool
) -> None:
    authority = Authority()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*authority.issue(dns=["localhost"]).write(tmp_path))
    ca_file = tmp_path / "ca.pem"
    ca_file.write_bytes((authority if trusted else Authority()).pem)
    async with Upstream(context) as storage:
        address = f"https://localhost:{storage.port}"
        upstream.script(answer(307, Location=f"{address}/signed"))
        storage.script(with_ranges)
        async with client(upstream.url, blob_origins=[address], ca_file=ca_file) as registry:
            if trusted:
                assert (await read(registry, DIGEST, Part(10, 20)))[1] == CONTENT[10:30]
            else:
                with pytest.raises(Unreachable, match="the certificate of the registry's storage is not trusted"):
                    await read(registry)


async def test_a_storage_that_redirects_from_https_to_http_is_not_followed(upstream: Upstream, tmp_path: Path) -> None:
    authority = Authority()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*authority.issue(dns=["localhost"]).write(tmp_path))
    (tmp_path / "ca.pem").write_bytes(authority.pem)
    async with Upstream(context) as storage, Upstream() as plain:
        address = f"https://localhost:{storage.port}"
        upstream.script(answer(307, Location=f"{address}/signed"))
        storage.script(answer(307, Location=f"{plain.url}/signed"))
        origins = [address, plain.url]
        async with client(upstream.url, blob_origins=origins, ca_file=tmp_path / "ca.pem") as registry:
            with pytest.raises(RegistryFault, match="from https to http"):
                await read(registry)
        assert not plain.requests
