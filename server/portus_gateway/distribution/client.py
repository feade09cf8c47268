"""The Distribution client: one registry, one account."""

import asyncio
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Self

import aiohttp
from yarl import URL

from portus_gateway.aio.one_thread import OneThread
from portus_gateway.distribution.adaptive_limit import AdaptiveLimit
from portus_gateway.distribution.admission import Admission
from portus_gateway.distribution.authorization import Authorization
from portus_gateway.distribution.blobs import Blobs
from portus_gateway.distribution.catalog import Catalog
from portus_gateway.distribution.challenge_search import ChallengeSearch
from portus_gateway.distribution.concealment import PrivateNames
from portus_gateway.distribution.configuration import Configuration
from portus_gateway.distribution.connections import SentRequest, connector
from portus_gateway.distribution.deletion import Deletion
from portus_gateway.distribution.digest import Digest
from portus_gateway.distribution.download import Download, Part
from portus_gateway.distribution.environment_proxy import environment_proxy
from portus_gateway.distribution.exchange import Exchange, sent_once
from portus_gateway.distribution.image_config import ImageConfig
from portus_gateway.distribution.image_configs import ImageConfigs
from portus_gateway.distribution.manifest import Descriptor, Manifest
from portus_gateway.distribution.manifests import Manifests
from portus_gateway.distribution.names import Repository, Tag, UnusableName
from portus_gateway.distribution.observer import NotObserved, UpstreamObserver
from portus_gateway.distribution.origin import Origin
from portus_gateway.distribution.page import Cursor, Page
from portus_gateway.distribution.ping import Ping, RegistryVersion
from portus_gateway.distribution.pushes import Pushes
from portus_gateway.distribution.reference import Reference
from portus_gateway.distribution.referrers import Referrers, ReferrersPage
from portus_gateway.distribution.registry_sender import RegistrySender
from portus_gateway.distribution.repository_evidence import RepositoryEvidence
from portus_gateway.distribution.tags import Tags
from portus_gateway.distribution.tokens import TokenSource
from portus_gateway.distribution.transport import Transport
from portus_gateway.distribution.trust import client_tls_context


class DistributionClient:
    """A client of one Distribution registry; an async context manager that owns its connections.

    Every method raises only errors of `distribution.errors`. `aio.deadline.within` bounds a call in time, including all
    retries. A delete that was sent is not interrupted, neither by a deadline nor by a cancellation: its outcome must
    become known.
    """

    def __init__(self, configuration: Configuration, observer: UpstreamObserver | None = None) -> None:
        self._configuration = configuration
        self._observer = observer or NotObserved()
        self._open = AsyncExitStack()

    async def __aenter__(self) -> Self:
        configuration, observer = self._configuration, self._observer
        tls = client_tls_context(configuration.ca_file)
        session = await self._open.enter_async_context(_session(configuration, connector(tls, keep=True)))
        # The registry may be closing a kept connection just now, and a delete over it would get lost.
        fresh = await self._open.enter_async_context(_session(configuration, connector(tls, keep=False)))

        def exchange(slots: AdaptiveLimit | None = None, session: aiohttp.ClientSession = session) -> Exchange:
            # The token service has slots of its own: requests that wait for a token must not delay that token.
            return Exchange(
                session,
                fresh,
                slots or AdaptiveLimit(configuration.concurrency),
                timeouts=configuration.timeouts,
                retries=configuration.retries,
                observer=observer,
                proxy_for=environment_proxy if configuration.use_environment_proxy else lambda _: None,
            )

        origin = Origin.of(URL(configuration.url))
        realm = URL(configuration.token_realm) if configuration.token_realm else None
        tokens = TokenSource(exchange(), configuration.credentials, observer, configuration.timeouts.token)
        self._open.push_async_callback(tokens.close)
        authorization = Authorization(origin, tokens, configuration.credentials, realm, configuration.authentication)
        search = ChallengeSearch(authorization)
        account = configuration.credentials.username if configuration.credentials else None
        storage = [URL(str(each)) for each in configuration.blob_origins]
        names = PrivateNames.of([URL(str(origin)), *([realm] if realm else []), *storage], account)

        # Their readers may be slow, and other requests must not wait for them.
        downloads = exchange(AdaptiveLimit(configuration.downloads))

        def transport_with(own: Exchange) -> Transport:
            sender = RegistrySender(origin, own, downloads, names)
            admission = Admission(sender, authorization, search, configuration.retries.clock_delay)
            return Transport(sender, admission, configuration.blob_origins)

        slots = AdaptiveLimit(configuration.concurrency)
        transport = transport_with(exchange(slots))
        deleting = transport_with(exchange(slots, fresh))
        # At most half of the slots: a delete can take minutes, and must not block reads.
        deletion_slots = asyncio.Semaphore(max(1, configuration.concurrency // 2))
        deletion = Deletion(deleting, configuration.timeouts.delete, deletion_slots)
        # The ping has a slot of its own: a registry that is busy with our requests is not down.
        self._ping = Ping(transport_with(exchange()), authorization)
        self._catalog = Catalog(transport)
        self._tags = Tags(transport)
        self._evidence = RepositoryEvidence(transport)
        thread = OneThread("large-manifests")
        self._open.callback(thread.close)
        self._manifests = Manifests(transport, deletion, configuration.manifest_limit, thread)
        self._blobs = Blobs(transport, deletion, configuration.manifest_limit, configuration.retries)
        self._referrers = Referrers(transport, configuration.manifest_limit)
        self._image_configs = ImageConfigs(self._blobs, thread)
        self._pushes = Pushes(deleting, self._blobs)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._open.aclose()

    async def ping(self) -> RegistryVersion:
        """Makes sure that the registry answers and takes our credentials."""
        return await self._ping.send()

    async def list_repositories(self, size: int | None, after: Cursor | None = None) -> Page[Repository | UnusableName]:
        """A page of at most `size` repositories. None: as many as the registry sends at a time."""
        return await self._catalog.page(size, after)

    async def list_tags(
        self, repository: Repository, size: int | None, after: Cursor | None = None
    ) -> Page[Tag | UnusableName]:
        """A page of at most `size` tags. None: as many as the registry sends at a time."""
        return await self._tags.page(repository, size, after)

    async def is_in_catalog(self, repository: Repository) -> bool:
        """Whether the catalog lists the repository. False: it does not, or it cannot be read in time."""
        return await self._evidence.exists(repository)

    async def resolve_manifest(
        self,
        repository: Repository,
        reference: Reference,
        max_staleness: float = 0,  # noqa: ARG002  (for decorators that remember answers)
    ) -> Descriptor:
        """What `reference` points to, without its content. Always asks the registry."""
        return await self._manifests.resolve(repository, reference)

    async def is_listed(self, repository: Repository) -> bool:
        """Whether the catalog lists the repository. A failure is an error, other than for `is_in_catalog`."""
        return await self._evidence.is_listed(repository)

    async def tag_digest(self, repository: Repository, tag: Tag, known: Digest | None) -> Digest:
        """The digest that a tag points to. `known` is the one that it pointed to before, if that is known."""
        return await self._manifests.tag_digest(repository, tag, known)

    async def get_manifest(
        self,
        repository: Repository,
        reference: Reference,
        max_staleness: float = 0,  # noqa: ARG002  (for decorators that remember answers)
        known: Manifest | None = None,
    ) -> Manifest:
        """The manifest that `reference` points to. Always asks the registry.

        `known` itself is the answer where the registry says that it is unchanged.
        """
        if known is None:
            return await self._manifests.get(repository, reference)
        return await self._manifests.revalidate(repository, reference, known)

    async def delete_manifest(self, repository: Repository, digest: Digest) -> None:
        """Deletes the manifest and all tags on it, without asking about them."""
        await self._manifests.delete(repository, digest)

    async def delete_tag(self, repository: Repository, tag: Tag) -> None:
        """Deletes the tag alone, not what it points to."""
        await self._manifests.delete_tag(repository, tag)

    async def push_blob(self, repository: Repository, blob: bytes) -> None:
        """Stores a small blob, unless the repository has it."""
        await self._pushes.push_blob(repository, blob)

    async def push_manifest(self, repository: Repository, tag: Tag, manifest: bytes, media_type: str) -> None:
        """Stores a small manifest, whose blobs have to be there, and points the tag to it."""
        await self._pushes.push(repository, tag, manifest, media_type)

    async def blob_exists(self, repository: Repository, digest: Digest) -> bool:
        """Whether the repository has the blob."""
        return await self._blobs.exists(repository, digest)

    async def get_blob(self, repository: Repository, digest: Digest) -> bytes:
        """The blob's bytes, verified. For small blobs: at most the size that manifests may have."""
        return await self._blobs.get(repository, digest)

    def open_blob(self, repository: Repository, digest: Digest, part: Part) -> AbstractAsyncContextManager[Download]:
        """The blob, or a part of it, to be read piece by piece within the block."""
        return self._blobs.open(repository, digest, part)

    async def list_referrers(
        self, repository: Repository, digest: Digest, artifact_type: str, query: str
    ) -> ReferrersPage | None:
        """A page of what the registry's referrers API lists. None: the registry does not have it."""
        return await self._referrers.page(repository, digest, artifact_type, query)

    async def get_image_config(self, repository: Repository, config: Descriptor) -> ImageConfig:
        """The configuration that a manifest of the repository names by `config`."""
        return await self._image_configs.get(repository, config)

    async def delete_blob(self, repository: Repository, digest: Digest) -> None:
        """Deletes the blob from the repository."""
        await self._blobs.delete(repository, digest)

    async def check_tag_deletion(self, repository: Repository) -> None:
        """Makes sure that the registry would delete a tag in `repository`, without deleting anything."""
        await self._manifests.check_tag_deletion(repository)

    async def check_deletion(self, repository: Repository) -> None:
        """Makes sure that the registry would delete in `repository`, without deleting anything."""
        await self._manifests.check_deletion(repository)


def _session(configuration: Configuration, connections: aiohttp.TCPConnector) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=connections,
        headers={"User-Agent": configuration.user_agent},
        # A compressed answer is refused, not unpacked, because its real size is unknown.
        auto_decompress=False,
        request_class=SentRequest,
        middlewares=(sent_once,),
        cookie_jar=aiohttp.DummyCookieJar(),
    )
