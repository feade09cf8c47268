"""DeleteTag over a registry that deletes by digest only, where the gateway's operator allows to emulate it."""

import asyncio
from collections.abc import AsyncIterator

import grpc
import pytest
from yarl import URL

from portus.registry.v1.registry_service_pb2 import DeleteManifestRequest, DeleteTagResponse
from portus_gateway.devregistry import DevRegistry, Fault, image, index
from portus_gateway.distribution.digest import Digest
from portus_gateway.distribution.names import Tag
from portus_gateway.operations.tag_placeholder import Placeholder
from tests.rpc.failures import failure_of
from tests.rpc.gateways import Gateway, serve_over, soon
from tests.rpc.test_delete_tag import OTHER, delete

Code = grpc.StatusCode


@pytest.fixture
async def registry() -> AsyncIterator[DevRegistry]:
    async with DevRegistry(flavour="2.8") as served:
        yield served


@pytest.fixture
async def gateway(registry: DevRegistry) -> AsyncIterator[Gateway]:
    async with serve_over(registry, emulate_tag_deletion=True) as served:
        yield served


def sent(registry: DevRegistry, method: str) -> int:
    """How many requests of this kind the registry has accepted."""
    return sum(record.status in (201, 202) for record in registry.requests.select(method=method, route="manifests"))


async def test_the_tag_goes_and_its_manifest_and_other_tags_stay(registry: DevRegistry, gateway: Gateway) -> None:
    digest = registry.push("team/app", "latest", "1.0")
    other = registry.push("team/app", "2.0", content=image("other"))
    assert await delete(gateway, "latest", digest) == DeleteTagResponse(digest=digest)
    assert registry.tags("team/app") == {"1.0": digest, "2.0": other}
    # The last tag, too. What the gateway pushed is there already.
    assert await delete(gateway, "1.0", digest) == DeleteTagResponse(digest=digest)
    assert registry.tags("team/app") == {"2.0": other}
    assert registry.holds("team/app", digest)


async def test_no_manifest_of_the_gateway_stays(registry: DevRegistry, gateway: Gateway) -> None:
    digest = registry.push("team/app", "1.0")
    await delete(gateway, "1.0", digest)
    (pushed,) = registry.requests.select(method="PUT", route="manifests", status=201)
    (deleted,) = registry.requests.select(method="DELETE", route="manifests", status=202)
    assert pushed.target.endswith("/1.0")
    assert not registry.holds("team/app", deleted.target.rpartition("/")[2])


@pytest.mark.parametrize("validate_only", [False, True])
async def test_the_digest_has_to_be_named(registry: DevRegistry, gateway: Gateway, validate_only: bool) -> None:
    digest = registry.push("team/app", "1.0")
    failed = await failure_of(delete(gateway, "1.0", validate_only=validate_only))
    assert failed.outcome == (Code.INVALID_ARGUMENT, "INVALID_FIELD")
    assert list(failed.fields) == ["expected_digest"]
    failed = await failure_of(delete(gateway, "1.0", OTHER, validate_only=validate_only))
    assert failed.outcome == (Code.FAILED_PRECONDITION, "TAG_MOVED")
    assert registry.tags("team/app") == {"1.0": digest}
    assert registry.requests.count(method="PUT") == 0


async def test_a_trial_changes_nothing(registry: DevRegistry, gateway: Gateway) -> None:
    digest = registry.push("team/app", "1.0")
    assert (await delete(gateway, "1.0", digest, validate_only=True)).digest == digest
    assert registry.tags("team/app") == {"1.0": digest}
    assert registry.requests.count(method="PUT") == registry.requests.count(method="POST") == 0


async def test_a_registry_that_deletes_nothing_gets_no_push(registry: DevRegistry, gateway: Gateway) -> None:
    digest = registry.push("team/app", "1.0")
    registry.deletion_enabled = False
    failed = await failure_of(delete(gateway, "1.0", digest))
    assert failed.outcome == (Code.FAILED_PRECONDITION, "UNSUPPORTED")
    assert registry.requests.count(method="PUT") == 0


@pytest.mark.parametrize("emulated", [False, True])
async def test_the_right_to_push_is_asked_for_only_where_it_is_needed(registry: DevRegistry, emulated: bool) -> None:
    digest = registry.push("team/app", "1.0")
    async with serve_over(registry, emulate_tag_deletion=emulated) as gateway:
        if emulated:
            await delete(gateway, "1.0", digest)
        else:
            await failure_of(delete(gateway, "1.0", digest))
    scopes = [URL(record.target).query.get("scope", "") for record in registry.tokens.requests]
    assert any("push" in scope for scope in scopes) is emulated
    assert all(scope.startswith("repository:team/app:") for scope in scopes if "push" in scope)


async def test_a_registry_that_deletes_tags_is_asked_to() -> None:
    async with DevRegistry(flavour="3.1") as registry, serve_over(registry, emulate_tag_deletion=True) as gateway:
        digest = registry.push("team/app", "1.0")
        assert (await delete(gateway, "1.0")).digest == digest
        assert registry.requests.count(method="PUT") == 0


async def test_an_account_that_may_not_push_changes_nothing(registry: DevRegistry, gateway: Gateway) -> None:
    digest = registry.push("team/app", "1.0")
    with registry.inject(Fault(route="uploads", status=403)):
        failed = await failure_of(delete(gateway, "1.0", digest))
    assert failed.outcome == (Code.PERMISSION_DENIED, "DENIED")
    assert registry.tags("team/app") == {"1.0": digest}


async def test_a_tag_that_moves_before_the_gateway_moves_it_stays(registry: DevRegistry, gateway: Gateway) -> None:
    digest = registry.push("team/app", "1.0")
    with registry.inject(Fault(route="uploads", method="PUT", answer_delay=0.3)):
        call = asyncio.ensure_future(failure_of(delete(gateway, "1.0", digest)))
        await registry.requests.wait_for(1, method="POST")
        moved = registry.push("team/app", "1.0", content=image("newer"))
        failed = await call
    assert failed.outcome == (Code.FAILED_PRECONDITION, "TAG_MOVED")
    assert failed.facts == {"expected": digest, "actual": moved}
    assert registry.tags("team/app") == {"1.0": moved}
    assert sent(registry, "PUT") == 0


async def test_a_push_right_after_the_move_stays_and_is_told(registry: DevRegistry, gateway: Gateway) -> None:
    digest = registry.push("team/app", "1.0")
    with registry.inject(Fault(route="manifests", method="PUT", answer_delay=0.3)):
        call = asyncio.ensure_future(failure_of(delete(gateway, "1.0", digest)))
        while registry.tags("team/app") == {"1.0": digest}:
            await asyncio.sleep(0.01)
        moved = registry.push("team/app", "1.0", content=image("newer"))
        failed = await call
    assert failed.outcome == (Code.FAILED_PRECONDITION, "TAG_MOVED")
    assert failed.facts == {"expected": digest, "actual": moved}
    assert registry.tags("team/app") == {"1.0": moved}
    # Nothing of the gateway is left.
    assert sent(registry, "DELETE") == 1


@pytest.mark.parametrize("fault", ["reset=after", "status=504"])
async def test_a_move_whose_answer_got_lost_is_looked_into(registry: DevRegistry, gateway: Gateway, fault: str) -> None:
    digest = registry.push("team/app", "1.0")
    with registry.inject(Fault.parse(f"manifests:method=PUT,{fault}")):
        if fault == "reset=after":
            assert (await delete(gateway, "1.0", digest)).digest == digest
            assert registry.tags("team/app") == {}
            return
        failed = await failure_of(delete(gateway, "1.0", digest))
    assert failed.outcome == (Code.UNAVAILABLE, "DELETE_OUTCOME_UNKNOWN")
    assert digest in failed.message
    assert "again" in failed.message
    assert registry.tags("team/app") == {"1.0": digest}
    assert (await delete(gateway, "1.0", digest)).digest == digest


async def interrupted(registry: DevRegistry, gateway: Gateway, digest: str) -> None:
    """A delete of the tag 1.0 that fails after the tag was moved."""
    with registry.inject(Fault(route="manifests", method="DELETE", after=2, status=500)):
        failed = await failure_of(delete(gateway, "1.0", digest))
    assert failed.outcome == (Code.UNAVAILABLE, "DELETE_OUTCOME_UNKNOWN")
    assert digest in failed.message
    assert "again with the same expected_digest" in failed.message
    assert registry.tags("team/app")["1.0"] not in (digest, None)
    assert registry.holds("team/app", digest)


async def test_a_failure_in_the_middle_is_told_and_the_next_call_completes_the_delete(
    registry: DevRegistry, gateway: Gateway
) -> None:
    digest = registry.push("team/app", "1.0", "latest")
    await interrupted(registry, gateway, digest)
    pushes = sent(registry, "PUT")
    for validate_only in (True, False):
        assert (await delete(gateway, "1.0", digest, validate_only=validate_only)).digest == digest
    assert registry.tags("team/app") == {"latest": digest}
    assert sent(registry, "PUT") == pushes


async def test_what_was_left_is_not_deleted_where_somebody_needs_it(registry: DevRegistry, gateway: Gateway) -> None:
    digest = registry.push("team/app", "1.0")
    await interrupted(registry, gateway, digest)
    left = registry.tags("team/app")["1.0"]
    registry.tag("team/app", "copied", left)
    failed = await failure_of(delete(gateway, "1.0", digest))
    assert failed.outcome == (Code.FAILED_PRECONDITION, "TAGGED")
    assert failed.subjects == ("copied",)


async def test_what_was_left_of_another_tag_or_digest_is_not_completed(registry: DevRegistry, gateway: Gateway) -> None:
    digest = registry.push("team/app", "1.0")
    await interrupted(registry, gateway, digest)
    registry.tag("team/app", "copied", registry.tags("team/app")["1.0"])
    for tag, expected in (("1.0", OTHER), ("copied", digest)):
        failed = await failure_of(delete(gateway, tag, expected))
        assert failed.outcome == (Code.FAILED_PRECONDITION, "TAG_MOVED")


async def test_what_was_left_can_be_deleted_by_its_digest(registry: DevRegistry, gateway: Gateway) -> None:
    digest = registry.push("team/app", "1.0")
    await interrupted(registry, gateway, digest)
    request = DeleteManifestRequest(
        repository="team/app", digest=registry.tags("team/app")["1.0"], expected_tags=["1.0"]
    )
    await gateway.stub.DeleteManifest(request, timeout=10)
    assert registry.tags("team/app") == {}


async def test_a_caller_who_goes_away_leaves_no_tag_half_way(registry: DevRegistry, gateway: Gateway) -> None:
    digest = registry.push("team/app", "1.0")
    with registry.inject(Fault(route="manifests", method="PUT", answer_delay=0.3)):
        call = asyncio.ensure_future(delete(gateway, "1.0", digest))
        await registry.requests.wait_for(1, method="PUT", route="manifests")
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await soon(gateway.calls.ended.wait())
    assert registry.tags("team/app") == {}
    assert registry.holds("team/app", digest)


async def test_a_caller_who_goes_away_during_the_look_after_the_move_leaves_no_tag_half_way(
    registry: DevRegistry, gateway: Gateway
) -> None:
    digest = registry.push("team/app", "1.0")
    # The looks before the move are the first two.
    with registry.inject(Fault(route="manifests", method="HEAD", after=2, times=1, answer_delay=0.5)):
        call = asyncio.ensure_future(delete(gateway, "1.0", digest))
        await registry.requests.wait_for(1, method="PUT", route="manifests")
        looks = registry.requests.count(method="HEAD", route="manifests")
        await registry.requests.wait_for(looks + 1, method="HEAD", route="manifests")
        assert registry.tags("team/app") not in ({}, {"1.0": digest})
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await soon(gateway.calls.ended.wait())
    assert registry.tags("team/app") == {}
    assert registry.holds("team/app", digest)


def test_a_placeholder_is_told_by_its_exact_bytes() -> None:
    from portus_gateway.distribution.manifest_parsing import parse_manifest

    one = Placeholder.new(Tag("1.0"), Digest(OTHER))
    assert one != Placeholder.new(Tag("1.0"), Digest(OTHER))
    parsed = parse_manifest(one.manifest, digest=one.digest, media_type=one.media_type)
    assert Placeholder.found_in(parsed) == one
    for content in (image("a"), index([image("a")])):
        manifest = parse_manifest(content.manifest, digest=Digest(content.digest), media_type=content.media_type)
        assert Placeholder.found_in(manifest) is None
    longer = one.manifest + b" "
    assert Placeholder.found_in(parse_manifest(longer, digest=Digest.of(longer), media_type=one.media_type)) is None
