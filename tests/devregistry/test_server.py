"""The servers: ports, restarts, TLS, and content that is stored without HTTP."""

import asyncio
import ssl
from pathlib import Path

import aiohttp
import pytest

from portus_gateway.devregistry import DevRegistry, Fault, TokenService, User, image, multi_platform
from tests.clients.python.certificates import Authority
from tests.devregistry.http_client import HttpClient


def contexts(folder: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """The context of a server at 127.0.0.1, and that of a client which trusts it."""
    authority = Authority()
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(*authority.issue("127.0.0.1").write(folder, "server"))
    return serving, ssl.create_default_context(cadata=authority.pem.decode())


async def test_addresses_are_known_once_it_runs() -> None:
    registry = DevRegistry()
    for name in ("url", "realm"):
        with pytest.raises(RuntimeError, match="use `async with`"):
            getattr(registry, name)
    async with registry:
        assert registry.url.startswith("http://127.0.0.1:")
        assert registry.realm.endswith("/v2/token")


async def test_a_restart_keeps_addresses_content_and_password(client: HttpClient) -> None:
    registry = DevRegistry()
    async with registry:
        digest = registry.push("team/app", "1.0")
        before = (registry.url, registry.realm, registry.password)
    with pytest.raises(aiohttp.ClientConnectorError):
        await client.send("GET", before[0] + "/v2/")
    with pytest.raises(aiohttp.ClientConnectorError):
        await client.send("GET", before[1])
    async with registry:
        assert (registry.url, registry.realm, registry.password) == before
        answer = await client.pull(registry, "team/app", "1.0")
        assert (answer.status, answer.headers["Docker-Content-Digest"]) == (200, digest)


async def test_tokens_are_valid_after_a_restart(client: HttpClient) -> None:
    registry = DevRegistry()
    async with registry:
        headers = {"Authorization": f"Bearer {registry.tokens.sign([])}"}
    async with registry:
        assert (await client.send("GET", registry.url + "/v2/", headers=headers)).status == 200


async def test_a_restart_closes_connections_and_the_next_request_succeeds(client: HttpClient) -> None:
    registry = DevRegistry(auth="anonymous")
    for _ in range(3):
        async with registry:
            assert (await client.send("GET", registry.url + "/v2/")).status == 200


async def test_a_running_registry_is_not_started_twice() -> None:
    async with DevRegistry() as registry:
        with pytest.raises(RuntimeError, match="already running"):
            await registry.__aenter__()
        assert registry.url


async def test_a_port_that_is_taken_is_an_error_and_leaves_nothing_running(client: HttpClient) -> None:
    async with DevRegistry(auth="anonymous") as first:
        taken = int(first.url.rpartition(":")[2])
        second = DevRegistry(port=taken)
        with pytest.raises(OSError, match=r"cannot listen on 127\.0\.0\.1:\d+: the address is in use"):
            await second.__aenter__()
        with pytest.raises(aiohttp.ClientConnectorError):
            await client.send("GET", second.realm)
    async with second:
        assert (await client.send("GET", second.url + "/v2/")).status == 401


async def test_fixed_ports_are_known_from_the_start() -> None:
    registry = DevRegistry(port=1, token_port=2)
    assert (registry.url, registry.realm) == ("http://127.0.0.1:1", "http://127.0.0.1:2/v2/token")
    assert DevRegistry(host="::1", port=1).url == "http://[::1]:1"


async def test_both_servers_speak_tls(tmp_path: Path, client: HttpClient) -> None:
    serving, client_context = contexts(tmp_path)
    async with DevRegistry(ssl_context=serving, token_ssl_context=serving) as registry:
        assert registry.url.startswith("https://127.0.0.1:")
        assert registry.realm.startswith("https://127.0.0.1:")
        answer = await client.send("GET", registry.url + "/v2/", trust=client_context)
        assert answer.status == 401
        assert f'realm="{registry.realm}"' in answer.headers["WWW-Authenticate"]
        assert (await client.send("GET", registry.realm, trust=client_context)).status == 401
        with pytest.raises(aiohttp.ClientConnectorCertificateError):
            await client.send("GET", registry.url + "/v2/", trust=ssl.create_default_context())


async def test_over_tls_locations_are_https_and_resets_work(tmp_path: Path, client: HttpClient) -> None:
    serving, client_context = contexts(tmp_path)
    async with DevRegistry(auth="anonymous", ssl_context=serving) as registry:
        answer = await client.send("POST", registry.url + "/v2/a/blobs/uploads/", trust=client_context)
        assert answer.headers["Location"].startswith(registry.url + "/v2/a/blobs/uploads/")
        registry.inject(Fault(route="tags", reset="before"))
        with pytest.raises((aiohttp.ClientOSError, aiohttp.ServerDisconnectedError)):
            await client.send("GET", registry.url + "/v2/a/tags/list", trust=client_context)


async def test_a_token_service_of_the_caller_is_not_started_or_stopped(client: HttpClient) -> None:
    async with TokenService([User("ci", "secret")], service="other", issuer="issuer") as tokens:
        async with DevRegistry(token_service=tokens) as registry:
            assert (registry.realm, registry.service, registry.username) == (tokens.realm, "other", "ci")
            registry.push("a", "1")
            assert (await client.pull(registry, "a", "1")).status == 200
        assert (await client.send("GET", tokens.realm)).status == 401


async def test_by_default_there_is_portus_with_a_random_password() -> None:
    first, second = DevRegistry(), DevRegistry()
    assert first.username == second.username == "portus"
    assert len(first.password) > 16
    assert first.password != second.password
    with pytest.raises(ValueError, match="at least one user is needed"):
        DevRegistry([])


async def test_many_requests_at_once_are_served(client: HttpClient, registry: DevRegistry) -> None:
    registry.push("a", "1")
    answers = await asyncio.gather(*(client.pull(registry, "a", "1") for _ in range(200)))
    assert {answer.status for answer in answers} == {200}


async def test_content_pushed_without_http_is_there_at_once(registry: DevRegistry) -> None:
    content = multi_platform("a")
    digest = registry.push("a", "1", "2", content=content)
    assert registry.tags("a") == {"1": digest, "2": digest}
    assert all(registry.holds("a", child.digest) for child in content.children)
    assert registry.untag("a", "2") is True
    assert registry.untag("a", "2") is False
    assert registry.delete("a", digest) is True
    assert registry.delete("a", digest) is False
    assert registry.tags("a") == {}
    blob = next(iter(content.children[0].blobs))
    assert registry.delete_blob("a", blob) is True
    assert registry.delete_blob("a", blob) is False
    assert registry.tags("none") == {}
    assert not registry.untag("none", "1")
    assert not registry.delete("none", digest)
    assert not registry.delete_blob("none", blob)
    assert not registry.holds("none", digest)


async def test_only_an_existing_manifest_can_be_tagged(registry: DevRegistry) -> None:
    digest = registry.push("a", "1")
    registry.tag("a", "2", digest)
    assert registry.tags("a")["2"] == digest
    for repository, missing in (("a", "sha256:" + "0" * 64), ("none", digest)):
        with pytest.raises(KeyError, match="has no manifest"):
            registry.tag(repository, "3", missing)


async def test_images_pushed_without_content_differ_by_repository_and_tag(registry: DevRegistry) -> None:
    digests = {registry.push("a", "1"), registry.push("a", "2"), registry.push("b", "1"), registry.push("b")}
    assert len(digests) == 4


async def test_push_many_leaves_existing_repositories_alone(registry: DevRegistry) -> None:
    own = registry.push("b", "1", content=image("own"))
    many = registry.push_many(["a", "b", "c"], ("1", "2"), multi_platform("many"))
    assert registry.repositories() == ["a", "b", "c"]
    assert registry.tags("a") == {"1": many, "2": many}
    assert registry.tags("b") == {"1": own}
