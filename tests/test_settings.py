from pathlib import Path

import pytest

from portus_gateway import settings
from portus_gateway.cli.setting_options import SECRETS
from portus_gateway.listen_address import ListenAddress
from portus_gateway.settings import InvalidSettings, Settings, flag_of, variable_of

URL = "https://registry.example:5000"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in Settings.model_fields:
        monkeypatch.delenv(variable_of(name), raising=False)
    monkeypatch.setenv("PORTUS_REGISTRY_URL", URL)
    monkeypatch.setenv("PORTUS_PASSWORD", "s3cret")
    return monkeypatch


def problem(**variables: str) -> str:
    """The one mistake that there is."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(variable_of(name), value)
        with pytest.raises(InvalidSettings) as invalid:
            settings.load()
    assert len(invalid.value.problems) == 1, invalid.value
    assert "s3cret" not in str(invalid.value)
    return str(invalid.value)


def test_two_variables_are_enough() -> None:
    loaded = settings.load()
    assert loaded.registry_url == URL
    assert loaded.username == "portus"
    assert loaded.listen == ListenAddress("127.0.0.1", 50051)
    assert not loaded.allow_delete
    assert not loaded.allow_anonymous


def test_nothing_set_says_what_to_set(environment: pytest.MonkeyPatch) -> None:
    environment.delenv("PORTUS_REGISTRY_URL")
    environment.delenv("PORTUS_PASSWORD")
    with pytest.raises(InvalidSettings) as invalid:
        settings.load()
    assert [error.name for error in invalid.value.problems] == ["registry_url", "registry_anonymous"]
    assert "https://registry.example:5000" in str(invalid.value)
    assert "PORTUS_PASSWORD_FILE" in str(invalid.value)


def test_no_secret_is_shown() -> None:
    assert "s3cret" not in repr(settings.load())
    assert "s3cret" not in str(settings.load())
    assert "password" in SECRETS
    assert "no flag" in flag_of("password")


def test_flags_go_before_variables(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("PORTUS_LISTEN", "127.0.0.1:1")
    assert settings.load({"listen": "127.0.0.1:2"}).listen.port == 2


def test_an_empty_variable_is_an_unset_one(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("PORTUS_LISTEN", "")
    environment.setenv("PORTUS_TOKEN_REALM", "")
    assert settings.load().listen.port == 50051
    assert settings.load().token_realm is None


@pytest.mark.parametrize(
    ("text", "seconds"), [("30", 30), ("30s", 30), ("500ms", 0.5), ("1.5m", 90), ("2h", 7200), (" 7 s", 7)]
)
def test_durations_can_have_units(environment: pytest.MonkeyPatch, text: str, seconds: float) -> None:
    environment.setenv("PORTUS_DRAIN_GRACE", text)
    assert settings.load().drain_grace == seconds


@pytest.mark.parametrize("text", ["soon", "30 seconds", "s", "-5", "0", "nan", "inf", "8000h", "1e400"])
def test_durations_that_are_none_are_refused(text: str) -> None:
    assert "PORTUS_DRAIN_GRACE (--drain-grace): " in problem(drain_grace=text)


@pytest.mark.parametrize(
    ("url", "part"),
    [
        ("registry.example:5000", "https://registry.example:5000"),
        ("ftp://registry.example", "https://registry.example:5000"),
        ("https://user:s3cret@registry.example", "has a user in it"),
        ("https://registry.example/v2/", "without a path"),
        ("https://registry.example?x=1", "without a path"),
        ("https://", "no http or https address"),
    ],
)
def test_the_registry_is_an_origin(url: str, part: str) -> None:
    assert part in problem(registry_url=url)


def test_the_registrys_address_is_normalized(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("PORTUS_REGISTRY_URL", "https://Registry.Example/")
    assert settings.load().registry_url == "https://registry.example:443"


def test_the_password_comes_from_one_place(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("s3cret\n")
    assert "unset one of them" in problem(password_file=str(file))
    environment.delenv("PORTUS_PASSWORD")
    environment.setenv("PORTUS_PASSWORD_FILE", str(file))
    assert settings.load().password_file == file


@pytest.mark.parametrize("content", [None, b"", b"\n", b"\xff"])
def test_a_password_file_has_to_have_a_password(
    environment: pytest.MonkeyPatch, tmp_path: Path, content: bytes | None
) -> None:
    environment.delenv("PORTUS_PASSWORD")
    file = tmp_path / "password"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(InvalidSettings) as invalid:
        settings.load({"password_file": str(file)})
    assert invalid.value.problems[0].name == "password_file"


def test_a_trailing_newline_is_not_part_of_the_password(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("PORTUS_PASSWORD", "s3cret\r\n")
    password = settings.load().password
    assert password is not None
    assert password.get_secret_value() == "s3cret"


def test_a_registry_without_accounts_has_to_be_said_to_be_one(environment: pytest.MonkeyPatch) -> None:
    assert "unset one of them" in problem(registry_anonymous="true")
    environment.delenv("PORTUS_PASSWORD")
    assert "PORTUS_PASSWORD_FILE" in problem()
    environment.setenv("PORTUS_REGISTRY_ANONYMOUS", "true")
    assert settings.load().registry_anonymous


@pytest.mark.parametrize(
    ("realm", "part"),
    [
        ("portus.example/v2/token", "https://portus.example/v2/token"),
        ("https://user@portus.example/v2/token", "without user"),
        ("https://portus.example/v2/token?service=x", "without user, query"),
        ("http://portus.example/v2/token", "the registry is https"),
    ],
)
def test_the_realm_is_an_address_that_may_see_a_password(realm: str, part: str) -> None:
    assert part in problem(token_realm=realm)


def test_a_registry_over_http_may_have_a_realm_over_http(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("PORTUS_REGISTRY_URL", "http://registry:5000")
    environment.setenv("PORTUS_TOKEN_REALM", "http://portus:3000/v2/token")
    assert settings.load().token_realm == "http://portus:3000/v2/token"


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_certificates_have_to_be_some(tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_text(content)
    assert "PORTUS_CA_FILE" in problem(ca_file=str(file))


@pytest.mark.parametrize("address", ["0.0.0.0:50051", ":50051", "[::]:50051", "10.0.0.1:50051", "gateway:50051"])
def test_off_loopback_it_has_to_be_said_that_it_is_meant(environment: pytest.MonkeyPatch, address: str) -> None:
    environment.setenv("PORTUS_LISTEN", address)
    with pytest.raises(InvalidSettings) as invalid:
        settings.load()
    assert [problem.name for problem in invalid.value.problems] == ["allow_anonymous", "insecure"]
    assert problem(allow_anonymous="true").startswith("PORTUS_INSECURE (--insecure): ")
    assert problem(insecure="true").startswith("PORTUS_ALLOW_ANONYMOUS (--allow-anonymous): ")
    assert settings.load({"allow_anonymous": True, "insecure": True}).allow_anonymous


def test_callers_that_authenticate_over_tls_need_neither(environment: pytest.MonkeyPatch) -> None:
    for name, value in {
        "listen": ":50051",
        "tls_certificate_file": "tls.crt",
        "tls_key_file": "tls.key",
        "caller_token_file": "tokens",
        "policy_file": "policy.toml",
    }.items():
        environment.setenv(variable_of(name), value)
    assert settings.load().authenticates


@pytest.mark.parametrize(
    ("variables", "blamed"),
    [
        ({"tls_certificate_file": "tls.crt"}, "tls_key_file"),
        ({"tls_key_file": "tls.key"}, "tls_key_file"),
        ({"tls_client_ca_file": "ca.pem", "policy_file": "p"}, "tls_client_ca_file"),
        ({"mtls_listen": "127.0.0.1:0"}, "mtls_listen"),
        ({"caller_token_file": "tokens"}, "policy_file"),
        ({"jwt_issuer": "https://i", "jwt_keys_file": "keys", "policy_file": "p"}, "jwt_audience"),
        ({"jwt_issuer": "https://i", "jwt_audience": "a", "policy_file": "p"}, "jwt_keys_url"),
        (
            {
                "jwt_issuer": "https://i",
                "jwt_audience": "a",
                "jwt_keys_file": "keys",
                "jwt_keys_url": "https://i/keys",
                "policy_file": "p",
            },
            "jwt_keys_url",
        ),
        ({"jwt_keys_file": "keys"}, "jwt_keys_url"),
        ({"jwt_leeway": "10m"}, "jwt_leeway"),
        ({"caller_rate": "0"}, "caller_rate"),
    ],
)
def test_half_a_set_up_of_access_control_is_a_mistake(variables: dict[str, str], blamed: str) -> None:
    assert problem(**variables).startswith(f"{variable_of(blamed)} ({flag_of(blamed)}): ")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("upstream_concurrency", "0"),
        ("upstream_concurrency", "many"),
        ("upstream_attempts", "0"),
        ("max_manifest_bytes", "10"),
        ("max_concurrent_calls", "-1"),
        ("allow_delete", "perhaps"),
        ("log_level", "loud"),
        ("log_format", "xml"),
        ("metrics_listen", "9464"),
    ],
)
def test_values_out_of_range_are_refused(name: str, value: str) -> None:
    assert problem(**{name: value}).startswith(f"{variable_of(name)} ({flag_of(name)}): ")


def test_variables_that_are_no_settings_are_found_with_what_was_meant() -> None:
    names = ["PORTUS_LISTEN", "PORTUS_LISTN", "PORTUS_DB_HOST", "PORTUS_GATEWAY_ADDRESS", "PATH"]
    assert settings.unknown_variables(names) == {"PORTUS_DB_HOST": None, "PORTUS_LISTN": "PORTUS_LISTEN"}
