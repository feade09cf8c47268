"""Whether the caller of the current call may use a repository, and the error if it may not."""

from collections.abc import Callable
from types import TracebackType

from portus_gateway.access.caller import Caller
from portus_gateway.access.current_call import current_rpc
from portus_gateway.access.errors import Hidden, PermissionDenied
from portus_gateway.access.policy import Policy, PolicySource
from portus_gateway.access.refusal_log import RefusalLog
from portus_gateway.access.rpcs import Rpc
from portus_gateway.distribution.digest import Digest
from portus_gateway.distribution.errors import NotFound
from portus_gateway.distribution.names import Repository
from portus_gateway.distribution.reference import Reference


class Admissions:
    """Asks the policy about each request. Outside of a call every method raises `LookupError`."""

    def __init__(self, source: PolicySource) -> None:
        self._source = source
        self._refusals = RefusalLog()

    def admission(self, repository: Repository, reference: Reference | None, own: Rpc | None = None) -> "Admission":
        """A block for a request about `repository`. Raises `Hidden`, `PermissionDenied`.

        `own` is the RPC that makes the request for itself: its right is needed if the current RPC is `Rpc.composed`, or
        if it shows a manifest that is read by its digest (`Rpc.shows_manifests`).
        """
        caller, called = current_rpc()
        composed = called.composed or (called.shows_manifests and isinstance(reference, Digest))
        right = own if own is not None and composed else called.repository_right
        policy = self._source.policy
        # A repository that the catalog has just listed is not hidden: its failure is passed on as it is.
        admission = Admission(caller, right, repository, reference, None if called.lists_repositories else policy)
        decision = policy.decide(caller, right, repository.name)
        if decision.allowed:
            return admission
        self._refusals.refused(caller, rpc=right.name, repository=repository.name, decision=str(decision))
        if policy.sees(caller, repository.name):
            raise PermissionDenied(f"{caller.name} may not call {right.name} on {repository}")
        raise Hidden(admission.missing(), reason=right.missing)

    def tags_visible(self) -> Callable[[str], bool] | None:
        """Whether the caller may list the tags of a repository of this name. None: of all."""
        caller, called = current_rpc()
        rights = self._source.policy.rights(caller, called.repository_right)
        return None if rights.everywhere else lambda name: rights.in_repository(name).allowed

    def visible(self) -> Callable[[str], bool] | None:
        """Whether the caller may see a repository of this name in an answer. None: it may see all."""
        rights = self._source.policy.rights(*current_rpc())
        return None if rights.everywhere else lambda name: rights.in_repository(name).allowed


class Admission:
    """A block for an allowed request.

    If there is a `policy`, absent content gives the same error as hidden content, unless the caller sees everything.
    """

    __slots__ = ("_caller", "_policy", "_reference", "_repository", "_right")

    def __init__(
        self,
        caller: Caller,
        right: Rpc,
        repository: Repository,
        reference: Reference | None,
        policy: Policy | None,
    ) -> None:
        self._caller = caller
        self._right = right
        self._repository = repository
        self._reference = reference
        self._policy = policy

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if (
            isinstance(error, NotFound)
            and self._policy is not None
            and not self._policy.rights(self._caller, self._right).everywhere
        ):
            raise NotFound(self.missing(), reason=self._right.missing) from error

    def missing(self) -> str:
        """The message for absent and for hidden content."""
        separator = "" if self._reference is None else "@" if isinstance(self._reference, Digest) else ":"
        wanted = f"{self._repository}{separator}{self._reference or ''}"
        return f"{wanted} does not exist, or {self._caller.name} may not see it"
