"""How many notifications the gateway takes in, beside how many a registry sends: one after the other."""

import asyncio
import json
import re
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from statistics import median
from typing import Final

import aiohttp

from bench import calls, content, gateway_metrics, native_load, servers
from bench.child_process import finished
from bench.figure import Figure
from bench.process_figures import cpu_seconds
from bench.statistics import interleaved, ratios

_REPOSITORIES: Final = 1000
# So many registry processes send at the same time.
_SENDERS: Final = 16
_EVENTS: Final = 6000
_PAUSE: Final = 0.05
_FINISHED: Final = re.compile(r"^Requests/sec: +([0-9.]+)", re.MULTILINE)
_FAILED: Final = re.compile(r"^ *(Non-2xx or 3xx responses|Socket errors: connect [1-9]).*", re.MULTILINE)


async def measure(folder: Path, rounds: int, seconds: float) -> list[Figure]:
    """A registry sends one event after the other, each over a new connection. wrk sends as many of them would.

    Two registries share a storage. One sends to a server that only answers, the other one to the gateway. wrk sends to
    the same two, so that it can be seen what is possible at all.
    """
    storage = folder / "registry/storage"
    names = [f"team/app-{number}" for number in range(_REPOSITORIES)]
    for name in names:
        content.put_image(storage, name, ["v1"], content.image(name))
    receiver = servers.free_address()
    token_file = servers.token_file(folder / "notifications", "notification")
    async with AsyncExitStack() as stack:
        sink = await stack.enter_async_context(servers.sink())
        registry = await stack.enter_async_context(
            servers.registry(folder / "registry", servers.Notified(f"http://{sink.address}/", "none"))
        )
        gateway = await stack.enter_async_context(
            servers.gateway(
                folder / "gateway",
                registry.address,
                PORTUS_INDEX=f"sqlite://{folder}/index.db",
                PORTUS_NOTIFICATIONS_LISTEN=receiver,
                PORTUS_NOTIFICATIONS_TOKEN_FILE=str(token_file),
            )
        )
        await calls.index_ready(gateway)
        notified = servers.Notified(f"http://{receiver}/notifications", "notification")
        notifying = await stack.enter_async_context(servers.registry(folder / "registry", notified))
        script = folder / "notify.lua"
        script.write_text(_script(names, "notification"))
        cpu: list[float] = []
        measures: dict[str, Callable[[], Awaitable[float]]] = {
            "receiver": partial(_received, gateway, receiver, script, max(1, round(seconds)), cpu),
            "bare": partial(_sent, sink.address, script, max(1, round(seconds))),
            "registry": partial(_drained, registry, partial(_count, sink)),
            "registry to gateway": partial(_drained, notifying, partial(_events, gateway, "ignored")),
        }
        rates = await interleaved(measures, rounds)
    return [
        Figure(
            name=f"notifications taken in, {_SENDERS} registries at the same time",
            runs=ratios(rates["receiver"], rates[side]),
            unit="times the rate",
            direction="at least",
            bar=bar,
            against=against,
            measured=f"{median(rates['receiver']):.0f}/s, {median(cpu) * 1000:.2f} ms CPU of the gateway for each, with"
            f" the reads that they cause; the other side: {median(rates[side]):.0f}/s",
            raw=rates,
        )
        for side, bar, against in (
            ("registry", 5, "what one registry process sends to a server that only answers 202"),
            ("registry to gateway", None, "what one registry process sends to this gateway: it waits for each answer"),
            ("bare", None, f"a server that only answers 202, and {_SENDERS} registries at the same time"),
        )
    ]


async def _received(gateway: servers.Server, receiver: str, script: Path, seconds: int, cpu: list[float]) -> float:
    before, used = await _events(gateway, "accepted"), cpu_seconds(gateway.pid)
    rate = await _sent(receiver, script, seconds)
    taken = await _events(gateway, "accepted") - before
    cpu.append((cpu_seconds(gateway.pid) - used) / taken)
    if taken < 0.9 * rate * seconds:
        raise AssertionError(f"{taken} notifications are taken in, of {rate * seconds:.0f}")
    return rate


async def _sent(address: str, script: Path, seconds: int) -> float:
    """How many notifications a second wrk sends, each over a new connection."""
    command = [native_load.program("wrk"), "--connections", str(_SENDERS), "--threads", "1"]
    made = await finished([*command, "--duration", f"{seconds}s", "--script", str(script), f"http://{address}"])
    output = made.stdout.decode()
    reported = _FINISHED.search(output)
    if made.returncode or reported is None or _FAILED.search(output):
        raise RuntimeError(f"wrk ended with status {made.returncode}:\n{output}")
    return float(reported[1])


async def _events(gateway: servers.Server, outcome: str) -> int:
    samples = await gateway_metrics.samples(gateway, "portus_index_notifications")
    return sum(
        int(sample.value)
        for sample in samples
        if sample.name.endswith("_total") and sample.labels["outcome"] == outcome
    )


async def _count(sink: servers.Server) -> int:
    async with aiohttp.ClientSession() as session, session.get(f"http://{sink.address}/") as answer:
        return int(await answer.text())


async def _drained(registry: servers.Server, count: Callable[[], Awaitable[int]]) -> float:
    """Reads manifests, each of which the registry announces, and sees how fast its queue gets shorter afterwards."""
    before = await count()
    url = f"http://{registry.address}/v2/team/app-0/manifests/v1"
    left = iter(range(_EVENTS))
    async with aiohttp.ClientSession(raise_for_status=True) as session, asyncio.TaskGroup() as pulls:

        async def pull() -> None:
            for _ in left:
                async with session.get(url, headers={"Accept": content.MANIFEST_TYPE}):
                    pass

        for _ in range(_SENDERS):
            pulls.create_task(pull())
    first, began = await count(), time.perf_counter()
    last = first
    while last < before + _EVENTS:
        await asyncio.sleep(_PAUSE)
        last = await count()
    seconds = time.perf_counter() - began
    if last - first < _EVENTS / 10:
        raise AssertionError(f"the registry had sent all but {last - first} events before the reads were over")
    return (last - first) / seconds


def _script(names: list[str], token: str) -> str:
    """For wrk: pushes of a tag, to one repository after the other.

    Each announces what the registry has, as a push does. Otherwise the gateway would read the repository again and
    again, because it does not find what was announced.
    """
    pushes = [f'{{"{name}", "{content.image(name).digest}"}}' for name in names]
    event = {
        "id": "320678d8-ca14-430f-8bb6-4ca139cd83f7",
        "timestamp": "2026-01-01T00:00:00.000000000Z",
        "action": "push",
        "target": {
            "mediaType": content.MANIFEST_TYPE,
            "digest": "DIGEST",
            "size": 1500,
            "length": 1500,
            "repository": "REPOSITORY",
            "url": "http://registry.example:5000/v2/REPOSITORY/manifests/DIGEST",
            "tag": "v1",
        },
        "request": {
            "id": "6df24a34-0959-4923-81ca-14f09767db19",
            "addr": "192.168.64.11:42961",
            "host": "registry.example:5000",
            "method": "PUT",
            "useragent": "docker/20.10",
        },
        "actor": {"name": "ci"},
        "source": {"addr": "registry-1:5000", "instanceID": "a53db899-3b4b-4a62-a067-8dd013beaca4"},
    }
    body = json.dumps({"events": [event]})
    return f"""
local pushes = {{{", ".join(pushes)}}}
local body = [==[{body}]==]
local headers = {{
  ["Authorization"] = "Bearer {token}",
  ["Content-Type"] = "application/vnd.docker.distribution.events.v2+json",
  ["Connection"] = "close",
}}
local number = 0
request = function()
  number = number % #pushes + 1
  local own = body:gsub("REPOSITORY", pushes[number][1]):gsub("DIGEST", pushes[number][2])
  return wrk.format("POST", "/notifications", headers, own)
end
"""
