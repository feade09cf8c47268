"""StreamCatalog."""

import asyncio
from collections.abc import Sequence

import grpc
import pytest

from portus.registry.v1.registry_service_pb2 import Repository as RepositoryMessage
from portus.registry.v1.registry_service_pb2 import StreamCatalogRequest, StreamCatalogResponse
from portus_gateway.devregistry import DevRegistry, Fault
from portus_gateway.distribution import Cursor, Page, Repository, UnusableName
from portus_gateway.distribution.errors import RegistryFault
from portus_gateway.rpc.server import ServerLimits
from tests.rpc.failures import failure_of, read, reported_by
from tests.rpc.gateways import Gateway, serve, soon
from tests.rpc.scripted_registry import Gate, Hook, ScriptedRegistry, raising

PAGE = 1000
# A page of these is several times what HTTP/2 lets through to somebody who does not read.
LONG_NAMES = [Repository(f"{number:05}/" + "x" * 249) for number in range(3 * PAGE)]


async def listed(gateway: Gateway, *, include_tags: bool = False, prefix: str = "") -> dict[str, RepositoryMessage]:
    request = StreamCatalogRequest(include_tags=include_tags, prefix=prefix)
    call = gateway.stub.StreamCatalog(request, timeout=30)
    repositories = [one async for response in call for one in response.repositories]
    by_name = {repository.name: repository for repository in repositories}
    assert len(by_name) == len(repositories)
    return by_name


async def names_in(
    call: "grpc.aio.UnaryStreamCall[StreamCatalogRequest, StreamCatalogResponse]", count: int
) -> list[str]:
    """The names in the next messages of `call`, until there are `count`."""
    names: list[str] = []
    while len(names) < count:
        response = await soon(call.read())
        assert isinstance(response, StreamCatalogResponse)
        assert response.repositories
        names += [one.name for one in response.repositories]
    return names


def from_page(number: int, then: Hook) -> Hook:
    """A hook that does `then` for the page of that number (from 1) and all after it."""
    seen = 0

    async def hook(method: str) -> None:
        nonlocal seen
        seen += method == "list_repositories"
        if seen >= number:
            await then(method)

    return hook


async def test_all_repositories_come_in_the_registrys_order(registry: DevRegistry, gateway: Gateway) -> None:
    names = [f"team/app{number:04}" for number in range(2500)]
    registry.push_many(names)
    assert list(await listed(gateway)) == names
    assert registry.requests.count(route="tags") == 0


async def test_tags_come_with_them_where_they_are_asked_for(registry: DevRegistry, gateway: Gateway) -> None:
    registry.push("team/app", "2.0", "1.0")
    registry.push("team/worker", "latest")
    answered = await listed(gateway, include_tags=True)
    assert {name: list(repository.tags) for name, repository in answered.items()} == {
        "team/app": ["1.0", "2.0"],
        "team/worker": ["latest"],
    }
    assert not any(repository.HasField("tags_status") for repository in answered.values())


async def test_a_prefix_leaves_out_all_others(registry: DevRegistry, gateway: Gateway) -> None:
    for name in ("team/app", "teams", "other/app"):
        registry.push(name, "1.0")
    assert list(await listed(gateway, prefix="team/")) == ["team/app"]


async def test_an_empty_registry_has_an_empty_stream(gateway: Gateway) -> None:
    assert await listed(gateway) == {}


async def test_tags_that_cannot_be_listed_are_unknown_and_end_nothing(registry: DevRegistry, gateway: Gateway) -> None:
    for name in ("a", "b", "c"):
        registry.push(name, "1.0")
    with registry.inject(Fault(route="tags", repository="b", status=500)):
        answered = await listed(gateway, include_tags=True)
    assert list(answered) == ["a", "b", "c"]
    assert (list(answered["a"].tags), list(answered["c"].tags)) == (["1.0"], ["1.0"])
    reported = read(answered["b"].tags_status)
    assert (reported.code, reported.reason, reported.domain) == (
        grpc.StatusCode.INTERNAL,
        "UPSTREAM_ERROR",
        "portus-gateway",
    )
    assert reported.resource == ("repository", "b")
    assert list(answered["b"].tags) == []


async def test_an_unusable_name_is_shown_and_nothing_is_asked_about_it() -> None:
    names: Sequence[Repository | UnusableName] = (UnusableName("Ü/pper", "no name"), Repository("team/app"))
    registry = ScriptedRegistry(repositories=names)
    async with serve(registry) as gateway:
        answered = await listed(gateway, include_tags=True)
    assert list(answered) == ["Ü/pper", "team/app"]
    assert read(answered["Ü/pper"].tags_status).reason == "UNUSABLE_NAME"
    assert registry.asked.count("list_tags") == 1


async def test_a_name_that_utf_8_cannot_write_is_shown_as_well_as_it_goes() -> None:
    registry = ScriptedRegistry(repositories=[UnusableName("half \ud83d", "no name"), UnusableName("x" * 5000, "long")])
    async with serve(registry) as gateway:
        assert list(await listed(gateway)) == ["half ?", "x" * 1024]


async def test_what_is_known_is_sent_while_the_rest_is_still_asked_for() -> None:
    gate = Gate()
    registry = ScriptedRegistry(from_page(2, gate), repositories=LONG_NAMES[: 2 * PAGE])
    async with serve(registry) as gateway:
        call = gateway.stub.StreamCatalog(StreamCatalogRequest(), timeout=30)
        assert await names_in(call, PAGE) == [name.name for name in LONG_NAMES[:PAGE]]
        assert not gate.open.is_set()
        gate.open.set()
        assert await names_in(call, PAGE) == [name.name for name in LONG_NAMES[PAGE : 2 * PAGE]]
        assert await soon(call.read()) is grpc.aio.EOF


async def test_several_repositories_come_in_one_message_of_bounded_size() -> None:
    async with serve(ScriptedRegistry(repositories=LONG_NAMES)) as gateway:
        call = gateway.stub.StreamCatalog(StreamCatalogRequest(), timeout=30)
        messages = [message async for message in call]
    assert all(1 <= message.ByteSize() <= 64 * 1024 for message in messages)
    size = sum(message.ByteSize() for message in messages)
    # Each page of the registry ends with a message that is not full.
    assert len(messages) <= size / (63 * 1024) + 3


async def test_a_repository_that_is_larger_than_a_message_comes_alone() -> None:
    tags = [f"{number:04}-{'x' * 100}" for number in range(1000)]
    names = [Repository(f"team/{letter}") for letter in "abc"]
    async with serve(ScriptedRegistry(repositories=names, tags=tags)) as gateway:
        call = gateway.stub.StreamCatalog(StreamCatalogRequest(include_tags=True), timeout=30)
        messages = [message async for message in call]
    assert [[one.name for one in message.repositories] for message in messages] == [["team/a"], ["team/b"], ["team/c"]]
    assert all(len(one.tags) == 1000 for message in messages for one in message.repositories)


async def test_an_error_ends_the_stream_and_earlier_results_are_kept() -> None:
    fault = RegistryFault("the catalog broke off")
    registry = ScriptedRegistry(from_page(2, raising(fault)), repositories=LONG_NAMES)
    received = 0
    async with serve(registry) as gateway:
        with pytest.raises(grpc.aio.AioRpcError) as broken:
            async for response in gateway.stub.StreamCatalog(StreamCatalogRequest(), timeout=30):
                received += len(response.repositories)
    assert received == PAGE
    assert reported_by(broken.value).outcome == (grpc.StatusCode.INTERNAL, "UPSTREAM_ERROR")
    assert broken.value.details() == "the catalog broke off"


async def test_a_bad_prefix_is_refused_before_anything_is_asked(registry: DevRegistry, gateway: Gateway) -> None:
    failed = await failure_of(listed(gateway, prefix="x" * 256))
    assert failed.outcome == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")
    assert list(failed.fields) == ["prefix"]
    assert registry.requests.total == 0


async def test_a_registry_without_a_catalog_is_said_to_be_one(registry: DevRegistry, gateway: Gateway) -> None:
    with registry.inject(Fault(route="catalog", status=405)):
        failed = await failure_of(listed(gateway))
    assert failed.outcome == (grpc.StatusCode.FAILED_PRECONDITION, "UNSUPPORTED")


# --- A caller who does not read ---------------------------------------------------------------------------------


async def stalled(
    gateway: Gateway, *, seconds: float | None = None
) -> "grpc.aio.UnaryStreamCall[StreamCatalogRequest, StreamCatalogResponse]":
    """A stream of which one message was read, and which stands still since."""
    call = gateway.stub.StreamCatalog(StreamCatalogRequest(), timeout=seconds)
    await soon(call.read())
    return call


class Endless(ScriptedRegistry):
    """A registry whose catalog has no end."""

    async def list_repositories(self, size: int | None, after: Cursor | None = None) -> Page[Repository | UnusableName]:
        await self._ask("list_repositories")
        page = len(self.asked)
        return Page(tuple(Repository(f"{page}/{n}/" + "x" * 200) for n in range(PAGE)), Cursor("after", str(page)))


async def test_a_slow_reader_slows_the_listing() -> None:
    registry = Endless()
    async with serve(registry) as gateway:
        call = await stalled(gateway)
        held = 0
        # gRPC's window and the socket's buffers take some pages. How many depends on the machine.
        while len(registry.asked) > held:
            held = len(registry.asked)
            assert held < 1000, "nothing holds up the listing"
            await asyncio.sleep(0.5)

        async def read_on() -> None:
            while len(registry.asked) == held:
                await call.read()

        await soon(read_on())
        call.cancel()


async def test_a_stalled_caller_who_goes_away_leaves_nothing_running() -> None:
    gate = Gate()
    cancelled: list[bool] = []
    async with serve(ScriptedRegistry(from_page(2, gate), repositories=LONG_NAMES)) as gateway:
        # By the call's end, not at some time later.
        gateway.calls.at_end = lambda: cancelled.append(gate.cancelled.is_set())
        call = await stalled(gateway)
        await soon(gate.entered.wait())
        call.cancel()
        await soon(gateway.calls.ended.wait())
        assert cancelled == [True]
        assert [finished.code for finished in gateway.calls.finished] == [grpc.StatusCode.CANCELLED]


async def test_a_stalled_callers_deadline_leaves_nothing_running() -> None:
    gate = Gate()
    async with serve(ScriptedRegistry(from_page(2, gate), repositories=LONG_NAMES)) as gateway:
        call = await stalled(gateway, seconds=1)
        await soon(gate.cancelled.wait())
        assert await soon(call.code()) == grpc.StatusCode.DEADLINE_EXCEEDED


async def test_a_stalled_caller_without_a_deadline_is_ended_by_the_gateways_limit() -> None:
    gate = Gate()
    registry = ScriptedRegistry(from_page(2, gate), repositories=LONG_NAMES)
    async with serve(registry, limits=ServerLimits(max_stream_duration=0.3, max_concurrent_calls=1)) as gateway:
        call = await stalled(gateway)
        await soon(gate.cancelled.wait())
        # The place is free again, although nobody has read the end.
        await soon(gateway.calls.ended.wait())
        assert [finished.reason for finished in gateway.calls.finished] == ["DEADLINE_EXCEEDED"]
        call.cancel()


async def test_a_stalled_caller_does_not_hold_up_the_end() -> None:
    gate = Gate()
    async with serve(ScriptedRegistry(from_page(2, gate), repositories=LONG_NAMES)) as gateway:
        call = await stalled(gateway)
        await soon(gateway.server.drain(0.4))
        assert gate.cancelled.is_set()
        call.cancel()
