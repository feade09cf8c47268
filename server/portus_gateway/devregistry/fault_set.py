"""The injected faults, and which of them applies to a request."""

from enum import Enum, auto
from fnmatch import fnmatchcase
from types import TracebackType

from portus_gateway.devregistry.faults import Fault


class Stage(Enum):
    """The stage of a request at which its fault applies."""

    ARRIVAL = auto()
    CHALLENGE = auto()
    """The registry is about to answer with a challenge."""
    OPERATION = auto()
    """The request has been admitted."""
    EVENT = auto()
    """The registry is about to announce what it has done."""


_APPLIED_ON_ARRIVAL = ("ping", "token")
_OF_NO_OTHER_ROUTE = ("token", "notifications")


class Injection:
    """A fault that applies until `remove`, or until the `with` block ends."""

    def __init__(self, fault: Fault, faults: "FaultSet") -> None:
        self.fault = fault
        self.matched = 0
        """The number of requests that matched the fault."""
        self.applied = 0
        """The number of requests to which the fault was applied."""
        self._faults = faults

    def remove(self) -> None:
        """Ends the fault for later requests. A second call does nothing."""
        self._faults.remove(self)

    def __enter__(self) -> "Injection":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.remove()


class FaultSet:
    """The injected faults, in the order of their injection."""

    def __init__(self) -> None:
        self._injections: list[Injection] = []

    def __bool__(self) -> bool:
        return bool(self._injections)

    def inject(self, fault: Fault) -> Injection:
        injection = Injection(fault, self)
        self._injections.append(injection)
        return injection

    def remove(self, injection: Injection) -> None:
        if injection in self._injections:
            self._injections.remove(injection)

    def clear(self) -> None:
        self._injections.clear()

    def take(self, stage: Stage, route: str, method: str, repository: str | None) -> Fault | None:
        """The fault that applies to this request at this stage. It is counted as applied."""
        for injection in self._injections:
            fault = injection.fault
            if _stage(fault, route) is not stage or not _matches(fault, route, method, repository):
                continue
            injection.matched += 1
            if injection.matched <= fault.after:
                continue
            if fault.times is not None and injection.applied >= fault.times:
                continue
            injection.applied += 1
            return fault
        return None


def _stage(fault: Fault, route: str) -> Stage:
    if route == "notifications":
        return Stage.EVENT
    if fault.realm is not None:
        return Stage.CHALLENGE
    if fault.before_authorization or route in _APPLIED_ON_ARRIVAL:
        return Stage.ARRIVAL
    return Stage.OPERATION


def _matches(fault: Fault, route: str, method: str, repository: str | None) -> bool:
    if fault.route != route and (fault.route != "any" or route in _OF_NO_OTHER_ROUTE):
        return False
    if fault.method is not None and fault.method != method:
        return False
    return fault.repository is None or (repository is not None and fnmatchcase(repository, fault.repository))
