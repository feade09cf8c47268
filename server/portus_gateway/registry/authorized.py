"""The registry as the caller of the current call may see it."""

from functools import partial
from types import TracebackType
from typing import Final

import structlog

from portus_gateway.access.caller import Caller
from portus_gateway.access.current_call import current_call
from portus_gateway.access.errors import Hidden, PermissionDenied
from portus_gateway.access.policy import Policy, PolicySource, Rights
from portus_gateway.distribution.digest import Digest
from portus_gateway.distribution.errors import NotFound
from portus_gateway.distribution.manifest import Descriptor, Manifest
from portus_gateway.distribution.names import Repository, Tag
from portus_gateway.registry.protocol import Cursor, Page, Reference, Registry, RegistryVersion
from portus_gateway.registry.visible_catalog import Name, visible_page, visible_stretch

_log = structlog.get_logger(__name__)

_CATALOGS: Final = ("Catalog", "StreamCatalog")
# What an RPC says is missing when its repository is not there, or when what it asks for in it is not.
_MISSING: Final = {"ListTags": "NAME_UNKNOWN", "DeleteBlob": "BLOB_UNKNOWN"}
_MISSING_ELSE: Final = "MANIFEST_UNKNOWN"
_REMEMBERED_DECISIONS: Final = 4096
_BY_NONE: Final = (None, False)


class AuthorizedRegistry:
    """Lets the current call's caller do with `registry` what the policy allows, by the RPC that it called.

    It belongs outside of whatever remembers or shares answers. Outside of a call every method but `ping` raises
    `LookupError`.

    A repository that the caller may do nothing with is not there: no request for it leaves, and the answer is the one
    for what does not exist. Who does not see everything gets that same answer, word by word, for all that the registry
    does not have. Where the caller may do something else with it, `PermissionDenied` says so.
    """

    def __init__(self, registry: Registry, source: PolicySource) -> None:
        self._registry = registry
        self._source = source
        self._allowed: dict[tuple[frozenset[str], str, str], tuple[Policy, bool]] = {}

    async def ping(self) -> RegistryVersion:
        return await self._registry.ping()

    async def list_repositories(self, size: int, after: Cursor | None = None) -> Page[Name]:
        call = current_call.get()
        rights = self._source.policy.rights(call.caller, call.rpc)
        if rights.everywhere:
            return await self._registry.list_repositories(size, after)
        sees = partial(_allows, rights)
        # A stream gives out no page tokens, and its caller wants the first answer soon.
        list_visible = visible_stretch if call.rpc == "StreamCatalog" else visible_page
        return await list_visible(self._registry, sees, size, after)

    async def list_tags(self, repository: Repository, size: int, after: Cursor | None = None) -> Page[Tag]:
        call = current_call.get()
        rpc = "ListTags" if call.rpc in _CATALOGS else call.rpc
        # A repository that the catalog has just listed is no secret any more: its failure is told as it is.
        with self._admission(repository, None, rpc, alike=call.rpc not in _CATALOGS):
            return await self._registry.list_tags(repository, size, after)

    async def resolve_manifest(self, repository: Repository, reference: Reference) -> Descriptor:
        with self._admission(repository, reference):
            return await self._registry.resolve_manifest(repository, reference)

    async def get_manifest(
        self,
        repository: Repository,
        reference: Reference,
        max_staleness: float = 0,
        known: Manifest | None = None,
    ) -> Manifest:
        # Many at a time are no more than each of them.
        rpc = "GetManifest" if current_call.get().rpc == "BatchGetManifests" else None
        with self._admission(repository, reference, rpc):
            return await self._registry.get_manifest(repository, reference, max_staleness, known)

    async def delete_manifest(self, repository: Repository, digest: Digest) -> None:
        with self._admission(repository, digest):
            await self._registry.delete_manifest(repository, digest)

    async def blob_exists(self, repository: Repository, digest: Digest) -> bool:
        call = current_call.get()
        if self._source.policy.rights(call.caller, call.rpc).everywhere:
            return await self._registry.blob_exists(repository, digest)
        try:
            with self._admission(repository, digest):
                return await self._registry.blob_exists(repository, digest)
        except NotFound:
            # Whether it is the repository that is not there, or not visible, or the blob: it is all alike.
            return False

    async def get_blob(self, repository: Repository, digest: Digest) -> bytes:
        with self._admission(repository, digest):
            return await self._registry.get_blob(repository, digest)

    async def delete_blob(self, repository: Repository, digest: Digest) -> None:
        with self._admission(repository, digest):
            await self._registry.delete_blob(repository, digest)

    async def check_deletion(self, repository: Repository) -> None:
        with self._admission(repository, None):
            await self._registry.check_deletion(repository)

    def _admission(
        self, repository: Repository, reference: Reference | None, rpc: str | None = None, *, alike: bool = True
    ) -> "_Admission":
        """Lets the current caller in, by its right to `rpc`: the one that it called unless given.

        Raises `NotFound`, `PermissionDenied`.
        """
        call = current_call.get()
        rpc = rpc or call.rpc
        policy = self._source.policy
        key = (call.caller.principals, rpc, repository.name)
        by, everywhere = self._allowed.get(key, _BY_NONE)
        if by is policy:
            return _Admission(call.caller, rpc, repository, reference, alike=alike and not everywhere)
        rights = policy.rights(call.caller, rpc)
        admission = _Admission(call.caller, rpc, repository, reference, alike=alike and not rights.everywhere)
        decision = rights.in_repository(repository.name)
        if decision.allowed:
            if len(self._allowed) >= _REMEMBERED_DECISIONS:
                self._allowed.clear()
            self._allowed[key] = (policy, rights.everywhere)
            return admission
        _log.info("refused", caller=call.caller.name, rpc=rpc, repository=repository.name, decision=str(decision))
        if policy.sees(call.caller, repository.name):
            raise PermissionDenied(f"{call.caller.name} may not call {rpc} on {repository}")
        message, reason = admission.missing()
        raise Hidden(message, reason=reason)


class _Admission:
    """A block in which an allowed request is made; if `alike`, what is missing in it is told like what is hidden."""

    __slots__ = ("_alike", "_caller", "_reference", "_repository", "_rpc")

    def __init__(
        self, caller: Caller, rpc: str, repository: Repository, reference: Reference | None, *, alike: bool
    ) -> None:
        self._caller = caller
        self._rpc = rpc
        self._repository = repository
        self._reference = reference
        self._alike = alike

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._alike and isinstance(error, NotFound):
            message, reason = self.missing()
            raise NotFound(message, reason=reason) from error

    def missing(self) -> tuple[str, str]:
        """Message and reason of what is not there."""
        separator = "" if self._reference is None else "@" if isinstance(self._reference, Digest) else ":"
        wanted = f"{self._repository}{separator}{self._reference or ''}"
        message = f"{wanted}: there is no such thing, or none that {self._caller.name} may see"
        return message, _MISSING.get(self._rpc, _MISSING_ELSE)


def _allows(rights: Rights, name: Name) -> bool:
    return rights.in_repository(name.name if isinstance(name, Repository) else name.text).allowed
