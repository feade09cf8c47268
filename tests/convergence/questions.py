"""Asks the gateways for what may be some seconds old, and checks that it was true in those seconds."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping

import grpc

from portus.registry.v1.registry_service_pb2 import CatalogRequest, ListTagsRequest, ListTagsResponse
from portus.registry.v1.tag_history_pb2 import FindTagsRequest
from portus_gateway.index.store import Change, ChangeType
from tests.convergence.changes import EXISTS, REPOSITORIES
from tests.convergence.history import RegistryHistory
from tests.convergence.replicas import Replica

STALENESS = (0.3, 1.0, 3.0, 10.0)
# The index asks for all digests of a repository within this. A registry that restarts takes longer to answer.
READ = 10.0
# Stores count in microseconds, and a timestamp is rounded.
_ROUNDING = 0.002
_TIMEOUT = 15.0


class Questions:
    """Asks, and compares the answers with `history`."""

    def __init__(self, choice: random.Random, history: RegistryHistory, replica: Callable[[], Replica | None]) -> None:
        self._choice = choice
        self._history = history
        self._replica = replica
        self.counts = Counter[str]()
        self.violations: list[str] = []

    async def ask_for_ever(self) -> None:
        while True:
            await asyncio.sleep(self._choice.uniform(0.0, 0.1))
            replica = self._replica()
            if replica is None:
                continue
            staleness = self._choice.choice(STALENESS)
            try:
                match self._choice.randrange(4):
                    case 0:
                        await self._ask_for_the_catalog(replica, staleness)
                    case 1:
                        await self._search(replica)
                    case _:
                        await self._ask_for_tags(replica, staleness)
            except grpc.aio.AioRpcError as error:
                self._failed(error)

    async def _ask_for_tags(self, replica: Replica, staleness: float) -> None:
        name = self._choice.choice(REPOSITORIES)
        request = ListTagsRequest(repository=name, page_size=1000)
        if self._choice.random() < 0.5:
            request.view = ListTagsRequest.DESCRIPTORS
        request.max_staleness.FromNanoseconds(round(staleness * 1e9))
        asked = time.time()
        answer = await replica.stub.ListTags(request, timeout=_TIMEOUT)
        as_of = answer.as_of.ToNanoseconds() / 1e9
        self._check(f"ListTags {name}", {name: _digests(answer)}, staleness, asked, as_of)

    async def _ask_for_the_catalog(self, replica: Replica, staleness: float) -> None:
        request = CatalogRequest(page_size=1000, include_tags=True)
        request.max_staleness.FromNanoseconds(round(staleness * 1e9))
        asked = time.time()
        answer = await replica.stub.Catalog(request, timeout=_TIMEOUT)
        as_of = answer.as_of.ToNanoseconds() / 1e9
        # Where a repository's tags could not be listed, its entry says so.
        listed = {
            entry.name: dict.fromkeys(entry.tags, "") for entry in answer.repositories if not entry.tags_status.code
        }
        self._check("Catalog", listed, staleness, asked, as_of)
        named = {entry.name for entry in answer.repositories}
        for name in REPOSITORIES:
            possible = self._history.digests(name, EXISTS, asked - staleness - _ROUNDING, time.time())
            if name in named and EXISTS not in possible:
                self.violations.append(f"Catalog names {name}, which was not there within {staleness} s")
            if name not in named and None not in possible:
                self.violations.append(f"Catalog does not name {name}, which was there for {staleness} s")

    async def _search(self, replica: Replica) -> None:
        found = await replica.stub.FindTags(FindTagsRequest(name_contains="t", page_size=1000), timeout=_TIMEOUT)
        self.counts["FindTags"] += 1
        for tag in found.tags:
            if not tag.digest:
                continue
            checked = tag.checked_time.ToNanoseconds() / 1e9
            if tag.digest not in self._history.digests(tag.repository, tag.tag, checked - _ROUNDING, checked + READ):
                self.violations.append(f"FindTags says {tag.repository}:{tag.tag} was on {tag.digest} at {checked}")

    def _check(
        self, what: str, listed: Mapping[str, Mapping[str, str]], staleness: float, asked: float, as_of: float
    ) -> None:
        ended = time.time()
        start = asked - staleness - _ROUNDING
        self.counts["from the index" if as_of < asked - _ROUNDING else "from the registry"] += 1
        if not start <= as_of <= ended:
            self.violations.append(f"{what}: as_of is {asked - as_of:.3f} s old in place of {staleness} s")
        for name, tags in listed.items():
            for tag, digest in tags.items():
                possible = self._history.digests(name, tag, start, ended)
                if digest not in possible if digest else possible == {None}:
                    self.violations.append(
                        f"{what}: {name}:{tag} {digest} was not true within {staleness} s: {possible}, as_of"
                        f" {asked - as_of:.3f} s"
                    )
        for name, tag in self._history.surely_there(start, ended, listed):
            if tag != EXISTS and tag not in listed[name]:
                self.violations.append(
                    f"{what}: {name}:{tag} is not listed, and was there for {staleness} s, as_of {asked - as_of:.3f} s"
                )

    def _failed(self, error: grpc.aio.AioRpcError) -> None:
        self.counts[f"error {error.code().name}"] += 1
        # A repository without tags is not found in distribution. Everything else is the registry's or the store's end.
        if error.code() not in (
            grpc.StatusCode.UNAVAILABLE,
            grpc.StatusCode.NOT_FOUND,
            grpc.StatusCode.DEADLINE_EXCEEDED,
            grpc.StatusCode.ABORTED,
        ):
            self.violations.append(f"{error.code().name}: {error.details()}")


def _digests(answer: ListTagsResponse) -> dict[str, str]:
    """Each tag, with its digest where the answer says it."""
    return dict.fromkeys(answer.tags, "") | {detail.tag: detail.descriptor.digest for detail in answer.details}


def problems_of(changes: Iterable[Change], history: RegistryHistory) -> list[str]:
    """What is wrong with all changes of an index: gaps, what cannot follow what was before, and what never was true."""
    problems: list[str] = []
    known: dict[str, dict[str, str]] = {}
    for number, change in enumerate(changes, 1):
        shown = f"change {change.sequence} ({change.type.name} {change.repository}:{change.tag})"
        if change.sequence != number:
            return [*problems, f"{shown} comes after {number - 1}"]
        if change.type is ChangeType.REPOSITORY_CREATED:
            if change.repository in known:
                problems.append(f"{shown}: it is there already")
            known[change.repository] = {}
        elif change.repository not in known:
            problems.append(f"{shown}: there is no such repository")
        elif change.type is ChangeType.REPOSITORY_DELETED:
            if left := known.pop(change.repository):
                problems.append(f"{shown}: it has tags: {left}")
        else:
            before = known[change.repository].pop(change.tag, None)
            if before != (change.previous_digest.text if change.previous_digest else None):
                problems.append(f"{shown}: it was on {before} before, and not on {change.previous_digest}")
            now = None if change.digest is None else change.digest.text
            if now == before:
                problems.append(f"{shown} changes nothing")
            if now is not None:
                known[change.repository][change.tag] = now
            seen = change.observed_at
            if now not in history.digests(change.repository, change.tag, seen - READ, seen + _ROUNDING):
                problems.append(f"{shown}: {now} was not true at {seen}")
    return problems
