"""A gateway over a registry in memory, built like that of `portus-gateway dev`."""

import asyncio
import logging
import os
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager, contextmanager

import structlog

from portus_client.testing.gateway_under_test import GatewayUnderTest
from portus_client.testing.registry_in_memory import RegistryInMemory
from portus_gateway import app, settings
from portus_gateway.devregistry import DevRegistry, seed_demo
from portus_gateway.settings import Settings, Value

# Seconds for calls that are still running at the end. A test does not wait for them.
_DRAIN_GRACE = "0.5"


@asynccontextmanager
async def serving(*, seed: bool, allow_delete: bool) -> AsyncGenerator[GatewayUnderTest, None]:
    """Serves in this loop as long as the block runs."""
    async with DevRegistry() as registry:
        if seed:
            seed_demo(registry)
        loaded = settings.load(
            {
                **_defaults(),
                "registry_url": registry.url,
                "username": registry.username,
                "password": registry.password,
                "token_realm": registry.realm,
                "listen": "127.0.0.1:0",
                "allow_delete": allow_delete,
                "drain_grace": _DRAIN_GRACE,
                # Its default is standard output, which belongs to the test.
                "audit_log": os.devnull,
            }
        )
        with _logs_to_the_standard_library():
            async with app.running(loaded) as gateway:
                yield GatewayUnderTest(str(gateway.address), RegistryInMemory(registry, asyncio.get_running_loop()))


def _defaults() -> dict[str, Value | None]:
    """The default of every setting. Explicit values override the environment."""
    return {name: field.default for name, field in Settings.model_fields.items() if not field.is_required()}


@contextmanager
def _logs_to_the_standard_library() -> Iterator[None]:
    """Sends log messages to `logging` as long as the block runs, unless the program has configured structlog."""
    if structlog.is_configured():
        yield
        return
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.processors.format_exc_info,
            structlog.processors.LogfmtRenderer(),
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    logging.getLogger("portus_gateway").addHandler(logging.NullHandler())
    try:
        yield
    finally:
        structlog.reset_defaults()
