from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from portus_gateway.devregistry import DevRegistry
from portus_gateway.distribution import (
    Configuration,
    Credentials,
    DistributionClient,
    RetryPolicy,
    StaticPassword,
    Timeouts,
)
from portus_gateway.operations.guarded_deletion import GuardedDeletion
from portus_gateway.registry.authorized import AuthorizedRegistry
from tests.access.policies import TEAM_A, Fixed, parsed
from tests.operations.audit_file import AuditFile


@pytest.fixture
def file(tmp_path: Path) -> Iterator[AuditFile]:
    opened = AuditFile(tmp_path / "audit.jsonl")
    with opened.log:
        yield opened


def configuration_of(registry: DevRegistry) -> Configuration:
    return Configuration(
        url=registry.url,
        credentials=Credentials(registry.username, StaticPassword(registry.password)),
        token_realm=registry.realm,
        timeouts=Timeouts(connect=2, read=2, total=5, delete=1),
        retries=RetryPolicy(attempts=1),
    )


@pytest.fixture
async def registry() -> AsyncIterator[DevRegistry]:
    async with DevRegistry() as served:
        yield served


@pytest.fixture
async def guarded(registry: DevRegistry) -> AsyncIterator[GuardedDeletion]:
    async with DistributionClient(configuration_of(registry)) as client:
        yield GuardedDeletion(AuthorizedRegistry(client, Fixed(parsed(TEAM_A))), enabled=True, concurrency=2)
