"""BatchGetManifests."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, MutableMapping, Sequence
from contextlib import aclosing
from dataclasses import replace

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration

from portus.registry.v1.manifest_pb2 import Platform
from portus.registry.v1.registry_service_pb2 import (
    BatchGetManifestsRequest,
    BatchGetManifestsResponse,
    BatchGetManifestsResult,
    GetManifestRequest,
)
from portus_gateway.aio.deadline import DeadlineExceeded
from portus_gateway.devregistry import DevRegistry, Fault, image, multi_platform
from portus_gateway.distribution import Digest, Manifest, Reference, Repository
from portus_gateway.distribution.errors import NotFound
from portus_gateway.distribution.manifest import OCI_MANIFEST
from portus_gateway.distribution.manifest_parsing import parse_manifest
from portus_gateway.rpc.conversion_thread import ConversionThread
from portus_gateway.rpc.converted_manifests import ConvertedManifests
from portus_gateway.rpc.manifest_batch import ManifestBatch
from portus_gateway.rpc.server import ServerLimits
from tests.rpc.failures import failure_of, read, reported_by
from tests.rpc.gateways import Gateway, serve, soon
from tests.rpc.scripted_registry import Gate, Hook, ScriptedRegistry

KIB = 1024
MIB = 1024 * KIB
CONCURRENCY = ServerLimits().max_upstream_requests
MESSAGE = 64 * KIB
SECRET = "http://admin:hunter2@registry"

Call = grpc.aio.UnaryStreamCall[BatchGetManifestsRequest, BatchGetManifestsResponse]
Logs = list[MutableMapping[str, object]]


async def _pass(_: str) -> None:
    """No obstacle."""


class Shelf(ScriptedRegistry):
    """Has a manifest of its own under every tag, of `size` bytes where `sizes` says nothing else.

    The hook is given the tag.
    """

    def __init__(self, hook: Hook = _pass, *, size: int = 100, sizes: Mapping[str, int] | None = None) -> None:
        super().__init__(hook)
        self.size = size
        self.sizes = sizes or {}
        self.running = 0
        self.most_running = 0

    async def get_manifest(
        self,
        repository: Repository,
        reference: Reference,
        max_staleness: float = 0,
        known: Manifest | None = None,
    ) -> Manifest:
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            tag = str(reference)
            await self._ask(tag)
            raw = f'{{"annotations": {{"tag": "{tag}"}}}}'.encode().ljust(self.sizes.get(tag, self.size))
            return parse_manifest(raw, digest=Digest.of(raw), media_type=OCI_MANIFEST)
        finally:
            self.running -= 1


def only(tag: str, hook: Hook) -> Hook:
    """A hook that does `hook` for this tag alone."""

    async def chosen(asked: str) -> None:
        if asked == tag:
            await hook(asked)

    return chosen


def raising(error: BaseException) -> Hook:
    async def fail(_: str) -> None:
        raise error

    return fail


def numbered(count: int) -> list[GetManifestRequest]:
    """Requests for the tags 0, 1, 2 and so on."""
    return [GetManifestRequest(repository="team/app", tag=str(number)) for number in range(count)]


def tag_of(result: BatchGetManifestsResult) -> str:
    """The tag whose manifest a `Shelf` answered with; the test fails where it answered with an error."""
    assert result.WhichOneof("outcome") == "manifest", result.status
    return result.manifest.image.annotations["tag"]


def begun(gateway: Gateway, requests: Sequence[GetManifestRequest], *, seconds: float | None = 30) -> Call:
    call: Call = gateway.stub.BatchGetManifests(BatchGetManifestsRequest(requests=requests), timeout=seconds)
    return call


async def each(call: Call) -> AsyncIterator[BatchGetManifestsResult]:
    """The results, as they come."""
    async for response in call:
        assert response.results, "a message with nothing in it"
        for result in response.results:
            yield result


async def results(gateway: Gateway, requests: Sequence[GetManifestRequest]) -> list[BatchGetManifestsResult]:
    """One for each of the requests, in their order."""
    came = [result async for result in each(begun(gateway, requests))]
    assert sorted(result.request_index for result in came) == list(range(len(requests)))
    return sorted(came, key=lambda result: result.request_index)


def reading() -> list[str]:
    """The tasks of batches that are still there."""
    return [repr(task) for task in asyncio.all_tasks() if "Batch._work" in repr(task.get_coro())]


# --- Results ----------------------------------------------------------------------------------------------------


async def test_each_result_is_what_get_manifest_answers_and_says_which_request_it_is_for(
    registry: DevRegistry, gateway: Gateway
) -> None:
    tags = [f"1.{number}" for number in range(20)]
    for tag in tags:
        registry.push("team/app", tag, content=image(tag))
    index = multi_platform("app", ["linux/amd64", "linux/arm64"])
    registry.push("team/index", "latest", content=index)
    requests = [
        *(GetManifestRequest(repository="team/app", tag=tag) for tag in tags),
        GetManifestRequest(repository="team/index", digest=index.digest),
        GetManifestRequest(repository="team/index", tag="latest", platform=Platform(os="linux", architecture="arm64")),
        # Nothing is wrong with asking twice.
        GetManifestRequest(repository="team/app", tag=tags[0]),
    ]
    answered = await results(gateway, requests)
    singly = [(await gateway.stub.GetManifest(request, timeout=10)).manifest for request in requests]
    assert [result.manifest for result in answered] == singly
    assert answered[-2].manifest.raw == index.children[1].manifest


async def test_results_come_as_they_are_known_and_a_slow_one_last() -> None:
    gate = Gate()
    async with serve(Shelf(only("0", gate))) as gateway:
        coming = each(begun(gateway, numbered(30)))
        early = [await soon(anext(coming)) for _ in range(29)]
        assert {result.request_index for result in early} == set(range(1, 30))
        assert all(tag_of(result) == str(result.request_index) for result in early)
        gate.open.set()
        late = [result async for result in coming]
    assert [(result.request_index, tag_of(result)) for result in late] == [(0, "0")]


async def test_how_old_an_answer_may_be_is_each_requests_own() -> None:
    registry = ScriptedRegistry()
    requests = numbered(2)
    requests[1].max_staleness.CopyFrom(Duration(seconds=1, nanos=500_000_000))
    async with serve(registry) as gateway:
        await results(gateway, requests)
    assert sorted(registry.staleness) == [0, 1.5]


# --- What goes wrong with one of them ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("request_", "code", "reason", "fields", "resource"),
    [
        (
            GetManifestRequest(repository="Team/App", tag="1.0"),
            grpc.StatusCode.INVALID_ARGUMENT,
            "INVALID_FIELD",
            ["repository"],
            None,
        ),
        (
            GetManifestRequest(
                repository="T" * 300, tag="-" * 300, platform=Platform(), max_staleness=Duration(seconds=-1)
            ),
            grpc.StatusCode.INVALID_ARGUMENT,
            "INVALID_FIELD",
            ["repository", "tag", "platform.os", "platform.architecture", "max_staleness"],
            None,
        ),
        (GetManifestRequest(), grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD", ["repository", "reference"], None),
        (
            GetManifestRequest(repository="no/such", tag="1.0"),
            grpc.StatusCode.NOT_FOUND,
            "NAME_UNKNOWN",
            [],
            ("repository", "no/such"),
        ),
        (
            GetManifestRequest(repository="team/app", tag="no-such"),
            grpc.StatusCode.NOT_FOUND,
            "MANIFEST_UNKNOWN",
            [],
            ("manifest", "team/app:no-such"),
        ),
        (
            GetManifestRequest(repository="team/app", digest=f"sha256:{0:064}"),
            grpc.StatusCode.NOT_FOUND,
            "MANIFEST_UNKNOWN",
            [],
            ("manifest", f"team/app@sha256:{0:064}"),
        ),
        (
            GetManifestRequest(repository="team/index", tag="1.0", platform=Platform(os="plan9", architecture="mips")),
            grpc.StatusCode.NOT_FOUND,
            "PLATFORM_UNKNOWN",
            [],
            ("manifest", "team/index:1.0"),
        ),
        (
            GetManifestRequest(repository="team/broken", tag="1.0"),
            grpc.StatusCode.INTERNAL,
            "UPSTREAM_ERROR",
            [],
            ("manifest", "team/broken:1.0"),
        ),
        (
            GetManifestRequest(repository="team/down", tag="1.0"),
            grpc.StatusCode.UNAVAILABLE,
            "UPSTREAM_UNAVAILABLE",
            [],
            ("manifest", "team/down:1.0"),
        ),
        (
            GetManifestRequest(repository="team/denied", tag="1.0"),
            grpc.StatusCode.PERMISSION_DENIED,
            "DENIED",
            [],
            ("manifest", "team/denied:1.0"),
        ),
        (
            GetManifestRequest(repository="team/damaged", tag="1.0"),
            grpc.StatusCode.DATA_LOSS,
            "DIGEST_MISMATCH",
            [],
            ("manifest", "team/damaged:1.0"),
        ),
    ],
    ids=[
        "invalid",
        "all-invalid",
        "empty",
        "no-repository",
        "no-tag",
        "no-digest",
        "no-platform",
        "500",
        "502",
        "403",
        "damaged",
    ],
)
async def test_an_error_is_one_requests_own_and_the_one_that_get_manifest_answers_with(
    registry: DevRegistry,
    gateway: Gateway,
    request_: GetManifestRequest,
    code: grpc.StatusCode,
    reason: str,
    fields: list[str],
    resource: tuple[str, str] | None,
) -> None:
    for name in ("team/app", "team/broken", "team/down", "team/denied", "team/damaged"):
        registry.push(name, "1.0")
    registry.push("team/index", "1.0", content=multi_platform("app"))
    unknown = '{"errors": [{"code": "NAME_UNKNOWN"}]}'
    registry.inject(Fault(route="manifests", repository="no/such", status=404, body=unknown))
    registry.inject(Fault(route="manifests", repository="team/broken", status=500))
    registry.inject(Fault(route="manifests", repository="team/down", status=502))
    registry.inject(Fault(route="manifests", repository="team/denied", status=403))
    registry.inject(Fault(route="manifests", repository="team/damaged", method="GET", corrupt=True))
    good = GetManifestRequest(repository="team/app", tag="1.0")
    answered = await results(gateway, [good, request_, good])
    assert [result.WhichOneof("outcome") for result in answered] == ["manifest", "status", "manifest"]
    reported = read(answered[1].status)
    assert (reported.code, reported.reason, reported.domain) == (code, reason, "portus-gateway")
    assert (list(reported.fields), reported.resource) == (fields, resource)
    assert reported == replace(await failure_of(gateway.stub.GetManifest(request_, timeout=10)), size=0)


async def test_errors_alone_end_nothing_either(registry: DevRegistry, gateway: Gateway) -> None:
    registry.push("team/app", "1.0")
    answered = await results(gateway, numbered(100))
    assert {read(result.status).reason for result in answered} == {"MANIFEST_UNKNOWN"}


async def test_an_unexpected_exception_is_a_bug_whose_text_stays_in_the_log(logs: Logs) -> None:
    failing = only("1", raising(ValueError(SECRET)))
    async with serve(Shelf(failing)) as gateway:
        call = gateway.stub.BatchGetManifests(
            BatchGetManifestsRequest(requests=numbered(3)), timeout=10, metadata=(("x-request-id", "caller-7"),)
        )
        answered = {result.request_index: result async for result in each(call)}
        assert await call.code() == grpc.StatusCode.OK
    assert (tag_of(answered[0]), tag_of(answered[2])) == ("0", "2")
    reported = read(answered[1].status)
    assert (reported.code, reported.reason, reported.domain) == (grpc.StatusCode.INTERNAL, "BUG", "portus-gateway")
    assert "caller-7" in reported.message
    assert b"hunter2" not in answered[1].SerializeToString()
    assert [log["request_id"] for log in logs] == ["caller-7"]
    assert logs[0]["log_level"] == "error"
    assert logs[0]["exc_info"]


async def test_a_cancellation_of_something_else_is_one_requests_own() -> None:
    failing = only("1", raising(asyncio.CancelledError()))
    async with serve(Shelf(failing)) as gateway:
        answered = await results(gateway, numbered(20))
    assert [result.request_index for result in answered if result.HasField("status")] == [1]
    reported = read(answered[1].status)
    assert reported.outcome == (grpc.StatusCode.UNAVAILABLE, "UPSTREAM_UNAVAILABLE")
    assert "try again" in reported.message


async def test_nothing_is_asked_for_what_is_not_valid_and_all_else_is() -> None:
    registry = Shelf(only("2", raising(NotFound("nothing there", reason="MANIFEST_UNKNOWN"))))
    requests = numbered(4)
    requests[1].repository = "Team/App"
    async with serve(registry) as gateway:
        answered = await results(gateway, requests)
    assert [result.WhichOneof("outcome") for result in answered] == ["manifest", "status", "status", "manifest"]
    assert sorted(registry.asked) == ["0", "2", "3"]


# --- How many ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [0, 1001])
async def test_none_or_too_many_are_refused_before_anything_is_asked(
    registry: DevRegistry, gateway: Gateway, count: int
) -> None:
    failed = await failure_of(anext(each(begun(gateway, numbered(count)))))
    assert failed.outcome == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")
    assert list(failed.fields) == ["requests"]
    assert f"has {count} requests" in failed.fields["requests"]
    assert registry.requests.total == 0


@pytest.mark.parametrize("count", [1, 1000])
async def test_one_and_a_thousand_are_taken(count: int) -> None:
    async with serve(Shelf()) as gateway:
        answered = await results(gateway, numbered(count))
    assert [tag_of(result) for result in answered] == [str(number) for number in range(count)]


async def test_so_many_are_asked_for_at_a_time_and_no_more() -> None:
    gate, full = Gate(), asyncio.Event()

    async def wait(tag: str) -> None:
        if registry.running == 3:
            full.set()
        await gate(tag)

    registry = Shelf(wait)
    async with serve(registry, limits=ServerLimits(max_upstream_requests=3)) as gateway:
        call = asyncio.ensure_future(results(gateway, numbered(20)))
        await soon(full.wait())
        assert registry.asked == ["0", "1", "2"]
        gate.open.set()
        await soon(call)
    assert registry.most_running == 3


# --- Ends -------------------------------------------------------------------------------------------------------


async def test_a_caller_who_goes_away_stops_what_is_asked_of_the_registry() -> None:
    gate = Gate()
    registry = Shelf(gate)
    async with serve(registry) as gateway:
        call = begun(gateway, numbered(100))
        answer = asyncio.ensure_future(call.read())
        await soon(gate.entered.wait())
        assert len(reading()) == CONCURRENCY
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await answer
        await soon(gateway.calls.ended.wait())
        assert gate.cancelled.is_set()
        assert (registry.running, reading()) == (0, [])
        assert [finished.code for finished in gateway.calls.finished] == [grpc.StatusCode.CANCELLED]
    assert len(registry.asked) == CONCURRENCY


async def test_a_deadline_ends_the_call_and_earlier_results_are_kept() -> None:
    gate = Gate()
    registry = Shelf(only("1", gate))
    async with serve(registry) as gateway:
        coming = each(begun(gateway, numbered(3), seconds=1))
        early = [tag_of(await soon(anext(coming))) for _ in range(2)]
        with pytest.raises(grpc.aio.AioRpcError) as late:
            await anext(coming)
        await soon(gateway.calls.ended.wait())
        assert gate.cancelled.is_set()
        assert (registry.running, reading()) == (0, [])
    assert early == ["0", "2"]
    assert late.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED


async def test_a_call_without_a_deadline_is_ended_by_the_gateways_limit() -> None:
    gate = Gate()
    registry = Shelf(only("1", gate))
    async with serve(registry, limits=ServerLimits(max_stream_duration=0.5)) as gateway:
        coming = each(begun(gateway, numbered(3), seconds=None))
        early = [tag_of(await soon(anext(coming))) for _ in range(2)]
        with pytest.raises(grpc.aio.AioRpcError) as late:
            await soon(anext(coming))
        assert gate.cancelled.is_set()
        assert (registry.running, reading()) == (0, [])
    assert early == ["0", "2"]
    assert reported_by(late.value).outcome == (grpc.StatusCode.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED")


async def test_a_deadline_that_the_registry_call_notices_first_ends_the_whole_call() -> None:
    gate = Gate()

    async def fail(tag: str) -> None:
        await gate(tag)
        raise DeadlineExceeded("no time for another try")

    registry = Shelf(only("3", fail))
    async with serve(registry) as gateway:
        coming = each(begun(gateway, numbered(4)))
        early = [tag_of(await soon(anext(coming))) for _ in range(3)]
        gate.open.set()
        with pytest.raises(grpc.aio.AioRpcError) as late:
            await soon(anext(coming))
        assert (registry.running, reading()) == (0, [])
    assert early == ["0", "1", "2"]
    reported = reported_by(late.value)
    assert reported.outcome == (grpc.StatusCode.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED")
    assert reported.message == "no time for another try"


async def test_a_batch_that_runs_is_finished_before_the_gateway_stops() -> None:
    gate = Gate()
    async with serve(Shelf(gate)) as gateway:
        call = asyncio.ensure_future(results(gateway, numbered(100)))
        await soon(gate.entered.wait())
        drained = asyncio.ensure_future(gateway.server.drain(30))
        await asyncio.sleep(0)
        assert not drained.done()
        gate.open.set()
        assert len(await soon(call)) == 100
        await soon(drained)


async def test_a_stuck_batch_gets_a_reason_at_the_end_of_the_grace() -> None:
    gate = Gate()
    registry = Shelf(only("1", gate))
    async with serve(registry) as gateway:
        coming = each(begun(gateway, numbered(3)))
        early = [tag_of(await soon(anext(coming))) for _ in range(2)]
        await soon(gateway.server.drain(0.2))
        assert gate.cancelled.is_set()
        assert (registry.running, reading()) == (0, [])
        failed = await failure_of(soon(anext(coming)))
    assert early == ["0", "2"]
    assert failed.outcome == (grpc.StatusCode.UNAVAILABLE, "SHUTTING_DOWN")


# --- Messages, and who is slow to read them ---------------------------------------------------------------------


async def until_idle() -> None:
    """Returns when whatever needs nobody else has gone as far as it can: nothing here waits for a socket."""
    for _ in range(500):
        await asyncio.sleep(0)


async def responses_of(
    registry: ScriptedRegistry, requests: Sequence[GetManifestRequest]
) -> AsyncGenerator[BatchGetManifestsResponse, None]:
    batch = ManifestBatch(registry, ConvertedManifests(ConversionThread()), CONCURRENCY)
    made = batch.responses(requests, lambda results: BatchGetManifestsResponse(results=results))
    async with aclosing(made) as responses:
        async for response in responses:
            yield response


async def test_results_that_wait_share_messages_of_64_kib_at_most() -> None:
    messages = []
    async with aclosing(responses_of(Shelf(size=KIB), numbered(1000))) as responses:
        async for response in responses:
            messages.append(response)
            await until_idle()
    assert sorted(result.request_index for message in messages for result in message.results) == list(range(1000))
    assert max(message.ByteSize() for message in messages) <= MESSAGE
    # But for the first one, which waits for nobody, and the last, all of them are full.
    assert min(message.ByteSize() for message in messages[1:-1]) > MESSAGE - 2 * KIB


@pytest.mark.parametrize("size", [40 * KIB, 100 * KIB, 4 * MIB])
async def test_a_result_that_does_not_fit_has_a_message_of_its_own(size: int) -> None:
    """Otherwise a reader who takes the largest manifest alone could not take it with others."""

    registry = Shelf(size=20 * KIB, sizes={str(number): size for number in range(0, 60, 10)})
    indexes: list[int] = []
    async with aclosing(responses_of(registry, numbered(60))) as responses:
        async for response in responses:
            assert len(response.results) == 1 or response.ByteSize() <= MESSAGE
            indexes.extend(result.request_index for result in response.results)
            await until_idle()
    assert sorted(indexes) == list(range(60))


@pytest.mark.parametrize("size", [KIB, 64 * KIB, MIB])
async def test_a_reader_who_is_slow_holds_up_the_batch(size: int) -> None:
    registry = Shelf(size=size)
    async with aclosing(responses_of(registry, numbered(300))) as responses:
        read_ahead = 0
        answered = 0
        for _ in range(5):
            answered += len((await anext(responses)).results)
            await until_idle()
            read_ahead = max(read_ahead, len(registry.asked) - answered)
    # One message, and one manifest more for each that is asked for at a time.
    assert read_ahead <= max(1, MESSAGE // size) + CONCURRENCY
    assert (registry.running, reading()) == (0, [])


async def test_what_was_known_before_the_call_failed_is_answered_first() -> None:
    gate = Gate()

    async def hook(tag: str) -> None:
        if tag != "0":
            await gate(tag)
        if tag == "3":
            raise DeadlineExceeded("no time for another try")

    async with aclosing(responses_of(Shelf(hook), numbered(4))) as responses:
        first = await anext(responses)
        gate.open.set()
        await until_idle()
        second = await anext(responses)
        with pytest.raises(DeadlineExceeded, match="no time for another try"):
            await anext(responses)
    assert [[tag_of(result) for result in response.results] for response in (first, second)] == [["0"], ["1", "2"]]
    assert reading() == []


async def test_a_caller_who_does_not_read_holds_up_the_batch() -> None:
    registry = Shelf(size=256 * KIB)
    async with serve(registry) as gateway:
        call = begun(gateway, numbered(150))
        coming = each(call)
        await soon(anext(coming))
        # Long enough for all of them, if nothing held them up.
        await asyncio.sleep(0.5)
        held = len(registry.asked)
        assert held <= 50
        rest = [tag_of(result) async for result in coming]
    assert len(rest) == 149
    assert len(registry.asked) == 150


async def test_a_caller_who_does_not_read_and_goes_away_leaves_nothing_running() -> None:
    registry = Shelf(size=256 * KIB)
    async with serve(registry) as gateway:
        call = begun(gateway, numbered(150))
        await soon(call.read())
        await asyncio.sleep(0.1)
        assert reading()
        call.cancel()
        await soon(gateway.calls.ended.wait())
        assert (registry.running, reading()) == (0, [])
    assert len(registry.asked) < 150


async def test_the_largest_manifest_passes_among_others() -> None:
    """Twice its size is enough for an answer that has it raw and parsed; our clients take more."""
    async with serve(Shelf(size=KIB, sizes={"7": 4 * MIB}), receive_limit=8 * MIB) as gateway:
        answered = await results(gateway, numbered(20))
    assert [len(result.manifest.raw) for result in answered] == [
        4 * MIB if number == 7 else KIB for number in range(20)
    ]
