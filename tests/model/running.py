"""A run: the gateway over a registry whose history is known, with callers, somebody who changes it, and faults."""

import asyncio
import os
import random
from asyncio import FIRST_COMPLETED
from contextlib import AsyncExitStack

import grpc

from portus.registry.v1.registry_service_pb2_grpc import RegistryServiceStub
from portus_gateway import app
from portus_gateway.devregistry import DevRegistry
from portus_gateway.settings import load
from tests.model.callers import Caller
from tests.model.calls import CallRecord
from tests.model.content import CONTENTS, REPOSITORIES, TAGS
from tests.model.faults import FaultLog, go_wrong
from tests.model.history import recorded
from tests.model.mutator import mutate_for_ever
from tests.model.oracle import Oracle

CALLERS = 16
# For the calls that are on their way at the end.
_LAST = 6.0


async def violations_of_run(seed: int, seconds: float, *, until_the_first: bool = False) -> tuple[int, list[str]]:
    """How many calls were made in `seconds`, and everything that the oracle has against their answers.

    With `until_the_first` a run ends early, within a second of the first violation.
    """
    choice = random.Random(seed)
    records: list[CallRecord] = []
    faults = FaultLog()
    async with AsyncExitStack() as stack:
        registry = await stack.enter_async_context(DevRegistry())
        for repository in REPOSITORIES:
            registry.push(repository, choice.choice(TAGS), content=choice.choice(CONTENTS))
        history = stack.enter_context(recorded(registry))
        settings = load(
            {
                "registry_url": registry.url,
                "username": registry.username,
                "password": registry.password,
                "token_realm": registry.realm,
                "listen": "127.0.0.1:0",
                "allow_delete": True,
                "audit_log": os.devnull,
                "read_timeout": "1s",
                "total_timeout": "2s",
                "delete_timeout": "2s",
                "upstream_attempts": "2",
            }
        )
        running = await stack.enter_async_context(app.running(settings))
        channel = await stack.enter_async_context(grpc.aio.insecure_channel(str(running.address)))
        stub = RegistryServiceStub(channel)
        callers = [Caller(stub, random.Random(choice.random()), records) for _ in range(CALLERS)]
        calling = [asyncio.create_task(caller.call_for_ever()) for caller in callers]
        changing = [
            asyncio.create_task(mutate_for_ever(registry, random.Random(choice.random()), history)),
            asyncio.create_task(go_wrong(registry, random.Random(choice.random()), faults)),
        ]
        end = asyncio.get_running_loop().time() + seconds
        while (left := end - asyncio.get_running_loop().time()) > 0:
            done, _ = await asyncio.wait([*calling, *changing], timeout=min(1.0, left), return_when=FIRST_COMPLETED)
            for task in done:
                task.result()  # nobody ends by itself but by a mistake of this test
            if until_the_first and (found := Oracle(history, faults).violations(records)):
                break
        else:
            found = []
        for task in changing:
            task.cancel()
        await asyncio.gather(*changing, return_exceptions=True)
        for task in calling:
            task.cancel()
        await asyncio.gather(*calling, return_exceptions=True)
        for record in records:
            record.given_up |= record.end == float("inf") or record.answer is None
        if found:
            return len(records), found
        await asyncio.sleep(min(_LAST, seconds / 4))
        return len(records), Oracle(history, faults).violations(records)
