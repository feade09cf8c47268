"""An issuer's keys over HTTP: kept, looked for again, and never taken from anybody else."""

import asyncio
import gzip
import ssl
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import ec
from structlog.testing import capture_logs

from portus_gateway.access import key_url
from portus_gateway.access.current_call import current_call
from portus_gateway.access.errors import KeysUnavailable, Unauthenticated
from portus_gateway.access.jwt_authenticator import JwtAuthenticator
from portus_gateway.access.key_set import KeySet, parse_key_set
from portus_gateway.access.key_url import KeyUrl
from tests.access.calls import calling
from tests.access.certificates import Authority
from tests.access.issuer import AUDIENCE, ISSUER, Issuer
from tests.access.policies import A
from tests.distribution.upstream import Upstream, answer


class Clock:
    def __init__(self) -> None:
        self.now = 10_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def issuer() -> Issuer:
    return Issuer()


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    async with Upstream() as server:
        yield server


def at(upstream: Upstream, clock: Clock, timeout: float = 5.0) -> KeyUrl:
    return KeyUrl(f"{upstream.url}/jwks", clock=clock, timeout=timeout)


def ids(keys: KeySet) -> set[str | None]:
    return {key.id for key in keys.keys}


async def test_keys_are_fetched_once_and_kept(upstream: Upstream, clock: Clock, issuer: Issuer) -> None:
    upstream.script(answer(200, issuer.jwks))
    async with at(upstream, clock) as keys:
        first = await keys.key_set()
        assert ids(first) == set(issuer.keys)
        clock.now += 300
        running = asyncio.all_tasks()
        assert await keys.key_set() is first
        # Nothing is fetched in the background either.
        assert asyncio.all_tasks() == running
    assert [request.target for request in upstream.requests] == ["/jwks"]


async def test_keys_are_there_before_the_first_call_and_nothing_is_left_of_a_fetch(
    upstream: Upstream, clock: Clock
) -> None:
    asked, over = asyncio.Event(), asyncio.Event()

    async def never(_: web.Request) -> web.Response:
        asked.set()
        try:
            await asyncio.Event().wait()
        finally:
            over.set()
        raise AssertionError

    upstream.script(never)
    running = asyncio.all_tasks()
    async with at(upstream, clock, timeout=60):
        await asyncio.wait_for(asked.wait(), 5)
    assert {task for task in asyncio.all_tasks() - running if "_fetch" in repr(task)} == set()
    await asyncio.wait_for(over.wait(), 5)


async def test_the_issuer_is_asked_for_plain_content_and_cannot_leave_cookies(
    upstream: Upstream, clock: Clock, issuer: Issuer
) -> None:
    upstream.script(answer(200, issuer.jwks, Set_Cookie="a=b"), answer(200, issuer.jwks))
    # Clients keep no cookies of an address without a name.
    async with KeyUrl(f"http://localhost:{upstream.port}/jwks", clock=clock) as keys:
        first = await keys.key_set()
        clock.now += 11
        await keys.newer_than(first)
    assert [request.headers["Accept-Encoding"] for request in upstream.requests] == ["identity"] * 2
    assert ["Cookie" in request.headers for request in upstream.requests] == [False, False]


async def test_a_fetch_belongs_to_no_call(
    upstream: Upstream, clock: Clock, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its log lines have no request id, for example."""
    calls: list[object] = []

    def recording(content: bytes, source: str) -> KeySet:
        calls.append(current_call.get(None))
        return parse_key_set(content, source)

    monkeypatch.setattr(key_url, "parse_key_set", recording)
    upstream.script(answer(503), answer(200, issuer.jwks))
    async with at(upstream, clock) as keys:
        with pytest.raises(KeysUnavailable):
            await keys.key_set()
        clock.now += 10
        with calling(A, "ListTags"):
            assert await keys.key_set()
    assert calls == [None]


async def test_a_look_for_keys_that_came_meanwhile_asks_nobody(
    upstream: Upstream, clock: Clock, issuer: Issuer
) -> None:
    upstream.script(answer(200, issuer.jwks))
    async with at(upstream, clock) as keys:
        newest = await keys.key_set()
        clock.now += 11
        assert await keys.newer_than(KeySet(())) is newest
    assert len(upstream.requests) == 1


async def test_keys_serve_to_the_end_of_their_time_and_a_call_after_it_waits_for_new_ones(
    upstream: Upstream, clock: Clock, issuer: Issuer
) -> None:
    upstream.script(answer(200, issuer.jwks), answer(503))
    async with at(upstream, clock) as keys:
        first = await keys.key_set()
        clock.now += 24 * 3600
        assert await keys.key_set() is first
        # The issuer is back. It failed a moment ago, but the keys that are there are too old now.
        issuer.keys["new"] = ec.generate_private_key(ec.SECP256R1())
        upstream.script(answer(200, issuer.jwks))
        clock.now += 10
        assert "new" in ids(await keys.key_set())
    assert len(upstream.requests) == 3


async def test_nobody_waits_until_keys_are_twice_as_old_as_they_should_be(
    upstream: Upstream, clock: Clock, issuer: Issuer
) -> None:
    async def never(_: web.Request) -> web.Response:
        await asyncio.Event().wait()
        raise AssertionError

    upstream.script(answer(200, issuer.jwks), never)
    async with at(upstream, clock, timeout=0.05) as keys:
        first = await keys.key_set()
        for age, waits in ((600, False), (601, True)):
            clock.now = 10_000.0 + age
            waiting = asyncio.ensure_future(keys.key_set())
            await asyncio.sleep(0)
            assert waiting.done() is not waits
            assert await waiting is first
        # The fetch failed at this age. For as long as keys are fresh after that, nobody waits again.
        for later, waits in ((300, False), (301, True)):
            clock.now = 10_601.0 + later
            waiting = asyncio.ensure_future(keys.key_set())
            await asyncio.sleep(0)
            assert waiting.done() is not waits, later
            assert await waiting is first


async def test_the_largest_set_of_keys(upstream: Upstream, clock: Clock, issuer: Issuer) -> None:
    upstream.script(answer(200, issuer.jwks.ljust(256 * 1024)))
    async with at(upstream, clock) as keys:
        assert ids(await keys.key_set()) == set(issuer.keys)


async def test_the_systems_authorities_are_believed_besides_ours(
    issuer: Issuer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    systems, ours = Authority(), Authority()
    (tmp_path / "system.pem").write_bytes(systems.pem)
    (tmp_path / "ours.pem").write_bytes(ours.pem)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "system.pem"))
    for authority in (systems, ours):
        serving = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        serving.load_cert_chain(*authority.issue(dns=["localhost"]).write(tmp_path))
        async with Upstream(serving) as upstream:
            upstream.script(answer(200, issuer.jwks))
            async with KeyUrl(f"https://localhost:{upstream.port}/jwks", ca_file=tmp_path / "ours.pem") as keys:
                assert ids(await keys.key_set()) == set(issuer.keys)


async def test_old_keys_are_renewed_while_they_are_used(upstream: Upstream, clock: Clock, issuer: Issuer) -> None:
    asked, go_on = asyncio.Event(), asyncio.Event()

    async def slowly(_: web.Request) -> web.Response:
        asked.set()
        await go_on.wait()
        return answer(200, issuer.jwks)

    upstream.script(answer(200, issuer.jwks), slowly)
    async with at(upstream, clock) as keys:
        first = await keys.key_set()
        del issuer.keys["rsa"]
        clock.now += 301
        # Nobody waits for the new ones.
        assert await keys.key_set() is first
        await asyncio.wait_for(asked.wait(), 5)
        go_on.set()
        async with asyncio.timeout(5):
            while (await keys.key_set()) is first:
                await asyncio.sleep(0.01)
        assert "rsa" not in ids(await keys.key_set())
    assert len(upstream.requests) == 2


async def test_a_key_that_was_withdrawn_in_a_quiet_time_is_not_accepted(
    upstream: Upstream, clock: Clock, issuer: Issuer
) -> None:
    upstream.script(answer(200, issuer.jwks))
    async with at(upstream, clock) as keys:
        authenticator = JwtAuthenticator(issuer=ISSUER, audiences=[AUDIENCE], keys=keys)
        withdrawn = issuer.token("rsa", "RS256", exp=int(time.time()) + 10**6)
        assert await authenticator.authenticate(withdrawn)
        del issuer.keys["rsa"]
        upstream.script(answer(200, issuer.jwks))
        clock.now += 601
        # The first call after the quiet time, and another beside it: both wait for the new keys.
        outcomes = await asyncio.gather(
            *(authenticator.authenticate(withdrawn) for _ in range(2)), return_exceptions=True
        )
        assert [type(outcome) for outcome in outcomes] == [Unauthenticated] * 2
    assert len(upstream.requests) == 2


async def test_old_keys_serve_where_the_issuer_fails_after_a_quiet_time(
    upstream: Upstream, clock: Clock, issuer: Issuer
) -> None:
    async def never(_: web.Request) -> web.Response:
        await asyncio.Event().wait()
        raise AssertionError

    upstream.script(answer(200, issuer.jwks), never)
    async with at(upstream, clock, timeout=0.05) as keys:
        first = await keys.key_set()
        clock.now += 3600
        assert await keys.key_set() is first
        assert len(upstream.requests) == 2
        # Whoever comes next does not wait: the fetch has failed a moment ago. It goes on in the background.
        upstream.script(never)
        clock.now += 11
        waiting = asyncio.ensure_future(keys.key_set())
        await asyncio.sleep(0)
        assert waiting.done()
        assert await waiting is first
        # After as long as keys are kept, a call waits again.
        upstream.script(answer(200, Issuer().jwks))
        async with asyncio.timeout(5):
            while await keys.key_set() is first:
                clock.now += 301


async def test_a_flood_of_made_up_key_ids_waits_in_bounded_number(
    upstream: Upstream, clock: Clock, issuer: Issuer
) -> None:
    hanging = asyncio.Event()

    async def never(_: web.Request) -> web.Response:
        hanging.set()
        await asyncio.Event().wait()
        raise AssertionError

    upstream.script(answer(200, issuer.jwks), never)
    async with at(upstream, clock) as keys:
        authenticator = JwtAuthenticator(issuer=ISSUER, audiences=[AUDIENCE], keys=keys)
        good = issuer.token()
        assert await authenticator.authenticate(good)
        # Those whose wait is over do not count.
        for _ in range(5):
            with pytest.raises(Unauthenticated):
                await authenticator.authenticate(issuer.token(headers={"kid": "made-up"}))
        clock.now += 10
        strangers = [
            asyncio.ensure_future(authenticator.authenticate(issuer.token(headers={"kid": f"made-up-{n}"})))
            for n in range(500)
        ]
        await hanging.wait()
        done, waiting = await asyncio.wait(strangers, timeout=0)
        assert len(waiting) == 32
        assert {type(stranger.exception()) for stranger in done} == {KeysUnavailable}
        # Those who are known are let in meanwhile, by a token that is remembered or a new one.
        assert await asyncio.wait_for(authenticator.authenticate(good), 1)
        assert await asyncio.wait_for(authenticator.authenticate(issuer.token(jti="another")), 1)
        for stranger in strangers:
            stranger.cancel()
        await asyncio.gather(*strangers, return_exceptions=True)


async def test_keys_that_did_not_change_are_the_same_object(upstream: Upstream, clock: Clock, issuer: Issuer) -> None:
    upstream.script(answer(200, issuer.jwks))
    async with at(upstream, clock) as keys:
        first = await keys.key_set()
        clock.now += 60
        assert await keys.newer_than(first) is first
    assert len(upstream.requests) == 2


async def test_an_unknown_key_is_looked_for_at_once_but_not_again_and_again(
    upstream: Upstream, clock: Clock, issuer: Issuer
) -> None:
    upstream.script(answer(200, issuer.jwks))
    async with at(upstream, clock) as keys:
        authenticator = JwtAuthenticator(issuer=ISSUER, audiences=[AUDIENCE], keys=keys)
        assert await authenticator.authenticate(issuer.token())
        issuer.keys["new"] = ec.generate_private_key(ec.SECP256R1())
        upstream.script(answer(200, issuer.jwks))
        clock.now += 11
        # All at the same time, and one look for all of them.
        callers = await asyncio.gather(
            *(authenticator.authenticate(issuer.token("new", jti=str(n))) for n in range(20))
        )
        assert all(callers)
        assert len(upstream.requests) == 2
        for n in range(20):
            with pytest.raises(Unauthenticated, match="a key that its issuer does not have"):
                await authenticator.authenticate(issuer.token(headers={"kid": f"made-up-{n}"}))
        assert len(upstream.requests) == 2
        clock.now += 11
        with pytest.raises(Unauthenticated):
            await authenticator.authenticate(issuer.token(headers={"kid": "made-up"}))
        assert len(upstream.requests) == 3


async def test_one_callers_cancellation_is_not_the_others(upstream: Upstream, clock: Clock, issuer: Issuer) -> None:
    asked, go_on = asyncio.Event(), asyncio.Event()

    async def slowly(_: web.Request) -> web.Response:
        asked.set()
        await go_on.wait()
        return answer(200, issuer.jwks)

    upstream.script(slowly)
    async with at(upstream, clock) as keys:
        impatient, patient = asyncio.create_task(keys.key_set()), asyncio.create_task(keys.key_set())
        await asyncio.wait_for(asked.wait(), 5)
        impatient.cancel()
        await asyncio.gather(impatient, return_exceptions=True)
        go_on.set()
        assert ids(await patient) == set(issuer.keys)


# Good keys, if they were taken.
OTHERS = Issuer().jwks
BAD = {
    "an error": answer(500, OTHERS),
    "no JWKS": answer(200, "{}"),
    "deep JSON": answer(200, "[" * 100_000),
    "too large": answer(200, OTHERS + b" " * (256 * 1024)),
    "compressed": answer(200, gzip.compress(OTHERS), Content_Encoding="gzip"),
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD.keys())
async def test_a_bad_answer_changes_nothing(
    upstream: Upstream, clock: Clock, issuer: Issuer, bad: web.Response
) -> None:
    upstream.script(answer(200, issuer.jwks), bad)
    async with at(upstream, clock) as keys:
        first = await keys.key_set()
        clock.now += 3600
        with capture_logs() as logs:
            assert await keys.newer_than(first) is first
        assert [entry["log_level"] for entry in logs] == ["error"]
        # Too old to be believed any longer: whoever was locked out may still be in there.
        clock.now += 24 * 3600
        with pytest.raises(KeysUnavailable, match="try again later") as caught:
            await keys.key_set()
        assert caught.value.retry_after == 1
    assert len(upstream.requests) == 3


async def test_keys_behind_a_redirect_are_not_accepted(upstream: Upstream, clock: Clock, issuer: Issuer) -> None:
    upstream.script(answer(302, Location="/anybody"), answer(200, issuer.jwks))
    async with at(upstream, clock) as keys:
        with pytest.raises(KeysUnavailable):
            await keys.key_set()
    assert [request.target for request in upstream.requests] == ["/jwks"]


async def test_an_issuer_that_does_not_answer_delays_no_caller_for_long(upstream: Upstream, clock: Clock) -> None:
    async def never(_: web.Request) -> web.Response:
        await asyncio.Event().wait()
        raise AssertionError

    upstream.script(never)
    async with at(upstream, clock, timeout=0.05) as keys:
        with pytest.raises(KeysUnavailable):
            await keys.key_set()
        # The next one does not even wait.
        with pytest.raises(KeysUnavailable):
            await keys.key_set()
    assert len(upstream.requests) == 1


async def test_an_unreachable_issuer_does_not_affect_other_tokens(
    upstream: Upstream, clock: Clock, issuer: Issuer
) -> None:
    upstream.script(answer(503))
    async with at(upstream, clock) as keys:
        authenticator = JwtAuthenticator(issuer=ISSUER, audiences=[AUDIENCE], keys=keys)
        assert await authenticator.authenticate("a-static-token") is None
        assert await authenticator.authenticate(issuer.token(iss="https://other.example")) is None
        with pytest.raises(KeysUnavailable):
            await authenticator.authenticate(issuer.token())


async def test_keys_come_when_the_issuer_does(upstream: Upstream, clock: Clock, issuer: Issuer) -> None:
    upstream.script(answer(503), answer(200, issuer.jwks))
    async with at(upstream, clock) as keys:
        with pytest.raises(KeysUnavailable):
            await keys.key_set()
        clock.now += 11
        assert ids(await keys.key_set()) == set(issuer.keys)


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("http://login.example.org/jwks", "use https"),
        ("ftp://login.example.org/jwks", "not an http or https"),
        ("https://user@login.example.org/jwks", "contains a user"),
        ("jwks.json", "not an http or https"),
        ("https:jwks", "not an http or https"),
    ],
)
def test_keys_come_over_https_or_from_this_machine(url: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        KeyUrl(url)


@pytest.mark.parametrize(
    "url", ["https://login.example.org/jwks", "http://localhost:1/jwks", "http://127.0.0.1/jwks", "http://[::1]/jwks"]
)
def test_these_addresses_of_keys_are_accepted(url: str) -> None:
    KeyUrl(url)
