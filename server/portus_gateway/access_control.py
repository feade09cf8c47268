"""Puts access control together, as the settings say: a part of the composition root."""

from collections.abc import AsyncGenerator, Generator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

import grpc

from portus_gateway.access.admission import Admissions
from portus_gateway.access.audit_log import AuditLog
from portus_gateway.access.authentication import Authentication, BearerAuthenticator
from portus_gateway.access.caller_limits import CallerLimits
from portus_gateway.access.current_call import current_request_id
from portus_gateway.access.errors import InvalidAccessFile, InvalidTlsFiles, TlsFile
from portus_gateway.access.page_token_keys import PageTokenKeyFile
from portus_gateway.access.policy_file import PolicyFile
from portus_gateway.access.token_file import TokenFile
from portus_gateway.operations.audited_deletion import AuditedDeletion
from portus_gateway.operations.deletion import Deletion
from portus_gateway.operations.deletion_audit import DeletionAudit
from portus_gateway.registry.authorized import AuthorizedRegistry
from portus_gateway.registry.protocol import Registry
from portus_gateway.reloading import ReloadedFile, ReloadedFiles
from portus_gateway.rpc.caller_interceptor import CallerInterceptor
from portus_gateway.settings import InvalidSettings, Problem, Settings
from portus_gateway.telemetry.file_states import FileState

# What needs cryptography is loaded where it is used alone: that takes a tenth of the start-up.
if TYPE_CHECKING:
    from portus_gateway.access.jwt_authenticator import JwtAuthenticator
    from portus_gateway.access.tls import ServerCertificate


_TLS_SETTINGS: Mapping[TlsFile, str] = MappingProxyType(
    {
        TlsFile.CERTIFICATE: "tls_certificate_file",
        TlsFile.KEY: "tls_key_file",
        TlsFile.CLIENT_CA: "tls_client_ca_file",
    }
)


@dataclass(frozen=True, slots=True)
class AccessControl:
    """Who is let in, what each may do with a registry, and what is recorded of it."""

    interceptor: CallerInterceptor
    policy: PolicyFile | None
    audit: DeletionAudit
    files: ReloadedFiles
    page_token_keys: PageTokenKeyFile | None
    notification_tokens: TokenFile | None
    certificate: "ServerCertificate | None"
    credentials: grpc.ServerCredentials | None
    """Of the first port; None for plaintext."""
    certificate_credentials: grpc.ServerCredentials | None
    """Of the port for callers with certificates, where that is another."""

    @property
    def watched_files(self) -> Mapping[str, FileState]:
        """All files that are loaded again while the gateway runs, each by the name of its setting."""
        files: dict[str, FileState] = {**self.files.files}
        if self.certificate is not None:
            files["tls_certificate_file"] = self.certificate
        return files

    def authorized(self, registry: Registry) -> Registry:
        """The registry as each caller may see it. It must be outside of the cache and of shared requests."""
        return registry if self.policy is None else AuthorizedRegistry(registry, self.policy)

    @property
    def visibility(self) -> Admissions | None:
        """What callers may see of the index's answers. None: everything."""
        return None if self.policy is None else Admissions(self.policy)

    def audited(self, deletion: Deletion) -> Deletion:
        """Deletes that leave a record."""
        return AuditedDeletion(deletion, self.audit)


@asynccontextmanager
async def access_control(settings: Settings) -> AsyncGenerator[AccessControl, None]:
    """Access control for as long as the block runs; its files are read again when they change, and on SIGHUP.

    Raises `InvalidSettings`, with everything that is wrong with any of them.
    """
    async with AsyncExitStack() as stack:
        mistakes = _Mistakes()
        reloaded: dict[str, ReloadedFile] = {}
        bearers: list[BearerAuthenticator] = []
        policy = None
        certificate = None
        if settings.policy_file is not None:
            with mistakes.of("policy_file"):
                policy = PolicyFile(settings.policy_file)
                reloaded["policy_file"] = policy
        if settings.caller_token_file is not None:
            with mistakes.of("caller_token_file"):
                tokens = TokenFile(settings.caller_token_file)
                reloaded["caller_token_file"] = tokens
                bearers.append(tokens)
        if settings.jwt_issuer is not None:
            with mistakes.of("jwt_keys_file" if settings.jwt_keys_file is not None else "jwt_keys_url"):
                bearers.append(await _jwt(settings, settings.jwt_issuer, reloaded, stack))
        if settings.tls_certificate_file is not None and settings.tls_key_file is not None:
            from portus_gateway.access.tls import ServerCertificate

            with mistakes.of("tls_certificate_file"):
                certificate = ServerCertificate(
                    settings.tls_certificate_file, settings.tls_key_file, settings.tls_client_ca_file
                )
        page_token_keys = None
        if settings.page_token_key_file is not None:
            with mistakes.of("page_token_key_file"):
                page_token_keys = PageTokenKeyFile(settings.page_token_key_file)
                reloaded["page_token_key_file"] = page_token_keys
        notification_tokens = None
        if settings.notifications_token_file is not None:
            with mistakes.of("notifications_token_file"):
                notification_tokens = TokenFile(settings.notifications_token_file)
                reloaded["notifications_token_file"] = notification_tokens
        log = AuditLog(settings.audit_log)
        with mistakes.of("audit_log"):
            stack.enter_context(log)
        mistakes.check()
        audit = DeletionAudit(log, current_request_id)
        await stack.enter_async_context(audit.summaries())
        limited = settings.caller_rate is not None or settings.caller_concurrency is not None
        interceptor = CallerInterceptor(
            authentication=Authentication(
                bearers=bearers,
                certificates=settings.tls_client_ca_file is not None,
                anonymous=settings.allow_anonymous or not settings.authenticates,
            ),
            policy=policy,
            limits=CallerLimits(rate=settings.caller_rate, concurrency=settings.caller_concurrency)
            if limited
            else None,
            audit=audit,
            reflection_open=settings.reflection_anonymous,
        )
        files = ReloadedFiles(reloaded)
        await stack.enter_async_context(files.kept_up_to_date())
        yield AccessControl(
            interceptor,
            policy,
            audit,
            files,
            page_token_keys,
            notification_tokens,
            certificate,
            *_credentials(certificate, settings),
        )


class _Mistakes:
    """Collects the mistakes in files, so that all are reported together."""

    def __init__(self) -> None:
        self._problems: list[Problem] = []

    @contextmanager
    def of(self, setting: str) -> Generator[None, None, None]:
        """A block that makes something of what `setting` names."""
        try:
            yield
        except InvalidAccessFile as error:
            self._problems += [Problem(setting, f"{error.path}: {problem}") for problem in error.problems]
        except InvalidTlsFiles as error:
            self._problems += [Problem(_TLS_SETTINGS[each.file], str(each)) for each in error.problems]
        except ValueError as error:
            self._problems.append(Problem(setting, str(error)))

    def check(self) -> None:
        if self._problems:
            raise InvalidSettings(self._problems)


def _credentials(
    certificate: "ServerCertificate | None", settings: Settings
) -> tuple[grpc.ServerCredentials | None, grpc.ServerCredentials | None]:
    """For the first port, and for the one that wants client certificates, if that is another."""
    if certificate is None:
        return None, None
    wanted = settings.tls_client_ca_file is not None
    if settings.mtls_listen is None:
        return certificate.credentials(client_certificates=wanted), None
    return certificate.credentials(client_certificates=False), certificate.credentials(client_certificates=True)


async def _jwt(
    settings: Settings, issuer: str, reloaded: dict[str, ReloadedFile], stack: AsyncExitStack
) -> "JwtAuthenticator":
    from portus_gateway.access.jwt_authenticator import JwtAuthenticator
    from portus_gateway.access.key_sources import KeyFile
    from portus_gateway.access.key_url import KeyUrl

    keys: KeyFile | KeyUrl
    if settings.jwt_keys_file is not None:
        keys = KeyFile(settings.jwt_keys_file)
        reloaded["jwt_keys_file"] = keys
    else:
        keys = await stack.enter_async_context(KeyUrl(settings.jwt_keys_url or "", ca_file=settings.ca_file))
    return JwtAuthenticator(
        issuer=issuer,
        audiences=_listed(settings.jwt_audience or ""),
        keys=keys,
        leeway=settings.jwt_leeway,
        claims=_listed(settings.jwt_claims),
    )


def _listed(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]
