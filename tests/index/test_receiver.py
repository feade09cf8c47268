"""The receiver as a registry meets it: what it answers, and what the store gets."""

import asyncio
import hashlib
import io
import json
import ssl
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import aiohttp
import pytest
from yarl import URL

from portus_gateway.access.tls import ServerCertificate
from portus_gateway.access.token_file import TokenFile
from portus_gateway.index import receiver
from portus_gateway.index.errors import StoreError
from portus_gateway.index.notification import Envelope, parse_envelope
from portus_gateway.index.receiver import Receiver
from portus_gateway.index.store import Notice
from portus_gateway.listen_address import ListenAddress
from tests.clients.python.certificates import Authority
from tests.index.registries import Observed, until
from tests.index.test_notification import A, body, event

MEBIBYTE = 1024 * 1024
GOOD = {"Authorization": "Bearer secret"}


class Marks:
    """Takes what the store would get; may fail or hang."""

    def __init__(self) -> None:
        self.transactions: list[list[Notice]] = []
        self.instances: list[str] = []
        self.error: StoreError | None = None
        self.open = asyncio.Event()
        self.open.set()

    async def notify(self, notices: Sequence[Notice], instances: Sequence[str]) -> int:
        await self.open.wait()
        if self.error is not None:
            raise self.error
        self.transactions.append(list(notices))
        self.instances += instances
        return 0


@pytest.fixture
def tokens(tmp_path: Path) -> TokenFile:
    file = tmp_path / "tokens"
    file.write_text(f"registry sha256:{hashlib.sha256(b'secret').hexdigest()}\n")
    return TokenFile(file)


@asynccontextmanager
async def receiving(
    marks: Marks, tokens: TokenFile, observed: Observed | None = None
) -> AsyncGenerator[tuple[str, aiohttp.ClientSession], None]:
    async with (
        Receiver(marks, tokens, ListenAddress("127.0.0.1", 0), observed or Observed()) as running,
        aiohttp.ClientSession() as session,
    ):
        yield f"http://{running.address}/notifications", session


async def posted(url: str, session: aiohttp.ClientSession, data: bytes, headers: Mapping[str, str]) -> int:
    """The status of a request with this body."""
    async with session.post(url, data=io.BytesIO(data), headers=headers) as answer:
        return answer.status


async def test_an_event_is_in_the_store_before_the_answer(tokens: TokenFile) -> None:
    marks, observed = Marks(), Observed()
    async with receiving(marks, tokens, observed) as (url, session):
        assert await posted(url, session, body(event(tag="v1", digest=A.text)), GOOD) == 202
        assert [notice.repository for transaction in marks.transactions for notice in transaction] == ["team/app"]
        assert marks.instances == ["one"]
    assert observed.events["accepted"] == 1


@pytest.mark.parametrize("header", [None, "Bearer wrong", "Bearer ", "Basic secret", "secret"])
async def test_without_a_good_token_nothing_is_taken(tokens: TokenFile, header: str | None) -> None:
    marks, observed = Marks(), Observed()
    async with receiving(marks, tokens, observed) as (url, session):
        headers = {} if header is None else {"Authorization": header}
        assert await posted(url, session, body(event()), headers) == 401
    assert marks.transactions == []
    assert observed.requests == ["unauthorized"]


@pytest.mark.parametrize("rubbish", [b"", b"not json", b'{"events": 5}', b"[" * 10_000])
async def test_rubbish_is_accepted_and_counted_because_a_refusal_would_block_the_registry(
    tokens: TokenFile, rubbish: bytes
) -> None:
    marks, observed = Marks(), Observed()
    async with receiving(marks, tokens, observed) as (url, session):
        assert await posted(url, session, rubbish, GOOD) == 202
    assert observed.requests == ["malformed"]


async def test_a_body_that_is_too_large_is_accepted_and_counted(tokens: TokenFile) -> None:
    observed = Observed()
    async with receiving(Marks(), tokens, observed) as (url, session):
        assert await posted(url, session, b"x" * (1024 * 1024 + 1), GOOD) == 202
    assert observed.requests == ["too_large"]


async def test_the_answer_is_seen_by_a_client_that_sends_its_whole_body_first(tokens: TokenFile) -> None:
    async with receiving(Marks(), tokens) as (url, _):
        address = URL(url)
        assert address.host is not None
        assert address.port is not None
        reader, writer = await asyncio.open_connection(address.host, address.port)
        head = "POST /notifications HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer secret\r\n"
        writer.write(f"{head}Content-Length: {8 * MEBIBYTE}\r\n\r\n".encode())
        for _ in range(8):
            writer.write(bytes(MEBIBYTE))
            await writer.drain()
        assert (await reader.readline()).startswith(b"HTTP/1.1 202 ")
        writer.close()


@pytest.mark.parametrize("last", [b"", b"zz\r\n"], ids=["it ends", "it is no HTTP"])
@pytest.mark.parametrize("token", ["", "Authorization: Bearer secret\r\n"])
async def test_a_request_that_breaks_off_is_no_traceback_in_the_log(
    tokens: TokenFile, token: str, last: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    head = (
        f"POST /notifications HTTP/1.1\r\nHost: x\r\n{token}Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    observed = Observed()
    async with receiving(Marks(), tokens, observed) as (url, session):
        address = URL(url)
        assert address.host is not None
        assert address.port is not None
        for _ in range(3):
            reader, writer = await asyncio.open_connection(address.host, address.port)
            writer.write(head.encode() + b"1\r\n{\r\n")
            # The server has begun to answer the request.
            assert await reader.readline() == b"HTTP/1.1 100 Continue\r\n"
            writer.write(last)
            writer.close()
        await until(lambda: len(observed.requests) == 3)
        assert await posted(url, session, body(event()), GOOD) == 202
    assert [record for record in caplog.records if record.exc_info] == []


async def test_of_large_bodies_one_is_read_in_a_turn_of_the_event_loop(
    tokens: TokenFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    turn = 0
    turns: list[int] = []

    def parse(content: bytes) -> Envelope:
        turns.append(turn)
        return parse_envelope(content)

    async def count_turns() -> None:
        nonlocal turn
        while True:
            turn += 1
            await asyncio.sleep(0)

    monkeypatch.setattr(receiver, "parse_envelope", parse)
    large = b'{"events": [' + b" " * 500_000 + b"]}"
    async with receiving(Marks(), tokens) as (url, session):
        counting = asyncio.create_task(count_turns())
        try:
            answers = await asyncio.gather(*(posted(url, session, large, GOOD) for _ in range(20)))
        finally:
            counting.cancel()
    assert answers == [202] * 20
    assert len(set(turns)) == 20


async def test_while_the_store_fails_the_registry_keeps_its_events(tokens: TokenFile) -> None:
    marks = Marks()
    marks.error = StoreError("the disk is full")
    async with receiving(marks, tokens) as (url, session):
        assert await posted(url, session, body(event()), GOOD) == 503
        marks.error = None
        assert await posted(url, session, body(event()), GOOD) == 202


async def test_a_store_that_hangs_does_not_keep_the_registry_waiting(
    tokens: TokenFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receiver, "_COMMIT", 0.05)
    marks = Marks()
    marks.open.clear()
    async with receiving(marks, tokens) as (url, session):
        assert await posted(url, session, body(event()), GOOD) == 503


async def test_pulls_do_not_reach_the_store(tokens: TokenFile) -> None:
    marks = Marks()
    pull = event("pull", tag="v1", digest=A.text)
    del pull["source"]
    async with receiving(marks, tokens) as (url, session):
        assert await posted(url, session, body(pull), GOOD) == 202
    assert marks.transactions == []


async def test_requests_at_the_same_time_are_one_transaction(tokens: TokenFile) -> None:
    marks = Marks()
    marks.open.clear()
    async with receiving(marks, tokens) as (url, session):

        async def send(number: int) -> int:
            document = json.dumps({"events": [event(repository=f"app{number}")]})
            async with session.post(url, data=document, headers=GOOD) as answer:
                return answer.status

        sending = [asyncio.create_task(send(number)) for number in range(20)]
        await asyncio.sleep(0.1)
        marks.open.set()
        assert await asyncio.gather(*sending) == [202] * 20
        assert len(marks.transactions) < 20
        assert sum(map(len, marks.transactions)) == 20


async def test_other_paths_and_methods(tokens: TokenFile) -> None:
    async with receiving(Marks(), tokens) as (url, session):
        async with session.get(url, headers=GOOD) as answer:
            assert answer.status == 405
        assert await posted(f"{url}/x", session, b"", GOOD) == 404


async def test_connections_that_are_held_do_not_keep_a_registry_out(
    tokens: TokenFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receiver, "_MOST_CONNECTIONS", 2)
    async with receiving(Marks(), tokens) as (url, session):
        host, port = url.removeprefix("http://").removesuffix("/notifications").split(":")
        connections = [await asyncio.open_connection(host, int(port)) for _ in range(3)]
        # The oldest one is closed.
        reader, _ = connections[0]
        async with asyncio.timeout(5):
            assert await reader.read() == b""
            assert await posted(url, session, b"{}", GOOD) == 202
        for _, writer in connections:
            writer.close()


async def test_a_connection_that_sends_nothing_is_closed(tokens: TokenFile, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receiver, "_LONGEST_CONNECTION", 0.05)
    async with receiving(Marks(), tokens) as (url, _):
        host, port = url.removeprefix("http://").removesuffix("/notifications").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        async with asyncio.timeout(5):
            assert await reader.read() == b""
        writer.close()


async def test_with_a_certificate_it_is_https_and_a_renewed_one_is_used_at_once(
    tokens: TokenFile, tmp_path: Path
) -> None:
    first, second = Authority(), Authority()
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"

    def install(authority: Authority) -> None:
        pair = authority.issue("localhost")
        certificate.write_bytes(pair.certificate)
        key.write_bytes(pair.key)

    install(first)
    context = ServerCertificate(certificate, key).http_context()
    async with Receiver(Marks(), tokens, ListenAddress("127.0.0.1", 0), Observed(), context) as running:
        url = f"https://localhost:{running.address.port}/notifications"
        assert await posted_over_tls(url, first) == 202
        install(second)
        assert await posted_over_tls(url, second) == 202
        with pytest.raises(aiohttp.ClientConnectorCertificateError):
            await posted_over_tls(url, first)


async def posted_over_tls(url: str, authority: Authority) -> int:
    trust = ssl.create_default_context(cadata=authority.pem.decode())
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trust)) as session:
        return await posted(url, session, body(event()), GOOD)


async def test_a_connection_that_comes_while_it_ends_is_closed(tokens: TokenFile) -> None:
    for _ in range(20):
        async with Receiver(Marks(), tokens, ListenAddress("127.0.0.1", 0), Observed()) as running:
            address = running.address
            opening = [asyncio.create_task(asyncio.open_connection(address.host, address.port)) for _ in range(5)]
            await asyncio.sleep(0)
        for opened in await asyncio.gather(*opening, return_exceptions=True):
            if not isinstance(opened, BaseException):
                reader, writer = opened
                # The kernel resets one that was not accepted yet.
                with suppress(ConnectionResetError):
                    async with asyncio.timeout(5):
                        assert await reader.read() == b""
                writer.close()
