import asyncio

import pytest

from portus_gateway.aio import deadline
from portus_gateway.aio.deadline import DeadlineExceeded
from portus_gateway.aio.single_flight import WorkEnded
from portus_gateway.distribution.digest import Digest
from portus_gateway.distribution.errors import UpstreamTimeout
from portus_gateway.distribution.manifest import Descriptor
from portus_gateway.distribution.names import Repository, Tag
from portus_gateway.registry.coalesced import CoalescedRegistry
from tests.scripted_registry import ScriptedRegistry, manifest_of

APP = Repository("team/app")
V1 = Tag("1.0")


@pytest.fixture
def registry() -> ScriptedRegistry:
    return ScriptedRegistry({"team/app": {"1.0": "one", "2.0": "two"}}, manifest_gate=asyncio.Event())


def open_gate(registry: ScriptedRegistry) -> None:
    assert registry.manifest_gate is not None
    registry.manifest_gate.set()


async def turns() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_simultaneous_calls_share_one_request(registry: ScriptedRegistry) -> None:
    async with CoalescedRegistry(registry) as coalesced:
        asking = [asyncio.ensure_future(coalesced.get_manifest(APP, V1)) for _ in range(32)]
        other = asyncio.ensure_future(coalesced.get_manifest(APP, Tag("2.0")))
        await turns()
        open_gate(registry)
        assert len({manifest.descriptor.digest for manifest in await asyncio.gather(*asking)}) == 1
        await other
        assert sorted(registry.asked) == ["team/app:1.0", "team/app:2.0"]
        await coalesced.get_manifest(APP, V1)
        assert len(registry.asked) == 3


async def test_calls_during_a_request_share_the_next_one(registry: ScriptedRegistry) -> None:
    async with CoalescedRegistry(registry) as coalesced:
        first = asyncio.ensure_future(coalesced.get_manifest(APP, V1))
        await turns()
        registry.repositories["team/app"]["1.0"] = "pushed"
        late = [asyncio.ensure_future(coalesced.get_manifest(APP, V1)) for _ in range(31)]
        await turns()
        open_gate(registry)
        await first
        assert {(await one).descriptor.digest for one in late} == {manifest_of("pushed").descriptor.digest}
        assert registry.asked == ["team/app:1.0"] * 2


async def test_each_has_a_deadline_of_its_own(registry: ScriptedRegistry) -> None:
    async with CoalescedRegistry(registry) as coalesced:

        async def impatient() -> None:
            async with deadline.within(0.01):
                await coalesced.get_manifest(APP, V1)

        patient = asyncio.ensure_future(coalesced.get_manifest(APP, V1))
        await turns()
        with pytest.raises(DeadlineExceeded):
            await impatient()
        open_gate(registry)
        assert (await patient).descriptor.digest == manifest_of("one").descriptor.digest
        assert registry.asked == ["team/app:1.0"]


async def test_the_first_caller_may_leave(registry: ScriptedRegistry) -> None:
    async with CoalescedRegistry(registry) as coalesced:
        first = asyncio.ensure_future(coalesced.get_manifest(APP, V1))
        await turns()
        second = asyncio.ensure_future(coalesced.get_manifest(APP, V1))
        await turns()
        first.cancel()
        await turns()
        open_gate(registry)
        assert await second
        assert registry.asked == ["team/app:1.0"]


async def test_a_request_ends_when_all_callers_have_left(registry: ScriptedRegistry) -> None:
    async with CoalescedRegistry(registry) as coalesced:
        asking = [asyncio.ensure_future(coalesced.get_manifest(APP, V1)) for _ in range(2)]
        await turns()
        for one in asking:
            one.cancel()
        await asyncio.gather(*asking, return_exceptions=True)
        late = asyncio.ensure_future(coalesced.get_manifest(APP, V1))
        await turns()
        assert len(asyncio.all_tasks()) == 3  # this one, the late one, its request
        open_gate(registry)
        assert await late


async def test_an_error_reaches_all_who_wait(registry: ScriptedRegistry) -> None:
    registry.failures["team/app:1.0"] = UpstreamTimeout("slow")
    async with CoalescedRegistry(registry) as coalesced:
        asking = [asyncio.ensure_future(coalesced.get_manifest(APP, V1)) for _ in range(3)]
        await turns()
        open_gate(registry)
        outcomes = await asyncio.gather(*asking, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [UpstreamTimeout] * 3
    assert registry.asked == ["team/app:1.0"]


async def test_a_call_after_a_delete_does_not_share_an_earlier_request(registry: ScriptedRegistry) -> None:
    async with CoalescedRegistry(registry) as coalesced:
        before = asyncio.ensure_future(coalesced.get_manifest(APP, V1))
        await turns()
        await coalesced.delete_manifest(APP, manifest_of("two").descriptor.digest)
        after = asyncio.ensure_future(coalesced.get_manifest(APP, V1))
        await turns()
        open_gate(registry)
        await asyncio.gather(before, after)
        assert registry.asked == ["team/app:1.0", "team/app:1.0"]


async def test_closing_ends_requests_with_an_error_for_their_callers(registry: ScriptedRegistry) -> None:
    async with CoalescedRegistry(registry) as coalesced:
        asking = asyncio.ensure_future(coalesced.get_manifest(APP, V1))
        await turns()
    with pytest.raises(WorkEnded):
        await asking


async def test_each_caller_gets_its_own_known_manifest_back(registry: ScriptedRegistry) -> None:
    async with CoalescedRegistry(registry) as coalesced:
        one, other = manifest_of("one"), manifest_of("one")
        asking = [asyncio.ensure_future(coalesced.get_manifest(APP, V1, known=known)) for known in (one, other, one)]
        await turns()
        open_gate(registry)
        first, second, third = await asyncio.gather(*asking)
        assert (first is one, second is other, third is one) == (True, True, True)
        assert registry.asked == [f"team/app:1.0 unless {one.descriptor.digest}"] * 2


async def test_simultaneous_reads_of_a_configuration_share_one_request(registry: ScriptedRegistry) -> None:
    config = Descriptor("application/vnd.oci.image.config.v1+json", Digest.of(b"a layer"), 7)
    async with CoalescedRegistry(registry) as coalesced:
        found = await asyncio.gather(*(coalesced.get_image_config(APP, config) for _ in range(32)))
    assert {one.raw for one in found} == {b"a layer"}
    assert registry.asked == [f"content of {config.digest}"]
