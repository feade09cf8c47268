"""A run of two gateways under a small load with some trouble, and a Prometheus that watches it.

    python -m tests.deploy.dashboard_run [--minutes 5]

writes deploy/grafana/recorded.json and docs/dashboard.svg.
"""

import argparse
import asyncio
import hashlib
import math
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterable, Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from datetime import timedelta
from pathlib import Path

import grpc

from portus.registry.v1 import registry_service_pb2_grpc
from portus.registry.v1.registry_service_pb2 import (
    BatchResolveManifestsRequest,
    CatalogRequest,
    DeleteManifestRequest,
    GetManifestRequest,
    ListReferrersRequest,
    ListTagsRequest,
    ReadBlobRequest,
    ResolveManifestRequest,
)
from portus_gateway.devregistry import DevRegistry, Fault, seed_demo
from portus_gateway.devregistry.notifications import NotificationEndpoint
from portus_gateway.distribution import Configuration, Credentials, DistributionClient, StaticPassword
from portus_gateway.distribution.names import Repository, Tag
from tests.access.certificates import Authority
from tests.deploy.project import ROOT
from tests.deploy.prometheus_server import prometheus_server
from tests.e2e.gateway_process import gateway_process

RECORDING = ROOT / "deploy/grafana/recorded.json"
PICTURE = ROOT / "docs/dashboard.svg"
SCRAPE_INTERVAL = 2.0
POLICY = """
[[allow]]
name = "all"
principals = ["anonymous"]
rpcs = ["*"]
repositories = ["**"]
"""
IMAGE = "application/vnd.oci.image.manifest.v1+json"


async def run(minutes: float, folder: Path) -> None:
    seconds = minutes * 60
    policy, tokens = folder / "policy.toml", folder / "tokens"
    policy.write_text(POLICY)
    tokens.write_text(f"registry sha256:{hashlib.sha256(b's3cret').hexdigest()}\n")
    certificate, key = Authority().issue(dns=["localhost"], lifetime=timedelta(days=60)).write(folder)
    async with AsyncExitStack() as stack:
        registry = await stack.enter_async_context(DevRegistry())
        seed_demo(registry)
        for number in range(40):
            registry.push(f"team-{number % 8}/app-{number}", *(f"1.{minor}" for minor in range(12)))
        variables = {
            "PORTUS_REGISTRY_URL": registry.url,
            "PORTUS_TOKEN_REALM": registry.realm,
            "PORTUS_PASSWORD": registry.password,
            "PORTUS_POLICY_FILE": str(policy),
            "PORTUS_METRICS_LISTEN": "127.0.0.1:0",
            "PORTUS_ALLOW_DELETE": "true",
            "PORTUS_ALLOW_ANONYMOUS": "true",
        }
        tls = {"PORTUS_TLS_CERTIFICATE_FILE": str(certificate), "PORTUS_TLS_KEY_FILE": str(key)}
        index = {
            "PORTUS_INDEX": f"sqlite://{folder / 'index.db'}",
            "PORTUS_INDEX_WALK_INTERVAL": "60",
            "PORTUS_NOTIFICATIONS_LISTEN": "127.0.0.1:0",
            "PORTUS_NOTIFICATIONS_TOKEN_FILE": str(tokens),
        }
        gateways = [
            await stack.enter_async_context(gateway_process("serve", **variables, **own)) for own in (index, tls)
        ]
        receiver = (await gateways[0].event("receiving notifications"))["address"]
        registry.notifications.endpoint = NotificationEndpoint(f"http://{receiver}/notifications", "s3cret")
        jobs = {"portus-gateway": [gateway.metrics for gateway in gateways]}
        names = {gateway.metrics: f"gateway-{number}" for number, gateway in enumerate(gateways, 1)}
        server = await stack.enter_async_context(prometheus_server(folder, jobs, "groups: []", instances=names))
        credentials = grpc.ssl_channel_credentials(certificate.read_bytes())
        address = f"localhost:{gateways[1].address.rpartition(':')[2]}"
        channels = [grpc.aio.insecure_channel(gateways[0].address), grpc.aio.secure_channel(address, credentials)]
        stubs = [
            registry_service_pb2_grpc.RegistryServiceStub(await stack.enter_async_context(channel))
            for channel in channels
        ]
        account = Credentials("portus", StaticPassword(registry.password))
        pusher = await stack.enter_async_context(
            DistributionClient(Configuration(url=registry.url, credentials=account, token_realm=registry.realm))
        )
        load = Load(registry, stubs, pusher, time.monotonic())
        async with asyncio.TaskGroup() as tasks:
            for seed in range(6):
                tasks.create_task(load.work(seed))
            tasks.create_task(load.push())
            await trouble(registry, policy, seconds)
            load.ended = True
        await asyncio.to_thread(draw, f"http://{server.address}", minutes)


def draw(server: str, minutes: float) -> None:
    command: list[str | Path] = [
        sys.executable,
        ROOT / "deploy/grafana/draw",
        "--prometheus",
        server,
        "--minutes",
        str(minutes),
    ]
    command += ["--scrape-interval", str(SCRAPE_INTERVAL), "--save", RECORDING, "--picture", PICTURE]
    subprocess.run(command, check=True, timeout=60)


class Load:
    """Calls of many kinds, more and fewer of them in turn, and pushes."""

    def __init__(
        self,
        registry: DevRegistry,
        stubs: "list[registry_service_pb2_grpc.RegistryServiceAsyncStub]",
        pusher: DistributionClient,
        started: float,
    ) -> None:
        self._registry = registry
        self._stubs = stubs
        self._pusher = pusher
        self._started = started
        self.ended = False

    async def work(self, seed: int) -> None:
        chance = random.Random(seed)
        while not self.ended:
            wave = 1 + 0.6 * math.sin((time.monotonic() - self._started) / 25)
            await asyncio.sleep(chance.expovariate(7 * wave))
            with suppress(grpc.aio.AioRpcError):
                await self._call(chance, chance.choice(self._stubs))

    async def _call(self, chance: random.Random, stub: "registry_service_pb2_grpc.RegistryServiceAsyncStub") -> None:
        number = chance.randrange(40)
        repository, tag = f"team-{number % 8}/app-{number}", f"1.{chance.randrange(12)}"
        kind = chance.random()
        calls: list[tuple[float, Callable[[], Awaitable[object]]]] = [
            (0.35, lambda: stub.GetManifest(_with_age(GetManifestRequest(repository=repository, tag=tag), chance))),
            (0.55, lambda: stub.ResolveManifest(ResolveManifestRequest(repository=repository, tag=tag))),
            (0.70, lambda: stub.ListTags(ListTagsRequest(repository=repository))),
            (0.78, lambda: stub.Catalog(CatalogRequest(page_size=20, include_tags=chance.random() < 0.2))),
            (0.84, lambda: stub.ListTags(ListTagsRequest(repository="team/none"))),
            (0.90, lambda: _all(stub.BatchResolveManifests(_batch(repository)))),
            (0.93, lambda: stub.ListReferrers(ListReferrersRequest(repository="team/app", digest=self._digest()))),
            (0.97, lambda: _all(stub.ReadBlob(self._blob()))),
            (1.00, lambda: self._delete(chance, stub)),
        ]
        await next(call for share, call in calls if kind < share)()

    def _digest(self) -> str:
        return self._registry.tags("team/app")["latest"]

    def _blob(self) -> ReadBlobRequest:
        digest = self._registry.push_blob("team/app", b"layer" * 100_000)
        return ReadBlobRequest(repository="team/app", digest=digest)

    async def _delete(self, chance: random.Random, stub: "registry_service_pb2_grpc.RegistryServiceAsyncStub") -> None:
        digest = self._registry.push("team/old", f"0.{chance.randrange(1000)}")
        tags = [tag for tag, found in self._registry.tags("team/old").items() if found == digest]
        named = tags if chance.random() < 0.7 else []
        await stub.DeleteManifest(DeleteManifestRequest(repository="team/old", digest=digest, expected_tags=named))

    async def push(self) -> None:
        number = 0
        while not self.ended:
            await asyncio.sleep(1.5)
            number += 1
            repository = Repository(f"team-{number % 8}/app-{number % 40}")
            blob = f'{{"number": {number}}}'.encode()
            with suppress(Exception):
                await self._pusher.push_blob(repository, blob)
                await self._pusher.push_manifest(repository, Tag(f"2.{number}"), _manifest(blob), IMAGE)


async def _all(messages: AsyncIterable[object]) -> None:
    async for _ in messages:
        pass


def _with_age(request: GetManifestRequest, chance: random.Random) -> GetManifestRequest:
    if chance.random() < 0.6:
        request.max_staleness.FromSeconds(30)
    return request


def _batch(repository: str) -> BatchResolveManifestsRequest:
    parts = [ResolveManifestRequest(repository=repository, tag=f"1.{minor}") for minor in range(8)]
    return BatchResolveManifestsRequest(requests=parts)


def _manifest(config: bytes) -> bytes:
    digest = f"sha256:{hashlib.sha256(config).hexdigest()}"
    return (
        f'{{"schemaVersion": 2, "mediaType": "{IMAGE}", "config": {{"mediaType": '
        f'"application/vnd.oci.image.config.v1+json", "digest": "{digest}", "size": {len(config)}}}, "layers": []}}'
    ).encode()


async def trouble(registry: DevRegistry, policy: Path, seconds: float) -> None:
    """What goes wrong meanwhile, at shares of the whole time."""
    started = time.monotonic()

    async def until(share: float) -> None:
        await asyncio.sleep(max(0.0, started + share * seconds - time.monotonic()))

    await until(0.25)
    slow = [registry.inject(Fault(route="tags", delay=0.25)), registry.inject(Fault(route="manifests", delay=0.1))]
    await until(0.38)
    for each in slow:
        each.remove()
    await until(0.5)
    down = registry.inject(Fault(route="tags", status=503))
    await until(0.57)
    down.remove()
    endpoint, registry.notifications.endpoint = registry.notifications.endpoint, None
    await asyncio.to_thread(policy.write_text, "not a policy")
    await until(0.72)
    registry.notifications.endpoint = endpoint
    await asyncio.to_thread(policy.write_text, POLICY)
    await until(1.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=5.0)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(run(chosen.minutes, Path(folder)))


if __name__ == "__main__":
    main()
