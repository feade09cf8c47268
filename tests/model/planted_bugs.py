"""Bugs that the model test has to notice. Each is put into the gateway for the length of a block."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from portus_gateway.aio.single_flight import SingleFlight
from portus_gateway.distribution.client import DistributionClient
from portus_gateway.distribution.errors import DistributionError, NotFound
from portus_gateway.distribution.page import Page
from portus_gateway.operations import batch_deletion, tag_details
from portus_gateway.operations.deletion import BatchDeletion, Deleted, ManifestDeletion
from portus_gateway.operations.guarded_deletion import GuardedDeletion
from portus_gateway.operations.tag_deletion import GuardedTagDeletion
from portus_gateway.operations.tag_listing import TagListing
from portus_gateway.registry import cached
from portus_gateway.registry.cached import CachedRegistry
from portus_gateway.rpc.manifest_batch import ManifestBatch

Patch = pytest.MonkeyPatch


def an_old_answer_where_a_checked_one_was_asked_for(patch: Patch) -> None:
    get = CachedRegistry.get_manifest

    async def stale(self: Any, repository: Any, reference: Any, max_staleness: float = 0, known: Any = None) -> Any:
        return await get(self, repository, reference, max_staleness or 10.0, known)

    patch.setattr(CachedRegistry, "get_manifest", stale)


def latecomers_share_a_read_that_runs_already(patch: Patch) -> None:
    make = SingleFlight.__init__

    def joining(self: Any, **options: Any) -> None:
        make(self, **{**options, "joins_running": True})

    patch.setattr(SingleFlight, "__init__", joining)


def a_failure_is_an_empty_list(patch: Patch) -> None:
    list_tags = DistributionClient.list_tags

    async def empty(self: Any, *arguments: Any) -> Any:
        try:
            return await list_tags(self, *arguments)
        except DistributionError:
            return Page((), None)

    patch.setattr(DistributionClient, "list_tags", empty)


def a_failure_is_not_there(patch: Patch) -> None:
    for name in ("resolve_manifest", "get_manifest"):
        read = getattr(DistributionClient, name)

        async def absent(self: Any, *arguments: Any, read: Any = read, **named: Any) -> Any:
            try:
                return await read(self, *arguments, **named)
            except DistributionError as error:
                raise NotFound(str(error), reason="MANIFEST_UNKNOWN") from error

        patch.setattr(DistributionClient, name, absent)


def the_guard_does_not_look(patch: Patch) -> None:
    delete = GuardedDeletion.delete

    async def forced(self: Any, wanted: Any) -> Any:
        return await delete(self, replace(wanted, force=True) if isinstance(wanted, ManifestDeletion) else wanted)

    patch.setattr(GuardedDeletion, "delete", forced)


def the_guard_overlooks_a_tag(patch: Patch) -> None:
    list_tags = DistributionClient.list_tags

    async def shortened(self: Any, *arguments: Any) -> Any:
        page = await list_tags(self, *arguments)
        return replace(page, items=page.items[:-1])

    patch.setattr(DistributionClient, "list_tags", shortened)


def a_trial_deletes(patch: Patch) -> None:
    delete = GuardedDeletion.delete

    async def for_real(self: Any, wanted: Any) -> Any:
        return await delete(self, replace(wanted, validate_only=False))

    patch.setattr(GuardedDeletion, "delete", for_real)


def a_delete_that_failed_is_a_success(patch: Patch) -> None:
    delete = DistributionClient.delete_manifest

    async def claimed(self: Any, *arguments: Any) -> None:
        try:
            await delete(self, *arguments)
        except DistributionError:
            return

    patch.setattr(DistributionClient, "delete_manifest", claimed)


def a_delete_is_not_sent(patch: Patch) -> None:
    async def nothing(*_: Any) -> None:
        return None

    patch.setattr(DistributionClient, "delete_manifest", nothing)


def the_tags_that_were_expected_are_said_to_be_gone(patch: Patch) -> None:
    delete = GuardedDeletion.delete

    async def claimed(self: Any, wanted: Any) -> Any:
        await delete(self, wanted)
        return Deleted(digest=wanted.digest, tags=tuple(sorted(getattr(wanted, "expected_tags", ()))))

    patch.setattr(GuardedDeletion, "delete", claimed)


def one_repositorys_manifest_answers_for_another(patch: Patch) -> None:
    key = cached._key
    patch.setattr(cached, "_key", lambda _, reference: ("", key(_, reference)[1]))


def a_delete_leaves_the_cache_as_it_was(patch: Patch) -> None:
    async def remembering(_: Any, __: Any, delete: Any) -> None:
        await delete

    patch.setattr(CachedRegistry, "_forgetting", remembering)


def the_results_of_a_batch_change_places(patch: Patch) -> None:
    result = ManifestBatch._result

    async def moved(self: Any, index: int, found: Any) -> Any:
        made = await result(self, index, found)
        made.request_index = index ^ 1 if index % 2 else index
        return made

    patch.setattr(ManifestBatch, "_result", moved)


def configurations_share_a_place_in_the_cache(patch: Patch) -> None:
    get_image_config = CachedRegistry.get_image_config
    first: list[Any] = []

    async def always_the_first(self: Any, repository: Any, config: Any) -> Any:
        first.append(config)
        return await get_image_config(self, repository, first[0])

    patch.setattr(CachedRegistry, "get_image_config", always_the_first)


def a_batch_is_not_checked(patch: Patch) -> None:
    patch.setattr(batch_deletion, "check_may_be_deleted", lambda *_: None)


def a_trial_of_a_batch_deletes(patch: Patch) -> None:
    delete = GuardedDeletion.delete_batch

    def for_real(self: Any, wanted: Any, *rest: Any) -> Any:
        return delete(self, BatchDeletion(tuple(replace(part, validate_only=False) for part in wanted.parts)), *rest)

    patch.setattr(GuardedDeletion, "delete_batch", for_real)


def the_outcomes_of_a_batch_of_deletes_change_places(patch: Patch) -> None:
    settled = batch_deletion._Run._settled
    outcomes = batch_deletion._Run.outcomes

    def sized(self: Any) -> Any:
        self.size = len(self._waiting)
        return outcomes(self)

    def moved(self: Any, digest: Any, result: Any) -> Any:
        outcome = settled(self, digest, result)
        return replace(outcome, part=outcome.part ^ 1) if outcome.part ^ 1 < self.size else outcome

    patch.setattr(batch_deletion._Run, "outcomes", sized)
    patch.setattr(batch_deletion._Run, "_settled", moved)


def what_a_tag_has_to_point_to_is_not_checked(patch: Patch) -> None:
    async def whatever(*_: Any) -> bool:
        return True

    patch.setattr(GuardedTagDeletion, "_is", whatever)


def the_delete_of_a_tag_is_not_sent(patch: Patch) -> None:
    async def nothing(*_: Any) -> None:
        return None

    patch.setattr(DistributionClient, "delete_tag", nothing)
    patch.setattr(GuardedTagDeletion, "_check_afterwards", nothing)


def the_delete_of_a_tag_deletes_its_manifest(patch: Patch) -> None:
    async def with_manifest(self: Any, repository: Any, tag: Any) -> None:
        manifest = await self.resolve_manifest(repository, tag)
        await self.delete_manifest(repository, manifest.digest)

    patch.setattr(DistributionClient, "delete_tag", with_manifest)


def details_of_tags_are_remembered(patch: Patch) -> None:
    read = tag_details._full_details
    known: dict[Any, Any] = {}

    async def remembered(registry: Any, repository: Any, tag: Any, target: Any) -> Any:
        if (repository, tag) not in known:
            known[repository, tag] = await read(registry, repository, tag, target)
        return known[repository, tag]

    patch.setattr(tag_details, "_full_details", remembered)


def a_tag_on_a_digest_is_left_out(patch: Patch) -> None:
    on_digest = TagListing._on_digest

    async def fewer(self: Any, *arguments: Any) -> Any:
        found = await on_digest(self, *arguments)
        return dict(list(found.items())[:-1])

    patch.setattr(TagListing, "_on_digest", fewer)


PLANTED: tuple[Callable[[Patch], None], ...] = (
    an_old_answer_where_a_checked_one_was_asked_for,
    a_failure_is_not_there,
    the_guard_does_not_look,
    configurations_share_a_place_in_the_cache,
    the_guard_overlooks_a_tag,
    a_trial_deletes,
    a_delete_is_not_sent,
    the_tags_that_were_expected_are_said_to_be_gone,
    one_repositorys_manifest_answers_for_another,
    the_results_of_a_batch_change_places,
    a_batch_is_not_checked,
    a_trial_of_a_batch_deletes,
    the_outcomes_of_a_batch_of_deletes_change_places,
    what_a_tag_has_to_point_to_is_not_checked,
    the_delete_of_a_tag_is_not_sent,
    the_delete_of_a_tag_deletes_its_manifest,
    details_of_tags_are_remembered,
)
# These show now and then: whoever looks for them needs patience.
RARE: tuple[Callable[[Patch], None], ...] = (
    latecomers_share_a_read_that_runs_already,
    a_failure_is_an_empty_list,
    a_delete_that_failed_is_a_success,
    a_delete_leaves_the_cache_as_it_was,
    a_tag_on_a_digest_is_left_out,
)


@contextmanager
def planted(bug: Callable[[Patch], None]) -> Iterator[None]:
    """The gateway has this bug for as long as the block runs."""
    with pytest.MonkeyPatch.context() as patch:
        bug(patch)
        yield
