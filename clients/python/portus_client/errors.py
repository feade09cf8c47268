"""The one family of errors that calls raise, a class for each gRPC status that the API documents."""

from collections.abc import Iterable, Mapping
from datetime import timedelta
from functools import cached_property
from types import MappingProxyType

import grpc
from google.protobuf.message import DecodeError
from google.rpc.status_pb2 import Status

from portus_client import error_details
from portus_client.error_details import ErrorDetails, FieldViolation, PreconditionViolation, Resource

_DETAILS_METADATA_KEY = "grpc-status-details-bin"
_REQUEST_ID_METADATA_KEY = "x-request-id"
_CODES: Mapping[int, grpc.StatusCode] = MappingProxyType({code.value[0]: code for code in grpc.StatusCode})


class RegistryError(Exception):
    """A call that failed. The error of gRPC that it comes from is its `__cause__`, where it comes from one."""

    def __init__(self, status: Status, request_id: str = "") -> None:
        super().__init__(status, request_id)
        self._status = status
        self._request_id = request_id

    @property
    def code(self) -> grpc.StatusCode:
        """The gRPC status code."""
        return _CODES.get(self._status.code, grpc.StatusCode.UNKNOWN)

    @property
    def message(self) -> str:
        """What went wrong, for people."""
        return self._status.message

    @property
    def reason(self) -> str:
        """What went wrong, for programs: `MANIFEST_UNKNOWN`, `TAGGED`. Empty where it is not the gateway's."""
        return self._details.reason

    @property
    def metadata(self) -> Mapping[str, str]:
        """Facts that belong to the reason."""
        return self._details.metadata

    @property
    def request_id(self) -> str:
        """The id under which the gateway's log has the call. Empty for an error inside of an answer."""
        return self._details.request_id or self._request_id

    @property
    def resource(self) -> Resource | None:
        """What the error is about: a repository, a manifest, a blob."""
        return self._details.resource

    @property
    def field_violations(self) -> tuple[FieldViolation, ...]:
        """The fields of the request that are wrong, with `InvalidArgument`."""
        return self._details.field_violations

    @property
    def precondition_violations(self) -> tuple[PreconditionViolation, ...]:
        """Why the call was refused, with `FailedPrecondition`."""
        return self._details.precondition_violations

    @property
    def retry_delay(self) -> timedelta | None:
        """How long to wait before another try. None where nobody said."""
        return self._details.retry_delay

    @cached_property
    def _details(self) -> ErrorDetails:
        return error_details.parse(self._status)

    def __str__(self) -> str:
        return f"{self.message} ({', '.join(filter(None, (self.code.name, self.reason)))})"

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"


class NotFound(RegistryError):
    """There is no such repository, manifest or blob, or none for the platform."""


class InvalidArgument(RegistryError):
    """A field of the request is wrong; `field_violations` names it."""


class FailedPrecondition(RegistryError):
    """Refused as things stand: deletion is switched off, or the registry does not do this."""


class Tagged(FailedPrecondition):
    """A delete that was refused: tags that the caller did not expect point to the manifest. Nothing was deleted."""

    @property
    def tags(self) -> tuple[str, ...]:
        """The tags that were not expected: the first of them, where there are very many."""
        return tuple(violation.subject for violation in self.precondition_violations if violation.kind == "TAGGED")

    @property
    def tag_count(self) -> int:
        """How many tags were not expected, also where `tags` lists only the first."""
        stated = self.metadata.get("tags", "")
        return max(len(self.tags), int(stated) if stated.isdecimal() else 0)


class PermissionDenied(RegistryError):
    """The registry refused the gateway's account, or the gateway its caller."""


class Unauthenticated(RegistryError):
    """The gateway does not know who calls."""


class ResourceExhausted(RegistryError):
    """Asked too often, or too many calls at a time; `retry_delay` says when to try again."""


class DeadlineExceeded(RegistryError):
    """The deadline ran out. A delete may have happened all the same."""


class Unavailable(RegistryError):
    """The gateway, the registry or its token service cannot be reached. A delete may have happened all the same."""


class DataLoss(RegistryError):
    """What the registry sent is not what it should be. It was not passed on."""


class Internal(RegistryError):
    """The gateway failed, its own account or set-up is wrong, or the registry failed."""


class Unimplemented(RegistryError):
    """What answers at the address does not know the call: an older gateway, or something else."""


class Cancelled(RegistryError):
    """The call was ended before its answer came: by closing the client, mostly."""


_CLASSES: Mapping[grpc.StatusCode, type[RegistryError]] = MappingProxyType(
    {
        grpc.StatusCode.NOT_FOUND: NotFound,
        grpc.StatusCode.INVALID_ARGUMENT: InvalidArgument,
        grpc.StatusCode.FAILED_PRECONDITION: FailedPrecondition,
        grpc.StatusCode.PERMISSION_DENIED: PermissionDenied,
        grpc.StatusCode.UNAUTHENTICATED: Unauthenticated,
        grpc.StatusCode.RESOURCE_EXHAUSTED: ResourceExhausted,
        grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineExceeded,
        grpc.StatusCode.UNAVAILABLE: Unavailable,
        grpc.StatusCode.DATA_LOSS: DataLoss,
        grpc.StatusCode.INTERNAL: Internal,
        grpc.StatusCode.UNIMPLEMENTED: Unimplemented,
        grpc.StatusCode.CANCELLED: Cancelled,
    }
)


def from_status(status: Status, request_id: str = "") -> RegistryError:
    """The error that a google.rpc.Status stands for."""
    error = _CLASSES.get(_CODES.get(status.code, grpc.StatusCode.UNKNOWN), RegistryError)(status, request_id)
    if isinstance(error, FailedPrecondition) and error.reason == "TAGGED":
        return Tagged(status, request_id)
    return error


def from_call(error: grpc.RpcError, request_id: str) -> RegistryError:
    """The error of a call that ended with `error`; `request_id` is the id that was sent with it."""
    number: int = error.code().value[0]
    status = Status(code=number, message=error.details() or "")
    # types-grpcio knows neither that these are tuples nor that a value can be a text.
    metadata: Iterable[tuple[str, str | bytes]] = error.trailing_metadata() or ()  # type: ignore[assignment]
    for serialized in _values(metadata, _DETAILS_METADATA_KEY):
        if isinstance(serialized, bytes):
            try:
                rich = Status.FromString(serialized)
            except DecodeError:
                # gRPC's own code and message stand without it.
                continue
            # A proxy may have put another status in its place; then the details are not about it.
            if rich.code == number:
                status = rich
    answered = next((value for value in _values(metadata, _REQUEST_ID_METADATA_KEY) if isinstance(value, str)), "")
    return from_status(status, answered or request_id)


def _values(metadata: Iterable[tuple[str, str | bytes]], key: str) -> Iterable[str | bytes]:
    return (value for name, value in metadata if name == key)
