"""Failures of one part of an answer: a repository of the catalog, a result of a batch, the state of the registry.

The call itself succeeds, so its line in the log says nothing about them. They are logged here.
"""

import asyncio
from weakref import WeakKeyDictionary

import structlog
from google.rpc.error_details_pb2 import ResourceInfo
from google.rpc.status_pb2 import Status

from portus_gateway.errors import GatewayError
from portus_gateway.rpc.call_errors import Bug
from portus_gateway.rpc.status import SERIALIZED_LIMIT, problem_of, status_of

_log = structlog.get_logger(__name__)

# A catalog can have ten thousand repositories that all fail for one reason: one line for each kind and task is enough.
_logged: WeakKeyDictionary["asyncio.Task[object]", set[tuple[type[GatewayError], str]]] = WeakKeyDictionary()


def part_status(error: GatewayError, resource: ResourceInfo | None = None, *, limit: int = SERIALIZED_LIMIT) -> Status:
    """The status of a part that failed with `error`, as `status_of` has it. Logs what the operator needs to know."""
    # A bug was logged where it was caught, with its traceback.
    problem = "" if isinstance(error, Bug) else problem_of(error)
    if problem:
        _log_first_of_its_kind(error, problem)
    return status_of(error, resource, limit=limit)


def _log_first_of_its_kind(error: GatewayError, problem: str) -> None:
    task = asyncio.current_task()
    kinds = _logged.setdefault(task, set()) if task is not None else set()
    kind = (type(error), error.reason)
    if kind not in kinds:
        kinds.add(kind)
        _log.warning("a part of an answer failed", reason=error.reason, problem=problem)
