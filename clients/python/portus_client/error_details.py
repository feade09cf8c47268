"""The details of a google.rpc.Status (AIP-193), as dataclasses."""

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
    """The resource that an error is about."""

    kind: str
    """Its type: `repository`, `manifest`, `blob`."""
    name: str
    """Its name: `team/app:1.0`."""
    description: str
    """More about it. Usually empty."""


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """An invalid field of a request."""

    field: str
    """The field's name, as in the .proto: `repository`."""
    description: str
    """What is wrong with the value, and what is allowed."""


@dataclass(frozen=True, slots=True)
class PreconditionViolation:
    """One reason why a call was refused."""

    kind: str
    """The kind of reason: `TAGGED`."""
    subject: str
    """What it is about: for `TAGGED`, a tag."""
    description: str
    """An explanation. Can be empty."""


@dataclass(frozen=True, slots=True)
class ErrorDetails:
    """The details of one status. A detail that is missing is empty or None."""

    reason: str
    """A code for programs: the registry's own (`MANIFEST_UNKNOWN`) or one of the gateway's (`TAGGED`)."""
    metadata: Mapping[str, str]
    """Facts that belong to the reason."""
    request_id: str
    """The id of the call in the gateway's log."""
    resource: Resource | None
    """The resource that the error is about."""
    field_violations: tuple[FieldViolation, ...]
    """The invalid fields."""
    precondition_violations: tuple[PreconditionViolation, ...]
    """Why the call was refused."""
    retry_delay: timedelta | None
    """How long to wait before the next try."""


def parse(status: Status) -> ErrorDetails:
    """Reads the details of a status. Details of an unknown type are ignored."""
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
                # The status code and message are still valid; raising here would hide them.
                return None
            return detail
    return None
