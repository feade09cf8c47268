import os
import re
from pathlib import Path

import pytest

from portus_gateway import settings
from portus_gateway.distribution import Configuration, RetryPolicy, Timeouts
from portus_gateway.listen_address import ListenAddress
from portus_gateway.rpc.limits import ServerLimits
from portus_gateway.setting_types import placeholder
from portus_gateway.settings import SECRETS, InvalidSettings, Problem, Settings, flag_of, variable_of

URL = "https://registry.example:5000"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    # The process keeps its own environment: threads of gRPC read it, and must not while it changes.
    monkeypatch.setattr(os, "environ", dict(os.environ))
    for name in Settings.model_fields:
        monkeypatch.delenv(variable_of(name), raising=False)
    monkeypatch.setenv("PORTUS_REGISTRY_URL", URL)
    monkeypatch.setenv("PORTUS_PASSWORD", "s3cret")
    return monkeypatch


def problem(**variables: str) -> str:
    """The only mistake."""
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
    assert [error.name for error in invalid.value.problems] == ["registry_url", "password_file"]
    assert "https://registry.example:5000" in str(invalid.value)
    assert "PORTUS_PASSWORD_FILE" in str(invalid.value)


def test_no_secret_is_shown() -> None:
    assert "s3cret" not in repr(settings.load())
    assert "s3cret" not in str(settings.load())


@pytest.mark.parametrize(
    "text",
    [
        "https://storage.example/bucket",
        "storage.example",
        "user:s3cret@storage.example",
        "ftp://storage.example",
        "https://a.example,",
        "https://a/?b",
    ],
)
def test_the_origin_of_a_storage_is_scheme_host_and_port(text: str) -> None:
    message = problem(blob_origins=text)
    assert message.endswith("each server must be scheme, host and port, such as https://storage.example:443")


def test_the_origins_of_storages(environment: pytest.MonkeyPatch) -> None:
    assert settings.load().blob_origins == ()
    environment.setenv("PORTUS_BLOB_ORIGINS", "https://Storage.example, https://other.example:9000/")
    assert list(map(str, settings.load().blob_origins)) == [
        "https://storage.example:443",
        "https://other.example:9000",
    ]
    assert settings.load({"blob_origins": ""}).blob_origins == ()
    assert "redirects to http are not followed" in problem(blob_origins="http://storage.example")
    assert "must not contain user names" in problem(blob_origins="https://user:pass@storage.example")
    environment.setenv("PORTUS_REGISTRY_URL", "http://registry:5000")
    environment.setenv("PORTUS_BLOB_ORIGINS", "http://storage:9000")
    assert list(map(str, settings.load().blob_origins)) == ["http://storage:9000"]


def test_a_secret_has_no_flag() -> None:
    assert {name for name, field in Settings.model_fields.items() if "SecretStr" in str(field.annotation)} == SECRETS
    assert str(Problem("password", "must be text")) == "PORTUS_PASSWORD: must be text"
    assert str(Problem("listen", "must be text")) == "PORTUS_LISTEN (--listen): must be text"


def test_flags_override_variables(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("PORTUS_LISTEN", "127.0.0.1:1")
    assert settings.load({"listen": "127.0.0.1:2"}).listen.port == 2


def test_an_empty_variable_is_an_unset_one(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("PORTUS_LISTEN", "")
    environment.setenv("PORTUS_TOKEN_REALM", "")
    assert settings.load().listen.port == 50051
    assert settings.load().token_realm is None


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("30", 30), ("30s", 30), ("500ms", 0.5), ("1.5m", 90), ("2h", 7200), ("2d", 172_800), (" 7 s", 7)],
)
def test_durations_can_have_units(environment: pytest.MonkeyPatch, text: str, seconds: float) -> None:
    environment.setenv("PORTUS_DRAIN_GRACE", text)
    assert settings.load().drain_grace == seconds


@pytest.mark.parametrize("text", ["soon", "30 seconds", "s", "-5", "0", "nan", "inf", "8000h", "1e400"])
def test_invalid_durations_are_refused(text: str) -> None:
    assert problem(drain_grace=text) == (
        "PORTUS_DRAIN_GRACE (--drain-grace): must be a duration above 0 and at most 7d, such as 30, 30s, 500ms, 5m, 1h"
        " or 2d"
    )


@pytest.mark.parametrize(
    ("url", "part"),
    [
        ("registry.example:5000", "https://registry.example:5000"),
        ("ftp://registry.example", "https://registry.example:5000"),
        ("https://user:s3cret@registry.example", "must not contain a user name"),
        ("https://registry.example/v2/", "without a path"),
        ("https://registry.example?x=1", "without a path"),
        ("https://", "must be an http or https address"),
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


@pytest.mark.parametrize(
    ("address", "part"),
    [
        ("index.db", "must be sqlite:// and the absolute path of a file"),
        ("sqlite://index.db", "must be sqlite:// and the absolute path of a file"),
        ("sqlite:///var/lib/portus/", "must be sqlite:// and the absolute path of a file"),
        ("mysql://localhost/portus", "must be sqlite:// and the absolute path of a file"),
        ("postgresql://portus:s3cret@localhost/portus", "set PORTUS_INDEX_PASSWORD_FILE"),
    ],
)
def test_the_index_is_a_file_or_a_database(address: str, part: str) -> None:
    message = problem(index=address)
    assert message.startswith("PORTUS_INDEX (--index): ")
    assert part in message
    assert "s3cret" not in message


def test_postgresql_needs_its_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "has_postgres_library", lambda: False)
    assert problem(index="postgresql://localhost/portus") == (
        "PORTUS_INDEX (--index): PostgreSQL needs asyncpg: install portus-gateway with its extra 'postgres'"
    )


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "cannot be read: No such file or directory"),
        (b"", "is empty"),
        (b"\n", "is empty"),
        (b"\xff", "cannot be read: it is not UTF-8 text"),
    ],
)
@pytest.mark.parametrize("setting", ["password_file", "index_password_file"])
def test_a_password_file_has_to_have_a_password(
    environment: pytest.MonkeyPatch, tmp_path: Path, setting: str, content: bytes | None, told: str
) -> None:
    if setting == "password_file":
        environment.delenv("PORTUS_PASSWORD")
    else:
        environment.setenv("PORTUS_INDEX", "postgresql://portus@localhost/portus")
    file = tmp_path / "password"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(InvalidSettings) as invalid:
        settings.load({setting: str(file)})
    (found,) = invalid.value.problems
    assert (found.name, found.description) == (setting, f"{file}: {told}")


def test_the_password_of_the_index_is_for_postgresql(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("s3cret\n")
    assert "is for PostgreSQL: set PORTUS_INDEX" in problem(index_password_file=str(file))
    assert "is for PostgreSQL: set PORTUS_INDEX" in problem(index_password_file=str(file), index="sqlite:///index.db")
    environment.setenv("PORTUS_INDEX", "postgresql://portus@localhost/portus")
    assert settings.load({"index_password_file": str(file)}).index_password_file == file


def test_what_needs_the_index_is_not_blamed_for_an_invalid_one(tmp_path: Path) -> None:
    invalid = "postgresql://portus:s3cret@localhost/portus"
    assert problem(index=invalid, index_password_file=str(tmp_path / "none")).startswith("PORTUS_INDEX (--index): ")
    others = {"notifications_listen": "127.0.0.1:0", "notifications_token_file": "tokens"}
    assert problem(index=invalid, **others).startswith("PORTUS_INDEX (--index): ")


def test_a_trailing_newline_is_not_part_of_the_password(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("PORTUS_PASSWORD", "s3cret\r\n")
    password = settings.load().password
    assert password is not None
    assert password.get_secret_value() == "s3cret"


def test_a_registry_without_an_account_needs_a_setting(environment: pytest.MonkeyPatch) -> None:
    assert "unset one of them" in problem(registry_anonymous="true")
    environment.delenv("PORTUS_PASSWORD")
    assert "PORTUS_PASSWORD_FILE" in problem()
    environment.setenv("PORTUS_REGISTRY_ANONYMOUS", "true")
    assert settings.load().registry_anonymous


@pytest.mark.parametrize(
    ("realm", "part"),
    [
        ("portus.example/v2/token", "https://portus.example/v2/token"),
        ("https://user@portus.example/v2/token", "without user name"),
        ("https://portus.example/v2/token?service=x", "without user name, query"),
        ("http://portus.example/v2/token", "must be an https address"),
    ],
)
def test_the_realm_is_an_address_that_may_receive_a_password(realm: str, part: str) -> None:
    assert part in problem(token_realm=realm)


def test_a_registry_over_http_may_have_a_realm_over_http(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("PORTUS_REGISTRY_URL", "http://registry:5000")
    environment.setenv("PORTUS_TOKEN_REALM", "http://portus:3000/v2/token")
    assert settings.load().token_realm == "http://portus:3000/v2/token"


@pytest.mark.parametrize(
    ("content", "told"),
    [(None, "cannot be read: No such file or directory"), ("no", "contains no certificate in PEM format")],
)
def test_a_ca_file_has_to_contain_certificates(tmp_path: Path, content: str | None, told: str) -> None:
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_text(content)
    assert problem(ca_file=str(file)) == f"PORTUS_CA_FILE (--ca-file): {file}: {told}"


@pytest.mark.parametrize("address", ["0.0.0.0:50051", ":50051", "[::]:50051", "10.0.0.1:50051", "gateway:50051"])
def test_an_open_port_needs_explicit_consent(environment: pytest.MonkeyPatch, address: str) -> None:
    environment.setenv("PORTUS_LISTEN", address)
    with pytest.raises(InvalidSettings) as invalid:
        settings.load()
    assert [problem.name for problem in invalid.value.problems] == ["allow_anonymous", "insecure"]
    assert problem(allow_anonymous="true").startswith("PORTUS_INSECURE (--insecure): ")
    assert problem(insecure="true").startswith("PORTUS_ALLOW_ANONYMOUS (--allow-anonymous): ")
    assert settings.load({"allow_anonymous": True, "insecure": True}).allow_anonymous


def test_authentication_and_tls_need_no_consent(environment: pytest.MonkeyPatch) -> None:
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
def test_an_incomplete_access_control_is_refused(variables: dict[str, str], blamed: str) -> None:
    assert problem(**variables).startswith(f"{variable_of(blamed)} ({flag_of(blamed)}): ")


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("upstream_concurrency", "0", "must be a whole number from 1 to 1000"),
        ("upstream_concurrency", "1001", "must be a whole number from 1 to 1000"),
        ("upstream_concurrency", "many", "must be a whole number from 1 to 1000"),
        ("upstream_concurrency", "1.5", "must be a whole number from 1 to 1000"),
        ("upstream_attempts", "0", "must be a whole number from 1 to 10"),
        ("max_manifest_bytes", "10", "must be a whole number from 1024 to 67108864, in bytes"),
        ("cache_bytes", "-1", "must be a whole number from 0 to 68719476736, in bytes"),
        ("max_concurrent_calls", "-1", "must be a whole number from 1 to 100000"),
        ("caller_concurrency", "0", "must be a whole number from 1 to 100000"),
        ("caller_rate", "fast", "must be a number above 0 and at most 1000000"),
        ("caller_rate", "nan", "must be a number above 0 and at most 1000000"),
        ("jwt_leeway", "10m", "must be a duration from 0 to 5m, such as 30, 30s, 500ms, 5m, 1h or 2d"),
        ("allow_delete", "perhaps", "must be true or false"),
        ("log_level", "loud", "must be debug, info, warning or error"),
        ("log_format", "xml", "must be auto, human or json"),
        ("metrics_listen", "9464", "must be host:port, such as 127.0.0.1:50051"),
        ("listen", "::1:50051", "must have an IPv6 address in brackets, such as [::1]:50051"),
        ("username", "\udcff", "must be text in UTF-8 that is not empty"),
    ],
)
def test_an_invalid_value_is_answered_with_what_is_valid(name: str, value: str, expected: str) -> None:
    assert problem(**{name: value}) == f"{variable_of(name)} ({flag_of(name)}): {expected}"


def test_no_message_comes_from_the_validation_library() -> None:
    invalid = dict.fromkeys(Settings.model_fields, "\udcff")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in invalid.items():
            patch.setenv(variable_of(name), value)
        with pytest.raises(InvalidSettings) as raised:
            settings.load()
    assert len(raised.value.problems) > len(Settings.model_fields) / 2
    for one in raised.value.problems:
        assert not re.search("input|string|unable|integer|boolean", str(one)), one


def test_unknown_variables_are_reported_with_a_suggestion_and_all_other_mistakes() -> None:
    names = ["PORTUS_LISTEN", "PORTUS_LISTN", "PORTUS_SMTP_HOST", "PORTUS_GATEWAY_ADDRESS", "PATH"]
    with pytest.raises(InvalidSettings) as raised:
        settings.load({"drain_grace": "long", "registry_url": "x"}, names)
    assert list(map(str, raised.value.problems))[:2] == [
        "PORTUS_LISTN: is not a setting of the gateway: did you mean PORTUS_LISTEN? If not, unset it",
        "PORTUS_SMTP_HOST: is not a setting of the gateway: unset it",
    ]
    assert {problem.name for problem in raised.value.problems[2:]} >= {"registry_url", "drain_grace"}


def test_an_abbreviated_setting_is_suggested_written_out() -> None:
    with pytest.raises(InvalidSettings) as raised:
        settings.load({}, ["PORTUS_TLS_CERT_FILE"])
    assert "did you mean PORTUS_TLS_CERTIFICATE_FILE?" in str(raised.value.problems[0])


def test_variables_of_a_kubernetes_service_are_no_mistakes() -> None:
    links = ["SERVICE_HOST", "SERVICE_PORT", "SERVICE_PORT_HTTP", "PORT", "PORT_80_TCP", "PORT_80_TCP_ADDR"]
    for service in ("PORTUS", "PORTUS_WEB"):
        settings.load(variables=[f"{service}_{link}" for link in links])
    with pytest.raises(InvalidSettings, match="PORTUS_LISTEN_PORT"):
        settings.load(variables=["PORTUS_LISTEN_PORT"])


def test_defaults_are_those_of_what_the_settings_are_for() -> None:
    loaded = settings.load()
    assert Timeouts().delete < ServerLimits().max_call_duration
    assert (loaded.connect_timeout, loaded.read_timeout) == (Timeouts().connect, Timeouts().read)
    assert (loaded.total_timeout, loaded.delete_timeout) == (Timeouts().total, Timeouts().delete)
    assert loaded.max_call_duration == ServerLimits().max_call_duration
    assert loaded.upstream_attempts == RetryPolicy().attempts
    configuration = Configuration(url="http://registry.test")
    assert loaded.upstream_concurrency == configuration.concurrency == ServerLimits().max_upstream_requests
    assert loaded.max_manifest_bytes == configuration.manifest_limit == ServerLimits().max_manifest_bytes


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("registry_url", "TEXT"),
        ("registry_auth", "auto|token|basic"),
        ("policy_file", "FILE"),
        ("listen", "HOST:PORT"),
        ("metrics_listen", "HOST:PORT"),
        ("read_timeout", "DURATION"),
        ("caller_rate", "NUMBER"),
        ("workers", "NUMBER"),
    ],
)
def test_help_shows_what_kind_of_value_a_setting_has(name: str, shown: str) -> None:
    assert placeholder(Settings.model_fields[name]) == shown
