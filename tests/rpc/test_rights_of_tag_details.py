"""Which rights ListTags needs for what it says of tags."""

from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import grpc
import pytest

from portus.registry.v1.registry_service_pb2 import ListTagsRequest, ListTagsResponse
from portus_gateway.access.authentication import Authentication
from portus_gateway.access.token_file import TokenFile
from portus_gateway.devregistry import DevRegistry
from tests.access.gateways import bearer, channel, gateway, stub
from tests.access.test_token_file import line
from tests.rpc.failures import Failure, failure_of

APP = "team-a/app"
POLICY = """
[[allow]]
name = "team a"
principals = ["token:a"]
rpcs = [{rpcs}]
repositories = ["team-a/**"]
"""
NAMES, DESCRIPTORS, FULL = ListTagsRequest.NAMES, ListTagsRequest.DESCRIPTORS, ListTagsRequest.FULL
RESOLVE, MANIFEST, CONFIG = "ResolveManifest", "GetManifest", "GetImageConfig"


@pytest.fixture
async def registry() -> AsyncIterator[DevRegistry]:
    async with DevRegistry() as served:
        served.push(APP, "1.0")
        served.push("team-b/secret", "1.0")
        yield served


@pytest.fixture
def authentication(tmp_path: Path) -> Authentication:
    path = tmp_path / "tokens"
    path.write_text(line("a", "secret-a"))
    return Authentication(bearers=[TokenFile(path)], certificates=False, anonymous=False)


async def ask(
    registry: DevRegistry, authentication: Authentication, rpcs: Sequence[str], request: ListTagsRequest
) -> ListTagsResponse | Failure:
    """What a caller with the rights for `rpcs` is answered."""
    policy = POLICY.format(rpcs=", ".join(f'"{rpc}"' for rpc in rpcs))
    async with gateway(registry, authentication, policy=policy) as address, channel(address) as opened:
        call = stub(opened).ListTags(request, metadata=bearer("secret-a"), timeout=10)
        try:
            return await call
        except grpc.aio.AioRpcError:
            return await failure_of(call)


@pytest.mark.parametrize(
    ("request_", "needed"),
    [
        (ListTagsRequest(repository=APP), []),
        (ListTagsRequest(repository=APP, omit_referrer_tags=True), []),
        (ListTagsRequest(repository=APP, digest=f"sha256:{0:064}"), [RESOLVE]),
        (ListTagsRequest(repository=APP, view=DESCRIPTORS), [RESOLVE]),
        (ListTagsRequest(repository=APP, view=FULL), [MANIFEST, CONFIG]),
        (ListTagsRequest(repository=APP, view=FULL, order_by="created desc"), [MANIFEST, CONFIG]),
        (ListTagsRequest(repository=APP, view=FULL, digest="the image"), [RESOLVE, MANIFEST, CONFIG]),
    ],
    ids=str,
)
async def test_details_of_tags_need_the_rights_for_what_they_show(
    registry: DevRegistry, authentication: Authentication, request_: ListTagsRequest, needed: list[str]
) -> None:
    if request_.digest == "the image":
        request_.digest = registry.tags(APP)["1.0"]
    answer = await ask(registry, authentication, ["ListTags", *needed], request_)
    assert isinstance(answer, ListTagsResponse)
    assert [one.tag for one in answer.details] == ([] if request_.view == NAMES else ["1.0"])
    assert not any(one.HasField("status") for one in answer.details)
    for missing in needed:
        rights = [rpc for rpc in ["ListTags", *needed] if rpc != missing]
        failed = await ask(registry, authentication, rights, request_)
        assert isinstance(failed, Failure), missing
        assert failed.outcome == (grpc.StatusCode.PERMISSION_DENIED, "POLICY_DENIED")
        assert failed.message == f"token:a may not call {missing} on {APP}"


async def test_without_the_right_to_list_the_other_rights_show_no_tag(
    registry: DevRegistry, authentication: Authentication
) -> None:
    for view in (NAMES, DESCRIPTORS, FULL):
        request = ListTagsRequest(repository=APP, view=view)
        failed = await ask(registry, authentication, [RESOLVE, MANIFEST, CONFIG], request)
        assert isinstance(failed, Failure)
        assert failed.outcome == (grpc.StatusCode.PERMISSION_DENIED, "POLICY_DENIED")
        request = ListTagsRequest(repository="team-b/secret", view=view)
        failed = await ask(registry, authentication, ["read"], request)
        assert isinstance(failed, Failure)
        assert failed.outcome == (grpc.StatusCode.NOT_FOUND, "NAME_UNKNOWN")
    assert registry.requests.count(route="manifests") == 0
