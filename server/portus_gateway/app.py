"""The composition root: the only place that knows every part, and how they fit together."""

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from portus_gateway import __version__
from portus_gateway.access.page_token_keys import PageTokenKeys, PasswordKey, SecretKey
from portus_gateway.access_control import access_control
from portus_gateway.aio.spans import Tracer
from portus_gateway.distribution import (
    Authentication,
    Configuration,
    Credentials,
    DistributionClient,
    PasswordFile,
    StaticPassword,
)
from portus_gateway.distribution.configuration import RetryPolicy, Timeouts
from portus_gateway.listen_address import ListenAddress
from portus_gateway.operations.deletion import Deletion
from portus_gateway.operations.guarded_deletion import GuardedDeletion
from portus_gateway.operations.registry_status import Readiness, RegistryStatus
from portus_gateway.operations.setting_advice import public_text
from portus_gateway.registry.cached import CachedRegistry
from portus_gateway.registry.coalesced import CoalescedRegistry
from portus_gateway.registry.fresh import FreshRegistry
from portus_gateway.registry.noted_deletes import NotedDeletes
from portus_gateway.registry.protocol import Registry
from portus_gateway.registry.resolved_tags import ResolvedTags
from portus_gateway.rpc.page_tokens import PageTokens
from portus_gateway.rpc.server import GatewayServer, Listener, ServerLimits
from portus_gateway.settings import Settings, variable_of
from portus_gateway.telemetry.announcement import announce
from portus_gateway.telemetry.call_log import CallLog
from portus_gateway.telemetry.call_observers import CallObservers
from portus_gateway.telemetry.gateway_health import GatewayHealth
from portus_gateway.telemetry.metrics import Metrics
from portus_gateway.telemetry.traces import traces

if TYPE_CHECKING:
    # Loaded only if there is an index.
    from portus_gateway.index.live_index import LiveIndex

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class RunningGateway:
    """A gateway that serves: where it listens, with the real ports, what it counts, and whether it is ready."""

    address: ListenAddress
    metrics: Metrics
    health: GatewayHealth
    metrics_address: ListenAddress | None = None
    mtls_address: ListenAddress | None = None
    notifications_address: ListenAddress | None = None


@asynccontextmanager
async def running(
    settings: Settings,
    *,
    as_worker: bool = False,
    page_token_secret: bytes | None = None,
    keeps_index: bool = True,
) -> AsyncGenerator[RunningGateway, None]:
    """Serves a gateway for as long as the block runs; then drains it, within `settings.drain_grace`.

    This is one process, whatever `settings.workers` says: `workers.serving` runs several. With `as_worker` it shares
    its ports with other workers, and leaves metrics and announcement to the process that started them. Workers share
    `page_token_secret`, which is used where the settings have neither keys for page tokens nor a password. One of them
    has `keeps_index`: it receives notifications and keeps the index up to date, and all answer from it.

    Serves from the start, the registry there or not: its health says which. Raises `OSError` if it cannot listen,
    `InvalidSettings` for files of access control that cannot be used.
    """
    metrics = Metrics(__version__)
    async with AsyncExitStack() as stack:
        tracer = await stack.enter_async_context(traces(trusts_anonymous=not settings.authenticates))
        access = await stack.enter_async_context(access_control(settings))
        client = await stack.enter_async_context(DistributionClient(distribution_configuration(settings), metrics))
        # Each decorator below can be removed by deleting its line; tests/test_app.py does.
        registry: Registry = client
        index = _index(settings, client, metrics, tracer, keeps=keeps_index)
        if index is not None:
            await stack.enter_async_context(index)
            registry = NotedDeletes(registry, index)
        registry = await stack.enter_async_context(CoalescedRegistry(registry))
        registry = CachedRegistry(registry, settings.cache_bytes, metrics)
        fresh: Registry = registry
        fresh = FreshRegistry(client, fresh)
        fresh = access.authorized(fresh)
        registry = ResolvedTags(registry)
        registry = access.authorized(registry)
        deletion: Deletion = GuardedDeletion(
            fresh,
            settings.allow_delete,
            settings.upstream_concurrency,
            emulate_tag_deletion=settings.emulate_tag_delete,
        )
        deletion = access.audited(deletion)
        call_log = CallLog()
        stack.callback(call_log.close)
        server = GatewayServer(
            registry=registry,
            deletion=deletion,
            listen=str(settings.listen),
            credentials=access.credentials,
            second_listener=Listener(str(settings.mtls_listen), access.certificate_credentials)
            if settings.mtls_listen
            else None,
            interceptors=[access.interceptor],
            limits=_limits(settings),
            deletion_enabled=settings.allow_delete,
            observer=CallObservers(metrics, call_log),
            gateway_version=__version__,
            reflection=settings.reflection,
            reuse_port=as_worker,
            index=index,
            visibility=access.visibility,
            page_tokens=PageTokens(
                access.page_token_keys or _page_token_keys(_credentials(settings), page_token_secret)
            ),
            tracer=tracer,
        )

        health = GatewayHealth(server.set_registry_serving)
        health.set("registry", "the registry has not been checked yet")

        registry_was_ready: bool | None = None

        def registry_checked(status: RegistryStatus) -> None:
            nonlocal registry_was_ready
            if status.ready and registry_was_ready is False and index is not None:
                # It was away. The walk at the start needs no second one.
                index.want_walk()
            registry_was_ready = status.ready
            health.set("registry", "" if status.ready else _registry_problem(status))
            metrics.registry_ready(status.ready)

        def files_checked(unusable: tuple[str, ...]) -> None:
            health.set("files", ", ".join(f"the file of {variable_of(name)} cannot be read" for name in unusable))

        files_checked(access.files.unusable)
        access.files.when_unusable_changes(files_checked)
        metrics.limit_calls(settings.max_concurrent_calls)
        metrics.watch_files(access.watched_files)
        if access.certificate is not None:
            metrics.watch_certificate(access.certificate)

        metrics_address = None
        if settings.metrics_listen is not None and not as_worker:
            from portus_gateway.telemetry.metrics_server import MetricsServer

            metrics_server = await stack.enter_async_context(MetricsServer(metrics, health, settings.metrics_listen))
            metrics_address = metrics_server.address
        notifications_address = None
        if index is not None and keeps_index and settings.notifications_listen and access.notification_tokens:
            from portus_gateway.index.receiver import Receiver

            receiver = Receiver(
                index,
                access.notification_tokens,
                settings.notifications_listen,
                metrics.index,
                None if access.certificate is None else access.certificate.http_context(),
                tracer,
            )
            notifications_address = (await stack.enter_async_context(receiver)).address
            _log.info("receiving notifications", address=str(notifications_address))
        address = settings.listen.with_port(await server.start())
        stack.push_async_callback(server.drain, settings.drain_grace)
        mtls_address = settings.mtls_listen and settings.mtls_listen.with_port(server.second_port or 0)
        await stack.enter_async_context(Readiness(client, settings.readiness_interval, registry_checked))
        if not as_worker:
            announce(settings, address, metrics=metrics_address, mtls=mtls_address)
        yield RunningGateway(address, metrics, health, metrics_address, mtls_address, notifications_address)
        _log.info("draining", grace=settings.drain_grace)
        health.stop()
    _log.info("stopped")


def _registry_problem(status: RegistryStatus) -> str:
    return public_text(status.problem) if status.problem is not None else "the registry cannot be used"


def _index(
    settings: Settings, client: DistributionClient, metrics: Metrics, tracer: Tracer | None, *, keeps: bool
) -> "LiveIndex | None":
    if settings.index is None:
        return None
    from portus_gateway.index.live_index import IndexPlan, LiveIndex
    from portus_gateway.index.store_address import store_at

    plan = IndexPlan(
        # Callers always have the rest.
        share=max(1, settings.upstream_concurrency // 4),
        walk_interval=settings.index_walk_interval,
        digest_interval=settings.index_digest_interval,
        history=settings.index_history,
    )
    store = store_at(settings.index, settings.registry_url, password_file=settings.index_password_file, keeps=keeps)
    return LiveIndex(store, client, metrics.index, plan, keeps=keeps, tracer=tracer)


def distribution_configuration(settings: Settings) -> Configuration:
    """How the registry is reached."""
    return Configuration(
        url=settings.registry_url,
        credentials=_credentials(settings),
        authentication=Authentication(settings.registry_auth),
        token_realm=settings.token_realm,
        blob_origins=frozenset(settings.blob_origins),
        ca_file=settings.ca_file,
        timeouts=Timeouts(
            connect=settings.connect_timeout,
            read=settings.read_timeout,
            total=settings.total_timeout,
            delete=settings.delete_timeout,
        ),
        retries=RetryPolicy(attempts=settings.upstream_attempts),
        concurrency=settings.upstream_concurrency,
        downloads=settings.max_downloads,
        manifest_limit=settings.max_manifest_bytes,
        use_environment_proxy=settings.use_environment_proxy,
        user_agent=f"portus-gateway/{__version__}",
    )


def _credentials(settings: Settings) -> Credentials | None:
    if settings.password_file is not None:
        return Credentials(settings.username, PasswordFile(settings.password_file))
    if settings.password is not None:
        return Credentials(settings.username, StaticPassword(settings.password.get_secret_value()))
    return None


def _page_token_keys(credentials: Credentials | None, secret: bytes | None) -> PageTokenKeys:
    if credentials is not None:
        return PasswordKey(credentials)
    return SecretKey.random() if secret is None else SecretKey(secret)


def _limits(settings: Settings) -> ServerLimits:
    return ServerLimits(
        max_concurrent_calls=settings.max_concurrent_calls,
        max_watches=settings.max_watches,
        max_call_duration=settings.max_call_duration,
        max_stream_duration=settings.max_stream_duration,
        max_unread_bytes=settings.max_unread_bytes,
        max_connection_age=settings.max_connection_age,
        max_downloads=settings.max_downloads,
        max_manifest_bytes=settings.max_manifest_bytes,
        max_upstream_requests=settings.upstream_concurrency,
    )
