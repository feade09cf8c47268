"""What each fault does to a real HTTP client."""

import asyncio
import json
import time
import zlib
from collections.abc import Callable
from contextlib import suppress

import aiohttp
import pytest

from portus_gateway.devregistry import DevRegistry, Fault, TokenService, image, listener
from tests.devregistry.http_client import ALL_MANIFESTS, Answer, HttpClient

TAGS = "/v2/a/tags/list"
WHOLE = b'{"name":"a","tags":["1"]}\n'


@pytest.fixture
async def seeded(registry: DevRegistry) -> DevRegistry:
    registry.push("a", "1")
    return registry


async def tags(client: HttpClient, registry: DevRegistry) -> Answer:
    return await client.send("GET", registry.url + TAGS)


async def statuses(client: HttpClient, registry: DevRegistry, count: int, path: str = TAGS) -> list[int]:
    return [(await client.send("GET", registry.url + path)).status for _ in range(count)]


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (401, "UNAUTHORIZED"),
        (403, "DENIED"),
        (405, "UNSUPPORTED"),
        (429, "TOOMANYREQUESTS"),
        (500, "UNKNOWN"),
        (503, "UNAVAILABLE"),
    ],
)
async def test_a_status_comes_with_an_error_in_the_registrys_form(
    client: HttpClient, seeded: DevRegistry, status: int, code: str
) -> None:
    with seeded.inject(Fault(route="tags", status=status)):
        answer = await tags(client, seeded)
        assert (answer.status, answer.code) == (status, code)
    assert (await tags(client, seeded)).body == WHOLE
    assert [record.status for record in seeded.requests] == [status, 200]


async def test_a_status_changes_no_content(client: HttpClient, seeded: DevRegistry) -> None:
    digest = seeded.tags("a")["1"]
    with seeded.inject(Fault(route="manifests", status=503)):
        assert (await client.send("DELETE", f"{seeded.url}/v2/a/manifests/{digest}")).status == 503
    assert seeded.holds("a", digest)


@pytest.mark.parametrize("status", [204, 304])
async def test_a_status_without_a_body_has_none(client: HttpClient, seeded: DevRegistry, status: int) -> None:
    with seeded.inject(Fault(route="tags", status=status)):
        answer = await tags(client, seeded)
    assert (answer.status, answer.body) == (status, b"")


async def test_body_and_headers_replace_those_of_the_answer(client: HttpClient, seeded: DevRegistry) -> None:
    fault = Fault.parse("tags:status=502,header=Content-Type: text/html,retry-after=7,body=<b>Bad Gateway, sorry</b>")
    with seeded.inject(fault):
        answer = await tags(client, seeded)
    assert (answer.status, answer.body) == (502, b"<b>Bad Gateway, sorry</b>")
    assert (answer.headers["Content-Type"], answer.headers["Retry-After"]) == ("text/html", "7")
    assert answer.headers.getall("Content-Length") == ["25"]


async def test_a_body_without_a_status_keeps_the_real_status(client: HttpClient, seeded: DevRegistry) -> None:
    with seeded.inject(Fault(route="tags", body=b"\xff\x00")):
        answer = await tags(client, seeded)
    assert (answer.status, answer.body) == (200, b"\xff\x00")
    assert answer.headers["Docker-Distribution-Api-Version"] == "registry/2.0"


async def test_a_header_is_removed(client: HttpClient, seeded: DevRegistry) -> None:
    with seeded.inject(Fault(route="manifests", without_headers=("Docker-Content-Digest", "Etag"))):
        answer = await client.pull(seeded, "a", "1")
    assert answer.status == 200
    assert "Docker-Content-Digest" not in answer.headers
    assert "Etag" not in answer.headers


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_the_length_is_left_out(client: HttpClient, seeded: DevRegistry, method: str) -> None:
    with seeded.inject(Fault.parse("manifests:without-header=Content-Length")):
        answer = await client.pull(seeded, "a", "1", method)
    assert answer.status == 200
    assert "Content-Length" not in answer.headers
    assert answer.body == (image("a:1").manifest if method == "GET" else b"")


async def test_a_corrupt_body_keeps_the_length_and_the_digest_header(client: HttpClient, seeded: DevRegistry) -> None:
    sound = await client.pull(seeded, "a", "1")
    with seeded.inject(Fault(route="manifests", corrupt=True)):
        answer = await client.pull(seeded, "a", "1")
    assert answer.status == 200
    assert len(answer.body) == len(sound.body)
    assert answer.body != sound.body
    assert answer.headers["Docker-Content-Digest"] == sound.headers["Docker-Content-Digest"]


async def test_a_truncated_body_ends_half_way(seeded: DevRegistry) -> None:
    with seeded.inject(Fault(route="tags", truncate=True)):
        async with aiohttp.ClientSession() as session, session.get(seeded.url + TAGS) as response:
            assert (response.status, response.content_length) == (200, len(WHOLE))
            received = b""
            with pytest.raises(aiohttp.ClientPayloadError):
                while chunk := await response.content.readany():
                    received += chunk
            assert received == WHOLE[: len(WHOLE) // 2]


async def test_a_truncated_head_is_whole(client: HttpClient, seeded: DevRegistry) -> None:
    with seeded.inject(Fault(route="manifests", truncate=True)):
        assert (await client.pull(seeded, "a", "1", "HEAD")).status == 200


@pytest.mark.parametrize(("reset", "still_there"), [("before", True), ("after", False)])
async def test_a_reset_comes_before_or_after_processing(
    client: HttpClient, seeded: DevRegistry, reset: str, still_there: bool
) -> None:
    digest = seeded.tags("a")["1"]
    with (
        seeded.inject(Fault.parse(f"manifests:method=DELETE,reset={reset}")),
        pytest.raises((aiohttp.ClientOSError, aiohttp.ServerDisconnectedError)),
    ):
        await client.send("DELETE", f"{seeded.url}/v2/a/manifests/{digest}")
    assert seeded.holds("a", digest) is still_there
    # aiohttp sends what a reset took once more.
    assert {(record.method, record.status) for record in seeded.requests} == {("DELETE", None)}


async def test_a_reset_is_a_tcp_reset(seeded: DevRegistry) -> None:
    host, port = seeded.url.removeprefix("http://").split(":")
    with seeded.inject(Fault(route="tags", reset="before")):
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(f"GET {TAGS} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        with pytest.raises(ConnectionResetError):
            await reader.read()
        writer.close()
        with suppress(ConnectionResetError):
            await writer.wait_closed()


async def test_a_delay_comes_before_processing(client: HttpClient, seeded: DevRegistry) -> None:
    with seeded.inject(Fault(route="tags", delay=0.05)):
        begun = time.monotonic()
        assert (await tags(client, seeded)).body == WHOLE
        assert time.monotonic() - begun >= 0.045


async def test_an_answer_delay_comes_after_processing(client: HttpClient, seeded: DevRegistry) -> None:
    digest = seeded.tags("a")["1"]
    with seeded.inject(Fault(route="manifests", answer_delay=30)) as injection:
        task = asyncio.create_task(client.send("DELETE", f"{seeded.url}/v2/a/manifests/{digest}"))
        await seeded.requests.wait_for(route="manifests")
        while seeded.holds("a", digest):
            await asyncio.sleep(0)
        assert not task.done()
        assert injection.applied == 1
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_hung_request_gets_no_answer_until_the_server_closes(client: HttpClient) -> None:
    async with DevRegistry(auth="anonymous") as registry:
        registry.inject(Fault(route="tags", hang=True))
        task = asyncio.create_task(tags(client, registry))
        await registry.requests.wait_for(route="tags")
        assert not task.done()
    with pytest.raises((aiohttp.ClientOSError, aiohttp.ServerDisconnectedError)):
        await task


@pytest.mark.parametrize("setting", ["delay=600", "answer-delay=600", "hang"])
async def test_closing_does_not_wait_for_faults(
    client: HttpClient, monkeypatch: pytest.MonkeyPatch, setting: str
) -> None:
    # That long the server would wait for the requests that it has.
    monkeypatch.setattr(listener, "_SHUTDOWN_SECONDS", 600.0)
    async with asyncio.timeout(10):
        async with DevRegistry(auth="anonymous", faults=[Fault.parse(f"tags:{setting}")]) as registry:
            task = asyncio.create_task(tags(client, registry))
            await registry.requests.wait_for(route="tags")
        await asyncio.gather(task, return_exceptions=True)


async def test_an_endless_body_continues_while_the_client_reads(seeded: DevRegistry) -> None:
    with seeded.inject(Fault(route="tags", endless=True)):
        async with aiohttp.ClientSession() as session, session.get(seeded.url + TAGS) as response:
            assert response.content_length is None
            assert len(await response.content.readexactly(5_000_000)) == 5_000_000


async def test_a_gzip_bomb_is_small_on_the_wire_and_large_unpacked(client: HttpClient, seeded: DevRegistry) -> None:
    with seeded.inject(Fault(route="tags", gzip_bomb=True)):
        answer = await tags(client, seeded)
    assert answer.headers["Content-Encoding"] == "gzip"
    assert len(answer.body) < 1024**2
    assert len(zlib.decompressobj(31).decompress(answer.body, 16 * 1024**2)) == 16 * 1024**2
    # Its last four bytes say how long the whole is.
    assert int.from_bytes(answer.body[-4:], "little") == 512 * 1024**2


@pytest.mark.parametrize("setting", ["endless", "gzip-bomb"])
async def test_head_has_no_body_with_an_endless_fault(client: HttpClient, seeded: DevRegistry, setting: str) -> None:
    with seeded.inject(Fault.parse(f"manifests:{setting}")):
        answer = await client.send("HEAD", f"{seeded.url}/v2/a/manifests/1", headers={"Accept": ALL_MANIFESTS})
    assert (answer.status, answer.body) == (200, b"")


async def test_invalid_json_is_a_200_that_cannot_be_parsed(client: HttpClient, seeded: DevRegistry) -> None:
    with seeded.inject(Fault(route="tags", invalid_json=True)):
        answer = await tags(client, seeded)
    assert (answer.status, answer.headers["Content-Type"]) == (200, "application/json")
    with pytest.raises(json.JSONDecodeError):
        answer.json()


async def test_a_redirect_has_a_location(client: HttpClient, seeded: DevRegistry) -> None:
    with seeded.inject(Fault(route="blobs", redirect="https://storage.test/blob?sig=1")):
        answer = await client.send("GET", f"{seeded.url}/v2/a/blobs/sha256:{'0' * 64}")
    assert (answer.status, answer.headers["Location"]) == (307, "https://storage.test/blob?sig=1")


@pytest.mark.parametrize(
    ("link", "expected"),
    [
        ("repeat", '</v2/_catalog?n=1&last=a%2Fb>; rel="next"'),
        ("missing", None),
        ("https://evil.test/v2/_catalog", '<https://evil.test/v2/_catalog>; rel="next"'),
    ],
)
async def test_a_link_is_repeated_missing_or_replaced(
    client: HttpClient, registry: DevRegistry, link: str, expected: str | None
) -> None:
    registry.push_many(["a/b", "c", "d"])
    with registry.inject(Fault(route="catalog", link=link)):
        answer = await client.send("GET", f"{registry.url}/v2/_catalog?n=1&last=a%2Fb")
    assert answer.json() == {"repositories": ["c"]}
    assert answer.headers.get("Link") == expected


async def test_times_after_and_order_decide_to_which_requests_a_fault_applies(
    client: HttpClient, seeded: DevRegistry
) -> None:
    injection = seeded.inject(Fault.parse("tags:status=503,after=1,times=2"))
    seeded.inject(Fault.parse("tags:status=500,after=4"))
    assert await statuses(client, seeded, 6) == [200, 503, 503, 200, 200, 200]
    assert (injection.matched, injection.applied) == (6, 2)
    # The first passes over the requests that it does not strike, so that the second counts them.
    assert await statuses(client, seeded, 1) == [500]


async def test_a_fault_applies_only_to_matching_requests(client: HttpClient, seeded: DevRegistry) -> None:
    seeded.push("team/app", "1")
    seeded.inject(Fault.parse("tags:repository=team/*,status=503"))
    seeded.inject(Fault.parse("manifests:method=DELETE,status=500"))
    assert await statuses(client, seeded, 1, "/v2/team/app/tags/list") == [503]
    assert await statuses(client, seeded, 1) == [200]
    assert (await client.pull(seeded, "a", "1")).status == 200
    assert (await client.pull(seeded, "a", "1", "DELETE")).status == 500


async def test_a_fault_ends_with_its_block_or_when_all_are_cleared(client: HttpClient, seeded: DevRegistry) -> None:
    injection = seeded.inject(Fault(route="any", status=503))
    assert await statuses(client, seeded, 1, "/v2/_catalog") == [503]
    injection.remove()
    injection.remove()
    assert await statuses(client, seeded, 1, "/v2/_catalog") == [200]
    seeded.inject(Fault(route="any", status=503))
    seeded.inject(Fault(route="token", status=503))
    seeded.clear_faults()
    assert await statuses(client, seeded, 1, "/v2/_catalog") == [200]


async def test_a_fault_applies_to_the_challenge_only_if_asked(client: HttpClient, guarded: DevRegistry) -> None:
    guarded.push("a", "1")
    with guarded.inject(Fault(route="tags", status=503)) as after_token:
        assert (await tags(client, guarded)).status == 401
        assert after_token.matched == 0
        assert (await client.call(guarded, "GET", TAGS)).status == 503
    with guarded.inject(Fault(route="tags", status=503, before_authorization=True)):
        assert (await tags(client, guarded)).status == 503
    with guarded.inject(Fault(route="ping", status=503)):
        assert (await client.send("GET", guarded.url + "/v2/")).status == 503


async def test_any_does_not_include_the_token_service(client: HttpClient, guarded: DevRegistry) -> None:
    guarded.push("a", "1")
    with guarded.inject(Fault(route="any", status=503)):
        assert (await client.call(guarded, "GET", TAGS)).status == 503
    assert [record.status for record in guarded.tokens.requests] == [200]


async def test_a_realm_changes_only_the_challenge(client: HttpClient, guarded: DevRegistry) -> None:
    guarded.push("a", "1")
    with guarded.inject(Fault(route="tags", realm="https://evil.test/token", times=1)):
        challenge = (await tags(client, guarded)).headers["WWW-Authenticate"]
        assert challenge.startswith('Bearer realm="https://evil.test/token",service="registry.test",scope=')
        assert (await client.call(guarded, "GET", TAGS)).body == WHOLE


@pytest.mark.parametrize("inject", [lambda registry: registry.inject, lambda registry: registry.tokens.inject])
async def test_the_token_service_has_its_own_form_of_errors(
    client: HttpClient, guarded: DevRegistry, inject: Callable[[DevRegistry], Callable[[Fault], object]]
) -> None:
    inject(guarded)(Fault.parse("token:status=503,times=1,retry-after=3"))
    answer = await client.token(guarded.realm, guarded.service, [], guarded.username, guarded.password)
    assert (answer.status, answer.json()) == (503, {"error": "UNAVAILABLE"})
    assert answer.headers["Retry-After"] == "3"
    answer = await client.token(guarded.realm, guarded.service, [], guarded.username, guarded.password)
    assert answer.status == 200


async def test_faults_from_the_start_apply_to_a_token_service_of_the_caller(client: HttpClient) -> None:
    faults = [Fault.parse("token:status=503"), Fault.parse("ping:status=500")]
    async with TokenService() as tokens, DevRegistry(token_service=tokens, faults=faults) as registry:
        assert (await client.token(tokens.realm, tokens.service, [], tokens.username, tokens.password)).status == 503
        assert (await client.send("GET", registry.url + "/v2/")).status == 500


async def test_short_tokens_end_while_they_are_used(client: HttpClient) -> None:
    now = 1_800_000_000.0
    async with DevRegistry(clock=lambda: now, faults=[Fault.parse("token:token-lifetime=2,times=1")]) as registry:
        registry.push("a", "1")
        scopes = ["repository:a:pull"]
        answer = await client.token(registry.realm, registry.service, scopes, registry.username, registry.password)
        assert answer.json()["expires_in"] == 2
        headers = {"Authorization": f"Bearer {answer.json()['token']}"}
        for later, status in ((0, 200), (2, 200), (3, 401)):
            now = 1_800_000_000.0 + later
            assert (await client.send("GET", registry.url + TAGS, headers=headers)).status == status
        assert (await client.call(registry, "GET", TAGS)).status == 200


async def test_a_token_without_rights_is_refused_for_its_scope(client: HttpClient, guarded: DevRegistry) -> None:
    guarded.push("a", "1")
    with guarded.inject(Fault.parse("token:without-rights")):
        answer = await client.call(guarded, "GET", TAGS)
    assert answer.status == 401
    assert answer.headers["WWW-Authenticate"].endswith('error="insufficient_scope"')


async def test_an_upload_with_a_fault_can_be_repeated(client: HttpClient, seeded: DevRegistry) -> None:
    with seeded.inject(Fault.parse("uploads:status=503,times=1")):
        path = f"{seeded.url}/v2/a/blobs/uploads/"
        assert [(await client.send("POST", path, data=b"x" * 100_000)).status for _ in range(2)] == [503, 202]
