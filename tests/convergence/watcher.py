"""Watches a gateway, and goes on at its cursor wherever a gateway runs."""

import asyncio
from collections.abc import Callable, Sequence
from typing import TypeAlias

import grpc

from portus.registry.v1.watch_pb2 import Event, WatchEventsRequest
from portus_gateway.index.store import Change
from portus_gateway.index.watch_cursor import SealedCursor
from tests.convergence.replicas import Replica

Told: TypeAlias = tuple[int, str, str, str, str]
"""A change as a watch tells it: type, repository, tag, digest and previous digest."""


class Watcher:
    """Remembers what it is told. It begins with the current state, or at `cursor`."""

    def __init__(self, replica: Callable[[], Replica | None], prefix: str = "", cursor: str = "") -> None:
        self._replica = replica
        self.prefix = prefix
        self.cursor = cursor
        self._began_with_state = not cursor
        self._state: dict[str, dict[str, str]] = {}
        self._told: list[Told] = []
        self._begins = cursor
        self.interruptions = 0
        self.violations: list[str] = []

    async def watch_for_ever(self) -> None:
        while True:
            replica = self._replica()
            if replica is None:
                await asyncio.sleep(0.02)
                continue
            request = WatchEventsRequest(prefix=self.prefix)
            request.heartbeat_interval.FromSeconds(1)
            if self.cursor:
                request.after_cursor = self.cursor
            else:
                request.current_state = True
            call = replica.stub.WatchEvents(request)
            try:
                async for message in call:
                    self._take(message.events, message.cursor, message.current_state_complete)
            except grpc.aio.AioRpcError as error:
                if error.code() not in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED):
                    self.violations.append(f"a watch ended with {error.code().name}: {error.details()}")
            finally:
                call.cancel()
            self.interruptions += 1
            await asyncio.sleep(0.05)

    def _take(self, events: Sequence[Event], cursor: str, complete: bool) -> None:
        if not cursor:
            self.violations.append("a message without a cursor")
        self.cursor = cursor
        if not self._begins:
            for event in events:
                tags = self._state.setdefault(event.repository, {})
                if event.tag:
                    tags[event.tag] = event.digest
            if complete:
                self._begins = cursor
            return
        self._told += [
            (int(event.type), event.repository, event.tag, event.digest, event.previous_digest) for event in events
        ]

    def position(self, epoch: str) -> int:
        """The number of the last change that it has come to, in the index `epoch`."""
        return _position(self.cursor, epoch) or 0

    def problems(self, changes: Sequence[Change], epoch: str) -> list[str]:
        """What is wrong with what it was told; `changes` are all that the index `epoch` saw."""
        if not self._begins:
            return [*self.violations, "a watch was never told the current state"]
        begins = _position(self._begins, epoch)
        if begins is None or _position(self.cursor, epoch) is None:
            return [*self.violations, "the index was built anew"]
        problems = list(self.violations)
        expected = [
            told(change) for change in changes if change.sequence > begins and change.repository.startswith(self.prefix)
        ]
        for number, (seen, right) in enumerate(zip(self._told, expected, strict=False)):
            if seen != right:
                return [*problems, f"change {number} of a watch is {seen} in place of {right}"]
        if len(self._told) != len(expected):
            problems.append(f"a watch was told {len(self._told)} changes in place of {len(expected)}")
        return problems

    def picture(self) -> dict[str, dict[str, str]] | None:
        """What there is, by the state that it began with and the changes since. None if it began with a cursor."""
        if not self._began_with_state:
            return None
        found = {name: dict(tags) for name, tags in self._state.items()}
        for kind, repository, tag, digest, _ in self._told:
            match kind:
                case Event.REPOSITORY_CREATED:
                    found.setdefault(repository, {})
                case Event.REPOSITORY_DELETED:
                    found.pop(repository, None)
                case Event.TAG_DELETED:
                    found.get(repository, {}).pop(tag, None)
                case _:
                    found.setdefault(repository, {})[tag] = digest
        return found


def told(change: Change) -> Told:
    digest = "" if change.digest is None else change.digest.text
    previous = "" if change.previous_digest is None else change.previous_digest.text
    return int(change.type), change.repository, change.tag, digest, previous


def _position(cursor: str, epoch: str) -> int | None:
    opened = SealedCursor.decode(cursor).opened(epoch) if cursor else None
    return None if opened is None else opened.sequence
