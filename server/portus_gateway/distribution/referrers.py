"""GET /v2/<name>/referrers/<digest>: what refers to a manifest (OCI distribution 1.1, "Listing Referrers")."""

import json
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from portus_gateway.distribution.digest import Digest
from portus_gateway.distribution.error_document import ErrorDocument
from portus_gateway.distribution.errors import RegistryFault, UntrustedAnswer
from portus_gateway.distribution.exchange import Answer
from portus_gateway.distribution.failures import failure
from portus_gateway.distribution.link import next_query
from portus_gateway.distribution.manifest import OCI_INDEX, Descriptor, Index, Manifest
from portus_gateway.distribution.manifest_parsing import parse_manifest
from portus_gateway.distribution.names import Repository
from portus_gateway.distribution.registry_request import RegistryRequest
from portus_gateway.distribution.transport import Transport

# What registries without this API answer.
_NO_API: Final = frozenset({404, 405, 501})


@dataclass(frozen=True, slots=True)
class ReferrersPage:
    """Some referrers of a manifest. Each digest occurs once.

    `next_query` is the query of the next page; empty on the last page.
    """

    referrers: tuple[Descriptor, ...]
    next_query: str = ""


class Referrers:
    """The referrers API of one registry. Pages have up to `size_limit` bytes."""

    def __init__(self, transport: Transport, size_limit: int) -> None:
        self._transport = transport
        self._size_limit = size_limit

    async def page(
        self, repository: Repository, digest: Digest, artifact_type: str, query: str
    ) -> ReferrersPage | None:
        """The page that `query` asks for, or the first one if it is empty. None: the registry does not have this API.

        With an `artifact_type`, the registry is asked to list only this type. It may ignore that. `OCI-Filters-Applied`
        would tell, but the caller has to compare the types anyway: not all descriptors state one.
        """
        path = f"/v2/{repository}/referrers/{digest}"
        if not query and artifact_type:
            query = f"artifactType={quote(artifact_type, safe='')}"
        answer = await self._transport.send(
            RegistryRequest(
                method="GET",
                target=f"{path}?{query}" if query else path,
                route="referrers",
                scope=f"repository:{repository}:pull",
                body_limit=self._size_limit,
                accept=(OCI_INDEX,),
            )
        )
        action = f"list the referrers of {repository}@{digest}"
        if _has_no_api(answer):
            return None
        if answer.status != 200:
            raise failure(answer, action)
        following = next_query(answer.headers.getall("Link", ()), path) or ""
        if following and following == query:
            raise RegistryFault(f"{action}: the registry's Link leads back to the same page")
        return ReferrersPage(_referrers(answer, action), following)


def lists_manifests(manifest: Manifest) -> bool:
    """Whether an index has a list of manifests. One without it does not say that there are none."""
    document: object = json.loads(manifest.raw)
    return isinstance(document, dict) and "manifests" in document


def _has_no_api(answer: Answer) -> bool:
    if answer.status in _NO_API:
        return True
    stated = ErrorDocument.read(answer.body) if 400 <= answer.status < 500 else None
    return stated is not None and stated.code == "UNSUPPORTED"


def _referrers(answer: Answer, action: str) -> tuple[Descriptor, ...]:
    manifest = parse_manifest(answer.body, digest=Digest.of(answer.body), media_type=OCI_INDEX)
    if not isinstance(manifest.content, Index) or not lists_manifests(manifest):
        problem = manifest.problem.message if manifest.problem else "it is not an image index"
        raise UntrustedAnswer(f"{action}: the registry's answer cannot be used: {problem}")
    by_digest = {descriptor.digest: descriptor for descriptor in manifest.content.manifests}
    return tuple(by_digest.values())
