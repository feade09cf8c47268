"""Referrers and their content, over each registry."""

from typing import TYPE_CHECKING

import grpc
import pytest

from portus.registry.v1.referrer_pb2 import Referrer
from portus.registry.v1.registry_service_pb2 import ListReferrersRequest, ReadBlobRequest
from portus_gateway.devregistry import artifact, image, index
from tests.real.gateways import failure_of
from tests.real.image_tools import ImageTools

if TYPE_CHECKING:
    from portus.registry.v1.registry_service_pb2_grpc import RegistryServiceAsyncStub

pytestmark = pytest.mark.asyncio(loop_scope="session")

SBOM_TYPE = "application/spdx+json"
SIGNATURE_TYPE = "application/vnd.dev.cosign.simplesigning.v1+json"


async def content_of(gateway: "RegistryServiceAsyncStub", request: ReadBlobRequest) -> bytes:
    return b"".join([message.chunk async for message in gateway.ReadBlob(request)])


async def test_signatures_and_sboms_are_listed_and_read_in_two_calls(
    gateway: "RegistryServiceAsyncStub", images: ImageTools, repository: str
) -> None:
    app = image(repository)
    await images.push(repository, "1.0", content=app)
    sbom = artifact(SBOM_TYPE, {"sbom": b'{"spdx": "yes"}'}, subject=app)
    await images.push(repository, "an-sbom", content=sbom)
    # As clients do where the registry has no referrers API; where it has one, the tag is not needed.
    await images.push(repository, app.digest.replace(":", "-"), content=index([sbom]))
    signature = artifact("", {"payload": b"signed"}, media_type=SIGNATURE_TYPE)
    await images.push(repository, f"{app.digest.replace(':', '-')}.sig", content=signature)
    found = (await gateway.ListReferrers(ListReferrersRequest(repository=repository, digest=app.digest))).referrers
    by_digest = {each.descriptor.digest: each for each in found}
    assert set(by_digest) == {sbom.digest, signature.digest}
    assert by_digest[sbom.digest].source in (Referrer.REFERRERS_API, Referrer.FALLBACK_TAG)
    assert by_digest[signature.digest].source == Referrer.COSIGN_TAG
    for content, kind, expected in (
        (sbom, SBOM_TYPE, b'{"spdx": "yes"}'),
        (signature, SIGNATURE_TYPE, b"signed"),
    ):
        each = by_digest[content.digest]
        assert each.descriptor.artifact_type == kind
        (layer,) = each.layers
        assert await content_of(gateway, ReadBlobRequest(repository=repository, digest=layer.digest)) == expected
    request = ListReferrersRequest(repository=repository, digest=app.digest, artifact_type=SBOM_TYPE)
    (only,) = (await gateway.ListReferrers(request)).referrers
    assert only.descriptor.digest == sbom.digest


async def test_an_image_without_referrers_has_none(
    gateway: "RegistryServiceAsyncStub", images: ImageTools, repository: str
) -> None:
    app = image(repository)
    await images.push(repository, "1.0", content=app)
    page = await gateway.ListReferrers(ListReferrersRequest(repository=repository, digest=app.digest))
    assert (list(page.referrers), page.next_page_token) == ([], "")
    failure = await failure_of(
        gateway.ListReferrers(ListReferrersRequest(repository=f"{repository}-absent", digest=app.digest))
    )
    assert failure.kind == (grpc.StatusCode.NOT_FOUND, "NAME_UNKNOWN")
