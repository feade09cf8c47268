"""The settings: read from environment variables and flags, validated once, all mistakes reported together.

Each field of `Settings` is one setting: `listen` is the variable PORTUS_LISTEN and the flag `--listen` of
`portus-gateway serve`. The descriptions are for users: the README's table and `--help` show them.
"""

import difflib
import os
import platform
import re
import ssl
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

from pydantic import Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, SettingsConfigDict
from yarl import URL

from portus_gateway.distribution.configuration import CONCURRENCY, DOWNLOADS, MANIFEST_LIMIT, RetryPolicy, Timeouts
from portus_gateway.distribution.credentials import PasswordFile
from portus_gateway.distribution.origin import Origin
from portus_gateway.index.store_address import has_postgres_library, is_postgres, sqlite_path
from portus_gateway.listen_address import DEFAULT_LISTEN, ListenAddress
from portus_gateway.rpc.limits import ServerLimits
from portus_gateway.setting_types import (
    Address,
    Count,
    Duration,
    Leeway,
    OptionalAddress,
    Origins,
    Rate,
    Retention,
    expected_value,
)

PREFIX = "PORTUS_"
# The Python client's variables begin with this. They are not settings of the gateway.
_CLIENT_PREFIX = "PORTUS_GATEWAY_"

# Kubernetes sets variables in each pod for each Service. One named `portus` has PORTUS_SERVICE_HOST and others.
_SERVICE_HOST = "_SERVICE_HOST"
_SERVICE_LINK = re.compile(r"_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_(TCP|UDP|SCTP)(_\w+)?)?)")

# Defaults are said where they are used.
_TIMEOUTS = Timeouts()
_LIMITS = ServerLimits()

Value: TypeAlias = str | bool
# They have no flag, because other users of the machine can read command lines.
SECRETS = frozenset({"password"})
_AUTHENTICATORS = ("tls_client_ca_file", "caller_token_file", "jwt_issuer")


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with a setting and how to correct it.

    `name` is the name of the field: `listen`. For a variable that is not a setting, it is the variable's name.
    """

    name: str
    description: str

    def __str__(self) -> str:
        if self.name not in Settings.model_fields:
            return f"{self.name}: {self.description}"
        flag = "" if self.name in SECRETS else f" ({flag_of(self.name)})"
        return f"{variable_of(self.name)}{flag}: {self.description}"


class _ProblemOf(ValueError):
    """A mistake of the setting `name`. It shows when another setting is checked."""

    def __init__(self, name: str, description: str) -> None:
        self.name = name
        super().__init__(description)


class InvalidSettings(ValueError):
    """The settings are invalid. `problems` has every mistake."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


def variable_of(name: str) -> str:
    """The environment variable of a setting."""
    return f"{PREFIX}{name.upper()}"


def flag_of(name: str) -> str:
    """The flag of a setting that is not one of `SECRETS`."""
    return f"--{name.replace('_', '-')}"


class Settings(BaseSettings):
    """The settings of `portus-gateway serve`. Durations are in seconds."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_ignore_empty=True,
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
        validate_default=True,
        arbitrary_types_allowed=True,
    )

    registry_url: str = Field(
        description="Address of the registry: scheme, host and port, such as `https://registry.example:5000`."
    )
    username: str = Field("portus", description="Name of the registry account that the gateway uses.", min_length=1)
    password: SecretStr | None = Field(None, description="Password of that account. `PORTUS_PASSWORD_FILE` is safer.")
    password_file: Path | None = Field(
        None,
        description="File that contains the password. It is read again when the registry or the token service rejects"
        " the password.",
    )
    registry_anonymous: bool = Field(False, description="Use the registry without an account.")
    registry_auth: Literal["auto", "token", "basic"] = Field(
        "auto",
        description="How the gateway authenticates to the registry. `auto`: as the registry asks. `token`: with a token"
        " of the token service in every request. `basic`: with the password in every request. Set `token` or `basic` if"
        " the registry answers without asking and so hides private repositories.",
    )
    token_realm: str | None = Field(
        None,
        description="Address of the token service: the `realm` in the registry's `auth.token` settings. The password"
        " is sent only to this address and to the registry. Unset: only to the registry.",
    )
    blob_origins: Origins = Field(
        (),
        description="Servers to which the registry may redirect a read of a blob, such as its object storage: scheme,"
        " host and port of each, separated by commas, such as `https://storage.example:443`. No credential is sent to"
        " them. The registry itself is always allowed.",
    )
    ca_file: Path | None = Field(
        None,
        description="CA certificates (PEM) to trust in addition to those of the system, for the registry, the token"
        " service and `PORTUS_JWT_KEYS_URL`.",
    )
    use_environment_proxy: bool = Field(
        False, description="Use the proxies named in `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY`."
    )

    listen: Address = Field(
        DEFAULT_LISTEN,
        description="Address to serve gRPC on. `:50051` means all interfaces; port 0 means any free port.",
    )
    tls_certificate_file: Path | None = Field(
        None, description="Certificate of the gateway, with its chain (PEM). When set, all gRPC uses TLS."
    )
    tls_key_file: Path | None = Field(None, description="Private key of that certificate (PEM, no passphrase).")
    tls_client_ca_file: Path | None = Field(
        None,
        description="CA that signs client certificates (PEM). When set, clients must present one, on"
        " `PORTUS_MTLS_LISTEN` if set, else on `PORTUS_LISTEN`.",
    )
    mtls_listen: OptionalAddress = Field(
        None,
        description="Second address to serve gRPC on, only for clients with a certificate. Clients without one then use"
        " `PORTUS_LISTEN`, with a token.",
    )
    caller_token_file: Path | None = Field(
        None,
        description="File with the callers' tokens. Each line is `<name> sha256:<hash of the token>`. It is read again"
        " when it changes.",
    )
    jwt_issuer: str | None = Field(
        None, description="Issuer (`iss`) whose JWTs callers may use as tokens.", min_length=1
    )
    jwt_audience: str | None = Field(
        None,
        description="Audience (`aud`) that a JWT must name. With several, separated by commas, it must name one of"
        " them.",
    )
    jwt_keys_file: Path | None = Field(
        None, description="File with the issuer's public keys (JWKS). It is read again when it changes."
    )
    jwt_keys_url: str | None = Field(
        None, description="https address of the issuer's public keys (JWKS), instead of `PORTUS_JWT_KEYS_FILE`."
    )
    jwt_claims: str = Field(
        "",
        description="Claims of a JWT that the policy can refer to, separated by commas, such as `groups,roles`.",
    )
    jwt_leeway: Leeway = Field(
        30.0, description="How far the clocks of the issuer and the gateway may differ. At most 5 minutes."
    )
    policy_file: Path | None = Field(
        None,
        description="Policy file: which caller may do what (docs/policy.md). Required when callers authenticate. It is"
        " read again when it changes and on SIGHUP.",
    )
    allow_anonymous: bool = Field(
        False,
        description="Serve callers without a credential. They may do what the policy allows to `anonymous`; without a"
        " policy, everything that the gateway can do. A gateway that listens on loopback and has no authentication set"
        " up does so anyway.",
    )
    insecure: bool = Field(
        False,
        description="Serve without TLS on an address that other machines can reach. Credentials and content are then"
        " not encrypted.",
    )
    allow_delete: bool = Field(False, description="Allow deletes.")
    emulate_tag_delete: bool = Field(
        False,
        description="If the registry deletes by digest only, as distribution 2 does, delete a tag by moving it to a"
        " small new manifest and deleting that. A push of the tag at the same time can be lost. The account needs the"
        " right to push.",
    )
    audit_log: str = Field(
        "-",
        description="Where to record deletes, including refused ones: a file to append to, or `-` for standard output.",
    )
    caller_rate: Rate | None = Field(
        None, description="Average number of calls per second that one caller may make. Unset: no limit."
    )
    caller_concurrency: Count | None = Field(
        None, description="Number of calls that one caller may have running at the same time. Unset: no limit."
    )
    reflection: bool = Field(True, description="Serve gRPC reflection, which grpcurl uses.")
    reflection_anonymous: bool = Field(
        True,
        description="Serve reflection to callers without a credential. Reflection shows the API and no data.",
    )
    page_token_key_file: Path | None = Field(
        None,
        description="File with the keys that encrypt page tokens: one on each line, at least 32 characters of random"
        " text. The first key encrypts, all keys decrypt. It is read again when it changes. Unset: the key is derived"
        " from the password of the registry account. Replicas of a gateway without such a password need this file.",
    )
    metrics_listen: OptionalAddress = Field(
        None,
        description="Address to serve Prometheus metrics on, over HTTP at `/metrics`, and the probes `/livez` and"
        " `/readyz`. Unset: neither is served.",
    )

    index: str | None = Field(
        None,
        description="Store of the live index (docs/index.md): `sqlite:///var/lib/portus/index.db`, or"
        " `postgresql://user@host/database` for several replicas. Unset: no index.",
    )
    index_password_file: Path | None = Field(
        None, description="File that contains the password of the PostgreSQL user in `PORTUS_INDEX`."
    )
    index_walk_interval: Duration = Field(
        3600.0,
        description="Time from one walk to the next. In a walk, the index reads the catalog and the tags of all"
        " repositories. A restart of the registry starts one too. After each walk, the index waits for at least nine"
        " times as long as the walk took.",
    )
    index_digest_interval: Duration = Field(
        6 * 3600.0,
        description="How long the index trusts what it knows of a tag. The first walk after this time asks again which"
        " manifest the tag points to. Without notifications, a moved tag is noticed only then.",
    )
    index_history: Retention = Field(
        30 * 86400.0,
        description="How long the index keeps changes, for watches that continue and for the history of tags.",
    )
    notifications_listen: OptionalAddress = Field(
        None,
        description="Address to receive the registry's notifications on, over HTTP at `/notifications`; HTTPS if"
        " `PORTUS_TLS_CERTIFICATE_FILE` is set. Unset: the index learns of changes by its walks only.",
    )
    notifications_token_file: Path | None = Field(
        None,
        description="File with the tokens that the registry may send with notifications, in the format of"
        " `PORTUS_CALLER_TOKEN_FILE`. Required with `PORTUS_NOTIFICATIONS_LISTEN`.",
    )

    connect_timeout: Duration = Field(
        _TIMEOUTS.connect, description="Time limit for connecting to the registry, including the TLS handshake."
    )
    read_timeout: Duration = Field(
        _TIMEOUTS.read, description="Time limit for the registry to send the next part of a response."
    )
    total_timeout: Duration = Field(
        _TIMEOUTS.total, description="Time limit for one request to the registry, including the whole response."
    )
    delete_timeout: Duration = Field(
        _TIMEOUTS.delete,
        description="Time limit for one delete request to the registry, which needs about 2 ms for each tag that points"
        " to the digest.",
    )
    upstream_attempts: Annotated[int, Field(ge=1, le=10)] = Field(
        RetryPolicy().attempts,
        description="Maximum number of times that a request is sent to the registry, retries included. A delete is sent"
        " only once.",
    )
    upstream_concurrency: Annotated[int, Field(ge=1, le=1000)] = Field(
        CONCURRENCY,
        description="Maximum number of requests to the registry at the same time. The gateway sends fewer while the"
        " registry answers 429 or 503, or not in time.",
    )
    max_downloads: Annotated[int, Field(ge=1, le=1000)] = Field(
        DOWNLOADS,
        description="Maximum number of blobs that are read from the registry at the same time, in addition to"
        " `PORTUS_UPSTREAM_CONCURRENCY`. One caller may take half of it.",
    )
    max_manifest_bytes: Annotated[int, Field(ge=1024, le=64 * 1024 * 1024)] = Field(
        MANIFEST_LIMIT, description="Maximum size of a manifest in bytes. Larger ones are an error."
    )

    cache_bytes: Annotated[int, Field(ge=0, le=64 * 1024**3)] = Field(
        64 * 1024 * 1024, description="Size of the manifest cache in bytes. 0 disables it."
    )

    workers: Annotated[int, Field(ge=1, le=64)] = Field(
        1,
        description="Number of processes that serve on the same ports (more than one: Linux only). The cache and all"
        " limits are separate for each process; metrics are added up.",
    )
    max_concurrent_calls: Count = Field(
        _LIMITS.max_concurrent_calls,
        description="Maximum number of calls at the same time. At most a quarter of them may be streams. The last"
        " quarter of the places for calls, and of those for streams, is reserved for callers that hold less than a"
        " quarter. Health checks do not count.",
    )
    max_watches: Count = Field(
        _LIMITS.max_watches,
        description="Maximum number of watches (WatchEvents) at the same time. They do not count as calls.",
    )
    max_call_duration: Duration = Field(
        _LIMITS.max_call_duration,
        description="Time limit for a call that is not a stream. A caller's own deadline can only be shorter.",
    )
    max_stream_duration: Duration = Field(_LIMITS.max_stream_duration, description="Time limit for a stream.")
    max_connection_age: Duration = Field(
        _LIMITS.max_connection_age,
        description="Age at which the gateway asks a client to reconnect, so that clients spread over all replicas.",
    )
    max_unread_bytes: Annotated[int, Field(ge=16 * 1024 * 1024, le=64 * 1024**3)] = Field(
        256 * 1024 * 1024,
        description="Memory in bytes for answers that callers have not read yet. One caller may take a quarter of it."
        " Further answers wait.",
    )
    drain_grace: Duration = Field(20.0, description="How long running calls may continue after SIGTERM.")
    readiness_interval: Duration = Field(10.0, description="Time between two checks of whether the registry answers.")

    log_format: Literal["auto", "human", "json"] = Field(
        "auto", description="`human`, `json`, or `auto`: `human` on a terminal, otherwise `json`."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info",
        description="Lowest level to log. `info` has a line for each delete and each failed call; `debug` has one for"
        " every call.",
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
            raise ValueError("must be an http or https address, such as https://registry.example:5000") from None
        if url.user is not None or url.password is not None:
            raise ValueError("must not contain a user name: set PORTUS_USERNAME and PORTUS_PASSWORD_FILE")
        if url.raw_path not in ("", "/") or url.raw_query_string or url.raw_fragment:
            raise ValueError("must be only scheme, host and port, without a path such as /v2/")
        return str(origin)

    @field_validator("password_file")
    @classmethod
    def _password_file(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        if value is not None and info.data.get("password") is not None:
            raise ValueError("cannot be set together with PORTUS_PASSWORD: unset one of them")
        if value is not None:
            _check_password(value)
        return value

    @field_validator("registry_anonymous")
    @classmethod
    def _registry_anonymous(cls, value: bool, info: ValidationInfo) -> bool:
        if "password" not in info.data or "password_file" not in info.data:
            return value
        has_password = info.data["password"] is not None or info.data["password_file"] is not None
        if value and has_password:
            raise ValueError("cannot be set together with a password: unset one of them")
        if not value and not has_password:
            raise _ProblemOf(
                "password_file",
                "is required: the file with the password of the registry account. PORTUS_PASSWORD can have the password"
                " instead. For a registry that needs no account, set PORTUS_REGISTRY_ANONYMOUS to true",
            )
        return value

    @field_validator("registry_auth")
    @classmethod
    def _registry_auth(cls, value: str, info: ValidationInfo) -> str:
        if value != "auto" and info.data.get("registry_anonymous"):
            raise ValueError("must be auto if PORTUS_REGISTRY_ANONYMOUS is true: there is no account")
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
            raise ValueError("must be an http or https address, such as https://portus.example/v2/token") from None
        if realm.user is not None or realm.raw_query_string or realm.raw_fragment:
            raise ValueError("must be an address without user name, query and fragment")
        registry = info.data.get("registry_url")
        if registry is not None and registry.startswith("https:") and realm.scheme == "http":
            raise ValueError(
                "must be an https address, because PORTUS_REGISTRY_URL is one: over http the password is not encrypted"
            )
        return str(realm)

    @field_validator("blob_origins")
    @classmethod
    def _blob_origins(cls, value: tuple[Origin, ...], info: ValidationInfo) -> tuple[Origin, ...]:
        registry = info.data.get("registry_url")
        if registry is not None and registry.startswith("https:") and any(each.scheme == "http" for each in value):
            raise ValueError(
                "must be https addresses, because PORTUS_REGISTRY_URL is one: redirects to http are not followed"
            )
        return value

    @field_validator("ca_file")
    @classmethod
    def _ca_file(cls, value: Path | None) -> Path | None:
        if value is not None:
            try:
                ssl.create_default_context(cafile=value)
            except ssl.SSLError:
                raise ValueError(f"{_shown(value)}: contains no certificate in PEM format") from None
            except OSError as error:
                raise ValueError(f"{_shown(value)}: cannot be read: {_reason(error)}") from None
        return value

    @field_validator("tls_key_file")
    @classmethod
    def _tls_key_file(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        if (value is None) != (info.data.get("tls_certificate_file") is None):
            raise ValueError("set both this and PORTUS_TLS_CERTIFICATE_FILE, or neither")
        return value

    @field_validator("tls_client_ca_file")
    @classmethod
    def _tls_client_ca_file(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        if value is not None and info.data.get("tls_certificate_file") is None:
            raise ValueError("needs TLS: also set PORTUS_TLS_CERTIFICATE_FILE and PORTUS_TLS_KEY_FILE")
        return value

    @field_validator("mtls_listen")
    @classmethod
    def _mtls_listen(cls, value: ListenAddress | None, info: ValidationInfo) -> ListenAddress | None:
        if value is not None and info.data.get("tls_client_ca_file") is None:
            raise ValueError("also set PORTUS_TLS_CLIENT_CA_FILE, the CA that signs client certificates")
        return value

    @field_validator("jwt_audience")
    @classmethod
    def _jwt_audience(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is None and info.data.get("jwt_issuer") is not None:
            raise ValueError(
                "is required with PORTUS_JWT_ISSUER: without it, tokens for other services would be accepted"
            )
        return value

    @field_validator("jwt_keys_url")
    @classmethod
    def _jwt_keys_url(cls, value: str | None, info: ValidationInfo) -> str | None:
        issuer, file = info.data.get("jwt_issuer"), info.data.get("jwt_keys_file")
        if issuer is not None and (value is None) == (file is None):
            raise ValueError("set either this or PORTUS_JWT_KEYS_FILE: the public keys of PORTUS_JWT_ISSUER")
        if issuer is None and (value is not None or file is not None):
            raise ValueError("the keys of a JWT issuer need PORTUS_JWT_ISSUER: also set that")
        return value

    @field_validator("policy_file")
    @classmethod
    def _policy_file(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        if value is None and _authenticates(info.data):
            raise ValueError(
                "is required when callers authenticate: it says what each caller may do (examples: docs/policy.md)"
            )
        return value

    @field_validator("allow_anonymous")
    @classmethod
    def _allow_anonymous(cls, value: bool, info: ValidationInfo) -> bool:
        listen = info.data.get("listen")
        if listen is not None and not listen.is_loopback and not value and not _authenticates(info.data):
            raise ValueError(
                f"other machines can reach PORTUS_LISTEN ({listen}), and no authentication is set up. Set"
                " PORTUS_CALLER_TOKEN_FILE, PORTUS_JWT_ISSUER or PORTUS_TLS_CLIENT_CA_FILE. Or listen on 127.0.0.1. To"
                " serve callers without a credential, for example because a mesh authenticates them, set this to true"
            )
        return value

    @field_validator("insecure")
    @classmethod
    def _insecure(cls, value: bool, info: ValidationInfo) -> bool:
        listen = info.data.get("listen")
        open_to_all = listen is not None and not listen.is_loopback
        if open_to_all and info.data.get("tls_certificate_file") is None and not value:
            raise ValueError(
                f"other machines can reach PORTUS_LISTEN ({listen}), and there is no TLS. Set"
                " PORTUS_TLS_CERTIFICATE_FILE and PORTUS_TLS_KEY_FILE. Or listen on 127.0.0.1. To serve without TLS,"
                " for example because a mesh encrypts, set this to true"
            )
        return value

    @field_validator("index")
    @classmethod
    def _index(cls, value: str | None) -> str | None:
        if value is not None and not is_postgres(value):
            sqlite_path(value)
        elif value is not None:
            if URL(value).password is not None:
                raise ValueError("must not contain a password: set PORTUS_INDEX_PASSWORD_FILE")
            if not has_postgres_library():
                raise ValueError("PostgreSQL needs asyncpg: install portus-gateway with its extra 'postgres'")
        return value

    @field_validator("index_password_file")
    @classmethod
    def _index_password_file(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        if value is not None and "index" in info.data:
            index = info.data["index"]
            if index is None or not is_postgres(index):
                raise ValueError("is for PostgreSQL: set PORTUS_INDEX to a postgresql:// address, or unset this")
            _check_password(value)
        return value

    @field_validator("notifications_listen")
    @classmethod
    def _notifications_listen(cls, value: ListenAddress | None, info: ValidationInfo) -> ListenAddress | None:
        if value is not None and "index" in info.data and info.data["index"] is None:
            raise ValueError("notifications are for the index: also set PORTUS_INDEX")
        return value

    @field_validator("notifications_token_file")
    @classmethod
    def _notifications_token_file(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        if (value is None) != (info.data.get("notifications_listen") is None):
            raise ValueError("set both this and PORTUS_NOTIFICATIONS_LISTEN, or neither")
        return value

    @field_validator("workers")
    @classmethod
    def _workers(cls, value: int) -> int:
        if value > 1 and platform.system() != "Linux":
            raise ValueError("more than one worker works on Linux only: set 1")
        return value

    @property
    def authenticates(self) -> bool:
        """Whether a way for callers to authenticate is set up."""
        return _authenticates(self.model_dump(include=set(_AUTHENTICATORS)))


def _authenticates(values: Mapping[str, object]) -> bool:
    return any(values.get(name) is not None for name in _AUTHENTICATORS)


def load(flags: Mapping[str, Value | None] | None = None, variables: Iterable[str] = ()) -> Settings:
    """Reads the settings from the environment and from `flags` (by field name). A flag overrides its variable.

    `variables` are names of environment variables. One that begins like a setting and is not one is a mistake. Raises
    `InvalidSettings` with every mistake.
    """
    problems = list(_unknown_variables(variables))
    try:
        settings = Settings(**dict(flags or {}))  # type: ignore[arg-type]  # text, which validation converts
    except ValidationError as error:
        problems += [_problem(details) for details in error.errors(include_input=False)]
        raise InvalidSettings(problems) from None
    if problems:
        raise InvalidSettings(problems)
    return settings


def _unknown_variables(variables: Iterable[str]) -> Iterator[Problem]:
    known = [name.upper() for name in Settings.model_fields]
    ours = sorted(name for name in variables if name.upper().startswith(PREFIX) and not name.startswith(_CLIENT_PREFIX))
    services = [name.removesuffix(_SERVICE_HOST) for name in ours if name.endswith(_SERVICE_HOST)]
    for variable in ours:
        name = variable[len(PREFIX) :].upper()
        links = (_SERVICE_LINK.fullmatch(variable.removeprefix(service)) for service in services)
        if name in known or any(links):
            continue
        nearest = _nearest(name, known)
        meant = f"did you mean {PREFIX}{nearest}? If not, unset it" if nearest else "unset it"
        yield Problem(variable, f"is not a setting of the gateway: {meant}")


def _nearest(name: str, known: Sequence[str]) -> str:
    """The setting that `name` may stand for; empty if there is none."""
    pattern = re.compile("[A-Z0-9]*_".join(map(re.escape, name.split("_"))) + "[A-Z0-9]*")
    written_out = [setting for setting in known if pattern.fullmatch(setting)]
    return next(iter(written_out or difflib.get_close_matches(name, known, 1)), "")


def _problem(details: ErrorDetails) -> Problem:
    name = str(details["loc"][0])
    field = Settings.model_fields[name]
    match details["type"]:
        case "missing":
            return Problem(name, f"is required. {(field.description or '').replace('`', '')}")
        case "value_error":
            error = details["ctx"]["error"]
            return Problem(error.name if isinstance(error, _ProblemOf) else name, str(error))
        case _:
            return Problem(name, f"must be {expected_value(field)}{', in bytes' if name.endswith('_bytes') else ''}")


def _check_password(file: Path) -> None:
    """Raises `ValueError` if the file has no password."""
    try:
        password = PasswordFile(file).read()
    except (OSError, UnicodeError) as error:
        raise ValueError(f"{_shown(file)}: cannot be read: {_reason(error)}") from None
    if not password:
        raise ValueError(f"{_shown(file)}: is empty")


def _shown(file: Path) -> str:
    # pydantic takes only messages that can be encoded. A path is bytes, which need not be UTF-8.
    return os.fsencode(file).decode(errors="backslashreplace")


def _reason(error: OSError | UnicodeError) -> str:
    return error.strerror or type(error).__name__ if isinstance(error, OSError) else "it is not UTF-8 text"
