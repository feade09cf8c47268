"""DeleteBlob."""

import grpc

from portus.registry.v1.registry_service_pb2 import DeleteBlobRequest, DeleteBlobResponse
from portus_gateway.devregistry import DevRegistry, Fault, image
from tests.rpc.failures import failure_of
from tests.rpc.gateways import Gateway, serve_over

CONTENT = image("app")
BLOB = next(iter(CONTENT.blobs))


async def delete(
    gateway: Gateway, digest: str = BLOB, *, repository: str = "team/app", validate_only: bool = False
) -> DeleteBlobResponse:
    request = DeleteBlobRequest(repository=repository, digest=digest, validate_only=validate_only)
    return await gateway.stub.DeleteBlob(request, timeout=10)


async def test_it_is_gone_from_the_repository(registry: DevRegistry, gateway: Gateway) -> None:
    registry.push("team/app", "1.0", content=CONTENT)
    assert await delete(gateway) == DeleteBlobResponse(digest=BLOB)
    assert not registry.holds("team/app", BLOB)
    again = await failure_of(delete(gateway))
    assert again.outcome == (grpc.StatusCode.NOT_FOUND, "BLOB_UNKNOWN")
    assert again.resource == ("blob", f"team/app@{BLOB}")


async def test_it_is_deleted_where_the_registry_takes_a_blob_for_a_broken_manifest() -> None:
    async with DevRegistry(flavour="2.8") as registry, serve_over(registry) as gateway:
        registry.push("team/app", "1.0", content=CONTENT)
        assert await delete(gateway) == DeleteBlobResponse(digest=BLOB)
        assert not registry.holds("team/app", BLOB)


async def test_validate_only_deletes_nothing_and_fails_as_the_real_call(
    registry: DevRegistry, gateway: Gateway
) -> None:
    registry.push("team/app", "1.0", content=CONTENT)
    assert (await delete(gateway, validate_only=True)).digest == BLOB
    unknown = await failure_of(delete(gateway, f"sha256:{'0' * 64}", validate_only=True))
    registry.deletion_enabled = False
    unsupported = await failure_of(delete(gateway, validate_only=True))
    assert unknown.outcome == (grpc.StatusCode.NOT_FOUND, "BLOB_UNKNOWN")
    assert unsupported.outcome == (grpc.StatusCode.FAILED_PRECONDITION, "UNSUPPORTED")
    assert registry.holds("team/app", BLOB)


async def test_a_manifest_is_not_deleted_as_a_blob(registry: DevRegistry, gateway: Gateway) -> None:
    registry.push("team/app", "1.0", content=CONTENT)
    failed = await failure_of(delete(gateway, CONTENT.digest))
    assert failed.outcome == (grpc.StatusCode.FAILED_PRECONDITION, "IS_MANIFEST")
    assert registry.requests.count(method="DELETE") == 0


async def test_a_repository_that_there_is_not(gateway: Gateway) -> None:
    failed = await failure_of(delete(gateway, repository="team/other"))
    assert failed.outcome == (grpc.StatusCode.NOT_FOUND, "BLOB_UNKNOWN")
    assert failed.resource == ("blob", f"team/other@{BLOB}")


async def test_a_gateway_that_does_not_delete(registry: DevRegistry) -> None:
    registry.push("team/app", "1.0", content=CONTENT)
    async with serve_over(registry, deletion_enabled=False) as gateway:
        failed = await failure_of(delete(gateway))
    assert failed.outcome == (grpc.StatusCode.FAILED_PRECONDITION, "DELETION_DISABLED")
    assert registry.requests.total == 0


async def test_an_answer_that_got_lost_and_had_no_effect(registry: DevRegistry, gateway: Gateway) -> None:
    registry.push("team/app", "1.0", content=CONTENT)
    with registry.inject(Fault(route="blobs", method="DELETE", status=504)):
        failed = await failure_of(delete(gateway))
    assert failed.outcome == (grpc.StatusCode.UNAVAILABLE, "DELETE_OUTCOME_UNKNOWN")
