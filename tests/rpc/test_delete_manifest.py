"""DeleteManifest."""

import asyncio
from collections.abc import Sequence

import grpc
import pytest

from portus.registry.v1.registry_service_pb2 import DeleteManifestRequest, DeleteManifestResponse
from portus_gateway.devregistry import DevRegistry, Fault, image, index, multi_platform
from portus_gateway.rpc.server import ServerLimits
from tests.rpc.failures import failure_of
from tests.rpc.gateways import Gateway, serve_over, soon


async def delete(
    gateway: Gateway, digest: str, expected: Sequence[str] = (), *, force: bool = False, validate_only: bool = False
) -> DeleteManifestResponse:
    request = DeleteManifestRequest(
        repository="team/app", digest=digest, expected_tags=expected, force=force, validate_only=validate_only
    )
    return await gateway.stub.DeleteManifest(request, timeout=10)


async def test_the_tags_that_went_with_it_are_answered(registry: DevRegistry, gateway: Gateway) -> None:
    digest = registry.push("team/app", "latest", "1.0", content=image("a"))
    registry.push("team/app", "2.0", content=image("b"))
    answer = await delete(gateway, digest, ["1.0", "latest"])
    assert answer == DeleteManifestResponse(digest=digest, deleted_tags=["1.0", "latest"])
    assert set(registry.tags("team/app")) == {"2.0"}
    assert not registry.holds("team/app", digest)


async def test_tags_that_were_not_expected_stop_it_and_are_named(registry: DevRegistry, gateway: Gateway) -> None:
    digest = registry.push("team/app", "latest", "1.0", "stable")
    failed = await failure_of(delete(gateway, digest, ["1.0"]))
    assert failed.outcome == (grpc.StatusCode.FAILED_PRECONDITION, "TAGGED")
    assert failed.subjects == ("latest", "stable")
    assert failed.facts == {"tags": "2"}
    assert failed.resource == ("manifest", f"team/app@{digest}")
    assert "latest, stable" in failed.message
    assert len(registry.tags("team/app")) == 3
    assert registry.requests.count(method="DELETE") == 0


async def test_a_child_of_a_tagged_index_is_kept_unless_forced(registry: DevRegistry, gateway: Gateway) -> None:
    whole = multi_platform()
    child = registry.push("team/app", "1.0-amd64", content=whole.children[0])
    registry.push("team/app", "1.0", content=whole)
    registry.push("team/app", "nested", content=index([whole]))
    for validate_only in (True, False):
        failed = await failure_of(delete(gateway, child, ["1.0-amd64", "1.0", "nested"], validate_only=validate_only))
        assert failed.outcome == (grpc.StatusCode.FAILED_PRECONDITION, "REFERENCED")
        assert failed.subjects == ("1.0", "nested")
        assert failed.facts == {"index_tags": "2"}
        assert failed.resource == ("manifest", f"team/app@{child}")
    assert registry.requests.count(method="DELETE") == 0
    assert list((await delete(gateway, child, force=True)).deleted_tags) == ["1.0-amd64"]


async def test_of_very_many_tags_and_indexes_some_of_both_are_named(registry: DevRegistry, gateway: Gateway) -> None:
    whole = multi_platform()
    child = registry.push("team/app", *(f"child-{number}" for number in range(60)), content=whole.children[0])
    registry.push("team/app", *(f"index-{number}" for number in range(60)), content=whole)
    failed = await failure_of(delete(gateway, child))
    assert failed.outcome == (grpc.StatusCode.FAILED_PRECONDITION, "TAGGED")
    assert failed.facts == {"tags": "60", "index_tags": "60"}
    kinds = [subject.partition("-")[0] for subject in failed.subjects]
    assert (kinds.count("child"), kinds.count("index")) == (25, 25)


async def test_force_takes_them_all(registry: DevRegistry, gateway: Gateway) -> None:
    digest = registry.push("team/app", "latest", "1.0")
    assert list((await delete(gateway, digest, force=True)).deleted_tags) == ["1.0", "latest"]
    assert registry.tags("team/app") == {}


async def test_validate_only_deletes_nothing_and_fails_as_the_real_call(
    registry: DevRegistry, gateway: Gateway
) -> None:
    digest = registry.push("team/app", "1.0")
    assert list((await delete(gateway, digest, ["1.0"], validate_only=True)).deleted_tags) == ["1.0"]
    tagged = await failure_of(delete(gateway, digest, validate_only=True))
    registry.deletion_enabled = False
    unsupported = await failure_of(delete(gateway, digest, ["1.0"], validate_only=True))
    assert tagged.reason == "TAGGED"
    assert unsupported.outcome == (grpc.StatusCode.FAILED_PRECONDITION, "UNSUPPORTED")
    assert registry.holds("team/app", digest)


async def test_a_gateway_that_does_not_delete(registry: DevRegistry) -> None:
    digest = registry.push("team/app", "1.0")
    async with serve_over(registry, deletion_enabled=False) as gateway:
        for validate_only in (False, True):
            failed = await failure_of(delete(gateway, digest, force=True, validate_only=validate_only))
            assert failed.outcome == (grpc.StatusCode.FAILED_PRECONDITION, "DELETION_DISABLED")
    assert registry.requests.total == 0


async def test_what_is_no_manifest_is_not_found(registry: DevRegistry, gateway: Gateway) -> None:
    content = image("a")
    registry.push("team/app", "1.0", content=content)
    for digest in (next(iter(content.blobs)), f"sha256:{'0' * 64}"):
        failed = await failure_of(delete(gateway, digest, force=True))
        assert failed.outcome == (grpc.StatusCode.NOT_FOUND, "MANIFEST_UNKNOWN")
        assert failed.resource == ("manifest", f"team/app@{digest}")


async def test_a_blob_is_never_deleted_as_a_manifest_where_the_registry_would() -> None:
    content = image("a")
    blob = next(iter(content.blobs))
    async with DevRegistry(flavour="2.8") as registry, serve_over(registry) as gateway:
        registry.push("team/app", "1.0", content=content)
        failed = await failure_of(delete(gateway, blob, force=True))
        assert failed.outcome == (grpc.StatusCode.NOT_FOUND, "MANIFEST_UNKNOWN")
        assert registry.requests.count(method="DELETE") == 0
        assert registry.holds("team/app", blob)


async def test_a_tag_that_cannot_be_read_prevents_it(registry: DevRegistry, gateway: Gateway) -> None:
    digest = registry.push("team/app", "1.0", content=image("a"))
    registry.push("team/app", "2.0", content=image("b"))
    with registry.inject(Fault(route="manifests", method="HEAD", after=1, status=500)):
        failed = await failure_of(delete(gateway, digest, ["1.0"]))
    assert failed.outcome == (grpc.StatusCode.INTERNAL, "UPSTREAM_ERROR")
    assert registry.holds("team/app", digest)


async def test_an_answer_that_got_lost_is_looked_into(registry: DevRegistry, gateway: Gateway) -> None:
    digest = registry.push("team/app", "1.0")
    with registry.inject(Fault(route="manifests", method="DELETE", reset="after")):
        assert (await delete(gateway, digest, ["1.0"])).digest == digest
    digest = registry.push("team/app", "1.0")
    with registry.inject(Fault(route="manifests", method="DELETE", status=504)):
        failed = await failure_of(delete(gateway, digest, ["1.0"]))
    assert failed.outcome == (grpc.StatusCode.UNAVAILABLE, "DELETE_OUTCOME_UNKNOWN")
    assert registry.requests.count(method="DELETE") == 2


async def test_a_sent_delete_is_completed_after_its_caller_disconnects(registry: DevRegistry, gateway: Gateway) -> None:
    digest = registry.push("team/app", "1.0")
    with registry.inject(Fault(route="manifests", method="DELETE", answer_delay=0.2)):
        call = asyncio.ensure_future(delete(gateway, digest, ["1.0"]))
        await registry.requests.wait_for(1, method="DELETE")
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await soon(gateway.calls.ended.wait())
    assert not registry.holds("team/app", digest)
    assert [record.status for record in registry.requests.select(method="DELETE")] == [202]
    assert [(call.code, call.peer[:5]) for call in gateway.calls.finished] == [(grpc.StatusCode.CANCELLED, "ipv4:")]


async def test_the_gateways_own_limit_does_not_lose_the_answer_to_a_delete(registry: DevRegistry) -> None:
    digest = registry.push("team/app", "1.0")
    limits = ServerLimits(max_call_duration=0.3)
    with registry.inject(Fault(route="manifests", method="DELETE", answer_delay=0.5)):
        async with serve_over(registry, limits=limits) as gateway:
            answer = await delete(gateway, digest, ["1.0"])
    assert list(answer.deleted_tags) == ["1.0"]


async def test_the_gateways_end_breaks_a_delete_off_and_says_so(registry: DevRegistry) -> None:
    digest = registry.push("team/app", "1.0")
    with registry.inject(Fault(route="manifests", method="DELETE", hang=True)):
        async with serve_over(registry) as gateway:
            call = asyncio.ensure_future(failure_of(delete(gateway, digest, ["1.0"])))
            await registry.requests.wait_for(1, method="DELETE")
            await soon(gateway.server.drain(0.4))
            failed = await soon(call)
    assert failed.outcome == (grpc.StatusCode.UNAVAILABLE, "SHUTTING_DOWN")
