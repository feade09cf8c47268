"""An endpoint between a registry and an index, which drops, doubles, delays, refuses and forges notifications."""

import asyncio
import json
import random
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager, suppress

import aiohttp
from aiohttp import web

from portus_gateway.aio.http_server import HttpServer
from portus_gateway.listen_address import ListenAddress


class NotificationFaults:
    """Passes events on to `target`, or not, as `choice` decides."""

    def __init__(self, choice: random.Random, token: str) -> None:
        self.choice = choice
        self.target: str | None = None
        self.faulty = True
        self.received = 0
        self.dropped = 0
        self._headers = {"Authorization": f"Bearer {token}"}
        self._late: set[asyncio.Task[None]] = set()

    async def take(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.received += 1
        fate = self.choice.random() if self.faulty else 1.0
        if fate < 0.05:
            return web.Response(status=503)
        if fate < 0.20:
            self.dropped += 1
            return web.Response(status=202)
        if fate < 0.35:
            # Later than those that come after it.
            task = asyncio.create_task(self._pass_on_later(body))
            self._late.add(task)
            task.add_done_callback(self._late.discard)
            return web.Response(status=202)
        if fate < 0.45:
            await self._pass_on(body)
        if fate < 0.50:
            await self._pass_on(self._forged(body))
        return web.Response(status=await self._pass_on(body))

    async def aclose(self) -> None:
        for task in tuple(self._late):
            task.cancel()
        await asyncio.gather(*self._late, return_exceptions=True)

    async def _pass_on_later(self, body: bytes) -> None:
        await asyncio.sleep(self.choice.uniform(0.01, 1.0))
        await self._pass_on(body)

    async def _pass_on(self, body: bytes) -> int:
        if self.target is None:
            return 503
        with suppress(aiohttp.ClientError):
            async with (
                aiohttp.ClientSession() as session,
                session.post(self.target, data=body, headers=self._headers) as answer,
            ):
                return answer.status
        return 503

    def _forged(self, body: bytes) -> bytes:
        """Another event about the same repository: what it says is not true."""
        document = json.loads(body)
        for event in document["events"]:
            event["action"] = self.choice.choice(["push", "delete"])
            event["target"]["tag"] = self.choice.choice(["t0", "t1", "forged"])
            event["target"]["digest"] = f"sha256:{self.choice.randbytes(32).hex()}"
            event["target"]["repository"] = self.choice.choice([event["target"]["repository"], "forged/app"])
        return json.dumps(document).encode()


@asynccontextmanager
async def notification_faults(
    choice: random.Random, token: str
) -> AsyncGenerator[tuple[NotificationFaults, str], None]:
    """The endpoint and its address."""
    faults = NotificationFaults(choice, token)
    application = web.Application()
    application.router.add_post("/notifications", faults.take)
    server = HttpServer(application, ListenAddress("127.0.0.1", 0), most_connections=256)
    async with aclosing(faults), server:
        yield faults, f"http://{server.address}/notifications"
