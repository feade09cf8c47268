"""What a caller sees of a call that failed."""

from collections.abc import Awaitable, Mapping
from dataclasses import dataclass

import grpc
import pytest
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, PreconditionFailure, ResourceInfo, RetryInfo
from google.rpc.status_pb2 import Status

DETAILS = "grpc-status-details-bin"


@dataclass(frozen=True, slots=True)
class Failure:
    """A status with its details, as they came over the wire."""

    code: grpc.StatusCode
    message: str
    reason: str
    domain: str
    facts: Mapping[str, str]
    fields: Mapping[str, str]
    """What BadRequest says of which field."""
    subjects: tuple[str, ...]
    """Of PreconditionFailure's violations."""
    resource: tuple[str, str] | None
    """Type and name."""
    retry_delay: float | None
    """In seconds."""
    size: int
    """Bytes of the details in the trailing metadata."""

    @property
    def outcome(self) -> tuple[grpc.StatusCode, str]:
        return self.code, self.reason


async def failure_of(call: Awaitable[object]) -> Failure:
    """How `call` fails; the test fails where it does not."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return reported_by(caught.value)


def reported_by(error: grpc.aio.AioRpcError) -> Failure:
    """What the error says. Its two forms, plain and rich, have to agree."""
    trailing = dict(error.trailing_metadata() or ())
    assert DETAILS in trailing, f"a status without details: {error.code()} {error.details()}"
    serialized = trailing[DETAILS]
    assert isinstance(serialized, bytes)
    status = Status.FromString(serialized)
    number: int = error.code().value[0]
    assert (status.code, status.message) == (number, error.details())
    return read(status, size=len(serialized))


def read(status: Status, *, size: int = 0) -> Failure:
    """What a status says; each detail is there once at most."""
    kinds = [detail.type_url for detail in status.details]
    assert len(set(kinds)) == len(kinds)
    information, request, precondition = ErrorInfo(), BadRequest(), PreconditionFailure()
    resource, retry = ResourceInfo(), RetryInfo()
    known: tuple[Message, ...] = (information, request, precondition, resource, retry)
    present: set[str] = set()
    for detail in status.details:
        matching = [message for message in known if detail.type_url.endswith(f"/{message.DESCRIPTOR.full_name}")]
        assert matching, detail.type_url
        detail.Unpack(matching[0])
        present.add(matching[0].DESCRIPTOR.name)
    return Failure(
        code=next(code for code in grpc.StatusCode if code.value[0] == status.code),
        message=status.message,
        reason=information.reason,
        domain=information.domain,
        facts=dict(information.metadata),
        fields={violation.field: violation.description for violation in request.field_violations},
        subjects=tuple(violation.subject for violation in precondition.violations),
        resource=(resource.resource_type, resource.resource_name) if "ResourceInfo" in present else None,
        retry_delay=retry.retry_delay.ToTimedelta().total_seconds() if "RetryInfo" in present else None,
        size=size,
    )
