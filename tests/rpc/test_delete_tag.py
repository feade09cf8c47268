"""DeleteTag."""

import asyncio

import grpc
import pytest

from portus.registry.v1.registry_service_pb2 import DeleteTagRequest, DeleteTagResponse
from portus_gateway.devregistry import DevRegistry, Fault, image
from portus_gateway.devregistry.digests import digest_of
from tests.rpc.failures import failure_of
from tests.rpc.gateways import Gateway, serve_over, soon

Code = grpc.StatusCode
OTHER = f"sha256:{'0' * 64}"


async def delete(
    gateway: Gateway, tag: str, expected: str = "", *, validate_only: bool = False, repository: str = "team/app"
) -> DeleteTagResponse:
    request = DeleteTagRequest(repository=repository, tag=tag, expected_digest=expected, validate_only=validate_only)
    return await gateway.stub.DeleteTag(request, timeout=10)


async def test_the_tag_goes_and_its_manifest_and_other_tags_stay(registry: DevRegistry, gateway: Gateway) -> None:
    digest = registry.push("team/app", "latest", "1.0")
    assert await delete(gateway, "latest", digest) == DeleteTagResponse(digest=digest)
    assert await delete(gateway, "1.0") == DeleteTagResponse(digest=digest)
    assert registry.tags("team/app") == {}
    assert registry.holds("team/app", digest)


async def test_a_tag_that_points_elsewhere_stays(registry: DevRegistry, gateway: Gateway) -> None:
    digest = registry.push("team/app", "1.0")
    for validate_only in (True, False):
        failed = await failure_of(delete(gateway, "1.0", OTHER, validate_only=validate_only))
        assert failed.outcome == (Code.FAILED_PRECONDITION, "TAG_MOVED")
        assert failed.facts == {"expected": OTHER, "actual": digest}
        assert digest in failed.message
        assert failed.resource == ("manifest", "team/app:1.0")
    assert registry.tags("team/app") == {"1.0": digest}
    assert registry.requests.count(method="DELETE") == 0


async def test_a_digest_of_another_algorithm_names_the_same_manifest(registry: DevRegistry, gateway: Gateway) -> None:
    content = image("a")
    digest = registry.push("team/app", "1.0", content=content)
    assert (await delete(gateway, "1.0", digest_of(content.manifest, "sha512"))).digest == digest


async def test_an_unknown_tag_and_an_unknown_repository(registry: DevRegistry, gateway: Gateway) -> None:
    registry.push("team/app", "1.0")
    assert (await failure_of(delete(gateway, "2.0"))).outcome == (Code.NOT_FOUND, "MANIFEST_UNKNOWN")
    assert (await failure_of(delete(gateway, "1.0", repository="none"))).code == Code.NOT_FOUND
    assert registry.requests.count(method="DELETE") == 0


async def test_what_is_not_valid_is_refused_before_the_registry_is_asked(
    registry: DevRegistry, gateway: Gateway
) -> None:
    failed = await failure_of(delete(gateway, "-", "sha256:short", repository="UPPER"))
    assert failed.outcome == (Code.INVALID_ARGUMENT, "INVALID_FIELD")
    assert set(failed.fields) == {"repository", "tag", "expected_digest"}
    assert registry.requests.total == 0


async def test_validate_only_deletes_nothing_and_fails_as_the_real_call(
    registry: DevRegistry, gateway: Gateway
) -> None:
    digest = registry.push("team/app", "1.0")
    assert (await delete(gateway, "1.0", validate_only=True)).digest == digest
    registry.deletion_enabled = False
    trial = await failure_of(delete(gateway, "1.0", validate_only=True))
    real = await failure_of(delete(gateway, "1.0"))
    assert trial.outcome == real.outcome == (Code.FAILED_PRECONDITION, "UNSUPPORTED")
    assert "DeleteManifest" not in real.message
    assert registry.tags("team/app") == {"1.0": digest}


async def test_a_registry_that_deletes_by_digest_only_says_what_else_can_be_done() -> None:
    async with DevRegistry(flavour="2.8") as registry, serve_over(registry) as gateway:
        digest = registry.push("team/app", "1.0")
        for validate_only in (True, False):
            failed = await failure_of(delete(gateway, "1.0", validate_only=validate_only))
            assert failed.outcome == (Code.FAILED_PRECONDITION, "UNSUPPORTED")
            assert "DeleteManifest" in failed.message
        assert registry.tags("team/app") == {"1.0": digest}


async def test_a_gateway_that_does_not_delete(registry: DevRegistry) -> None:
    registry.push("team/app", "1.0")
    async with serve_over(registry, deletion_enabled=False) as gateway:
        failed = await failure_of(delete(gateway, "1.0"))
    assert failed.outcome == (Code.FAILED_PRECONDITION, "DELETION_DISABLED")
    assert registry.requests.total == 0


async def test_an_answer_that_got_lost_is_looked_into(registry: DevRegistry, gateway: Gateway) -> None:
    digest = registry.push("team/app", "1.0", "2.0", "3.0")
    assert (await delete(gateway, "3.0")).digest == digest
    with registry.inject(Fault(route="manifests", method="DELETE", reset="after")):
        assert (await delete(gateway, "1.0")).digest == digest
    with registry.inject(Fault(route="manifests", method="DELETE", status=504)):
        failed = await failure_of(delete(gateway, "2.0"))
    assert failed.outcome == (Code.UNAVAILABLE, "DELETE_OUTCOME_UNKNOWN")
    assert set(registry.tags("team/app")) == {"2.0"}


async def test_a_tag_that_is_still_there_after_its_delete_is_not_said_to_be_gone(
    registry: DevRegistry, gateway: Gateway
) -> None:
    registry.push("team/app", "1.0")
    with registry.inject(Fault(route="manifests", method="DELETE", status=202)):
        failed = await failure_of(delete(gateway, "1.0"))
    assert failed.outcome == (Code.UNAVAILABLE, "DELETE_OUTCOME_UNKNOWN")


async def test_a_sent_delete_is_completed_after_its_caller_disconnects(registry: DevRegistry, gateway: Gateway) -> None:
    digest = registry.push("team/app", "1.0", "2.0")
    await delete(gateway, "2.0")
    with registry.inject(Fault(route="manifests", method="DELETE", answer_delay=0.2)):
        call = asyncio.ensure_future(delete(gateway, "1.0"))
        await registry.requests.wait_for(3, method="DELETE")
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await soon(gateway.calls.ended.wait())
    assert registry.tags("team/app") == {}
    assert registry.holds("team/app", digest)
