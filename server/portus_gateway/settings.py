"""The settings: from environment variables and flags to one frozen object, validated once, all mistakes told at once.

Each field of `Settings` is a setting: `listen` is the variable PORTUS_LISTEN and the flag `--listen` of
`portus-gateway serve`. Descriptions are for users: the README's table and `--help` are made of them.
"""

import difflib
import platform
import ssl
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

from pydantic import BeforeValidator, Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict
from yarl import URL

from portus_gateway.distribution.credentials import PasswordFile
from portus_gateway.distribution.origin import Origin
from portus_gateway.listen_address import ListenAddress

PREFIX = "PORTUS_"
# The Python client's variables begin like this: they are none of ours.
_CLIENT_PREFIX = "PORTUS_GATEWAY_"

Value: TypeAlias = str | bool
_AUTHENTICATORS = ("tls_client_ca_file", "caller_token_file", "jwt_issuer")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with a setting, and what to set. `name` is the field's: `listen`."""

    name: str
    description: str

    def __str__(self) -> str:
        return f"{variable_of(self.name)} ({flag_of(self.name)}): {self.description}"


class InvalidSettings(ValueError):
    """Settings that cannot work: every mistake that there is."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


def variable_of(name: str) -> str:
    """The environment variable of a setting."""
    return f"{PREFIX}{name.upper()}"


def flag_of(name: str) -> str:
    """The flag of a setting; a secret has none, since command lines are public."""
    return "no flag: a command line is no place for it" if name == "password" else f"--{name.replace('_', '-')}"


def _seconds(value: object) -> object:
    """Seconds from `30`, `30s`, `500ms`, `5m` or `1h`."""
    if not isinstance(value, str):
        return value
    text = value.strip()
    for unit, seconds in _UNITS.items():
        number = text.removesuffix(unit)
        if number != text:
            try:
                return float(number) * seconds
            except ValueError:
                continue
    try:
        return float(text)
    except ValueError:
        raise ValueError("write a duration as 30, 30s, 500ms, 5m or 1h") from None


def _address(value: object) -> object:
    return ListenAddress.parse(value) if isinstance(value, str) else value


Duration = Annotated[float, BeforeValidator(_seconds), Field(gt=0, le=7 * 86400, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1, le=100_000)]
Address = Annotated[ListenAddress, NoDecode, BeforeValidator(_address)]


class Settings(BaseSettings):
    """What `portus-gateway serve` does. Durations are in seconds."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_ignore_empty=True,
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
        validate_default=True,
        arbitrary_types_allowed=True,
    )

    registry_url: str = Field(description="The registry: scheme, host and port, `https://registry.example:5000`.")
    username: str = Field("portus", description="The registry account that the gateway acts as.", min_length=1)
    password: SecretStr | None = Field(None, description="That account's password. Better: `PORTUS_PASSWORD_FILE`.")
    password_file: Path | None = Field(
        None, description="A file with the password, read again when the registry's side rejects it."
    )
    registry_anonymous: bool = Field(False, description="Whether the registry is to be used without any account.")
    token_realm: str | None = Field(
        None,
        description="The token service's address, the only one besides the registry itself that gets to see the"
        " password: the `realm` of the registry's `auth.token` settings.",
    )
    ca_file: Path | None = Field(
        None,
        description="Certificates (PEM) to trust, besides the system's, of the registry, the token service and the JWKS"
        " address.",
    )
    use_environment_proxy: bool = Field(False, description="Whether `HTTP_PROXY` and its like apply.")

    listen: Address = Field(ListenAddress("127.0.0.1", 50051), description="Where to serve gRPC. Port 0: a free one.")
    tls_certificate_file: Path | None = Field(
        None, description="The gateway's certificate and its chain (PEM). With it, callers come over TLS."
    )
    tls_key_file: Path | None = Field(None, description="The key of that certificate (PEM, no passphrase).")
    tls_client_ca_file: Path | None = Field(
        None,
        description="Who vouches for callers' certificates (PEM). With it, callers need one, on this port or the"
        " one below.",
    )
    mtls_listen: Address | None = Field(
        None,
        description="Where callers with certificates are served, so that others may come to `PORTUS_LISTEN` with a"
        " token alone.",
    )
    caller_token_file: Path | None = Field(
        None, description="Callers' tokens: lines of `<name> sha256:<hash of the token>`. Read again when it changes."
    )
    jwt_issuer: str | None = Field(None, description="Whose JWTs callers may show (`iss`).", min_length=1)
    jwt_audience: str | None = Field(
        None, description="For whom those JWTs have to be meant (`aud`); several are separated by commas."
    )
    jwt_keys_file: Path | None = Field(None, description="Their issuer's keys (a JWKS). Read again when it changes.")
    jwt_keys_url: str | None = Field(None, description="Where their issuer serves its keys (a JWKS), over https.")
    jwt_claims: str = Field("", description="Claims whose values name callers too, `groups,roles`, for the policy.")
    jwt_leeway: Annotated[float, BeforeValidator(_seconds), Field(ge=0, le=300)] = Field(
        30.0, description="By how much the issuer's clock may differ."
    )
    policy_file: Path | None = Field(
        None, description="Who may do what (docs/policy.md). Read again when it changes, and on SIGHUP."
    )
    allow_anonymous: bool = Field(
        False,
        description="Whether callers off this machine are served without a credential. Who reaches the port then has"
        " what the policy allows to `anonymous`; without a policy, the gateway's powers.",
    )
    insecure: bool = Field(
        False,
        description="Whether to serve off this machine without TLS: credentials and contents go over the wire open.",
    )
    allow_delete: bool = Field(False, description="Whether this gateway deletes at all.")
    audit_log: str = Field(
        "-",
        description="Where each delete is recorded, refused ones too: a file to append to, or `-`, standard output.",
    )
    caller_rate: Annotated[float, Field(gt=0, le=1e6)] | None = Field(
        None, description="How many calls a second one caller may make, in the long run. Unset: no limit."
    )
    caller_concurrency: Count | None = Field(
        None, description="How many calls of one caller may run at a time. Unset: no limit of its own."
    )
    reflection: bool = Field(True, description="Whether to serve gRPC reflection, which grpcurl needs.")
    reflection_anonymous: bool = Field(
        True, description="Whether to serve it to callers without a credential: it shows the API, and nothing else."
    )
    metrics_listen: Address | None = Field(
        None, description="Where to serve Prometheus metrics, over HTTP at `/metrics`. Unset: nowhere."
    )

    connect_timeout: Duration = Field(5.0, description="For a connection to the registry to stand, TLS included.")
    read_timeout: Duration = Field(30.0, description="Between two reads of an answer of the registry's.")
    total_timeout: Duration = Field(60.0, description="For one request to the registry, and its whole answer.")
    delete_timeout: Duration = Field(
        100.0, description="For one delete: a registry takes some 2 ms for each tag on the digest."
    )
    upstream_attempts: Annotated[int, Field(ge=1, le=10)] = Field(
        4, description="How often a request is sent to the registry at most. A delete is sent once, whatever this is."
    )
    upstream_concurrency: Annotated[int, Field(ge=1, le=1000)] = Field(
        8, description="How many requests the registry gets at a time; fewer while it answers 429 or 503, or slowly."
    )
    max_manifest_bytes: Annotated[int, Field(ge=1024, le=64 * 1024 * 1024)] = Field(
        4 * 1024 * 1024, description="The largest manifest that is passed on."
    )

    cache_bytes: Annotated[int, Field(ge=0, le=64 * 1024**3)] = Field(
        64 * 1024 * 1024,
        description="How much memory manifests may take that are kept to ask the registry only whether they changed."
        " 0: keep none.",
    )

    workers: Annotated[int, Field(ge=1, le=64)] = Field(
        1,
        description="How many processes serve, all on the same ports (Linux). Limits, of callers and of requests to the"
        " registry too, and the cache are each worker's own; metrics add up.",
    )
    max_concurrent_calls: Count = Field(
        256, description="How many calls are served at a time, a quarter of them streams. Health checks do not count."
    )
    max_call_duration: Duration = Field(
        120.0, description="How long a call may take, and how long one takes at most that comes without a deadline."
    )
    max_stream_duration: Duration = Field(3600.0, description="The same for a stream.")
    max_connection_age: Duration = Field(
        1800.0, description="After how long a connection is asked to move, so that callers spread over replicas."
    )
    drain_grace: Duration = Field(20.0, description="How long running calls may go on after SIGTERM.")
    readiness_interval: Duration = Field(10.0, description="How often to check whether the registry answers.")

    log_format: Literal["auto", "human", "json"] = Field(
        "auto", description="`json`, `human`, or `auto`: human on a terminal, else json."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info",
        description="`debug` adds a line for every call that went well; else only deletes and failures have one.",
    )

    @field_validator("password")
    @classmethod
    def _password(cls, value: SecretStr | None) -> SecretStr | None:
        secret = "" if value is None else value.get_secret_value().rstrip("\r\n")
        return SecretStr(secret) if secret else None

    @field_validator("registry_url")
    @classmethod
    def _registry_url(cls, value: str) -> str:
        try:
            url = URL(value.strip())
            origin = Origin.of(url)
        except ValueError:
            raise ValueError("is no http or https address: write it as https://registry.example:5000") from None
        if url.user is not None or url.password is not None:
            raise ValueError("has a user in it: use PORTUS_USERNAME and PORTUS_PASSWORD_FILE")
        if url.raw_path not in ("", "/") or url.raw_query_string or url.raw_fragment:
            raise ValueError("has to be scheme, host and port alone, without a path such as /v2/")
        return str(origin)

    @field_validator("password_file")
    @classmethod
    def _password_file(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        if value is not None and info.data.get("password") is not None:
            raise ValueError("is set, and PORTUS_PASSWORD as well: unset one of them")
        if value is not None:
            try:
                empty = not PasswordFile(value).read()
            except (OSError, UnicodeError) as error:
                raise ValueError(f"cannot be read: {_strerror(error)}") from None
            if empty:
                raise ValueError("names a file that is empty")
        return value

    @field_validator("registry_anonymous")
    @classmethod
    def _registry_anonymous(cls, value: bool, info: ValidationInfo) -> bool:
        if "password" not in info.data or "password_file" not in info.data:
            return value
        has_password = info.data["password"] is not None or info.data["password_file"] is not None
        if value and has_password:
            raise ValueError("is set, and a password as well: unset one of them")
        if not value and not has_password:
            raise ValueError(
                "set PORTUS_PASSWORD_FILE or PORTUS_PASSWORD, or this to true for a registry that wants no password"
            )
        return value

    @field_validator("token_realm")
    @classmethod
    def _token_realm(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is None:
            return None
        try:
            realm = URL(value.strip())
            Origin.of(realm)
        except ValueError:
            raise ValueError("is no http or https address: write it as https://portus.example/v2/token") from None
        if realm.user is not None or realm.raw_query_string or realm.raw_fragment:
            raise ValueError("has to be an address without user, query and fragment")
        registry = info.data.get("registry_url")
        if registry is not None and registry.startswith("https:") and realm.scheme == "http":
            raise ValueError("is http where the registry is https: the password would go over the wire for all to see")
        return str(realm)

    @field_validator("ca_file")
    @classmethod
    def _ca_file(cls, value: Path | None) -> Path | None:
        if value is not None:
            try:
                ssl.create_default_context(cafile=value)
            except ssl.SSLError:
                raise ValueError("names a file without certificates in PEM form") from None
            except OSError as error:
                raise ValueError(f"cannot be read: {_strerror(error)}") from None
        return value

    @field_validator("tls_key_file")
    @classmethod
    def _tls_key_file(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        if (value is None) != (info.data.get("tls_certificate_file") is None):
            raise ValueError("has to be set together with PORTUS_TLS_CERTIFICATE_FILE")
        return value

    @field_validator("tls_client_ca_file")
    @classmethod
    def _tls_client_ca_file(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        if value is not None and info.data.get("tls_certificate_file") is None:
            raise ValueError("needs TLS: set PORTUS_TLS_CERTIFICATE_FILE and PORTUS_TLS_KEY_FILE as well")
        return value

    @field_validator("mtls_listen")
    @classmethod
    def _mtls_listen(cls, value: ListenAddress | None, info: ValidationInfo) -> ListenAddress | None:
        if value is not None and info.data.get("tls_client_ca_file") is None:
            raise ValueError("needs PORTUS_TLS_CLIENT_CA_FILE: who vouches for the callers' certificates")
        return value

    @field_validator("jwt_audience")
    @classmethod
    def _jwt_audience(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is None and info.data.get("jwt_issuer") is not None:
            raise ValueError("has to be set with PORTUS_JWT_ISSUER: else tokens for other services would do here")
        return value

    @field_validator("jwt_keys_url")
    @classmethod
    def _jwt_keys_url(cls, value: str | None, info: ValidationInfo) -> str | None:
        issuer, file = info.data.get("jwt_issuer"), info.data.get("jwt_keys_file")
        if issuer is not None and (value is None) == (file is None):
            raise ValueError("set this or PORTUS_JWT_KEYS_FILE, one of the two: the keys of PORTUS_JWT_ISSUER")
        if issuer is None and (value is not None or file is not None):
            raise ValueError("PORTUS_JWT_ISSUER has to be set with it")
        return value

    @field_validator("policy_file")
    @classmethod
    def _policy_file(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        if value is None and _authenticates(info.data):
            raise ValueError(
                "callers are authenticated, and nothing says what each may do: set this (docs/policy.md has examples)"
            )
        return value

    @field_validator("allow_anonymous")
    @classmethod
    def _allow_anonymous(cls, value: bool, info: ValidationInfo) -> bool:
        listen = info.data.get("listen")
        if listen is not None and not listen.is_loopback and not value and not _authenticates(info.data):
            raise ValueError(
                f"PORTUS_LISTEN is {listen}, which other machines reach, and nothing is set to authenticate callers:"
                " set PORTUS_CALLER_TOKEN_FILE, PORTUS_JWT_ISSUER or PORTUS_TLS_CLIENT_CA_FILE; or this to true if that"
                " is meant (a mesh authenticates in front of it); or listen on 127.0.0.1"
            )
        return value

    @field_validator("insecure")
    @classmethod
    def _insecure(cls, value: bool, info: ValidationInfo) -> bool:
        listen = info.data.get("listen")
        open_to_all = listen is not None and not listen.is_loopback
        if open_to_all and info.data.get("tls_certificate_file") is None and not value:
            raise ValueError(
                f"PORTUS_LISTEN is {listen}, which other machines reach, and there is no TLS: set"
                " PORTUS_TLS_CERTIFICATE_FILE and PORTUS_TLS_KEY_FILE, or this to true if that is meant (a mesh"
                " encrypts)"
            )
        return value

    @field_validator("workers")
    @classmethod
    def _workers(cls, value: int) -> int:
        if value > 1 and platform.system() != "Linux":
            raise ValueError("more than one needs Linux, which spreads connections over processes: set 1")
        return value

    @property
    def authenticates(self) -> bool:
        """Whether callers can show who they are."""
        return _authenticates(self.model_dump(include=set(_AUTHENTICATORS)))


def _authenticates(values: Mapping[str, object]) -> bool:
    return any(values.get(name) is not None for name in _AUTHENTICATORS)


def load(flags: Mapping[str, Value | None] | None = None) -> Settings:
    """The settings from the environment, and from `flags` (by field name), which go first.

    Raises `InvalidSettings` with every mistake.
    """
    try:
        return Settings(**dict(flags or {}))  # type: ignore[arg-type]  # as text, which validation reads
    except ValidationError as error:
        raise InvalidSettings(_problem(details) for details in error.errors(include_input=False)) from None


def unknown_variables(environment: Iterable[str]) -> dict[str, str | None]:
    """Variables that look like settings and are none, each with the setting that was perhaps meant."""
    known = {variable_of(name) for name in Settings.model_fields}
    unknown = (
        name
        for name in environment
        if name.startswith(PREFIX) and not name.startswith(_CLIENT_PREFIX) and name not in known
    )
    return {name: next(iter(difflib.get_close_matches(name, known, 1, 0.8)), None) for name in sorted(unknown)}


def _problem(details: ErrorDetails) -> Problem:
    name = str(details["loc"][0])
    match details["type"]:
        case "missing":
            return Problem(name, f"is not set. {Settings.model_fields[name].description}")
        case "value_error":
            return Problem(name, str(details["ctx"]["error"]))
        case _:
            return Problem(name, details["msg"][:1].lower() + details["msg"][1:])


def _strerror(error: OSError | UnicodeError) -> str:
    return error.strerror or type(error).__name__ if isinstance(error, OSError) else "it is not UTF-8 text"
