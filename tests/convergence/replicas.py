"""The replicas of a gateway: real processes, which are killed and started again."""

import asyncio
import json
import os
import random
import signal
from asyncio.subprocess import PIPE
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import grpc

from portus.registry.v1.registry_service_pb2 import GetRegistryInfoRequest, IndexStatus
from portus.registry.v1.registry_service_pb2_grpc import RegistryServiceStub
from tests.e2e.gateway_process import GatewayProcess, gateway_process_into

if TYPE_CHECKING:
    from portus.registry.v1.registry_service_pb2_grpc import RegistryServiceAsyncStub

# A new process needs some seconds on a busy machine.
_START = 60.0
_TIMEOUT = 10.0


@dataclass(frozen=True, slots=True)
class Replica:
    """A gateway that runs."""

    process: GatewayProcess
    stub: "RegistryServiceAsyncStub"
    _stack: AsyncExitStack

    @property
    def notifications(self) -> str:
        """Where it receives notifications: a worker that was started again has a new port."""
        for line in reversed(self.process.log):
            if '"receiving notifications"' in line:
                record = json.loads(line)
                return f"http://{record['address']}/notifications"
        raise AssertionError("it does not receive notifications")

    def replaced_workers(self) -> int:
        """How many workers it has started in place of others."""
        return sum("in place of one that ended" in line for line in self.process.log)

    def workers(self) -> list[int]:
        """The processes that it has started."""
        pid = self.process.process.pid
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    async def aclose(self) -> None:
        await self._stack.aclose()


async def has_index(stub: "RegistryServiceAsyncStub") -> bool:
    """Whether the index of a gateway can be used, and has read everything once."""
    try:
        info = await stub.GetRegistryInfo(GetRegistryInfoRequest(), timeout=_TIMEOUT)
    except grpc.aio.AioRpcError:
        return False
    return info.index.state == IndexStatus.READY


class Replicas:
    """Gateways with the settings `variables`. With `bug`, each has that one of `planted_bugs`."""

    def __init__(self, variables: dict[str, str], choice: random.Random, bug: str | None) -> None:
        self.variables = variables
        self._choice = choice
        self._bug = bug
        self.running: list[Replica] = []
        # Open to the end: calls shall fail because the gateway is gone, and not because their channel is.
        self._channels = AsyncExitStack()

    async def start(self) -> Replica:
        """Starts one more. It counts as running when its index can be used."""
        module = "portus_gateway" if self._bug is None else "tests.convergence.gateway_with_bug"
        variables = self.variables if self._bug is None else {**self.variables, "PLANTED_BUG": self._bug}
        async with AsyncExitStack() as starting:
            process = await starting.enter_async_context(
                gateway_process_into(PIPE, "serve", module=module, **variables)
            )
            # Each has a connection of its own: gRPC would share one that leads to a process that was killed.
            options = [("grpc.use_local_subchannel_pool", 1)]
            channel = await self._channels.enter_async_context(grpc.aio.insecure_channel(process.address, options))
            stub: RegistryServiceAsyncStub = RegistryServiceStub(channel)
            async with asyncio.timeout(_START):
                while not await has_index(stub):
                    await asyncio.sleep(0.05)
            replica = Replica(process, stub, starting.pop_all())
        self.running.append(replica)
        return replica

    def any(self) -> Replica | None:
        return self._choice.choice(self.running) if self.running else None

    def notification_addresses(self) -> list[str]:
        return [replica.notifications for replica in self.running]

    async def kill(self, replica: Replica) -> None:
        """Ends it at once, in the middle of whatever it does."""
        self.running.remove(replica)
        replica.process.signal(signal.SIGKILL)
        await replica.process.ended()
        await replica.aclose()

    async def stop(self, replica: Replica) -> None:
        """Ends it as an orchestrator does."""
        self.running.remove(replica)
        replica.process.signal(signal.SIGTERM)
        await replica.process.ended()
        await replica.aclose()

    def kill_a_worker(self, replica: Replica) -> None:
        """Ends one of its workers at once, if it has some. It starts another one."""
        workers = replica.workers()
        if workers:
            os.kill(self._choice.choice(workers), signal.SIGKILL)

    async def aclose(self) -> None:
        while self.running:
            await self.kill(self.running[-1])
        await self._channels.aclose()
