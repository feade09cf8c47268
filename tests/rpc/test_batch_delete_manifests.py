"""BatchDeleteManifests."""

import asyncio
from collections.abc import Sequence

import grpc
import pytest
from google.rpc.status_pb2 import Status

from portus.registry.v1.registry_service_pb2 import (
    BatchDeleteManifestsRequest,
    DeleteManifestRequest,
    DeleteManifestResponse,
)
from portus_gateway.devregistry import Content, DevRegistry, Fault, image, index, multi_platform
from portus_gateway.devregistry.flavours import Flavour
from portus_gateway.operations import batch_deletion
from tests.operations.old_looks import old_looks as old_looks
from tests.rpc.failures import Failure, failure_of, read
from tests.rpc.gateways import Gateway, serve_over, soon

Code = grpc.StatusCode
Part = tuple[str, Sequence[str]] | tuple[str, Sequence[str], bool]
"""A digest, the expected tags, and whether it is forced."""
ABSENT = f"sha256:{'0' * 64}"


def requests_of(parts: Sequence[Part]) -> list[DeleteManifestRequest]:
    return [
        DeleteManifestRequest(digest=part[0], expected_tags=part[1], force=len(part) == 3 and part[2]) for part in parts
    ]


async def delete(
    gateway: Gateway, *parts: Part, validate_only: bool = False, repository: str = "team/app"
) -> list[DeleteManifestResponse | Failure]:
    """The outcomes in the order of the parts."""
    request = BatchDeleteManifestsRequest(
        repository=repository, requests=requests_of(parts), validate_only=validate_only
    )
    outcomes: dict[int, DeleteManifestResponse | Failure] = {}
    async for message in gateway.stub.BatchDeleteManifests(request, timeout=20):
        assert message.results
        for result in message.results:
            assert result.request_index not in outcomes
            outcomes[result.request_index] = read(result.status) if result.HasField("status") else result.deleted
    assert sorted(outcomes) == list(range(len(parts)))
    return [outcomes[position] for position in range(len(parts))]


async def singly(
    gateway: Gateway, *parts: Part, validate_only: bool = False, repository: str = "team/app"
) -> list[DeleteManifestResponse | Failure]:
    """What DeleteManifest answers to each of the parts, one after the other."""
    outcomes: list[DeleteManifestResponse | Failure] = []
    for request in requests_of(parts):
        request.repository, request.validate_only = repository, validate_only
        try:
            outcomes.append(await gateway.stub.DeleteManifest(request, timeout=20))
        except grpc.aio.AioRpcError as error:
            trailing = dict(error.trailing_metadata() or ())
            status = trailing["grpc-status-details-bin"]
            assert isinstance(status, bytes)
            outcomes.append(read(Status.FromString(status)))
    return outcomes


def reasons(outcomes: Sequence[DeleteManifestResponse | Failure]) -> list[str | list[str]]:
    """The reason of a failure, or the deleted tags."""
    return [outcome.reason if isinstance(outcome, Failure) else list(outcome.deleted_tags) for outcome in outcomes]


async def test_all_go_with_their_tags_and_nothing_else(registry: DevRegistry, gateway: Gateway) -> None:
    digests = [registry.push("team/app", f"v{n}", f"old-{n}", content=image(str(n))) for n in range(5)]
    kept = registry.push("team/app", "kept", content=image("kept"))
    outcomes = await delete(gateway, *((digest, [f"v{n}", f"old-{n}"]) for n, digest in enumerate(digests)))
    assert outcomes == [
        DeleteManifestResponse(digest=digest, deleted_tags=[f"old-{n}", f"v{n}"]) for n, digest in enumerate(digests)
    ]
    assert registry.tags("team/app") == {"kept": kept}


def reads(registry: DevRegistry) -> tuple[int, int]:
    """How many manifests and how many lists of tags the registry was asked for."""
    return (
        sum(record.method == "HEAD" and record.status == 200 for record in registry.requests),
        sum(record.route == "tags" and record.status == 200 for record in registry.requests),
    )


async def test_the_tags_are_looked_at_once(registry: DevRegistry, gateway: Gateway) -> None:
    digests = [registry.push("team/app", f"v{n:02}", content=image(str(n))) for n in range(60)]
    # By the second time, the gateway knows how the registry lists its tags.
    for _ in range(2):
        before = reads(registry)
        await delete(gateway, (digests[59], ["v59"]), validate_only=True)
        manifests, lists = (after - earlier for after, earlier in zip(reads(registry), before, strict=True))
    assert manifests == 1 + 60
    before = reads(registry)
    await delete(gateway, *((digest, [f"v{n:02}"]) for n, digest in enumerate(digests[:55])))
    # Each manifest once, and each tag once. Afterwards the tags are listed again.
    assert reads(registry) == (before[0] + 55 + 60, before[1] + 2 * lists)
    assert sum(record.status == 202 for record in registry.requests.select(method="DELETE")) == 55
    # No image is read, because none of them contains another.
    assert not registry.requests.select(method="GET", route="manifests", status=200)


async def test_one_failure_ends_nothing_else(registry: DevRegistry, gateway: Gateway) -> None:
    tagged = registry.push("team/app", "1.0", "latest", content=image("a"))
    good = registry.push("team/app", "2.0", content=image("b"))
    outcomes = await delete(gateway, (tagged, ["1.0"]), (ABSENT, []), (good, ["2.0"]))
    assert reasons(outcomes) == ["TAGGED", "MANIFEST_UNKNOWN", ["2.0"]]
    failure = outcomes[0]
    assert isinstance(failure, Failure)
    assert (failure.subjects, failure.resource) == (("latest",), ("manifest", f"team/app@{tagged}"))
    assert set(registry.tags("team/app")) == {"1.0", "latest"}


@pytest.mark.parametrize("validate_only", [False, True])
@pytest.mark.parametrize("flavour", ["2.8", "3.1", "oci-1.1"])
async def test_each_outcome_is_that_of_a_single_delete(flavour: Flavour, validate_only: bool) -> None:
    whole, other = multi_platform(), image("other")

    def stock(registry: DevRegistry) -> list[Part]:
        child = registry.push("team/app", "child", content=whole.children[0])
        registry.push("team/app", "whole", content=whole)
        registry.push("team/app", "nested", content=index([whole]))
        one = registry.push("team/app", "one", content=image("one"))
        two = registry.push("team/app", "two", "latest", content=image("two"))
        forced = registry.push("team/app", "forced", content=image("forced"))
        untagged = registry.push("team/app", "moved", content=image("untagged"))
        registry.push("team/app", "moved", content=other)
        return [
            (child, ["child"]),
            (whole.children[1].digest, []),
            (one, ["one", "never-there"]),
            (two, ["two"]),
            (forced, [], True),
            (untagged, []),
            (ABSENT, []),
            (next(iter(other.blobs)), []),
        ]

    answers = []
    for call in (delete, singly):
        async with DevRegistry(flavour=flavour) as registry, serve_over(registry) as gateway:
            parts = stock(registry)
            outcomes = await call(gateway, *parts, validate_only=validate_only)
            answers.append((outcomes, registry.tags("team/app")))
    assert answers[0] == answers[1]
    assert reasons(answers[0][0]) == [
        "REFERENCED",
        "REFERENCED",
        ["one"],
        "TAGGED",
        ["forced"],
        [],
        "MANIFEST_UNKNOWN",
        "MANIFEST_UNKNOWN",
    ]


@pytest.mark.parametrize("validate_only", [False, True])
@pytest.mark.parametrize(
    "fault",
    [
        Fault(route="tags", status=500),
        Fault(route="tags", status=403),
        Fault(route="manifests", method="HEAD", after=3, status=500),
        Fault(route="manifests", method="GET", status=500),
        Fault(route="manifests", method="GET", status=503),
        Fault(route="manifests", method="DELETE", status=405),
        Fault(route="manifests", method="DELETE", status=403),
        Fault(route="manifests", method="DELETE", status=409),
        Fault(route="manifests", method="DELETE", status=500),
    ],
    ids=str,
)
async def test_each_failure_is_that_of_a_single_delete(
    registry: DevRegistry, gateway: Gateway, fault: Fault, validate_only: bool
) -> None:
    digest = registry.push("team/app", "1.0", content=image("a"))
    registry.push("team/app", "2.0", content=image("b"))
    registry.push("team/app", "index", content=multi_platform())
    with registry.inject(fault):
        batch = await delete(gateway, (digest, ["1.0"]), validate_only=validate_only)
    with registry.inject(fault):
        single = await singly(gateway, (digest, ["1.0"]), validate_only=validate_only)
    assert [without_digest(outcome) for outcome in batch] == [without_digest(outcome) for outcome in single]


def without_digest(outcome: DeleteManifestResponse | Failure) -> object:
    """What has to be the same. The digest that a trial deletes is random, and messages name it."""
    return (outcome.outcome, outcome.resource) if isinstance(outcome, Failure) else outcome


async def test_an_index_that_cannot_be_read_now_stops_all_that_is_not_forced(
    registry: DevRegistry, gateway: Gateway
) -> None:
    registry.push("team/app", "index", content=multi_platform())
    digests = [registry.push("team/app", f"v{n}", content=image(str(n))) for n in range(2)]
    with registry.inject(Fault(route="manifests", method="GET", status=503, times=1)):
        outcomes = await delete(gateway, (digests[0], ["v0"]), (digests[1], ["v1"], True))
    assert reasons(outcomes) == ["UPSTREAM_UNAVAILABLE", ["v1"]]


async def test_a_repository_that_does_not_exist(gateway: Gateway) -> None:
    batch = await delete(gateway, (ABSENT, []), repository="none")
    assert batch == await singly(gateway, (ABSENT, []), repository="none")


async def test_names_that_are_no_tags_stop_all_that_is_not_forced(registry: DevRegistry, gateway: Gateway) -> None:
    digests = [registry.push("team/app", f"v{n}", content=image(str(n))) for n in range(2)]
    fault = Fault.parse('tags:body={"name": "team/app", "tags": ["v0", "v1", "-"]}')
    with registry.inject(fault):
        outcomes = await delete(gateway, (digests[0], ["v0"]), (digests[1], ["v1"], True), validate_only=True)
    assert reasons(outcomes) == ["UNUSABLE_TAGS", ["v1"]]


# --- Indexes and what they contain ------------------------------------------------------------------------------


def nested() -> tuple[Content, Content, Content]:
    """An index, the index in it, and an image in that."""
    whole = multi_platform()
    return index([whole]), whole, whole.children[0]


@pytest.mark.parametrize("validate_only", [False, True])
@pytest.mark.parametrize("flavour", ["2.8", "3.1", "oci-1.1"])
async def test_a_child_may_go_that_only_indexes_of_the_batch_contain(flavour: Flavour, validate_only: bool) -> None:
    outer, whole, child = nested()
    async with DevRegistry(flavour=flavour) as registry, serve_over(registry) as gateway:
        for content, tag in ((child, "child"), (whole, "whole"), (outer, "outer")):
            registry.push("team/app", tag, content=content)
        outcomes = await delete(
            gateway,
            (child.digest, ["child"]),
            (outer.digest, ["outer"]),
            (whole.digest, ["whole"]),
            validate_only=validate_only,
        )
        assert reasons(outcomes) == [["child"], ["outer"], ["whole"]]
        deleted = [record.target.rpartition("/")[2] for record in registry.requests.select(method="DELETE")]
    if not validate_only:
        assert deleted == [outer.digest, whole.digest, child.digest]


@pytest.mark.parametrize("validate_only", [False, True])
async def test_a_child_stays_that_another_index_contains(
    registry: DevRegistry, gateway: Gateway, validate_only: bool
) -> None:
    whole = multi_platform()
    registry.push("team/app", "whole", content=whole)
    registry.push("team/app", "other", content=index([whole.children[0]]))
    outcomes = await delete(
        gateway,
        (whole.children[0].digest, []),
        (whole.children[1].digest, []),
        (whole.digest, ["whole"]),
        validate_only=validate_only,
    )
    assert reasons(outcomes) == ["REFERENCED", [], ["whole"]]
    assert isinstance(outcomes[0], Failure)
    assert outcomes[0].subjects == ("other",)


async def test_a_child_is_kept_by_the_index_over_its_index(registry: DevRegistry, gateway: Gateway) -> None:
    outer, whole, child = nested()
    registry.push("team/app", "outer", content=outer)
    outcomes = await delete(gateway, (child.digest, []), (whole.digest, []))
    assert reasons(outcomes) == ["REFERENCED", "REFERENCED"]
    assert isinstance(outcomes[0], Failure)
    assert isinstance(outcomes[1], Failure)
    assert set(outcomes[0].subjects) == {"outer", whole.digest}
    assert outcomes[1].subjects == ("outer",)


@pytest.mark.parametrize("validate_only", [False, True])
async def test_a_child_stays_if_its_index_is_refused(
    registry: DevRegistry, gateway: Gateway, validate_only: bool
) -> None:
    outer, whole, child = nested()
    registry.push("team/app", "outer", "latest", content=outer)
    outcomes = await delete(
        gateway, (child.digest, []), (whole.digest, []), (outer.digest, ["outer"]), validate_only=validate_only
    )
    assert reasons(outcomes) == ["REFERENCED", "REFERENCED", "TAGGED"]
    assert registry.holds("team/app", child.digest)


@pytest.mark.parametrize("fault", ["status=405", "status=500", "status=504", "status=409"])
async def test_a_child_stays_if_the_delete_of_its_index_fails(
    registry: DevRegistry, gateway: Gateway, fault: str
) -> None:
    whole = multi_platform()
    registry.push("team/app", "whole", content=whole)
    with registry.inject(Fault.parse(f"manifests:method=DELETE,{fault}")):
        outcomes = await delete(gateway, (whole.children[0].digest, []), (whole.digest, ["whole"]))
    assert isinstance(outcomes[1], Failure)
    assert isinstance(outcomes[0], Failure)
    assert (outcomes[0].reason, outcomes[0].subjects) == ("REFERENCED", ("whole",))
    assert registry.requests.count(method="DELETE") == 1


@pytest.mark.parametrize("fault", ["status=500", "status=504", "status=409"])
@pytest.mark.parametrize("look_is_old", [False, True])
async def test_a_child_stays_if_the_delete_of_its_index_fails_that_has_no_tag(
    registry: DevRegistry, gateway: Gateway, fault: str, look_is_old: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if look_is_old:
        monkeypatch.setattr(batch_deletion, "_SHORTEST_VALIDITY", -100.0)
    outer, whole, child = nested()
    for content in (whole, outer):
        registry.push("team/app", content=content)
    with registry.inject(Fault.parse(f"manifests:method=DELETE,times=1,{fault}")):
        outcomes = await delete(gateway, (child.digest, []), (whole.digest, []), (outer.digest, []))
    for outcome in outcomes[:2]:
        assert isinstance(outcome, Failure)
        assert outcome.outcome == (Code.FAILED_PRECONDITION, "REFERENCED")
        assert outer.digest in outcome.subjects
        assert outer.digest in outcome.message
    assert registry.requests.count(method="DELETE") == 1
    assert registry.holds("team/app", child.digest)


@pytest.mark.parametrize("tags", [["whole"], []])
async def test_a_trial_refuses_a_child_too_if_the_registry_does_not_delete(
    registry: DevRegistry, gateway: Gateway, tags: list[str]
) -> None:
    whole = multi_platform()
    registry.push("team/app", *tags, content=whole)
    registry.deletion_enabled = False
    for validate_only in (True, False):
        outcomes = await delete(
            gateway, (whole.children[0].digest, []), (whole.digest, tags), validate_only=validate_only
        )
        assert reasons(outcomes) == ["REFERENCED", "UNSUPPORTED"]


async def test_a_forced_child_does_not_wait_for_its_index_to_be_allowed(
    registry: DevRegistry, gateway: Gateway
) -> None:
    whole = multi_platform()
    registry.push("team/app", "whole", "latest", content=whole)
    outcomes = await delete(gateway, (whole.children[0].digest, [], True), (whole.digest, ["whole"]))
    assert reasons(outcomes) == [[], "TAGGED"]


async def test_of_a_batch_that_is_forced_indexes_go_first(registry: DevRegistry, gateway: Gateway) -> None:
    whole = multi_platform()
    registry.push("team/app", "whole", content=whole)
    with registry.inject(Fault(route="manifests", method="DELETE", answer_delay=0.2)):
        await delete(gateway, (whole.children[0].digest, [], True), (whole.digest, [], True))
    first, second = registry.requests.select(method="DELETE", status=202)
    assert first.target.endswith(whole.digest)
    assert second.arrived_at - first.arrived_at >= 0.2


async def test_indexes_that_cannot_be_read_stop_each_other_and_everything_else(
    registry: DevRegistry, gateway: Gateway
) -> None:
    first, second = multi_platform(), index([image("in the second")])
    digest = registry.push("team/app", "1.0", content=image("a"))
    registry.push("team/app", "first", content=first)
    registry.push("team/app", "second", content=second)
    with registry.inject(Fault(route="manifests", method="GET", corrupt=True)):
        outcomes = await delete(gateway, (digest, ["1.0"]), (first.digest, ["first"]), (second.digest, ["second"]))
    assert reasons(outcomes) == ["REFERENCED"] * 3
    assert registry.requests.count(method="DELETE") == 0


# --- What changes meanwhile -------------------------------------------------------------------------------------


async def test_a_look_that_is_too_old_is_made_anew(
    registry: DevRegistry, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch_deletion, "_SHORTEST_VALIDITY", 0.0)
    digests = [registry.push("team/app", f"v{n}", content=image(str(n))) for n in range(8)]
    # Longer than the look.
    with registry.inject(Fault(route="manifests", method="DELETE", answer_delay=0.5)):
        deleting = asyncio.ensure_future(delete(gateway, *((digest, [f"v{n}"]) for n, digest in enumerate(digests))))
        await registry.requests.wait_for(1, method="DELETE")
        registry.push("team/app", "new", content=image("7"))
        outcomes = await deleting
    assert reasons(outcomes) == [*([f"v{n}"] for n in range(7)), "TAGGED"]


@pytest.mark.usefixtures("old_looks")
async def test_indexes_that_could_be_read_only_in_an_earlier_look_still_go_before_what_they_contain(
    registry: DevRegistry, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch_deletion, "_MOST_AT_ONCE", 1)
    whole = multi_platform()
    child = whole.children[0].digest
    registry.push("team/app", "whole", content=whole)
    first, other = (registry.push("team/app", tag, content=image(tag)) for tag in ("first", "other"))
    parts: list[Part] = [(first, ["first"]), (child, [], True), (whole.digest, [], True), (other, ["other"])]
    with registry.inject(Fault(route="manifests", method="DELETE", times=1, answer_delay=0.3)):
        deleting = asyncio.ensure_future(delete(gateway, *parts))
        await registry.requests.wait_for(1, method="DELETE")
        # The first GET is for the tag that went, the second one for the index.
        with registry.inject(Fault(route="manifests", method="GET", after=1, times=1, status=429)):
            outcomes = await deleting
    assert reasons(outcomes) == [["first"], [], ["whole"], ["other"]]
    deleted = [record.target.rpartition("/")[2] for record in registry.requests.select(method="DELETE", status=202)]
    assert deleted == [first, whole.digest, child, other]


@pytest.mark.usefixtures("old_looks")
async def test_indexes_that_could_not_be_read_are_read_in_the_next_look(
    registry: DevRegistry, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch_deletion, "_MOST_AT_ONCE", 1)
    registry.push("team/app", "whole", content=multi_platform())
    forced, other = (registry.push("team/app", tag, content=image(tag)) for tag in ("forced", "other"))
    with registry.inject(Fault(route="manifests", method="DELETE", times=1, answer_delay=0.3)):
        with registry.inject(Fault(route="manifests", method="GET", status=429)):
            deleting = asyncio.ensure_future(delete(gateway, (forced, [], True), (other, ["other"])))
            await registry.requests.wait_for(1, method="DELETE")
        outcomes = await deleting
    assert reasons(outcomes) == [["forced"], ["other"]]


@pytest.mark.usefixtures("old_looks")
async def test_a_trial_that_takes_long_still_allows_a_child_whose_index_may_go(
    registry: DevRegistry, gateway: Gateway
) -> None:
    whole = multi_platform()
    registry.push("team/app", "whole", content=whole)
    parts: tuple[Part, Part] = ((whole.children[0].digest, []), (whole.digest, ["whole"]))
    assert reasons(await delete(gateway, *parts, validate_only=True)) == [[], ["whole"]]
    assert reasons(await delete(gateway, *parts)) == [[], ["whole"]]


@pytest.mark.usefixtures("old_looks")
async def test_a_child_stays_if_its_index_was_refused_and_lost_its_tags_since(
    registry: DevRegistry, gateway: Gateway
) -> None:
    whole = multi_platform()
    child = whole.children[0].digest
    registry.push("team/app", "whole", content=whole)
    other = registry.push("team/app", "other", content=image("other"))
    with registry.inject(Fault(route="manifests", method="DELETE", answer_delay=0.3)):
        deleting = asyncio.ensure_future(delete(gateway, (child, []), (whole.digest, []), (other, ["other"])))
        await registry.requests.wait_for(1, method="DELETE")
        registry.untag("team/app", "whole")
        outcomes = await deleting
    assert reasons(outcomes) == ["REFERENCED", "TAGGED", ["other"]]
    assert isinstance(outcomes[0], Failure)
    assert outcomes[0].subjects == (whole.digest,)
    assert registry.holds("team/app", child)


async def test_a_tag_that_moves_to_an_index_during_the_batch_protects_what_the_index_contains(
    registry: DevRegistry, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch_deletion, "_MOST_AT_ONCE", 1)
    whole = multi_platform()
    first = registry.push("team/app", "latest", content=image("first"))
    child = registry.push("team/app", "child", content=whole.children[0])
    with registry.inject(Fault(route="manifests", method="DELETE", answer_delay=0.3)):
        deleting = asyncio.ensure_future(delete(gateway, (first, ["latest"]), (child, ["child"])))
        await registry.requests.wait_for(1, method="DELETE")
        while registry.holds("team/app", first):
            await asyncio.sleep(0.01)
        registry.push("team/app", "latest", content=whole)
        deleted, refused = await deleting
    assert deleted == DeleteManifestResponse(digest=first, remaining_tags=["latest"])
    assert isinstance(refused, Failure)
    assert (refused.reason, refused.subjects) == ("REFERENCED", ("latest",))
    assert registry.holds("team/app", child)


async def test_more_than_one_group_of_deletes(
    registry: DevRegistry, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch_deletion, "_MOST_AT_ONCE", 3)
    digests = [registry.push("team/app", f"v{n}", content=image(str(n))) for n in range(10)]
    await delete(gateway, (digests[0], ["v0"]), validate_only=True)
    before = reads(registry)
    outcomes = await delete(gateway, *((digest, [f"v{n}"]) for n, digest in enumerate(digests)))
    assert reasons(outcomes) == [[f"v{n}"] for n in range(10)]
    assert reads(registry)[0] == before[0] + 10 + 10


# --- Requests ---------------------------------------------------------------------------------------------------


async def test_what_is_not_valid_is_told_at_once_and_nothing_is_deleted(
    registry: DevRegistry, gateway: Gateway
) -> None:
    good = registry.push("team/app", "1.0")
    request = BatchDeleteManifestsRequest(
        repository="team/app",
        requests=[
            DeleteManifestRequest(digest=good, force=True),
            DeleteManifestRequest(digest="latest"),
            DeleteManifestRequest(repository="other", digest=ABSENT),
            DeleteManifestRequest(digest=good, expected_tags=["1.0", "-"]),
            DeleteManifestRequest(digest=f"sha256:{'1' * 64}", validate_only=True),
        ],
    )
    failed = await failure_of(gateway.stub.BatchDeleteManifests(request, timeout=10).read())
    assert failed.outcome == (Code.INVALID_ARGUMENT, "INVALID_FIELD")
    assert set(failed.fields) == {
        "requests[1].digest",
        "requests[2].repository",
        "requests[3].digest",
        "requests[3].expected_tags[1]",
        "requests[4].validate_only",
    }
    for requests in ([], [DeleteManifestRequest(digest=ABSENT)] * 1001):
        request = BatchDeleteManifestsRequest(repository="UPPER", requests=requests)
        failed = await failure_of(gateway.stub.BatchDeleteManifests(request, timeout=10).read())
        assert set(failed.fields) == {"requests"}
    assert registry.requests.total == 0


async def test_the_repository_of_a_part_may_be_that_of_the_batch(registry: DevRegistry, gateway: Gateway) -> None:
    digest = registry.push("team/app", "1.0")
    part = DeleteManifestRequest(repository="team/app", digest=digest, force=True)
    request = BatchDeleteManifestsRequest(repository="team/app", requests=[part])
    (message,) = [message async for message in gateway.stub.BatchDeleteManifests(request, timeout=10)]
    assert message.results[0].deleted.digest == digest


async def test_a_gateway_that_does_not_delete(registry: DevRegistry) -> None:
    digest = registry.push("team/app", "1.0")
    async with serve_over(registry, deletion_enabled=False) as gateway:
        failed = await failure_of(delete(gateway, (digest, [], True)))
    assert failed.outcome == (Code.FAILED_PRECONDITION, "DELETION_DISABLED")
    assert registry.requests.total == 0


# --- A caller who goes away, and a gateway that stops ------------------------------------------------------------


async def test_what_was_sent_is_carried_through_for_a_caller_who_goes_away_and_nothing_more_is_sent(
    registry: DevRegistry, gateway: Gateway
) -> None:
    digests = [registry.push("team/app", f"v{n}", content=image(str(n))) for n in range(20)]
    with registry.inject(Fault(route="manifests", method="DELETE", answer_delay=0.3)):
        call = asyncio.ensure_future(delete(gateway, *((digest, [f"v{n}"]) for n, digest in enumerate(digests))))
        await registry.requests.wait_for(4, method="DELETE")
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await soon(gateway.calls.ended.wait())
    sent = registry.requests.select(method="DELETE")
    assert [record.status for record in sent] == [202] * 4
    assert sum(registry.holds("team/app", digest) for digest in digests) == 16


async def test_the_gateways_end_breaks_deletes_off_and_says_so(registry: DevRegistry) -> None:
    digests = [registry.push("team/app", f"v{n}", content=image(str(n))) for n in range(20)]
    with registry.inject(Fault(route="manifests", method="DELETE", hang=True)):
        async with serve_over(registry) as gateway:
            call = asyncio.ensure_future(
                failure_of(delete(gateway, *((digest, [f"v{n}"]) for n, digest in enumerate(digests))))
            )
            await registry.requests.wait_for(4, method="DELETE")
            await soon(gateway.server.drain(0.4))
            failed = await soon(call)
    assert failed.outcome == (Code.UNAVAILABLE, "SHUTTING_DOWN")
    assert registry.requests.count(method="DELETE") == 4
