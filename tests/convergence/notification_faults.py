"""An endpoint between a registry and the gateways.

It drops, doubles, delays, reorders, refuses, repeats and forges notifications.
"""

import asyncio
import json
import random
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager, suppress

import aiohttp
from aiohttp import web

from portus_gateway.aio.http_server import HttpServer
from portus_gateway.listen_address import ListenAddress

_REMEMBERED = 200


class NotificationFaults:
    """Passes events on to one of `targets`, or not, as `choice` decides."""

    def __init__(self, choice: random.Random, token: str, targets: Callable[[], Sequence[str]]) -> None:
        self._choice = choice
        self._targets = targets
        self._headers = {"Authorization": f"Bearer {token}"}
        self._late: set[asyncio.Task[None]] = set()
        self._earlier: list[bytes] = []
        self.faulty = True
        self.silent = False
        """Whether no event is passed on."""
        self.counts = Counter[str]()

    async def take(self, request: web.Request) -> web.Response:
        body = await request.read()
        self._earlier = [*self._earlier[1 - _REMEMBERED :], body]
        fate = 0.0 if self.silent else self._choice.random() if self.faulty else 1.0
        if fate < 0.15:
            return self._fate("dropped", 202)
        if fate < 0.20:
            # The registry sends it again, and nothing else before.
            return self._fate("refused", 503)
        if fate < 0.35:
            # Later than those that come after it.
            self._later(body)
            return self._fate("late", 202)
        if fate < 0.45:
            self.counts["doubled"] += 1
            await self._pass_on(body)
        elif fate < 0.50:
            self.counts["repeated"] += 1
            await self._pass_on(self._choice.choice(self._earlier))
        elif fate < 0.60:
            self.counts["forged"] += 1
            await self._pass_on(self._forged(body))
        elif fate < 0.63:
            self.counts["delayed"] += 1
            await asyncio.sleep(self._choice.uniform(0.0, 0.4))
        return self._fate("passed", await self._pass_on(body))

    async def aclose(self) -> None:
        for task in tuple(self._late):
            task.cancel()
        await asyncio.gather(*self._late, return_exceptions=True)

    def _fate(self, name: str, status: int) -> web.Response:
        self.counts[name] += 1
        return web.Response(status=status)

    def _later(self, body: bytes) -> None:
        async def pass_on_later() -> None:
            await asyncio.sleep(self._choice.uniform(0.01, 1.0))
            await self._pass_on(body)

        task = asyncio.create_task(pass_on_later())
        self._late.add(task)
        task.add_done_callback(self._late.discard)

    async def _pass_on(self, body: bytes) -> int:
        targets = self._targets()
        if not targets:
            return 503
        with suppress(aiohttp.ClientError):
            async with (
                aiohttp.ClientSession() as session,
                session.post(self._choice.choice(targets), data=body, headers=self._headers) as answer,
            ):
                return answer.status
        return 503

    def _forged(self, body: bytes) -> bytes:
        """An event that says what is not true, about the same repository or one that does not exist."""
        document = json.loads(body)
        for event in document["events"]:
            event["action"] = self._choice.choice(["push", "delete"])
            event["target"]["tag"] = self._choice.choice(["t0", "t1", "forged"])
            event["target"]["digest"] = f"sha256:{self._choice.randbytes(32).hex()}"
            event["target"]["repository"] = self._choice.choice([event["target"]["repository"], "forged/app"])
        return json.dumps(document).encode()


@asynccontextmanager
async def notification_faults(
    choice: random.Random, token: str, targets: Callable[[], Sequence[str]]
) -> AsyncGenerator[tuple[NotificationFaults, str], None]:
    """The endpoint and its address."""
    faults = NotificationFaults(choice, token, targets)
    application = web.Application()
    application.router.add_post("/notifications", faults.take)
    server = HttpServer(application, ListenAddress("127.0.0.1", 0), most_connections=256)
    async with aclosing(faults), server:
        yield faults, f"http://{server.address}/notifications"
