"""JWTs: which are taken, and that nothing else is."""

# The files of a test are small and local.
# ruff: noqa: ASYNC240

import base64
import hmac
import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm
from structlog.testing import capture_logs

from portus_gateway.access.errors import InvalidAccessFile, KeysUnavailable, Unauthenticated
from portus_gateway.access.jwt_authenticator import JwtAuthenticator
from portus_gateway.access.key_set import parse_key_set
from portus_gateway.access.key_sources import KeyFile
from tests.access.issuer import AUDIENCE, ISSUER, RSA, Issuer, public_jwk


@pytest.fixture
def issuer() -> Issuer:
    return Issuer()


@pytest.fixture
def path(tmp_path: Path, issuer: Issuer) -> Path:
    path = tmp_path / "jwks.json"
    path.write_bytes(issuer.jwks)
    return path


@pytest.fixture
def authenticator(path: Path) -> JwtAuthenticator:
    return JwtAuthenticator(
        issuer=ISSUER, audiences=["another", AUDIENCE], keys=KeyFile(path), claims=["groups", "team"]
    )


async def refusal(authenticator: JwtAuthenticator, token: str) -> str:
    with pytest.raises(Unauthenticated) as caught:
        await authenticator.authenticate(token)
    assert caught.value.reason == "CREDENTIAL_INVALID"
    assert token not in str(caught.value)
    return str(caught.value).removeprefix("the bearer token is not accepted: ")


@pytest.mark.parametrize(
    ("key", "algorithm"),
    [("rsa", "RS256"), ("rsa", "RS512"), ("rsa", "PS256"), ("ec", "ES256"), ("ec384", "ES384"), ("ed", "EdDSA")],
)
async def test_every_asymmetric_algorithm_is_taken(
    authenticator: JwtAuthenticator, issuer: Issuer, key: str, algorithm: str
) -> None:
    caller = await authenticator.authenticate(issuer.token(key, algorithm))
    assert caller is not None
    assert caller.name == f"jwt:{ISSUER}#ci"
    assert caller.kind == "jwt"


async def test_claims_are_further_names(authenticator: JwtAuthenticator, issuer: Issuer) -> None:
    token = issuer.token(groups=["dev", "ops", 7, True, None], team="a", other="x")
    caller = await authenticator.authenticate(token)
    assert caller is not None
    assert caller.principals == {
        f"jwt:{ISSUER}#ci",
        f"claim:{ISSUER}#groups=dev",
        f"claim:{ISSUER}#groups=ops",
        f"claim:{ISSUER}#groups=7",
        f"claim:{ISSUER}#groups=true",
        f"claim:{ISSUER}#team=a",
    }


@pytest.mark.parametrize("value", [{"admin": True}, [["dev"]], 1.5, ["dev", {}]], ids=str)
async def test_a_claim_that_cannot_name_anybody_is_refused_and_not_left_out(
    authenticator: JwtAuthenticator, issuer: Issuer, value: object
) -> None:
    """A deny rule could be about it."""
    with pytest.raises(Unauthenticated, match="its `groups` has a value"):
        await authenticator.authenticate(issuer.token(groups=value))


HUGE = 10**400


@pytest.mark.parametrize("name", ["exp", "nbf", "iat"])
@pytest.mark.parametrize(
    "value", [HUGE, -HUGE, 1e308, "9" * 5000, [], {}, True, "x"], ids=lambda value: repr(value)[:12]
)
async def test_a_time_that_nobody_would_write_is_accepted_or_refused_and_never_a_bug(
    authenticator: JwtAuthenticator, issuer: Issuer, name: str, value: object
) -> None:
    for _ in range(2):  # the second time it may be remembered
        try:
            token = issuer.signed(issuer.keys["ec"], "ES256", {"kid": "ec"}, **{name: value})
            assert await authenticator.authenticate(token) is not None
        except Unauthenticated:
            continue


async def test_a_subject_cannot_pass_for_a_claim(authenticator: JwtAuthenticator, issuer: Issuer) -> None:
    caller = await authenticator.authenticate(issuer.token(sub="groups=admins"))
    assert caller is not None
    assert caller.principals == {f"jwt:{ISSUER}#groups=admins"}


NOW = int(time.time())
# Longer than all tests take.
LATER = NOW + 7 * 24 * 3600
Made = Callable[[Issuer], str]


def encoded(document: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(document).encode()).rstrip(b"=").decode()


def unsigned(header: object) -> str:
    return f"{encoded(header)}.{encoded({'iss': ISSUER, 'aud': AUDIENCE, 'sub': 'root', 'exp': LATER})}.x"


@pytest.mark.parametrize(
    ("made", "problem"),
    [
        (lambda issuer: issuer.token(exp=NOW - 100), "it has expired"),
        (lambda issuer: issuer.token(exp=None), "it has no `exp`"),
        (lambda issuer: issuer.token(aud=None), "it has no `aud`"),
        (lambda issuer: issuer.token(sub=None), "it has no `sub`"),
        (lambda issuer: issuer.token(sub=""), "its `sub` is empty"),
        (lambda issuer: issuer.token(sub="a\nb"), "its subject or one of its claims is not a valid name"),
        (lambda issuer: issuer.token(sub="x" * 2000), "its subject or one of its claims is not a valid name"),
        (lambda issuer: issuer.token(groups=["x"] * 101), "its `groups` has 101 values; at most 100 are taken"),
        (lambda issuer: issuer.token(aud="grafana"), "it is meant for another audience"),
        (lambda issuer: issuer.token(aud=[]), "it has no `aud`"),
        (lambda issuer: issuer.token(nbf=LATER), "it is not valid yet"),
        (lambda issuer: issuer.token(iat=LATER), "it is not valid yet"),
        (lambda issuer: issuer.token(exp=1e400), "it is malformed"),
        (lambda issuer: issuer.token(exp="soon"), "it is malformed"),
        (lambda issuer: issuer.token(headers={"crit": ["exp"]}), "its header asks for extensions"),
        (lambda issuer: issuer.token(headers={"kid": "gone"}), "it is signed with a key that its issuer does not have"),
        (lambda _: unsigned({"alg": "ES256", "b64": False}), "its header asks for extensions"),
        (lambda _: unsigned({"alg": []}), "its `alg` is not accepted"),
        (lambda _: unsigned({"alg": "ES256", "kid": 7}), "it is malformed"),
        # The right key's id, another key's signature.
        (
            lambda issuer: issuer.signed(ec.generate_private_key(ec.SECP256R1()), "ES256", {"kid": "ec"}),
            "its signature is not good",
        ),
        # One kind of key under another kind's algorithm.
        (lambda issuer: issuer.token("ec", "ES256", headers={"kid": "rsa"}), "it is signed with a key that"),
        (lambda issuer: issuer.signed(None, "none", {}), "its `alg` is not accepted"),
        (lambda issuer: issuer.signed(b"x" * 64, "HS256", {"kid": "rsa"}), "its `alg` is not accepted"),
        (lambda issuer: tampered(issuer.token()), "its signature is not good"),
        (lambda issuer: issuer.token().rpartition(".")[0] + ".", "its signature is not good"),
    ],
)
async def test_an_invalid_token_is_refused_with_the_reason(
    authenticator: JwtAuthenticator, issuer: Issuer, made: Made, problem: str
) -> None:
    assert (await refusal(authenticator, made(issuer))).startswith(problem)


def tampered(token: str) -> str:
    """The same header and signature around other claims."""
    header, payload, signature = token.split(".")
    claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    claims["sub"] = "root"
    return ".".join((header, encoded(claims), signature))


async def test_a_public_key_is_no_shared_secret(authenticator: JwtAuthenticator) -> None:
    """The confusion of algorithms: signed with HMAC, by the public key that everybody has."""
    for form in (serialization.PublicFormat.SubjectPublicKeyInfo, serialization.PublicFormat.PKCS1):
        public = RSA.public_key().public_bytes(serialization.Encoding.PEM, form)
        signed = f"{encoded({'alg': 'HS256', 'kid': 'rsa', 'typ': 'JWT'})}." + encoded(
            {"iss": ISSUER, "aud": AUDIENCE, "sub": "root", "exp": LATER}
        )
        signature = base64.urlsafe_b64encode(hmac.digest(public, signed.encode(), "sha256")).rstrip(b"=").decode()
        assert (await refusal(authenticator, f"{signed}.{signature}")).startswith("its `alg` is not accepted")


@pytest.mark.parametrize(
    "token",
    [
        "x",
        "a.b.c",
        "..",
        "a.b",
        f"{encoded([])}.{encoded([])}.x",
        f"{encoded({})}.{encoded({'iss': 'x'})}.x",
        # Ours, if it were one.
        unsigned({}).removesuffix(".x"),
        f"{unsigned({})}.x",
        unsigned([]),
        f"{encoded({})}.{encoded([ISSUER])}.x",
    ],
)
async def test_what_is_no_token_of_this_issuer_is_left_to_others(authenticator: JwtAuthenticator, token: str) -> None:
    assert await authenticator.authenticate(token) is None


async def test_another_issuers_token_is_left_to_other_authenticators(
    authenticator: JwtAuthenticator, issuer: Issuer
) -> None:
    for other in ("https://login.example.org.evil", f"{ISSUER}/", None, ""):
        assert await authenticator.authenticate(issuer.token(iss=other)) is None


async def test_a_deep_document_is_no_token(authenticator: JwtAuthenticator) -> None:
    deep = base64.urlsafe_b64encode(b"[" * 5000).rstrip(b"=").decode()
    assert await authenticator.authenticate(f"{deep}.{deep}.x") is None


async def test_clocks_may_differ_by_the_leeway(path: Path, issuer: Issuer) -> None:
    lenient = JwtAuthenticator(issuer=ISSUER, audiences=[AUDIENCE], keys=KeyFile(path), leeway=60)
    assert await lenient.authenticate(issuer.token(exp=int(time.time()) - 30))
    assert await lenient.authenticate(issuer.token(nbf=int(time.time()) + 30))
    for leeway in (-1, 301):
        with pytest.raises(ValueError, match="0 to 300 seconds"):
            JwtAuthenticator(issuer=ISSUER, audiences=[AUDIENCE], keys=KeyFile(path), leeway=leeway)
    strict = JwtAuthenticator(issuer=ISSUER, audiences=[AUDIENCE], keys=KeyFile(path), leeway=0)
    assert await refusal(strict, issuer.token(exp=int(time.time()) - 2)) == "it has expired"
    most = JwtAuthenticator(issuer=ISSUER, audiences=[AUDIENCE], keys=KeyFile(path), leeway=300)
    assert await most.authenticate(issuer.token(exp=int(time.time()) - 200))


def test_an_issuer_without_an_audience_is_refused(path: Path) -> None:
    for audiences in ([], [""], [AUDIENCE, ""]):
        with pytest.raises(ValueError, match="tokens for other services would be accepted"):
            JwtAuthenticator(issuer=ISSUER, audiences=audiences, keys=KeyFile(path))


@pytest.mark.parametrize("name", ["", "https://example.org#x", "https://*.example.org"])
def test_an_issuer_whose_subjects_could_not_be_told_apart_is_refused(path: Path, name: str) -> None:
    """`jwt:a#b#c` could be the subject `b#c` or the issuer `a#b`, and a pattern could be meant by `*`."""
    with pytest.raises(ValueError, match="an issuer is not empty"):
        JwtAuthenticator(issuer=name, audiences=[AUDIENCE], keys=KeyFile(path))


async def test_a_claim_may_have_a_hundred_values(authenticator: JwtAuthenticator, issuer: Issuer) -> None:
    caller = await authenticator.authenticate(issuer.token(groups=[f"g{number}" for number in range(100)]))
    assert caller is not None
    assert len(caller.principals) == 101


async def test_keys_of_a_file_that_is_unusable_for_too_long_verify_nothing(path: Path, issuer: Issuer) -> None:
    now = 1000.0
    keys = KeyFile(path, trusted_for=300, clock=lambda: now)
    authenticator = JwtAuthenticator(issuer=ISSUER, audiences=[AUDIENCE], keys=keys)
    token = issuer.token()
    assert await authenticator.authenticate(token)
    path.write_text("broken")
    await keys.reload_if_changed()
    now += 300
    assert await authenticator.authenticate(token)
    now += 1
    for shown in (token, issuer.token(jti="another"), issuer.token(headers={"kid": "made-up"})):
        with pytest.raises(KeysUnavailable, match="operator has to correct it"):
            await authenticator.authenticate(shown)
    path.write_bytes(issuer.jwks)
    await keys.reload_if_changed()
    assert await authenticator.authenticate(token)


async def test_a_valid_token_expires(
    authenticator: JwtAuthenticator, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = issuer.token(exp=int(time.time()) - 20)
    assert await authenticator.authenticate(token)
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 15)
    # Remembered as good for no longer than it is: now it is looked at again.
    monkeypatch.setattr("jwt.decode", lambda *_, **__: pytest.fail("looked at again"))
    with pytest.raises(BaseException, match="looked at again"):
        await authenticator.authenticate(token)


async def test_a_good_token_is_verified_once(
    authenticator: JwtAuthenticator, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = issuer.token()
    first = await authenticator.authenticate(token)
    monkeypatch.setattr("jwt.decode", lambda *_, **__: pytest.fail("verified again"))
    assert await authenticator.authenticate(token) is first


async def test_a_key_that_is_gone_ends_its_tokens(path: Path, authenticator: JwtAuthenticator, issuer: Issuer) -> None:
    token, other = issuer.token("ec"), issuer.token("rsa", "RS256")
    keys = KeyFile(path)
    authenticator = JwtAuthenticator(issuer=ISSUER, audiences=[AUDIENCE], keys=keys)
    assert await authenticator.authenticate(token)
    assert await authenticator.authenticate(other)
    del issuer.keys["ec"]
    path.write_bytes(issuer.jwks)
    assert await keys.reload()
    assert await refusal(authenticator, token) == "it is signed with a key that its issuer does not have"
    assert await authenticator.authenticate(other)


async def test_a_new_key_in_the_file_is_found_by_its_first_token(
    path: Path, authenticator: JwtAuthenticator, issuer: Issuer
) -> None:
    issuer.keys["new"] = ec.generate_private_key(ec.SECP256R1())
    token = issuer.token("new")
    assert (await refusal(authenticator, token)).startswith("it is signed with a key")
    path.write_bytes(issuer.jwks)
    assert await authenticator.authenticate(token)


async def test_a_token_without_a_key_id_is_tried_with_all_keys_that_fit(
    authenticator: JwtAuthenticator, issuer: Issuer
) -> None:
    issuer.keys["ec2"] = ec.generate_private_key(ec.SECP256R1())
    assert await authenticator.authenticate(issuer.signed(issuer.keys["ec"], "ES256", {}))
    assert await refusal(authenticator, issuer.signed(issuer.keys["ec2"], "ES256", {})) == "its signature is not good"


def keys_of(*jwks: object) -> list[str | None]:
    return [key.id for key in parse_key_set(json.dumps({"keys": jwks}).encode(), "jwks.json").keys]


def test_keys_that_must_not_verify_anything_are_left_out(issuer: Issuer) -> None:
    good = issuer.jwk("rsa")
    private = issuer.keys["ec"]
    assert isinstance(private, ec.EllipticCurvePrivateKey)
    secret = base64.urlsafe_b64encode(b"x" * 64).decode()
    assert keys_of(
        good,
        {"kty": "oct", "k": secret, "kid": "shared"},
        {"kty": "oct", "k": secret, "alg": "HS256", "kid": "shared"},
        {**good, "alg": "HS256", "kid": "confused"},
        {**good, "alg": "none", "kid": "none"},
        {**good, "use": "enc", "kid": "encryption"},
        {**issuer.jwk("ec"), "alg": "ES384", "kid": "wrong curve"},
        {**issuer.jwk("ec"), "crv": "secp256k1", "kid": "unusual"},
        {**ECAlgorithm.to_jwk(private, as_dict=True), "kid": "private"},
        {**public_jwk(rsa.generate_private_key(public_exponent=65537, key_size=1024)), "kid": "short"},
        {**good, "n": "!", "kid": "broken"},
        {**good, "kid": 7},
        {**good, "kid": "odd", "alg": []},
        "nothing",
    ) == ["rsa"]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[]", "not a JWKS"),
        (b'{"keys": {}}', "not a JWKS"),
        (b'{"keys": []}', "no key that can verify a token"),
        (b'{"keys": [{"kty": "oct", "k": "eA"}]}', "no key that can verify a token"),
        (json.dumps({"keys": [{}] * 101}).encode(), "101 keys; at most 100"),
    ],
)
def test_a_set_without_a_usable_key_is_refused(content: bytes, problem: str) -> None:
    with pytest.raises(InvalidAccessFile) as caught:
        parse_key_set(content, "jwks.json")
    assert caught.value.problems[0].startswith(problem)


def test_a_set_may_have_a_hundred_keys(issuer: Issuer) -> None:
    content = json.dumps({"keys": [issuer.jwk("ec")] * 100}).encode()
    assert len(parse_key_set(content, "jwks.json").keys) == 100


async def test_a_key_without_an_id_verifies_tokens_with_any_id(path: Path, issuer: Issuer) -> None:
    path.write_text(json.dumps({"keys": [public_jwk(issuer.keys["ec"])]}))
    authenticator = JwtAuthenticator(issuer=ISSUER, audiences=[AUDIENCE], keys=KeyFile(path))
    assert await authenticator.authenticate(issuer.token())


def test_keys_that_are_left_out_are_in_the_log_with_the_reason(issuer: Issuer) -> None:
    with capture_logs() as logs:
        keys_of(issuer.jwk("ec"))
        assert logs == []
        keys_of(issuer.jwk("ec"), {**issuer.jwk("rsa"), "alg": "HS256"}, {**issuer.jwk("rsa"), "alg": 7})
    assert [entry["problems"] for entry in logs] == [
        [
            "key 2 is left out: it is for no accepted algorithm: use RS, PS, ES or EdDSA",
            "key 3 is left out: its `kid` or `alg` is not a string",
        ]
    ]


def test_a_private_key_among_the_public_ones_is_reported(issuer: Issuer) -> None:
    private = issuer.keys["ec"]
    assert isinstance(private, ec.EllipticCurvePrivateKey)
    content = json.dumps({"keys": [ECAlgorithm.to_jwk(private, as_dict=True)]}).encode()
    with pytest.raises(InvalidAccessFile, match="key 1 is left out: it is a private key"):
        parse_key_set(content, "jwks.json")


def test_a_key_is_bound_to_its_own_algorithm(issuer: Issuer) -> None:
    keys = parse_key_set(json.dumps({"keys": [{**issuer.jwk("rsa"), "alg": "RS256"}]}).encode(), "jwks.json")
    assert keys.candidates("rsa", "RS256")
    assert not keys.candidates("rsa", "PS256")
    assert not keys.candidates("other", "RS256")
