"""The token service. Every token is verified with PyJWT and the published key."""

import base64
import hashlib
import json
from datetime import datetime
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from portus_gateway.devregistry import Fault, SigningKey, TokenService, User
from tests.devregistry.http_client import Answer, HttpClient, basic

NOW = 1_800_000_000.25


def claims(answer: Answer, tokens: TokenService) -> dict[str, Any]:
    assert answer.status == 200
    token = answer.json()["token"]
    assert isinstance(token, str)
    certificate = x509.load_pem_x509_certificate(tokens.signing_key.certificate_pem())
    key = certificate.public_key()
    assert isinstance(key, RSAPublicKey)
    decoded: dict[str, Any] = jwt.decode(
        token, key, algorithms=["RS256"], audience=tokens.service, issuer=tokens.issuer
    )
    return decoded


async def portus(client: HttpClient, tokens: TokenService, *scopes: str) -> Answer:
    return await client.token(tokens.realm, tokens.service, list(scopes), tokens.username, tokens.password)


async def test_a_token_has_the_claims_that_portus_gives_it(client: HttpClient) -> None:
    async with TokenService(service="registry.example", issuer="portus.example") as tokens:
        answer = await portus(client, tokens, "repository:team/app:pull", "registry:catalog:*")
        found = claims(answer, tokens)
        assert (found["iss"], found["sub"], found["aud"]) == ("portus.example", "portus", "registry.example")
        assert found["nbf"] == found["iat"] - 5
        assert found["exp"] == found["iat"] + 900
        assert len(found["jti"]) > 10
        assert found["access"] == [
            {"type": "repository", "name": "team/app", "actions": ["pull"]},
            {"type": "registry", "name": "catalog", "actions": ["*"]},
        ]
        body = answer.json()
        assert set(body) == {"token", "expires_in", "issued_at"}
        assert body["expires_in"] == 900
        assert datetime.fromisoformat(str(body["issued_at"])).timestamp() == found["iat"]


async def test_the_key_id_is_in_libtrust_form(client: HttpClient) -> None:
    async with TokenService() as tokens:
        answer = await portus(client, tokens)
        key = x509.load_pem_x509_certificate(tokens.signing_key.certificate_pem()).public_key()
        der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        encoded = base64.b32encode(hashlib.sha256(der).digest()[:30]).decode()
        expected = ":".join(encoded[at : at + 4] for at in range(0, 48, 4))
        assert jwt.get_unverified_header(str(answer.json()["token"])) == {
            "alg": "RS256",
            "kid": expected,
            "typ": "JWT",
        }


async def test_the_published_key_set_lists_the_key_by_its_id(client: HttpClient, tmp_path: Path) -> None:
    async with TokenService(signing_key=SigningKey.generate()) as tokens:
        token = str((await portus(client, tokens)).json()["token"])
        keys = jwt.PyJWKSet.from_json(tokens.write_jwks(tmp_path / "jwks.json").read_text())
        key = keys[jwt.get_unverified_header(token)["kid"]]
        jwt.decode(token, key, algorithms=["RS256"], audience=tokens.service)
        assert b"BEGIN CERTIFICATE" in tokens.write_certificate(tmp_path / "certificate.pem").read_bytes()


async def test_the_private_key_and_passwords_are_in_no_repr() -> None:
    async with TokenService([User("portus", "geheim")]) as tokens:
        for thing in (tokens, tokens.users, tokens.signing_key, User("a", "geheim")):
            assert "geheim" not in repr(thing)
            assert "private_key" not in repr(thing)


@pytest.mark.parametrize(
    ("scope", "actions"),
    [
        ("repository:team/app:pull", ["pull"]),
        ("repository:team/app:push,pull,delete", ["push", "pull"]),
        ("repository:team/app/nested:pull", ["pull"]),
        ("repository:other/app:pull", None),
        ("registry:catalog:*", None),
        ("repository:team/app:delete", None),
    ],
)
async def test_what_is_granted_is_what_is_asked_for_and_allowed(
    client: HttpClient, scope: str, actions: list[str] | None
) -> None:
    user = User("ci", "secret", ("repository:team/*:pull,push",))
    async with TokenService([user]) as tokens:
        found = claims(await client.token(tokens.realm, tokens.service, [scope], "ci", "secret"), tokens)
        assert [entry["actions"] for entry in found["access"]] == ([] if actions is None else [actions])


async def test_scopes_of_one_resource_are_merged(client: HttpClient) -> None:
    async with TokenService() as tokens:
        answer = await portus(client, tokens, "repository:a:pull", "repository:a:push,pull")
        assert claims(answer, tokens)["access"] == [{"type": "repository", "name": "a", "actions": ["pull", "push"]}]


async def test_without_a_scope_there_is_no_access_claim(client: HttpClient) -> None:
    async with TokenService() as tokens:
        assert "access" not in claims(await portus(client, tokens), tokens)


async def test_an_unknown_service_gets_a_token_without_rights(client: HttpClient) -> None:
    async with TokenService() as tokens:
        answer = await client.token(tokens.realm, "elsewhere", ["repository:a:pull"], tokens.username, tokens.password)
        assert claims(answer, tokens)["access"] == []


async def test_two_scopes_in_one_parameter_grant_nothing_of_the_second(client: HttpClient) -> None:
    async with TokenService() as tokens:
        answer = await portus(client, tokens, "repository:a:pull repository:b:pull")
        names = {entry["name"] for entry in claims(answer, tokens)["access"]}
        assert "b" not in names


@pytest.mark.parametrize("authorization", [None, basic("portus", "wrong"), basic("nobody", "x"), "Bearer x", "Basic !"])
async def test_bad_credentials_are_refused_with_a_basic_challenge(
    client: HttpClient, authorization: str | None
) -> None:
    async with TokenService() as tokens:
        headers = {} if authorization is None else {"Authorization": authorization}
        answer = await client.send("GET", f"{tokens.realm}?service={tokens.service}", headers=headers)
        assert answer.status == 401
        assert answer.headers["WWW-Authenticate"].startswith("Basic ")
        assert isinstance(answer.json()["error"], str)


@pytest.mark.parametrize("scope", ["repository", "repository:a", "widget:a:pull", ""])
async def test_a_malformed_scope_is_refused_with_an_empty_body(client: HttpClient, scope: str) -> None:
    async with TokenService() as tokens:
        answer = await portus(client, tokens, scope)
        assert (answer.status, answer.body) == (401, b"")
        assert "WWW-Authenticate" not in answer.headers


async def test_its_answers_can_be_like_those_of_other_token_services(client: HttpClient) -> None:
    async with TokenService(answer_field="access_token", announce_lifetime=False) as tokens:
        assert set((await portus(client, tokens)).json()) == {"access_token"}


async def test_a_new_password_counts_at_once(client: HttpClient) -> None:
    async with TokenService([User("portus", "old")]) as tokens:
        tokens.users.add(User("portus", "new"))
        assert tokens.password == "new"
        assert (await client.token(tokens.realm, tokens.service, [], "portus", "old")).status == 401
        assert (await client.token(tokens.realm, tokens.service, [], "portus", "new")).status == 200


async def test_the_lifetime_follows_the_clock_and_the_setting(client: HttpClient) -> None:
    async with TokenService(lifetime=2, clock=lambda: NOW) as tokens:
        answer = await portus(client, tokens)
        payload = str(answer.json()["token"]).split(".")[1]
        found = json.loads(base64.urlsafe_b64decode(payload + "=="))
        assert (found["iat"], found["exp"]) == (1_800_000_000, 1_800_000_002)
        assert answer.json()["expires_in"] == 2


async def test_faults_make_tokens_short_lived_or_without_rights(client: HttpClient) -> None:
    async with TokenService() as tokens:
        with tokens.inject(Fault(route="token", without_rights=True)):
            assert claims(await portus(client, tokens, "repository:a:pull"), tokens)["access"] == []
        with tokens.inject(Fault.parse("token:token-lifetime=0")):
            answer = await portus(client, tokens, "repository:a:pull")
            assert answer.json()["expires_in"] == 0
            with pytest.raises(jwt.ExpiredSignatureError):
                claims(answer, tokens)
        assert claims(await portus(client, tokens, "repository:a:pull"), tokens)["access"]


async def test_requests_are_recorded_without_the_secret(client: HttpClient) -> None:
    async with TokenService() as tokens:
        await portus(client, tokens, "repository:a/b:pull")
        [record] = tokens.requests
        assert (record.method, record.route, record.authorization, record.status) == ("GET", "token", "basic", 200)
        assert record.target.startswith("/v2/token?service=")
        assert tokens.password not in repr(record)
        assert basic(tokens.username, tokens.password).split()[1] not in repr(record)


async def test_other_paths_and_methods_are_not_found(client: HttpClient) -> None:
    async with TokenService() as tokens:
        assert (await client.send("GET", tokens.url + "/v2/")).status == 404
        assert (await client.send("POST", tokens.realm)).status == 404
