"""Deletes many manifests of one repository, and reads its tags only once for all of them.

A single delete reads every tag. If each manifest were deleted alone, the time would grow with the square of the number
of tags. So the parts of a batch share one look at the tags, and the tags of the deleted manifests are checked together.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Final

from portus_gateway.aio.carried_through import carried_through
from portus_gateway.aio.deadline import DeadlineExceeded
from portus_gateway.aio.in_parallel import for_each
from portus_gateway.distribution.digest import Digest
from portus_gateway.distribution.errors import DeleteOutcomeUnknown, NotFound
from portus_gateway.distribution.manifest import Descriptor
from portus_gateway.distribution.names import Tag
from portus_gateway.errors import GatewayError
from portus_gateway.operations.deletion import BatchDeletion, Deleted, ManifestDeletion, Outcome
from portus_gateway.operations.deletion_guard import check_may_be_deleted
from portus_gateway.operations.manifest_dependents import Look, ManifestDependents, may_be_index
from portus_gateway.operations.manifest_presence import require_manifest
from portus_gateway.operations.remaining_tags import RemainingTags, tags_unseen
from portus_gateway.registry.protocol import Registry

_MOST_AT_ONCE: Final = 100
"""After this number of deletes, their tags are checked and the results are sent."""
_SHORTEST_VALIDITY: Final = 5.0
"""The time in seconds for which one look may be used, at least. If a look takes longer, it may be used for as long as
it took.
"""


class GuardedBatchDeletion:
    """Deletes from `registry`, a part of `concurrency` deletes at a time."""

    def __init__(
        self, registry: Registry, dependents: ManifestDependents, remaining: RemainingTags, concurrency: int
    ) -> None:
        self._registry = registry
        self._dependents = dependents
        self._remaining = remaining
        self._concurrency = concurrency

    def outcomes(
        self, wanted: BatchDeletion, approved: Callable[[int], Awaitable[None]]
    ) -> AsyncGenerator[Sequence[Outcome], None]:
        """As `Deletion.delete_batch`."""
        run = _Run(self._registry, self._dependents, self._remaining, self._concurrency, wanted, approved)
        return run.outcomes()


class _Run:
    """One batch."""

    def __init__(
        self,
        registry: Registry,
        dependents: ManifestDependents,
        remaining: RemainingTags,
        concurrency: int,
        wanted: BatchDeletion,
        approved: Callable[[int], Awaitable[None]],
    ) -> None:
        self._registry = registry
        self._dependents = dependents
        self._remaining = remaining
        self._concurrency = concurrency
        self._repository = wanted.repository
        self._validate_only = wanted.validate_only
        self._parts = wanted.parts
        self._approved = approved
        self._waiting: dict[Digest, tuple[int, ManifestDeletion]] = {
            part.digest: (position, part) for position, part in enumerate(wanted.parts)
        }
        """The parts without an outcome."""
        self._manifests: dict[Digest, Descriptor] = {}
        self._indexes_are_known = False
        """Whether the indexes were read in the last look."""
        self._index_failure: Exception | None = None
        """Why they could not be read."""
        self._look_ends = 0.0
        """The time until which the last look may be used (`time.monotonic`)."""
        self._kept_indexes: dict[Digest, set[Digest]] = {}
        """For each part that waits, the parts that contain it and were not deleted. Such an index needs no tag."""
        self._refusal: Exception | None = None
        self._is_refusal_known = False

    async def outcomes(self) -> AsyncGenerator[Sequence[Outcome], None]:
        if failed := await self._missing():
            yield failed
        look: Look | None = None
        while self._waiting:
            if look is None or (time.monotonic() >= self._look_ends and not self._validate_only):
                try:
                    look = await self._look()
                except DeadlineExceeded:
                    raise
                except GatewayError as error:
                    # It is unknown what needs a manifest, so nothing may be deleted.
                    yield [self._settled(digest, error) for digest in tuple(self._waiting)]
                    return
            refused, allowed = self._judged(look)
            if refused:
                self._note_kept_indexes(refused, look)
                yield refused
            if not allowed:
                continue
            if self._validate_only:
                outcomes = await self._validated(allowed)
                self._note_kept_indexes(outcomes, look)
                yield outcomes
            else:
                (outcomes, needs_look), cancellation = await carried_through(
                    self._deleted(allowed, _cancellation_of_this_task())
                )
                self._note_kept_indexes(outcomes, look)
                yield outcomes
                if cancellation is not None:
                    raise cancellation
                if needs_look:
                    look = None
                    continue
            for outcome in outcomes:
                if isinstance(outcome.result, Deleted):
                    # Nothing that these indexes contain is needed any more.
                    look.forget(outcome.result.tags)

    async def _missing(self) -> Sequence[Outcome]:
        """The outcomes of what is no manifest of the repository, or cannot be looked at."""
        failures: dict[Digest, Exception] = {}

        async def find(digest: Digest) -> None:
            try:
                self._manifests[digest] = await require_manifest(self._registry, self._repository, digest)
            except DeadlineExceeded:
                raise
            except GatewayError as error:
                failures[digest] = error

        await for_each(tuple(self._waiting), find, at_once=self._concurrency)
        return [self._settled(digest, error) for digest, error in failures.items()]

    async def _look(self) -> Look:
        """A look for the parts that wait. Raises what the registry raises."""
        began = time.monotonic()
        look = await self._dependents.look(
            self._repository, {digest: self._manifests[digest] for digest in self._waiting}
        )
        self._index_failure = None
        self._indexes_are_known = False
        if not all(part.force for _, part in self._waiting.values()):
            try:
                await look.read_indexes()
                self._indexes_are_known = True
            except DeadlineExceeded:
                raise
            except GatewayError as error:
                # Deletes with `force` do not depend on it.
                self._index_failure = error
        ended = time.monotonic()
        self._look_ends = ended + max(_SHORTEST_VALIDITY, ended - began)
        return look

    def _judged(self, look: Look) -> tuple[list[Outcome], dict[Digest, tuple[Tag, ...]]]:
        """The outcomes of parts that are refused now, and the tags of parts that may be deleted now.

        The others have to wait for an index of this batch.
        """
        refused: list[Outcome] = []
        allowed: dict[Digest, tuple[Tag, ...]] = {}
        for digest in self._ready(look):
            _, part = self._waiting[digest]
            # The tags of those that have one are among `index_tags`.
            kept = {index for index in self._kept_indexes.get(digest, ()) if not look.tags.get(index)}
            dependents = replace(look.dependents(digest), kept_indexes=tuple(sorted(kept)))
            try:
                if self._index_failure is not None and not part.force:
                    raise self._index_failure
                check_may_be_deleted(part, dependents)
            except GatewayError as error:
                refused.append(self._settled(digest, error))
            else:
                allowed[digest] = dependents.tags
            if len(allowed) >= _MOST_AT_ONCE:
                break
        return refused, allowed

    def _note_kept_indexes(self, outcomes: Sequence[Outcome], look: Look) -> None:
        """Notes which parts that wait are in what was not deleted. A later look need not see it: it may have no tag."""
        kept = {
            self._parts[outcome.part].digest
            for outcome in outcomes
            if not isinstance(outcome.result, Deleted | NotFound)
        }
        if kept:
            for digest in self._waiting:
                self._kept_indexes.setdefault(digest, set()).update(kept & look.before(digest))

    def _ready(self, look: Look) -> Sequence[Digest]:
        """The parts that wait, and that no other part that waits contains."""
        if not self._indexes_are_known:
            # Their types alone tell what may contain others.
            indexes = [digest for digest in self._waiting if may_be_index(self._manifests[digest].media_type)]
            return indexes or tuple(self._waiting)
        # `isdisjoint` would go through all of them each time.
        ready = [digest for digest in self._waiting if not any(other in self._waiting for other in look.before(digest))]
        # Indexes that cannot be read may contain each other.
        return ready or tuple(self._waiting)

    async def _validated(self, allowed: dict[Digest, tuple[Tag, ...]]) -> Sequence[Outcome]:
        """The outcomes of parts that would be deleted."""
        return [await self._validated_part(digest, tags) for digest, tags in allowed.items()]

    async def _validated_part(self, digest: Digest, tags: tuple[Tag, ...]) -> Outcome:
        position, _ = self._waiting[digest]
        try:
            await self._approved(position)
            if not self._is_refusal_known:
                try:
                    await self._registry.check_deletion(self._repository)
                except DeadlineExceeded:
                    raise
                except GatewayError as error:
                    self._refusal = error
                self._is_refusal_known = True
            if self._refusal is not None:
                raise self._refusal
        except DeadlineExceeded:
            raise
        except Exception as error:
            return self._settled(digest, error)
        return self._settled(digest, Deleted(digest=digest, tags=tags))

    async def _deleted(
        self, allowed: dict[Digest, tuple[Tag, ...]], is_cancelled: Callable[[], bool]
    ) -> tuple[Sequence[Outcome], bool]:
        """The outcomes of what was deleted of `allowed`, or tried to, and whether the tags must be looked at anew.

        Some may be left for another look, and some for ever if the caller is gone. Bounds its own time: nothing is
        begun when the look is too old, and the registry has a limited time for each delete.
        """
        failures: dict[Digest, Exception] = {}
        deleted: dict[Digest, tuple[Tag, ...]] = {}

        async def delete(digest: Digest) -> None:
            has_begun = bool(failures or deleted)
            if is_cancelled() or (has_begun and time.monotonic() >= self._look_ends):
                return
            position, _ = self._waiting[digest]
            try:
                await self._approved(position)
                await self._registry.delete_manifest(self._repository, digest)
            except DeleteOutcomeUnknown as unknown:
                unknown.tags = tuple(tag.name for tag in allowed[digest])
                failures[digest] = unknown
            except Exception as error:
                failures[digest] = error
            else:
                deleted[digest] = allowed[digest]

        await for_each(tuple(allowed), delete, at_once=max(1, self._concurrency // 2))
        remaining: frozenset[Tag] = frozenset()
        is_unseen = False
        try:
            if any(deleted.values()):
                remaining = await self._remaining.after_deletes(self._repository, deleted)
        except (GatewayError, TimeoutError) as error:
            is_unseen = True
            for digest, tags in deleted.items():
                if tags:
                    failures[digest] = tags_unseen(self._repository, digest, tags, error)
        outcomes = [
            self._settled(digest, failures[digest] if digest in failures else _deleted(digest, tags, remaining))
            for digest, tags in allowed.items()
            if digest in failures or digest in deleted
        ]
        # It is unknown where tags lead to that remain or were not seen.
        return outcomes, bool(remaining) or is_unseen

    def _settled(self, digest: Digest, result: Deleted | Exception) -> Outcome:
        position, _ = self._waiting.pop(digest)
        return Outcome(position, result)


def _deleted(digest: Digest, tags: tuple[Tag, ...], remaining: frozenset[Tag]) -> Deleted:
    return Deleted(
        digest=digest,
        tags=tuple(tag for tag in tags if tag not in remaining),
        remaining_tags=tuple(tag for tag in tags if tag in remaining),
    )


def _cancellation_of_this_task() -> Callable[[], bool]:
    """Tells other tasks whether the current one is cancelled."""
    task = asyncio.current_task()
    return lambda: task is not None and task.cancelling() > 0
