"""The details that a google.rpc.Status carries (AIP-193), as values."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

from google.protobuf.message import DecodeError, Message
from google.rpc.error_details_pb2 import (
    BadRequest,
    ErrorInfo,
    PreconditionFailure,
    RequestInfo,
    ResourceInfo,
    RetryInfo,
)
from google.rpc.status_pb2 import Status

Detail = TypeVar("Detail", bound=Message)


@dataclass(frozen=True, slots=True)
class Resource:
    """What an error is about."""

    kind: str
    """What it is: `repository`, `manifest`, `blob`."""
    name: str
    """Its name: `team/app:1.0`."""
    description: str
    """More about it; mostly empty."""


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """What is wrong with one field of a request."""

    field: str
    """The field's name, as in the .proto: `repository`."""
    description: str
    """What is wrong with it, and what it has to be."""


@dataclass(frozen=True, slots=True)
class PreconditionViolation:
    """One reason why a call was refused."""

    kind: str
    """What kind of reason it is: `TAGGED`."""
    subject: str
    """What it is about: a tag."""
    description: str
    """What is wrong with it; can be empty."""


@dataclass(frozen=True, slots=True)
class ErrorDetails:
    """Everything that the details of a status say. What is not there is empty, or None."""

    reason: str
    """The machine's word for the error: the registry's own (`MANIFEST_UNKNOWN`) or one of the gateway's (`TAGGED`)."""
    metadata: Mapping[str, str]
    """Facts that belong to the reason."""
    request_id: str
    """The id under which the gateway's log has the call."""
    resource: Resource | None
    """What the error is about."""
    field_violations: tuple[FieldViolation, ...]
    """The fields that are wrong."""
    precondition_violations: tuple[PreconditionViolation, ...]
    """Why the call was refused."""
    retry_delay: timedelta | None
    """How long to wait before another try."""


def parse(status: Status) -> ErrorDetails:
    """Reads the details of a status. Kinds that are not known here are passed over."""
    info = _find(status, ErrorInfo)
    request = _find(status, RequestInfo)
    resource = _find(status, ResourceInfo)
    bad_request = _find(status, BadRequest)
    precondition = _find(status, PreconditionFailure)
    retry = _find(status, RetryInfo)
    return ErrorDetails(
        reason=info.reason if info else "",
        metadata=dict(info.metadata) if info else {},
        request_id=request.request_id if request else "",
        resource=Resource(resource.resource_type, resource.resource_name, resource.description) if resource else None,
        field_violations=tuple(
            FieldViolation(violation.field, violation.description)
            for violation in (bad_request.field_violations if bad_request else ())
        ),
        precondition_violations=tuple(
            PreconditionViolation(violation.type, violation.subject, violation.description)
            for violation in (precondition.violations if precondition else ())
        ),
        retry_delay=retry.retry_delay.ToTimedelta() if retry else None,
    )


def _find(status: Status, kind: type[Detail]) -> Detail | None:
    for packed in status.details:
        detail = kind()
        if packed.type_url.rpartition("/")[2] == detail.DESCRIPTOR.full_name:
            try:
                packed.Unpack(detail)
            except DecodeError:
                # The code and the message stand without it; to fail here would hide them.
                return None
            return detail
    return None
