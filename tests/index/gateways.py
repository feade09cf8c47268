"""A whole gateway with an index over a registry in memory."""

import hashlib
import json
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import grpc

from portus.registry.v1.registry_service_pb2 import GetRegistryInfoRequest, IndexStatus
from portus.registry.v1.registry_service_pb2_grpc import RegistryServiceStub
from portus_gateway import app
from portus_gateway.app import RunningGateway
from portus_gateway.devregistry import DevRegistry
from portus_gateway.settings import load
from tests.index.registries import until

if TYPE_CHECKING:
    from portus.registry.v1.registry_service_pb2_grpc import RegistryServiceAsyncStub

TOKEN = "the registry's token"
POLICY = """
[[allow]]
name = "everything"
principals = ["token:admin"]
rpcs = ["*"]
repositories = ["**"]

[[allow]]
name = "team"
principals = ["token:team"]
rpcs = ["read"]
repositories = ["team/**"]

[[allow]]
name = "no tags"
principals = ["token:reader"]
rpcs = ["GetManifest"]
repositories = ["team/**"]

[[allow]]
name = "names only"
principals = ["token:names"]
rpcs = ["Catalog"]
repositories = ["**"]
"""


@dataclass(frozen=True, slots=True)
class IndexedGateway:
    """A gateway that runs, and clients of it."""

    stub: "RegistryServiceAsyncStub"
    running: RunningGateway

    async def ready(self, name: str | None = None) -> None:
        """Waits until the index has read the whole registry. Asks with the credential of this caller."""
        metadata = None if name is None else caller(name)

        async def is_ready() -> bool:
            info = await self.stub.GetRegistryInfo(GetRegistryInfoRequest(), metadata=metadata)
            return info.index.state == IndexStatus.READY

        await until(is_ready)

    @property
    def notifications(self) -> str:
        return f"http://{self.running.notifications_address}/notifications"


@asynccontextmanager
async def indexed_gateway(
    registry: DevRegistry,
    folder: Path,
    *,
    access: bool | Mapping[str, Sequence[str]] = False,
    with_index: bool = True,
    **flags: str | bool,
) -> AsyncGenerator[IndexedGateway, None]:
    """With `access`, the callers are `admin`, `team`, `reader` and `names`; or those of a mapping from names to rights.

    Each has its name as its token.
    """
    tokens = folder / "notification-tokens"
    tokens.write_text(f"registry sha256:{hashlib.sha256(TOKEN.encode()).hexdigest()}\n")
    settings: dict[str, str | bool | None] = {
        "registry_url": registry.url,
        "registry_anonymous": True,
        "listen": "127.0.0.1:0",
        "allow_delete": True,
        "audit_log": str(folder / "audit.log"),
    }
    if with_index:
        settings |= {
            "index": f"sqlite://{folder}/index.db",
            "notifications_listen": "127.0.0.1:0",
            "notifications_token_file": str(tokens),
        }
    if access:
        callers = folder / "callers"
        names: Iterable[str] = ("admin", "team", "reader", "names")
        policy = POLICY
        if isinstance(access, Mapping):
            names = access
            policy = "".join(map(_allowed, access, access.values()))
        lines = (f"{name} sha256:{hashlib.sha256(name.encode()).hexdigest()}\n" for name in names)
        callers.write_text("".join(lines))
        (folder / "policy.toml").write_text(policy)
        settings |= {"caller_token_file": str(callers), "policy_file": str(folder / "policy.toml")}
    settings |= flags
    async with (
        app.running(load(settings)) as running,
        grpc.aio.insecure_channel(str(running.address), [("grpc.use_local_subchannel_pool", 1)]) as channel,
    ):
        yield IndexedGateway(RegistryServiceStub(channel), running)


def _allowed(name: str, rpcs: Sequence[str]) -> str:
    """A rule that allows a caller these RPCs on all repositories."""
    return f"""
[[allow]]
name = "{name}"
principals = ["token:{name}"]
rpcs = {json.dumps([*rpcs, "GetRegistryInfo"])}
repositories = ["**"]
"""


def caller(name: str) -> tuple[tuple[str, str], ...]:
    """The metadata of a caller."""
    return (("authorization", f"Bearer {name}"),)
