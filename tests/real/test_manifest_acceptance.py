"""Which manifests registries accept: the development registry accepts and refuses the same ones as distribution."""

import hashlib
import io
import json
from collections.abc import AsyncIterator

import aiohttp
import pytest
import pytest_asyncio

from portus_gateway.devregistry import Flavour
from tests.real.backends import DISTRIBUTION, DOCKER_REGISTRY, KINDS, Backend, InMemory, Kind
from tests.real.manifest_cases import (
    DOCKER_LIST,
    DOCKER_MANIFEST,
    OCI_INDEX,
    OCI_MANIFEST,
    STATUSES,
    STORED,
    TAKEN,
    Case,
    cases,
)

REPOSITORY = "team/acceptance"
ALL_TYPES = ", ".join((OCI_MANIFEST, OCI_INDEX, DOCKER_MANIFEST, DOCKER_LIST))
FLAVOURS: dict[Kind, Flavour] = {
    **{kind: kind.flavour for kind in KINDS if isinstance(kind, InMemory)},
    DOCKER_REGISTRY: "2.8",
    DISTRIBUTION: "3.1",
}

pytestmark = [
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.parametrize("kind", [pytest.param(kind, id=kind.name) for kind in FLAVOURS], indirect=True),
]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def manifests(backend: Backend) -> AsyncIterator[tuple[aiohttp.ClientSession, str]]:
    """A session that may push, and the URL of the repository's manifests. The stored image is there."""
    backend.plant(REPOSITORY, "stored", STORED)
    access: list[dict[str, object]] = [{"type": "repository", "name": REPOSITORY, "actions": ["pull", "push"]}]
    headers = {"Authorization": f"Bearer {backend.tokens.sign(access)}", "Accept": ALL_TYPES}
    async with aiohttp.ClientSession(headers=headers) as session:
        yield session, f"{backend.url}/v2/{REPOSITORY}/manifests"


@pytest.mark.parametrize("case", tuple(cases()), ids=lambda case: case.name)
async def test_a_manifest_is_taken_or_refused_as_by_distribution(
    kind: Kind, manifests: tuple[aiohttp.ClientSession, str], case: Case
) -> None:
    session, url = manifests
    expected = case.outcomes[FLAVOURS[kind]]
    headers = {"Content-Type": case.media_type} if case.media_type else {}
    skipped = () if case.media_type else ("Content-Type",)
    body = io.BytesIO(case.body)  # aiohttp warns of megabytes in one piece
    async with session.put(f"{url}/pushed", data=body, headers=headers, skip_auto_headers=skipped) as answer:
        outcome = TAKEN if answer.status == 201 else json.loads(await answer.read())["errors"][0]["code"]
        assert (outcome, answer.status) == (expected, STATUSES[expected])
    if outcome == TAKEN:
        digest = f"sha256:{hashlib.sha256(case.body).hexdigest()}"
        async with session.get(f"{url}/{digest}") as stored:
            assert (stored.status, await stored.read()) == (200, case.body)


async def test_distribution_sends_an_index_without_type_and_manifests_as_an_image(
    kind: Kind, manifests: tuple[aiohttp.ClientSession, str]
) -> None:
    session, url = manifests
    expected = OCI_INDEX if FLAVOURS[kind] == "oci-1.1" else OCI_MANIFEST
    async with session.put(f"{url}/bare", data=b'{"schemaVersion":2}', headers={"Content-Type": OCI_INDEX}) as answer:
        assert answer.status == 201
    async with session.get(f"{url}/bare") as stored:
        assert stored.content_type == expected
