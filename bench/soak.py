"""Minutes of mixed calls over a registry that fails now and then: nothing may grow, and every status has to be right.

What is compared is the gateway at rest: after a first part of the load, and after the rest of it.
"""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import grpc

from bench import calls, content, gateway_metrics, servers
from bench.figure import Figure
from bench.process_figures import open_files, open_sockets, resident_bytes, threads
from portus.registry.v1 import registry_service_pb2 as proto
from portus.registry.v1 import registry_service_pb2_grpc as proto_grpc

if TYPE_CHECKING:
    from portus.registry.v1.registry_service_pb2_grpc import RegistryServiceAsyncStub

_CALLERS = 12
_FIRST_PART = 0.25
_FAIL_EVERY = 29
_RETRIES_OF_GATEWAY = "2"
_REST_SECONDS = 3.0
_TAGS = 50
_MEBIBYTE = 1024 * 1024
# Connections to the registry are kept, as many as the gateway may have requests.
_KEPT_CONNECTIONS = 8

_Code = grpc.StatusCode
# What a registry that fails makes of any call that asks it.
_FAULTS: Final = frozenset({_Code.UNAVAILABLE})


@dataclass(frozen=True, slots=True)
class _Rest:
    """The gateway at rest."""

    memory: int
    files: int
    sockets: int
    threads: int
    tasks: float
    calls: float


class _Mix:
    """Calls of all kinds, and the statuses that each may have."""

    def __init__(self, stub: "RegistryServiceAsyncStub", metadata: tuple[tuple[str, str], ...]) -> None:
        self._stub = stub
        self._metadata = metadata
        self.statuses: Counter[tuple[str, str]] = Counter()
        self.wrong: list[str] = []
        self._kinds: list[tuple[Callable[[], Awaitable[None]], frozenset[grpc.StatusCode]]] = [
            (self._cached, frozenset({_Code.OK}) | _FAULTS),
            (self._checked, frozenset({_Code.OK}) | _FAULTS),
            (self._missing, frozenset({_Code.NOT_FOUND}) | _FAULTS),
            (self._invalid, frozenset({_Code.INVALID_ARGUMENT})),
            (self._refused, frozenset({_Code.PERMISSION_DENIED})),
            (self._too_late, frozenset({_Code.DEADLINE_EXCEEDED})),
            (self._left_behind, frozenset({_Code.OK, _Code.CANCELLED}) | _FAULTS),
            (self._batch, frozenset({_Code.OK})),
            (self._catalog, frozenset({_Code.OK}) | _FAULTS),
        ]

    async def one(self, chance: random.Random) -> None:
        """A call of some kind."""
        kind, allowed = chance.choice(self._kinds)
        self._chance = chance
        code, detail = _Code.OK, ""
        try:
            await kind()
        except grpc.aio.AioRpcError as error:
            code, detail = error.code(), error.details() or ""
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            code = _Code.CANCELLED
        self.statuses[kind.__name__.strip("_"), code.name] += 1
        if code not in allowed and len(self.wrong) < 100:
            self.wrong.append(f"{kind.__name__}: {code.name} {detail}")

    def _some(self, *, cached: bool) -> proto.GetManifestRequest:
        return calls.get_manifest("team/app", f"v{self._chance.randrange(_TAGS)}", cached=cached)

    async def _cached(self) -> None:
        await self._stub.GetManifest(self._some(cached=True), metadata=self._metadata)

    async def _checked(self) -> None:
        await self._stub.GetManifest(self._some(cached=False), metadata=self._metadata)

    async def _missing(self) -> None:
        await self._stub.GetManifest(
            calls.get_manifest("team/app", "no-such-tag", cached=True), metadata=self._metadata
        )

    async def _invalid(self) -> None:
        await self._stub.GetManifest(calls.get_manifest("Team/App", "v1", cached=True), metadata=self._metadata)

    async def _refused(self) -> None:
        request = proto.DeleteManifestRequest(repository="team/app", digest=f"sha256:{64 * 'a'}")
        await self._stub.DeleteManifest(request, metadata=self._metadata)

    async def _too_late(self) -> None:
        await self._stub.GetManifest(self._some(cached=False), metadata=self._metadata, timeout=0.001)

    async def _left_behind(self) -> None:
        call = self._stub.StreamCatalog(proto.StreamCatalogRequest(include_tags=True), metadata=self._metadata)
        async for _ in call:
            break
        call.cancel()

    async def _batch(self) -> None:
        request = proto.BatchGetManifestsRequest(requests=[self._some(cached=True) for _ in range(20)])
        results = 0
        async for response in self._stub.BatchGetManifests(request, metadata=self._metadata):
            results += len(response.results)
        if results != len(request.requests):
            self.wrong.append(f"_batch: {results} results for {len(request.requests)} requests")

    async def _catalog(self) -> None:
        await self._stub.Catalog(proto.CatalogRequest(include_tags=True), metadata=self._metadata)


async def measure(folder: Path, minutes: float) -> list[Figure]:
    """12 callers; every 29th request to the registry fails: a 503, or a connection that ends."""
    storage = folder / "registry/storage"
    for number in range(_TAGS):
        content.put_image(storage, "team/app", [f"v{number}"], content.image(f"v{number}"))
    seconds = minutes * 60
    async with (
        servers.registry(folder / "registry") as registry,
        # A little slow, so that a call with a deadline of a millisecond is late.
        servers.delaying_proxy(registry.address, seconds=0.002, fail_every=_FAIL_EVERY) as proxy,
        servers.gateway(
            folder / "gateway",
            proxy.address,
            PORTUS_UPSTREAM_ATTEMPTS=_RETRIES_OF_GATEWAY,
            # A small one, that it is full when the soak begins.
            PORTUS_CACHE_BYTES=str(_MEBIBYTE // 2),
        ) as gateway,
    ):
        statuses: Counter[tuple[str, str]] = Counter()
        wrong: list[str] = []
        await _loaded(gateway, seconds * _FIRST_PART, statuses, wrong)
        before = await _at_rest(gateway)
        await _loaded(gateway, seconds * (1 - _FIRST_PART), statuses, wrong)
        after = await _at_rest(gateway)
    raw = {
        "before": before,
        "after": after,
        "statuses": {" ".join(key): count for key, count in sorted(statuses.items())},
        "wrong": wrong,
    }
    total = sum(statuses.values())
    failed = sum(count for (_, code), count in statuses.items() if code != "OK")
    rest = f"after {minutes * _FIRST_PART:.1f} minutes"
    return [
        Figure(
            name="soak: memory",
            runs=[(after.memory - before.memory) / _MEBIBYTE],
            unit="MiB more",
            bar=8,
            against=rest,
            measured=f"{before.memory / _MEBIBYTE:.0f} MiB, then {after.memory / _MEBIBYTE:.0f} MiB",
            raw=raw,
        ),
        *(
            Figure(
                name=f"soak: {name}",
                runs=[end - begin],
                unit="more",
                bar=bar,
                against=rest,
                measured=f"{begin:.0f}, then {end:.0f}",
            )
            for name, begin, end, bar in (
                ("file descriptors", before.files, after.files, _KEPT_CONNECTIONS),
                ("sockets", before.sockets, after.sockets, _KEPT_CONNECTIONS),
                ("threads", before.threads, after.threads, 1),
                ("tasks", before.tasks, after.tasks, 0),
                ("calls that never ended", before.calls, after.calls, 0),
            )
        ),
        Figure(
            name="soak: calls with a wrong status",
            runs=[len(wrong)],
            unit="",
            bar=0,
            against="what each call may answer",
            measured=f"{total} calls, {failed} of them failed as they had to" + "".join(f"; {w}" for w in wrong[:3]),
        ),
    ]


async def _loaded(
    gateway: servers.Server, seconds: float, statuses: Counter[tuple[str, str]], wrong: list[str]
) -> None:
    end = time.monotonic() + seconds
    async with calls.channel(gateway) as channel:

        async def caller(number: int) -> None:
            # A plan that is the same at each run; nothing here is a secret.
            chance = random.Random(number)  # noqa: S311
            mix = _Mix(proto_grpc.RegistryServiceStub(channel), calls.metadata(gateway))
            while time.monotonic() < end:
                await mix.one(chance)
            statuses.update(mix.statuses)
            wrong.extend(mix.wrong)

        async with asyncio.TaskGroup() as callers:
            for number in range(_CALLERS):
                callers.create_task(caller(number))


async def _at_rest(gateway: servers.Server) -> _Rest:
    await asyncio.sleep(_REST_SECONDS)
    return _Rest(
        memory=resident_bytes(gateway.pid),
        files=open_files(gateway.pid),
        sockets=open_sockets(gateway.pid),
        threads=threads(gateway.pid),
        tasks=await _total(gateway, "portus_gateway_tasks"),
        calls=await _total(gateway, "grpc_server_in_flight"),
    )


async def _total(gateway: servers.Server, family: str) -> float:
    return sum(sample.value for sample in await gateway_metrics.samples(gateway, family))
