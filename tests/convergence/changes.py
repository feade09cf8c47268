"""Changes a registry at random: pushes, moves and deletes, over HTTP and through the gateway."""

import asyncio
import random
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp
import grpc
from yarl import URL

from portus.registry.v1.registry_service_pb2 import DeleteManifestRequest, DeleteTagRequest, ListTagsRequest
from portus_gateway.devregistry import Content, image
from tests.convergence.disruptions import Disruptions
from tests.convergence.history import RegistryHistory
from tests.convergence.replicas import Replicas

if TYPE_CHECKING:
    from portus.registry.v1.registry_service_pb2_grpc import RegistryServiceAsyncStub

REPOSITORIES = tuple(f"team{number % 3}/app{number}" for number in range(12))
TAGS = tuple(f"t{number}" for number in range(6))
CONTENTS = tuple(image(f"content {number}") for number in range(5))
EXISTS = ""
"""The name under which the history has the repository itself."""
_ACCEPT = {"Accept": CONTENTS[0].media_type}
_TIMEOUT = 15.0
# A gateway that was killed may have sent its delete, which the registry then still makes.
_LATE = 0.5


class Changes:
    """Makes changes, and writes them to `history`. One repository has at most one change at a time."""

    def __init__(
        self,
        choice: random.Random,
        history: RegistryHistory,
        replicas: Replicas,
        disruptions: Disruptions,
        *,
        url: Callable[[], str],
        storage: Path,
        deletes_tags: bool,
    ) -> None:
        self._choice = choice
        self._history = history
        self._replicas = replicas
        self._disruptions = disruptions
        self._url = url
        self._storage = storage
        self._deletes_tags = deletes_tags
        self._has_blobs: set[tuple[str, str]] = set()
        self.counts = Counter[str]()
        self.violations: list[str] = []

    async def make_one(self, session: aiohttp.ClientSession, name: str, *, removes: bool = True) -> None:
        """One change of this repository. With `removes`, it may also remove the repository, unannounced."""
        known = self._history.tags(name)
        known.pop(EXISTS, None)
        kind = self._choice.random()
        if kind < 0.70 or not known:
            await self._push(session, name)
        elif kind < 0.72 and removes:
            await self._remove(name)
        else:
            tag = self._choice.choice(sorted(known))
            by_tag = self._deletes_tags and kind < 0.86
            gone = [tag] if by_tag else [other for other, digest in known.items() if digest == known[tag]]
            stub = self._replicas.any()
            if stub is not None and self._choice.random() < 0.4:
                await self._delete_through(stub.stub, session, name, tag if by_tag else "", known[tag], gone)
            else:
                await self._delete(session, name, tag if by_tag else known[tag], gone)

    async def _push(self, session: aiohttp.ClientSession, name: str) -> None:
        self.counts["push"] += 1
        content, tag = self._choice.choice(CONTENTS), self._choice.choice(TAGS)
        if (name, content.digest) not in self._has_blobs:
            with self._history.changing(name, {EXISTS: EXISTS}):
                await self._upload(session, name, content)
            self._has_blobs.add((name, content.digest))
        with self._history.changing(name, {tag: content.digest}):
            async with session.put(
                f"{self._url()}/v2/{name}/manifests/{tag}",
                data=content.manifest,
                headers={"Content-Type": content.media_type},
            ) as answer:
                assert answer.status == 201, await answer.text()

    async def _upload(self, session: aiohttp.ClientSession, name: str, content: Content) -> None:
        for digest, blob in content.blobs.items():
            async with session.post(f"{self._url()}/v2/{name}/blobs/uploads/") as started:
                place = URL(started.headers["Location"]).update_query(digest=digest)
            async with session.put(place, data=blob) as answer:
                assert answer.status == 201, await answer.text()

    async def _remove(self, name: str) -> None:
        """Removes a repository from the disk, as administrators do."""
        self.counts["remove"] += 1
        folder = self._storage / "docker/registry/v2/repositories" / name
        away = self._storage.with_name(f"removed-{self.counts['remove']}")
        with self._history.changing(name, dict.fromkeys(self._history.tags(name))):
            folder.rename(away)
        self._has_blobs = {each for each in self._has_blobs if each[0] != name}
        await asyncio.to_thread(shutil.rmtree, away)

    async def _delete(self, session: aiohttp.ClientSession, name: str, reference: str, gone: list[str]) -> None:
        self.counts["delete"] += 1
        with self._history.changing(name, dict.fromkeys(gone)):
            async with session.delete(f"{self._url()}/v2/{name}/manifests/{reference}") as answer:
                assert answer.status == 202, await answer.text()

    async def _delete_through(
        self,
        stub: "RegistryServiceAsyncStub",
        session: aiohttp.ClientSession,
        name: str,
        tag: str,
        digest: str,
        gone: list[str],
    ) -> None:
        """Deletes a tag, or the manifest if there is no tag, through a gateway. Its answer comes after the index."""
        self.counts["delete through a gateway"] += 1
        disrupted = self._disruptions.count
        try:
            with self._history.changing(name, dict.fromkeys(gone)):
                if tag:
                    await stub.DeleteTag(DeleteTagRequest(repository=name, tag=tag), timeout=_TIMEOUT)
                else:
                    request = DeleteManifestRequest(repository=name, digest=digest, force=True)
                    await stub.DeleteManifest(request, timeout=_TIMEOUT)
        except grpc.aio.AioRpcError:
            self.counts["failed delete through a gateway"] += 1
            await asyncio.sleep(_LATE)
            for each in gone:
                self._history.found(name, each, await self._digest_of(session, name, each))
            return
        replica = self._replicas.any()
        if replica is None:
            return
        request_of_old = ListTagsRequest(repository=name)
        request_of_old.max_staleness.FromSeconds(3600)
        try:
            shown = set((await replica.stub.ListTags(request_of_old, timeout=_TIMEOUT)).tags) & set(gone)
        except grpc.aio.AioRpcError:
            return
        # While the store cannot be written, a delete is left to the walk.
        if shown and self._disruptions.none_since(disrupted):
            self.violations.append(f"{name}: {sorted(shown)} deleted through a gateway, and listed afterwards")

    async def _digest_of(self, session: aiohttp.ClientSession, name: str, tag: str) -> str | None:
        async with session.head(f"{self._url()}/v2/{name}/manifests/{tag}", headers=_ACCEPT) as answer:
            assert answer.status in (200, 404), answer.status
            return answer.headers["Docker-Content-Digest"] if answer.status == 200 else None


async def content_of_registry(session: aiohttp.ClientSession, url: str) -> dict[str, dict[str, str]]:
    """What the registry has: repository, tag and digest, which is empty where it does not resolve the tag."""
    async with session.get(f"{url}/v2/_catalog?n=1000") as answer:
        names: list[str] = (await answer.json())["repositories"]
    found: dict[str, dict[str, str]] = {name: {} for name in names}
    for name in names:
        async with session.get(f"{url}/v2/{name}/tags/list") as answer:
            tags: list[str] = (await answer.json())["tags"] or [] if answer.status == 200 else []
        for tag in tags:
            async with session.head(f"{url}/v2/{name}/manifests/{tag}", headers=_ACCEPT) as answer:
                assert answer.status in (200, 404), answer.status
                found[name][tag] = answer.headers["Docker-Content-Digest"] if answer.status == 200 else ""
    return found
