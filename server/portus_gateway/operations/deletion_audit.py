"""The records of deletes: how many there may be, and what is left out and counted."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Final, NoReturn, Protocol, runtime_checkable

import structlog

from portus_gateway.access.audit_log import AuditLog, Record, Value
from portus_gateway.access.budgets import Budgets
from portus_gateway.access.caller import Caller
from portus_gateway.aio import spans
from portus_gateway.errors import GatewayError
from portus_gateway.operations.deletion_outcome import first_of, reason_of

# Refusals cost their caller nothing, and could fill the disk, which stops all deletes. After the first MiB, 44 MB a day
# are recorded for one caller, and ten times that for all together.
_BYTES_A_SECOND: Final = 512.0
_BYTES_AT_ONCE: Final = 1024 * 1024
# How often the log says what was left out, in seconds, and for how many callers by name.
_SUMMARY_INTERVAL: Final = 60.0
_MOST_NAMED: Final = 20
_LONGEST_TEXT: Final = 300

_log = structlog.get_logger(__name__)


@runtime_checkable
class _InRepository(Protocol):
    repository: str


@runtime_checkable
class _ByDigest(Protocol):
    digest: str


@runtime_checkable
class _ByTag(Protocol):
    tag: str


@runtime_checkable
class _Batch(Protocol):
    @property
    def requests(self) -> Sequence[_ByDigest]: ...


class DeletionAudit:
    """Writes records of deletes to `log`. `request_id` says which call is being served.

    Records of refused deletes have a budget of bytes for each caller. What is beyond it is counted, and the numbers are
    recorded every minute within `summaries`.
    """

    def __init__(self, log: AuditLog, request_id: Callable[[], str]) -> None:
        self._log = log
        self._request_id = request_id
        self._budgets = Budgets(rate=_BYTES_A_SECOND, burst=_BYTES_AT_ONCE)
        self._counting_since = _now()

    @asynccontextmanager
    async def summaries(self, interval: float = _SUMMARY_INTERVAL) -> AsyncGenerator[None, None]:
        """Records every `interval` seconds, and at the end of the block, how many refusals were left out."""

        async def repeat() -> NoReturn:
            while True:
                await asyncio.sleep(interval)
                await self._record_left_out()

        repeating = asyncio.create_task(repeat())
        try:
            yield
        finally:
            repeating.cancel()
            await asyncio.gather(repeating, return_exceptions=True)
            await self._record_left_out()

    def may_record_refusal(self, caller: Caller | None) -> bool:
        """Whether a refusal of this caller may be recorded now. If not, `leave_out` counts it."""
        return self._budgets.allows(_key(caller))

    def leave_out(self, caller: Caller | None) -> None:
        """Counts a refusal that is not recorded."""
        self._budgets.leave_out(_key(caller))

    def spend(self, caller: Caller | None, size: int) -> None:
        """Notes that records of a refusal took so many bytes."""
        self._budgets.spend(_key(caller), size)

    async def write(self, record: Record) -> int:
        """Writes a record with the call's id, and returns its size. Raises `OSError`."""
        return await self._log.write(self._identified(record))

    async def write_if_possible(self, record: Record) -> int:
        """The same, but an error goes into the ordinary log, with the record."""
        try:
            return await self.write(record)
        except OSError as error:
            _log.error("the audit log cannot be written", problem=str(error), record=self._identified(record))
            return 0

    async def refused(self, caller: Caller | None, peer: str, rpc: str, request: object, error: GatewayError) -> None:
        """Records a delete that was refused before it was examined. Never raises: `error` goes to the caller."""
        if not self.may_record_refusal(caller):
            self.leave_out(caller)
            return
        record: dict[str, Value] = {
            "event": "refused",
            "caller": None if caller is None else caller.name,
            "peer": peer,
            "rpc": rpc,
            "outcome": "refused",
            **reason_of(error),
        }
        # As the caller sent it: it was not examined.
        if isinstance(request, _InRepository):
            record["repository"] = request.repository[:_LONGEST_TEXT]
        if isinstance(request, _ByDigest):
            record["digest"] = request.digest[:_LONGEST_TEXT]
        if isinstance(request, _ByTag):
            record["tag"] = request.tag[:_LONGEST_TEXT]
        if isinstance(request, _Batch):
            record |= first_of("digests", (part.digest[:_LONGEST_TEXT] for part in request.requests))
        self.spend(caller, await self.write_if_possible(record) or _LONGEST_TEXT)

    async def _record_left_out(self) -> None:
        since, self._counting_since = self._counting_since, _now()
        for key, count in self._budgets.left_out(_MOST_NAMED).items():
            await self.write_if_possible(
                {"event": "refusals_left_out", "caller": key or None, "count": count, "since": since}
            )

    def _identified(self, record: Record) -> Record:
        identity: dict[str, Value] = {"event": record["event"], "request_id": self._request_id()}
        if trace := spans.trace_id():
            identity["trace_id"] = trace
        return {**identity, **record}


def _key(caller: Caller | None) -> str:
    """The caller's name, or one name for all callers without a valid credential."""
    return "" if caller is None else caller.name


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
