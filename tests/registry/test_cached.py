import asyncio
import math
import time
from unittest.mock import AsyncMock

import pytest

from portus_gateway.distribution.digest import Digest
from portus_gateway.distribution.errors import NotFound, UpstreamTimeout
from portus_gateway.distribution.image_config import ImageConfig
from portus_gateway.distribution.manifest import OCI_MANIFEST, Descriptor, Manifest
from portus_gateway.distribution.manifest_parsing import parse_manifest
from portus_gateway.distribution.names import Repository, Tag
from portus_gateway.registry.cached import CachedRegistry, Outcome
from portus_gateway.registry.protocol import Reference
from tests.scripted_registry import ScriptedRegistry, manifest_of

APP = Repository("team/app")
OTHER = Repository("team/other")
V1 = Tag("1.0")
MINUTE = 60.0


class Observed:
    def __init__(self) -> None:
        self.outcomes: list[Outcome] = []
        self.size = 0
        self.entries = 0
        self.changes = 0

    def manifest_answered(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)

    def cache_resized(self, size: int, entries: int) -> None:
        self.size, self.entries = size, entries
        self.changes += 1


@pytest.fixture
def registry() -> ScriptedRegistry:
    return ScriptedRegistry({"team/app": {"1.0": "one"}, "team/other": {"1.0": "one"}})


@pytest.fixture
def observed() -> Observed:
    return Observed()


@pytest.fixture
def cached(registry: ScriptedRegistry, observed: Observed) -> CachedRegistry:
    return CachedRegistry(registry, 10**6, observed)


def digest_of(content: str) -> Digest:
    return manifest_of(content).descriptor.digest


async def test_without_max_staleness_the_registry_is_asked_each_time(
    registry: ScriptedRegistry, cached: CachedRegistry, observed: Observed
) -> None:
    first = await cached.get_manifest(APP, V1)
    assert await cached.get_manifest(APP, V1) is first
    assert registry.asked == ["team/app:1.0", f"team/app:1.0 unless {first.descriptor.digest}"]
    registry.repositories["team/app"]["1.0"] = "two"
    assert (await cached.get_manifest(APP, V1)).descriptor.digest == digest_of("two")
    assert observed.outcomes == ["miss", "revalidated", "miss"]


async def test_an_answer_that_is_young_enough_needs_no_request(
    registry: ScriptedRegistry, cached: CachedRegistry, observed: Observed, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await cached.get_manifest(APP, V1, MINUTE)
    assert await cached.get_manifest(APP, V1, MINUTE) is first
    assert len(registry.asked) == 1
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + 61)
    assert await cached.get_manifest(APP, V1, MINUTE) is first
    assert len(registry.asked) == 2
    # Asked now, it is fresh again.
    assert await cached.get_manifest(APP, V1, 1.0) is first
    assert len(registry.asked) == 2
    assert observed.outcomes == ["miss", "hit", "revalidated", "hit"]


async def test_a_manifest_that_is_unchanged_is_not_added_again_and_is_as_young_as_if_it_were(
    registry: ScriptedRegistry, cached: CachedRegistry, observed: Observed, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(monkeypatch)
    first = await cached.get_manifest(APP, V1)
    changes = observed.changes
    clock.now += MINUTE
    assert await cached.get_manifest(APP, V1) is first
    assert observed.changes == changes
    registry.asked.clear()
    for reference in (V1, first.descriptor.digest):
        assert await cached.get_manifest(APP, reference, 1.0) is first
    assert registry.asked == []


async def test_the_age_of_an_answer_counts_from_the_call(
    registry: ScriptedRegistry, cached: CachedRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.manifest_gate = asyncio.Event()
    now = time.monotonic()
    asking = asyncio.ensure_future(cached.get_manifest(APP, V1))
    await asyncio.sleep(0)
    monkeypatch.setattr(time, "monotonic", lambda: now + 10)
    registry.manifest_gate.set()
    await asking
    await cached.get_manifest(APP, V1, 5.0)
    assert len(registry.asked) == 2


async def test_the_manifest_of_a_tag_is_cached_under_its_digest_too(
    registry: ScriptedRegistry, cached: CachedRegistry
) -> None:
    first = await cached.get_manifest(APP, V1)
    assert await cached.get_manifest(APP, first.descriptor.digest, MINUTE) is first
    assert len(registry.asked) == 1


async def test_a_cached_manifest_is_never_the_answer_for_another_repository(
    registry: ScriptedRegistry, cached: CachedRegistry
) -> None:
    first = await cached.get_manifest(APP, V1, MINUTE)
    await cached.get_manifest(OTHER, first.descriptor.digest, MINUTE)
    assert registry.asked[1] == f"team/other@{first.descriptor.digest}"


async def test_a_delete_through_the_gateway_clears_the_cache(
    registry: ScriptedRegistry, cached: CachedRegistry, observed: Observed
) -> None:
    first = await cached.get_manifest(APP, V1, MINUTE)
    await cached.get_manifest(OTHER, V1, MINUTE)
    await cached.delete_manifest(APP, first.descriptor.digest)
    del registry.repositories["team/app"]["1.0"]
    for reference in (V1, first.descriptor.digest):
        with pytest.raises(NotFound):
            await cached.get_manifest(APP, reference, MINUTE)
    assert observed.entries == 2
    assert await cached.get_manifest(OTHER, V1, MINUTE)
    assert registry.deleted == [f"team/app@{first.descriptor.digest}"]


async def test_an_answer_from_before_a_delete_is_not_cached(registry: ScriptedRegistry, cached: CachedRegistry) -> None:
    registry.manifest_gate = asyncio.Event()
    asking = asyncio.ensure_future(cached.get_manifest(APP, V1))
    await asyncio.sleep(0)
    await cached.delete_manifest(APP, digest_of("one"))
    registry.manifest_gate.set()
    await asking
    del registry.repositories["team/app"]["1.0"]
    with pytest.raises(NotFound):
        await cached.get_manifest(APP, V1, MINUTE)


async def test_an_error_is_not_cached(registry: ScriptedRegistry, cached: CachedRegistry) -> None:
    first = await cached.get_manifest(APP, V1)
    registry.failures["team/app:1.0"] = UpstreamTimeout("slow")
    with pytest.raises(UpstreamTimeout):
        await cached.get_manifest(APP, V1)
    # Known a moment ago, it still is what it was to whoever allows that.
    assert await cached.get_manifest(APP, V1, MINUTE) is first
    registry.failures["team/app:1.0"] = NotFound("gone", reason="MANIFEST_UNKNOWN")
    with pytest.raises(NotFound):
        await cached.get_manifest(APP, V1)
    with pytest.raises(NotFound):
        await cached.get_manifest(APP, V1, MINUTE)


async def test_the_cache_is_bounded_and_drops_the_least_recently_used(observed: Observed) -> None:
    registry = ScriptedRegistry({"team/app": {f"t{number}": f"content {number}" for number in range(50)}})
    cached = CachedRegistry(registry, 20_000, observed)
    for number in range(50):
        await cached.get_manifest(APP, Tag(f"t{number}"))
        await cached.get_manifest(APP, Tag("t0"), MINUTE)
        assert observed.size <= 20_000
    assert 2 <= observed.entries <= 9
    registry.asked.clear()
    await cached.get_manifest(APP, Tag("t0"), MINUTE)
    assert registry.asked == []
    await cached.get_manifest(APP, Tag("t1"), MINUTE)
    assert registry.asked == ["team/app:t1"]


async def test_a_known_manifest_is_itself_the_answer_if_unchanged(
    registry: ScriptedRegistry, cached: CachedRegistry, observed: Observed
) -> None:
    known = manifest_of("one")
    assert await cached.get_manifest(APP, V1, known=known) is known
    assert registry.asked == [f"team/app:1.0 unless {known.descriptor.digest}"]
    another = manifest_of("one")
    assert await cached.get_manifest(APP, V1, known=another) is another
    assert await cached.get_manifest(APP, V1, MINUTE, known=another) is another
    assert await cached.get_manifest(APP, V1, MINUTE, known=manifest_of("two")) is known
    assert observed.outcomes == ["revalidated", "revalidated", "hit", "hit"]


async def test_the_entries_of_a_manifest_count_for_the_cache_size(observed: Observed) -> None:
    sizes = []
    for entries in (0, 1000):
        annotations = ",".join(f'"{number}":""' for number in range(entries))
        raw = f'{{"annotations":{{{annotations}}}}}'.encode().ljust(10_000)
        parsed = parse_manifest(raw, digest=Digest.of(raw), media_type=OCI_MANIFEST)
        registry = ScriptedRegistry({})
        registry.get_manifest = AsyncMock(return_value=parsed)  # type: ignore[method-assign]
        await CachedRegistry(registry, 10**7, observed).get_manifest(APP, V1)
        sizes.append(observed.size)
    assert sizes[1] - sizes[0] >= 2 * 230 * 1000


async def test_a_manifest_larger_than_the_cache_is_not_cached(registry: ScriptedRegistry, observed: Observed) -> None:
    cached = CachedRegistry(registry, 6000, observed)
    await cached.get_manifest(APP, V1)
    assert observed.entries == 2
    registry.repositories["team/app"]["2.0"] = "x" * 10_000
    assert (await cached.get_manifest(APP, Tag("2.0"))).raw
    assert observed.entries == 2
    # A tag that moved to it is not answered with what it was.
    registry.repositories["team/app"]["1.0"] = "x" * 10_000
    assert (await cached.get_manifest(APP, V1)).descriptor.digest == digest_of("x" * 10_000)
    assert (await cached.get_manifest(APP, V1, MINUTE)).descriptor.digest == digest_of("x" * 10_000)
    assert observed.entries == 1


async def test_a_cache_of_size_0_caches_nothing(registry: ScriptedRegistry, observed: Observed) -> None:
    cached = CachedRegistry(registry, 0, observed)
    for _ in range(2):
        await cached.get_manifest(APP, V1, MINUTE)
    assert registry.asked == ["team/app:1.0"] * 2
    assert (observed.entries, observed.size) == (0, 0)


def config_descriptor(raw: bytes) -> Descriptor:
    return Descriptor("application/vnd.oci.image.config.v1+json", Digest.of(raw), len(raw))


async def test_a_configuration_is_asked_for_once_in_each_repository(
    registry: ScriptedRegistry, cached: CachedRegistry, observed: Observed
) -> None:
    config = config_descriptor(b"{}")
    registry.contents[config.digest] = b"{}"
    first = await cached.get_image_config(APP, config)
    assert await cached.get_image_config(APP, config) is first
    assert registry.asked == [f"content of {config.digest}"]
    assert observed.entries == 1
    await cached.get_image_config(OTHER, config)
    assert len(registry.asked) == 2
    # A manifest is something else, even with the same digest.
    with pytest.raises(NotFound):
        await cached.get_manifest(APP, config.digest, MINUTE)


@pytest.mark.parametrize("change", ["delete_blob", "delete_manifest", "delete_tag", "push_manifest"])
async def test_a_change_forgets_the_configurations_of_its_repository(
    registry: ScriptedRegistry, cached: CachedRegistry, change: str
) -> None:
    registry.push_manifest = AsyncMock()  # type: ignore[method-assign]
    config = config_descriptor(b"{}")
    await cached.get_image_config(APP, config)
    match change:
        case "delete_tag":
            await cached.delete_tag(APP, V1)
        case "push_manifest":
            await cached.push_manifest(APP, V1, b"{}", OCI_MANIFEST)
            registry.push_manifest.assert_awaited_once()
        case _:
            await getattr(cached, change)(APP, config.digest)
    await cached.get_image_config(APP, config)
    assert registry.asked.count(f"content of {config.digest}") == 2


async def test_configurations_count_for_the_limit_of_the_cache(registry: ScriptedRegistry, observed: Observed) -> None:
    cached = CachedRegistry(registry, 20_000, observed)
    for number in range(10):
        raw = f'{{"author": "{number}{"x" * 1000}"}}'.encode()
        config = config_descriptor(raw)
        registry.contents[config.digest] = raw
        await cached.get_image_config(APP, config)
    assert 0 < observed.size <= 20_000
    large = config_descriptor(b"x" * 10_000)
    registry.contents[large.digest] = b"x" * 10_000
    entries = observed.entries
    await cached.get_image_config(APP, large)
    assert observed.entries == entries


async def test_a_resolved_tag_is_remembered_as_long_as_the_caller_allows(
    registry: ScriptedRegistry, cached: CachedRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await cached.resolve_manifest(APP, V1)
    assert await cached.resolve_manifest(APP, V1, MINUTE) == first
    assert registry.asked == ["team/app:1.0"]
    await cached.resolve_manifest(APP, V1)
    assert len(registry.asked) == 2
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + 61)
    registry.repositories["team/app"]["1.0"] = "two"
    assert (await cached.resolve_manifest(APP, V1, MINUTE)).digest == digest_of("two")
    assert len(registry.asked) == 3


async def test_a_tag_whose_manifest_was_read_need_not_be_resolved(
    registry: ScriptedRegistry, cached: CachedRegistry
) -> None:
    manifest = await cached.get_manifest(APP, V1)
    assert await cached.resolve_manifest(APP, V1, MINUTE) == manifest.descriptor
    assert await cached.resolve_manifest(APP, manifest.descriptor.digest, MINUTE) == manifest.descriptor
    assert len(registry.asked) == 1
    await cached.resolve_manifest(APP, manifest.descriptor.digest)
    assert len(registry.asked) == 2


async def test_the_latest_of_what_is_known_of_a_tag_counts_whether_it_was_resolved_or_read(
    registry: ScriptedRegistry, cached: CachedRegistry
) -> None:
    one = await cached.get_manifest(APP, V1)
    registry.repositories["team/app"]["1.0"] = "two"
    assert (await cached.resolve_manifest(APP, V1)).digest == digest_of("two")
    # The manifest was read before the tag was seen to have moved.
    assert (await cached.resolve_manifest(APP, V1, MINUTE)).digest == digest_of("two")
    two = await cached.get_manifest(APP, V1, MINUTE)
    assert two.descriptor.digest == digest_of("two")
    registry.repositories["team/app"]["1.0"] = "one"
    await cached.get_manifest(APP, V1)
    assert (await cached.resolve_manifest(APP, V1, MINUTE)).digest == digest_of("one")
    # The tag has moved back to a manifest that is known.
    registry.repositories["team/app"]["1.0"] = "two"
    await cached.resolve_manifest(APP, V1)
    registry.asked.clear()
    assert await cached.get_manifest(APP, V1, MINUTE) is two
    assert one is not two
    assert registry.asked == []


async def test_the_age_of_a_resolved_tag_counts_from_the_call(
    registry: ScriptedRegistry, cached: CachedRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.manifest_gate = asyncio.Event()
    now = time.monotonic()
    early = asyncio.ensure_future(cached.resolve_manifest(APP, V1))
    await asyncio.sleep(0)
    monkeypatch.setattr(time, "monotonic", lambda: now + 10)
    registry.manifest_gate.set()
    await early
    await cached.resolve_manifest(APP, V1, 5.0)
    assert len(registry.asked) == 2


async def test_a_delete_and_a_missing_tag_forget_what_a_tag_was_resolved_to(
    registry: ScriptedRegistry, cached: CachedRegistry
) -> None:
    descriptor = await cached.resolve_manifest(APP, V1)
    await cached.delete_manifest(APP, descriptor.digest)
    await cached.resolve_manifest(APP, V1, MINUTE)
    assert len(registry.asked) == 2
    del registry.repositories["team/app"]["1.0"]
    with pytest.raises(NotFound):
        await cached.resolve_manifest(APP, V1)
    with pytest.raises(NotFound):
        await cached.resolve_manifest(APP, V1, MINUTE)


async def test_a_tag_resolved_before_a_delete_is_not_remembered(
    registry: ScriptedRegistry, cached: CachedRegistry
) -> None:
    registry.manifest_gate = asyncio.Event()
    asking = asyncio.ensure_future(cached.resolve_manifest(APP, V1))
    await asyncio.sleep(0)
    await cached.delete_manifest(APP, digest_of("one"))
    registry.manifest_gate.set()
    await asking
    await cached.resolve_manifest(APP, V1, MINUTE)
    assert registry.asked == ["team/app:1.0"] * 2


async def test_resolved_tags_count_for_the_limit_of_the_cache(observed: Observed) -> None:
    registry = ScriptedRegistry({"team/app": {f"t{number}": "one" for number in range(50)}})
    cached = CachedRegistry(registry, 20_000, observed)
    for number in range(50):
        await cached.resolve_manifest(APP, Tag(f"t{number}"))
    assert 0 < observed.size <= 20_000
    without_room = Observed()
    cached = CachedRegistry(registry, 0, without_room)
    await cached.resolve_manifest(APP, Tag("t0"), MINUTE)
    assert (without_room.entries, without_room.size) == (0, 0)


class Clock:
    """Stands still until it is set."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(time, "monotonic", lambda: self.now)


async def test_at_0_the_registry_is_asked_even_in_the_same_moment(
    registry: ScriptedRegistry, cached: CachedRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    Clock(monkeypatch)
    for _ in range(2):
        await cached.get_manifest(APP, V1)
        await cached.resolve_manifest(APP, V1)
    assert len(registry.asked) == 4


@pytest.mark.parametrize("staleness", [0.5, MINUTE])
async def test_an_answer_may_be_as_old_as_the_caller_allows_and_no_older(
    registry: ScriptedRegistry, cached: CachedRegistry, monkeypatch: pytest.MonkeyPatch, staleness: float
) -> None:
    clock = Clock(monkeypatch)
    await cached.get_manifest(APP, V1)
    await cached.resolve_manifest(OTHER, V1)
    registry.asked.clear()
    clock.now += staleness
    await cached.get_manifest(APP, V1, staleness)
    await cached.resolve_manifest(APP, V1, staleness)
    await cached.resolve_manifest(OTHER, V1, staleness)
    assert registry.asked == []
    clock.now += 0.25
    await cached.resolve_manifest(APP, V1, staleness)
    await cached.resolve_manifest(OTHER, V1, staleness)
    assert registry.asked == ["team/app:1.0", "team/other:1.0"]
    await cached.get_manifest(OTHER, V1, staleness)
    assert len(registry.asked) == 3


async def test_what_a_tag_was_resolved_to_long_ago_is_not_its_manifest_now(
    registry: ScriptedRegistry, cached: CachedRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(monkeypatch)
    descriptor = await cached.resolve_manifest(APP, V1)
    await cached.get_manifest(APP, descriptor.digest)
    registry.asked.clear()
    clock.now += MINUTE
    assert (await cached.get_manifest(APP, V1, MINUTE)).descriptor == descriptor
    assert registry.asked == []
    clock.now += 1
    registry.repositories["team/app"]["1.0"] = "two"
    assert (await cached.get_manifest(APP, V1, MINUTE)).descriptor.digest == digest_of("two")


async def test_a_digest_that_was_resolved_takes_no_place(cached: CachedRegistry, observed: Observed) -> None:
    await cached.resolve_manifest(APP, digest_of("one"))
    assert observed.entries == 0
    await cached.resolve_manifest(APP, V1)
    assert observed.entries == 1


@pytest.mark.parametrize("staleness", [0.5, math.inf])
async def test_a_digest_that_was_resolved_is_remembered_for_callers_that_accept_an_older_answer(
    cached: CachedRegistry, registry: ScriptedRegistry, monkeypatch: pytest.MonkeyPatch, staleness: float
) -> None:
    Clock(monkeypatch)
    first = await cached.resolve_manifest(APP, digest_of("one"), staleness)
    requests = len(registry.asked)
    assert await cached.resolve_manifest(APP, digest_of("one"), staleness) == first
    assert len(registry.asked) == requests
    await cached.resolve_manifest(APP, digest_of("one"))
    assert len(registry.asked) == requests + 1
    await cached.delete_manifest(APP, digest_of("two"))
    await cached.resolve_manifest(APP, digest_of("one"), staleness)
    assert len(registry.asked) == requests + 2


class Overtaking(ScriptedRegistry):
    """Its first answer comes when `go_on` is set, others at once."""

    def __init__(self) -> None:
        super().__init__({"team/app": {"1.0": "one"}})
        self.go_on = asyncio.Event()
        self.answered = 0

    async def _in_turn(self) -> None:
        self.answered += 1
        if self.answered == 1:
            await self.go_on.wait()

    async def resolve_manifest(
        self, repository: Repository, reference: Reference, max_staleness: float = 0
    ) -> Descriptor:
        answer = await super().resolve_manifest(repository, reference, max_staleness)
        await self._in_turn()
        return answer

    async def get_manifest(
        self,
        repository: Repository,
        reference: Reference,
        max_staleness: float = 0,
        known: Manifest | None = None,
    ) -> Manifest:
        answer = await super().get_manifest(repository, reference, max_staleness, known)
        await self._in_turn()
        return answer

    async def get_image_config(self, repository: Repository, config: Descriptor) -> ImageConfig:
        answer = await super().get_image_config(repository, config)
        await self._in_turn()
        return answer


@pytest.mark.parametrize("method", ["resolve_manifest", "get_manifest"])
async def test_an_answer_that_comes_late_does_not_replace_a_newer_one(
    observed: Observed, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    clock = Clock(monkeypatch)
    registry = Overtaking()
    cached = CachedRegistry(registry, 10**6, observed)
    early = asyncio.ensure_future(getattr(cached, method)(APP, V1))
    await asyncio.sleep(0)
    clock.now += 1
    registry.repositories["team/app"]["1.0"] = "two"
    newer = await getattr(cached, method)(APP, V1)
    registry.go_on.set()
    assert await early != newer
    assert await getattr(cached, method)(APP, V1, MINUTE) == newer


async def test_a_configuration_from_before_a_delete_is_not_remembered(observed: Observed) -> None:
    registry = Overtaking()
    cached = CachedRegistry(registry, 10**6, observed)
    config = config_descriptor(b"{}")
    registry.contents[config.digest] = b"{}"
    asking = asyncio.ensure_future(cached.get_image_config(APP, config))
    await asyncio.sleep(0)
    await cached.delete_manifest(APP, digest_of("one"))
    registry.go_on.set()
    await asking
    registry.asked.clear()
    await cached.get_image_config(APP, config)
    assert registry.asked == [f"content of {config.digest}"]


@pytest.mark.parametrize("kind", ["manifest", "tag", "configuration"])
async def test_one_that_just_fits_is_remembered(registry: ScriptedRegistry, kind: str) -> None:
    config = config_descriptor(b"{}")
    registry.contents[config.digest] = b"{}"

    async def remembered(limit: int) -> Observed:
        observed = Observed()
        cached = CachedRegistry(registry, limit, observed)
        match kind:
            case "manifest":
                await cached.get_manifest(APP, digest_of("one"))
            case "tag":
                await cached.resolve_manifest(APP, V1)
            case _:
                await cached.get_image_config(APP, config)
        return observed

    size = (await remembered(10**6)).size
    assert (await remembered(size)).entries == 1
    assert (await remembered(size - 1)).entries == 0
