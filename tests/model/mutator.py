"""Somebody else who pushes, moves and deletes tags, directly at the registry."""

import asyncio
import random

from portus_gateway.devregistry import DevRegistry
from tests.model.content import CONTENTS, REPOSITORIES, TAGS
from tests.model.history import History


async def mutate_for_ever(registry: DevRegistry, choice: random.Random, history: History) -> None:
    """Changes the registry until it is cancelled."""
    while True:
        repository, tag = choice.choice(REPOSITORIES), choice.choice(TAGS)
        history.mutating = True
        try:
            match choice.random():
                case part if part < 0.75:
                    registry.push(repository, tag, content=choice.choice(CONTENTS))
                case part if part < 0.9:
                    registry.untag(repository, tag)
                case _:
                    registry.delete(repository, choice.choice(CONTENTS).digest)
        finally:
            history.mutating = False
        await asyncio.sleep(choice.uniform(0, 0.03))
