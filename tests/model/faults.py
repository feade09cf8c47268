"""What goes wrong in a run: one fault after another, at every stage of a request."""

import asyncio
import random
from dataclasses import dataclass, field

from portus_gateway.devregistry import DevRegistry, Fault

FAULTS = tuple(
    map(
        Fault.parse,
        (
            "manifests:status=500",
            "manifests:status=503",
            "manifests:status=429",
            "manifests:delay=0.2",
            "manifests:truncate",
            "manifests:corrupt",
            "manifests:reset=before",
            "manifests:reset=after",
            "manifests:hang",
            "manifests:answer-delay=0.3",
            "manifests:status=502,method=DELETE",
            "manifests:reset=after,method=DELETE",
            "manifests:answer-delay=0.3,method=DELETE",
            "manifests:status=500,method=HEAD",
            "tags:status=500",
            "tags:truncate",
            "tags:delay=0.2",
            "tags:invalid-json",
            "tags:hang",
            "tags:reset=after",
            "catalog:status=503",
            "catalog:truncate",
            "catalog:hang",
            "token:status=503",
            "token:without-rights",
            "token:delay=0.2",
            "token:token-lifetime=1",
        ),
    )
)
# Between the instant at which an answer is true and its arrival. Without it every answer is new.
_DISTANCE = Fault.parse("any:answer-delay=0.015")
# A connection that was reset, or a token that lacks a right, is found out by the calls after it.
_AFTERMATH = 1.0


@dataclass(slots=True)
class FaultLog:
    """When something was wrong."""

    times: list[tuple[float, float]] = field(default_factory=list)

    def any_between(self, start: float, end: float) -> bool:
        return any(began <= end and start <= ended + _AFTERMATH for began, ended in self.times)


async def go_wrong(registry: DevRegistry, choice: random.Random, log: FaultLog) -> None:
    """Injects faults until it is cancelled, with pauses in which the registry is just not very near."""
    clock = asyncio.get_running_loop().time
    while True:
        with registry.inject(_DISTANCE):
            await asyncio.sleep(choice.uniform(0.2, 0.8))
        began = clock()
        log.times.append((began, float("inf")))
        try:
            with registry.inject(choice.choice(FAULTS)):
                await asyncio.sleep(choice.uniform(0.05, 0.6))
        finally:
            log.times[-1] = (began, clock())
