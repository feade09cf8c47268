"""The registry: its routes on one port, its token service on another."""

import hashlib
import html
import posixpath
import secrets
import ssl
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import AsyncExitStack
from functools import partial
from types import TracebackType
from typing import Self

from aiohttp import web

from portus_gateway.devregistry.authorization import (
    AnonymousAuthorization,
    Auth,
    Authorization,
    BasicAuthorization,
    TokenAuthorization,
    needed_rights,
)
from portus_gateway.devregistry.behaviour import Behaviour
from portus_gateway.devregistry.blobs import delete_blob, get_blob
from portus_gateway.devregistry.catalog import list_catalog
from portus_gateway.devregistry.cut_answers import CutAnswer
from portus_gateway.devregistry.errors import RegistryError, error_response
from portus_gateway.devregistry.fault_effects import NoAnswer, apply_fault
from portus_gateway.devregistry.fault_set import FaultSet, Injection, Stage
from portus_gateway.devregistry.faults import Fault
from portus_gateway.devregistry.flavours import TRAITS, Flavour
from portus_gateway.devregistry.images import Content, image
from portus_gateway.devregistry.listener import Listener
from portus_gateway.devregistry.manifests import delete_manifest, get_manifest, put_manifest
from portus_gateway.devregistry.notifications import Notifications
from portus_gateway.devregistry.plain_answers import plain_error
from portus_gateway.devregistry.referrers import list_referrers
from portus_gateway.devregistry.request_log import RequestLog
from portus_gateway.devregistry.storage import Manifest, Storage
from portus_gateway.devregistry.tags import list_tags
from portus_gateway.devregistry.targets import Target, target_of
from portus_gateway.devregistry.token_service import LIFETIME_SECONDS, TokenService
from portus_gateway.devregistry.uploads import Uploads
from portus_gateway.devregistry.users import PORTUS, User

_MAXIMUM_NAME = 255
_METHODS = {
    "catalog": ("GET",),
    "tags": ("GET",),
    "manifests": ("DELETE", "GET", "HEAD", "PUT"),
    "blobs": ("DELETE", "GET", "HEAD"),
    "uploads": ("DELETE", "GET", "HEAD", "PATCH", "POST", "PUT"),
    "referrers": ("GET",),
}


class DevRegistry:
    """A registry in memory, over real HTTP, with a token service like Portus' on a second port.

        async with DevRegistry() as registry:
            digest = registry.push("team/app", "1.0")

    Both ports are free ones of `host` unless they are given, and they are known when the registry runs. The same
    object can be entered again, which is a restart: it keeps its ports and its content.

    `users`: by default there is one, `portus`, with every right and a random password.
    `flavour`: `2.8` behaves like distribution 2.8.2, `3.1` like 3.1.1, and `oci-1.1` follows the OCI distribution
    specification 1.1.1. docs/registries.md has the differences.
    `auth`: `token`, `basic` (like htpasswd: every user has every right) or `anonymous`.
    `token_lifetime`: whole seconds. `token_leeway`: seconds for which a token is accepted after its end. Real
    registries accept it for 60.
    `token_service`: another token service, which the caller runs. It has its own `users`, `service`, `issuer` and
    settings of tokens.
    `ssl_context`, `token_ssl_context`: serve HTTPS. `faults`: apply from the start.
    `clock`: seconds since the epoch, for tokens.
    """

    def __init__(
        self,
        users: Iterable[User] | None = None,
        *,
        flavour: Flavour = "3.1",
        auth: Auth = "token",
        deletion_enabled: bool = True,
        service: str = "registry.test",
        issuer: str = "portus.test",
        token_lifetime: int = LIFETIME_SECONDS,
        token_leeway: float = 0.0,
        token_service: TokenService | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        token_port: int = 0,
        ssl_context: ssl.SSLContext | None = None,
        token_ssl_context: ssl.SSLContext | None = None,
        faults: Iterable[Fault] = (),
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._faults = FaultSet()
        self._owns_tokens = token_service is None
        self.tokens = token_service or TokenService(
            [User(PORTUS, secrets.token_urlsafe(18))] if users is None else users,
            service=service,
            issuer=issuer,
            lifetime=token_lifetime,
            host=host,
            port=token_port,
            ssl_context=token_ssl_context,
            faults=self._faults,
            clock=clock,
        )
        """The token service."""
        for fault in faults:
            self.inject(fault)
        self.requests = RequestLog()
        """The requests to the registry. Those to the token service are in `tokens.requests`."""
        self._auth = auth
        self._authorization = _authorization(auth, self.tokens, token_leeway, clock)
        self._behaviour = Behaviour(TRAITS[flavour], deletion_enabled)
        self.notifications = Notifications(
            self._behaviour.traits, partial(self._faults.take, Stage.EVENT, "notifications")
        )
        """What is announced of pushes, pulls and deletes over HTTP, once it has an endpoint."""
        self._storage = Storage(self._behaviour.traits)
        self._uploads = Uploads(self._storage, self._behaviour)
        self._listener = Listener(self._handle, host, port, ssl_context)
        self._running: AsyncExitStack | None = None

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            if self._owns_tokens and self._auth == "token":
                await stack.enter_async_context(self.tokens)
            await stack.enter_async_context(self.notifications)
            await self._listener.start()
            stack.push_async_callback(self._listener.close)
            self._running = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._running is not None:
            await self._running.aclose()
            self._running = None

    @property
    def url(self) -> str:
        return self._listener.origin

    @property
    def realm(self) -> str:
        """The address of the token service."""
        return self.tokens.realm

    @property
    def service(self) -> str:
        return self.tokens.service

    @property
    def username(self) -> str:
        """The name of the user `portus`, or of the first user if there is none of that name."""
        return self.tokens.username

    @property
    def password(self) -> str:
        return self.tokens.password

    @property
    def deletion_enabled(self) -> bool:
        """Whether anything can be deleted. A change counts from the next request on."""
        return self._behaviour.deletion_enabled

    @deletion_enabled.setter
    def deletion_enabled(self, enabled: bool) -> None:
        self._behaviour.deletion_enabled = enabled

    @property
    def maximum_page(self) -> int:
        """The largest `n` of the catalog (`catalog.maxentries`). Pages of tags and referrers are not larger either."""
        return self._behaviour.maximum_page

    @maximum_page.setter
    def maximum_page(self, size: int) -> None:
        self._behaviour.maximum_page = size

    def inject(self, fault: Fault) -> Injection:
        """Applies a fault until it is removed. A `with` block removes it at its end.

        A fault of the route `token` applies to the token service.
        """
        return (self.tokens if fault.route == "token" else self._faults).inject(fault)

    def clear_faults(self) -> None:
        self._faults.clear()
        self.tokens.clear_faults()

    def push(self, repository: str, *tags: str, content: Content | None = None) -> str:
        """Stores content with its blobs and children, and tags it. Returns the manifest's digest.

        By default the content is an image that is different for each repository and first tag. Nothing is checked, so
        broken content can be stored too.
        """
        content = content or image(f"{repository}:{tags[0] if tags else ''}")
        for child in content.children:
            self.push(repository, content=child)
        for digest, blob in content.blobs.items():
            self._storage.put_blob(repository, digest, blob)
        self._storage.put_manifest(repository, content.digest, Manifest(content.manifest, content.media_type))
        for tag in tags:
            self.tag(repository, tag, content.digest)
        return content.digest

    def push_blob(self, repository: str, content: bytes) -> str:
        """Stores a blob that no manifest names. Answers with its digest."""
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        self._storage.put_blob(repository, digest, content)
        return digest

    def push_many(
        self, repositories: Iterable[str], tags: Sequence[str] = ("latest",), content: Content | None = None
    ) -> str:
        """Gives the same content to many new repositories. Returns the manifest's digest.

        Repositories that exist already are left as they are. A hundred thousand take about a second.
        """
        content = content or image("many")
        manifests: dict[str, Manifest] = {}
        blobs: dict[str, bytes] = {}
        waiting = [content]
        while waiting:
            part = waiting.pop()
            manifests[part.digest] = Manifest(part.manifest, part.media_type)
            blobs.update(part.blobs)
            waiting.extend(part.children)
        self._storage.put_many(repositories, manifests, dict.fromkeys(tags, content.digest), blobs)
        return content.digest

    def tag(self, repository: str, tag: str, digest: str) -> None:
        """Points a tag at a manifest of the repository. Raises `KeyError` if there is no such manifest."""
        found = self._storage.repository(repository)
        if found is None or digest not in found.manifests:
            raise KeyError(f"{repository} has no manifest {digest}")
        found.tag(tag, digest)

    def untag(self, repository: str, tag: str) -> bool:
        """Removes a tag. Returns whether there was one."""
        found = self._storage.repository(repository)
        return found is not None and found.untag(tag)

    def delete(self, repository: str, digest: str) -> bool:
        """Deletes a manifest with all of its tags. Returns whether there was one."""
        found = self._storage.repository(repository)
        return found is not None and found.delete_manifest(digest)

    def delete_blob(self, repository: str, digest: str) -> bool:
        """Removes a blob from a repository. Returns whether there was one."""
        found = self._storage.repository(repository)
        return found is not None and found.unlink_blob(digest)

    def repositories(self) -> list[str]:
        """The names of all repositories, in the catalog's order."""
        return self._storage.catalog()

    def tags(self, repository: str) -> dict[str, str]:
        """The tags of a repository and their digests. Empty for an unknown repository."""
        found = self._storage.repository(repository)
        return {} if found is None else dict(found.tags)

    def holds(self, repository: str, digest: str) -> bool:
        """Whether the repository has a manifest or a blob of this digest."""
        found = self._storage.repository(repository)
        return found is not None and (digest in found.manifests or found.has_blob(digest))

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        path, _, query = request.raw_path.partition("?")
        target = target_of(path)
        record = self.requests.begin(request, target.route, target.repository)
        status: int | None = None
        try:
            answer = await self._answer(request, target, path, query)
            if not isinstance(answer, NoAnswer):
                status = answer.status
            return answer
        finally:
            self.requests.end(record, status)

    async def _answer(self, request: web.BaseRequest, target: Target, path: str, query: str) -> web.StreamResponse:
        fault = self._take(Stage.ARRIVAL, request, target)
        if fault is None:
            return await self._admit(request, target, path, query)
        admit = partial(self._admit, request, target, path, query)
        return await apply_fault(fault, request, admit, self._listener.closing)

    async def _admit(self, request: web.BaseRequest, target: Target, path: str, query: str) -> web.StreamResponse:
        if self._serves(target):
            refusal = self._authorization.refuse(request, needed_rights(request, target))
            if refusal is not None:
                fault = self._take(Stage.CHALLENGE, request, target)
                answer = self._authorization.challenge(refusal, fault.realm if fault else None)
                answer.headers["Content-Type"] = self._behaviour.traits.json_type
                return _stamp(answer)
        fault = self._take(Stage.OPERATION, request, target)
        if fault is None:
            return await self._operate(request, target, path, query)
        operate = partial(self._operate, request, target, path, query)
        return await apply_fault(fault, request, operate, self._listener.closing)

    def _take(self, stage: Stage, request: web.BaseRequest, target: Target) -> Fault | None:
        if not self._faults:
            return None
        return self._faults.take(stage, target.route, request.method, target.repository)

    async def _operate(self, request: web.BaseRequest, target: Target, path: str, query: str) -> web.StreamResponse:
        try:
            answer = await self._dispatch(request, target, path, query)
            if path != "/":
                _stamp(answer)
            if isinstance(answer, CutAnswer) and request.method != "HEAD":
                return await answer.send(request)
            return answer
        except RegistryError as error:
            return _stamp(error_response(error, content_type=self._behaviour.traits.json_type))

    async def _dispatch(self, request: web.BaseRequest, target: Target, path: str, query: str) -> web.Response:
        if target.route == "ping":
            return web.Response(body=b"{}", headers={"Content-Type": self._behaviour.traits.json_type})
        if not self._serves(target):
            return self._not_found(request, path, query)
        methods = _METHODS[target.route]
        if request.method not in methods:
            allowed = {"Allow": ", ".join(methods)}
            if request.method == "OPTIONS":
                return web.Response(headers=allowed)
            return plain_error(405, "Method not allowed", allowed)
        name = target.repository or ""
        if len(name) > _MAXIMUM_NAME:
            raise RegistryError(
                self._behaviour.traits.long_name_code,
                f"repository name must not be more than {_MAXIMUM_NAME} characters",
            )
        match target.route, request.method:
            case "catalog", _:
                return list_catalog(self._storage, self._behaviour, path, query)
            case "tags", _:
                return list_tags(self._storage, self._behaviour, name, path, query)
            case "manifests", "PUT":
                return await put_manifest(
                    self._storage, self._behaviour, self.notifications, request, name, target.reference
                )
            case "manifests", "DELETE":
                return delete_manifest(self._storage, self._behaviour, self.notifications, name, target.reference)
            case "manifests", _:
                return get_manifest(self._storage, self._behaviour, self.notifications, request, name, target.reference)
            case "blobs", "DELETE":
                return delete_blob(self._storage, self._behaviour, name, target.reference)
            case "blobs", _:
                return get_blob(self._storage, self._behaviour, request, name, target.reference)
            case "referrers", _:
                return list_referrers(self._storage, self._behaviour, name, target.reference, path, query)
            case "uploads", "POST" if not target.reference:
                return await self._uploads.start(request, name, query, partial(self._may_pull, request))
            case _:
                return await self._uploads.serve(request, name, target.reference, query)

    def _serves(self, target: Target) -> bool:
        """Whether this flavour has the route."""
        if target.route == "referrers":
            return self._behaviour.traits.lists_referrers
        return target.route != "unknown"

    def _may_pull(self, request: web.BaseRequest, repository: str) -> bool:
        return self._authorization.refuse(request, (("repository", repository, "pull"),)) is None

    def _not_found(self, request: web.BaseRequest, path: str, query: str) -> web.Response:
        if path == "/":
            return web.Response(headers={"Cache-Control": "no-cache"})
        suffix = f"?{query}" if query else ""
        clean = posixpath.normpath(f"/{path.lstrip('/')}") + ("/" if path.endswith("/") else "")
        if clean != path:
            return web.Response(status=301, headers={"Location": clean + suffix})
        other = path.removesuffix("/") if path.endswith("/") else f"{path}/"
        if self._serves(target_of(other)):
            headers = {"Location": other + suffix}
            if request.method not in ("GET", "HEAD"):
                return web.Response(status=301, headers=headers)
            text = f'<a href="{html.escape(other + suffix)}">Moved Permanently</a>.\n\n'
            return web.Response(status=301, text=text, content_type="text/html", headers=headers)
        return plain_error(404, "404 page not found")


def _authorization(auth: Auth, tokens: TokenService, leeway: float, clock: Callable[[], float]) -> Authorization:
    if auth == "token":
        return TokenAuthorization(tokens, leeway, clock)
    return BasicAuthorization(tokens.users) if auth == "basic" else AnonymousAuthorization()


def _stamp(answer: web.Response) -> web.Response:
    answer.headers["Docker-Distribution-Api-Version"] = "registry/2.0"
    return answer
