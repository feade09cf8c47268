import re
from collections.abc import Callable

import pytest

from portus_gateway.devregistry import DevRegistry, SigningKey, TokenService, User
from tests.devregistry.http_client import HttpClient, basic

DIGEST = "sha256:" + "0" * 64
START = 1_800_000_000.0


def token(registry: DevRegistry, *access: tuple[str, str, list[str]], lifetime: int = 900) -> dict[str, str]:
    entries: list[dict[str, object]] = [
        {"type": kind, "name": name, "actions": actions} for kind, name, actions in access
    ]
    return {"Authorization": f"Bearer {registry.tokens.sign(entries, lifetime=lifetime)}"}


@pytest.mark.parametrize(
    ("method", "path", "scope"),
    [
        ("GET", "/v2/", None),
        ("GET", "/v2/_catalog?n=5", "registry:catalog:*"),
        ("GET", "/v2/team/app/tags/list", "repository:team/app:pull"),
        ("HEAD", "/v2/team/app/manifests/1.0", "repository:team/app:pull"),
        ("GET", f"/v2/team/app/blobs/{DIGEST}", "repository:team/app:pull"),
        ("DELETE", f"/v2/team/app/manifests/{DIGEST}", "repository:team/app:delete"),
        ("DELETE", f"/v2/team/app/blobs/{DIGEST}", "repository:team/app:delete"),
        ("PUT", "/v2/team/app/manifests/1.0", "repository:team/app:push,pull"),
        ("POST", "/v2/team/app/blobs/uploads/", "repository:team/app:push,pull"),
    ],
)
async def test_the_challenge_names_the_scope_of_the_request(
    client: HttpClient, guarded: DevRegistry, method: str, path: str, scope: str | None
) -> None:
    answer = await client.send(method, guarded.url + path)
    assert answer.status == 401
    expected = f'Bearer realm="{guarded.realm}",service="{guarded.service}"'
    assert answer.headers["WWW-Authenticate"] == expected + (f',scope="{scope}"' if scope else "")
    assert answer.headers["Docker-Distribution-Api-Version"] == "registry/2.0"
    if method != "HEAD":
        assert answer.code == "UNAUTHORIZED"


async def test_the_challenge_is_in_the_content_type_of_its_version(client: HttpClient, guarded: DevRegistry) -> None:
    assert (await client.send("GET", guarded.url + "/v2/")).headers["Content-Type"] == "application/json"
    async with DevRegistry(flavour="2.8") as registry:
        answer = await client.send("GET", registry.url + "/v2/")
        assert answer.headers["Content-Type"] == "application/json; charset=utf-8"


async def test_the_ping_answers_any_method(client: HttpClient, registry: DevRegistry) -> None:
    for method, body in (("GET", b"{}"), ("HEAD", b""), ("POST", b"{}")):
        answer = await client.send(method, registry.url + "/v2/")
        assert (answer.status, answer.body) == (200, body)
        assert answer.headers["Docker-Distribution-Api-Version"] == "registry/2.0"


async def test_registry_and_token_service_are_two_origins(guarded: DevRegistry) -> None:
    assert guarded.realm == guarded.tokens.url + "/v2/token"
    assert re.sub(r"\d+$", "", guarded.url) == re.sub(r"\d+$", "", guarded.tokens.url)
    assert guarded.url != guarded.tokens.url


async def test_a_token_of_the_service_is_admitted_for_its_scope(client: HttpClient, guarded: DevRegistry) -> None:
    guarded.push("team/app", "1.0")
    assert (await client.call(guarded, "GET", "/v2/")).status == 200
    assert (await client.call(guarded, "GET", "/v2/_catalog")).json() == {"repositories": ["team/app"]}
    assert (await client.call(guarded, "GET", "/v2/team/app/tags/list")).json()["tags"] == ["1.0"]
    assert guarded.requests.count(authorization="bearer", status=200) == 3
    assert guarded.tokens.requests.count(status=200) == 3


async def test_a_star_among_the_actions_stands_for_all(client: HttpClient, guarded: DevRegistry) -> None:
    digest = guarded.push("a", "1")
    headers = token(guarded, ("repository", "a", ["*"]))
    answer = await client.send("DELETE", f"{guarded.url}/v2/a/manifests/{digest}", headers=headers)
    assert answer.status == 202


@pytest.mark.parametrize(
    "access",
    [
        [],
        [("repository", "other", ["pull"])],
        [("repository", "team/app", ["push"])],
        [("registry", "team/app", ["pull"])],
    ],
)
async def test_missing_rights_are_a_401_with_insufficient_scope(
    client: HttpClient, guarded: DevRegistry, access: list[tuple[str, str, list[str]]]
) -> None:
    answer = await client.send("GET", f"{guarded.url}/v2/team/app/tags/list", headers=token(guarded, *access))
    assert answer.status == 401
    assert answer.headers["WWW-Authenticate"] == (
        f'Bearer realm="{guarded.realm}",service="{guarded.service}"'
        ',scope="repository:team/app:pull",error="insufficient_scope"'
    )


def _forged(registry: DevRegistry) -> str:
    forger = TokenService(service=registry.service, issuer=registry.tokens.issuer, signing_key=SigningKey.generate())
    return forger.sign([{"type": "registry", "name": "catalog", "actions": ["*"]}])


def _other_audience(registry: DevRegistry) -> str:
    return TokenService(service="elsewhere", issuer=registry.tokens.issuer).sign([])


def _other_issuer(registry: DevRegistry) -> str:
    return TokenService(service=registry.service, issuer="mallory").sign([])


def _expired(registry: DevRegistry) -> str:
    return registry.tokens.sign([], lifetime=-1)


def _future(registry: DevRegistry) -> str:
    return TokenService(
        service=registry.service, issuer=registry.tokens.issuer, clock=lambda: START + 10_000_000_000
    ).sign([])


def _unsigned(registry: DevRegistry) -> str:
    return registry.tokens.sign([]).rpartition(".")[0] + "."


@pytest.mark.parametrize(
    "make", [_forged, _other_audience, _other_issuer, _expired, _future, _unsigned, lambda _: "nonsense"]
)
async def test_a_token_that_does_not_verify_is_an_invalid_token(
    client: HttpClient, guarded: DevRegistry, make: Callable[[DevRegistry], str]
) -> None:
    headers = {"Authorization": f"Bearer {make(guarded)}"}
    answer = await client.send("GET", guarded.url + "/v2/", headers=headers)
    assert answer.status == 401
    assert answer.headers["WWW-Authenticate"].endswith(',error="invalid_token"')


async def test_a_token_is_refused_after_its_end_and_the_leeway(client: HttpClient) -> None:
    now = START
    async with DevRegistry(token_lifetime=10, token_leeway=60, clock=lambda: now) as registry:
        headers = token(registry, lifetime=10)
        for later, status in ((0, 200), (69, 200), (71, 401)):
            now = START + later
            assert (await client.send("GET", registry.url + "/v2/", headers=headers)).status == status


async def test_basic_admits_every_user_with_the_right_password(client: HttpClient) -> None:
    async with DevRegistry([User("portus", "secret")], auth="basic") as registry:
        for authorization in (None, basic("portus", "wrong"), "Bearer x"):
            headers = {} if authorization is None else {"Authorization": authorization}
            answer = await client.send("GET", registry.url + "/v2/", headers=headers)
            assert answer.status == 401
            assert answer.headers["WWW-Authenticate"] == 'Basic realm="basic-realm"'
        headers = {"Authorization": basic("portus", "secret")}
        assert (await client.send("GET", registry.url + "/v2/_catalog", headers=headers)).status == 200


async def test_anonymous_admits_requests_without_credentials(client: HttpClient, registry: DevRegistry) -> None:
    assert (await client.send("GET", registry.url + "/v2/_catalog")).status == 200


async def test_an_unknown_route_is_not_found_without_a_challenge(client: HttpClient, guarded: DevRegistry) -> None:
    for path in ("/v2/UPPER/tags/list", "/v2/a/manifests/" + "t" * 129, f"/v2/a/referrers/{DIGEST}", "/nope"):
        answer = await client.send("GET", guarded.url + path)
        assert (answer.status, answer.body) == (404, b"404 page not found\n")
        assert answer.headers["Content-Type"].startswith("text/plain")
