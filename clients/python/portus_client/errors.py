"""The errors that calls raise: one class for each gRPC status that the API documents."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
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
_UNANSWERED_HINT = "; no answer from a gateway: check the address, and whether the gateway uses TLS"
_CODES: Mapping[int, grpc.StatusCode] = MappingProxyType({code.value[0]: code for code in grpc.StatusCode})


class RegistryError(Exception):
    """A call that failed. If gRPC raised an error, that error is the `__cause__`."""

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
        """What went wrong, as a text for people."""
        return self._status.message

    @property
    def reason(self) -> str:
        """What went wrong, as a code for programs: `MANIFEST_UNKNOWN`, `TAGGED`. Empty if the gateway sent none."""
        return self._details.reason

    @property
    def metadata(self) -> Mapping[str, str]:
        """Facts that belong to the reason."""
        return self._details.metadata

    @property
    def request_id(self) -> str:
        """The id of the call in the gateway's log. Empty for an error within a response."""
        return self._details.request_id or self._request_id

    @property
    def resource(self) -> Resource | None:
        """The repository, manifest or blob that the error is about. None if not stated."""
        return self._details.resource

    @property
    def field_violations(self) -> tuple[FieldViolation, ...]:
        """The invalid fields of the request. Set with `InvalidArgument`."""
        return self._details.field_violations

    @property
    def precondition_violations(self) -> tuple[PreconditionViolation, ...]:
        """Why the call was refused. Set with `FailedPrecondition`."""
        return self._details.precondition_violations

    @property
    def retry_delay(self) -> timedelta | None:
        """How long to wait before the next try. None if the gateway does not say."""
        return self._details.retry_delay

    @cached_property
    def _details(self) -> ErrorDetails:
        return error_details.parse(self._status)

    def __str__(self) -> str:
        # The messages of gRPC do not say that the address or TLS may be wrong.
        hint = _UNANSWERED_HINT if self.code is grpc.StatusCode.UNAVAILABLE and not self.reason else ""
        return f"{self.message} ({', '.join(filter(None, (self.code.name, self.reason)))}){hint}"

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"


class NotFound(RegistryError):
    """The repository, manifest or blob does not exist, or there is no manifest for the platform."""


class InvalidArgument(RegistryError):
    """A field of the request is invalid. `field_violations` names it."""


class FailedPrecondition(RegistryError):
    """The call is not possible in the current state: deletion is disabled, or the registry does not support it."""


class Tagged(FailedPrecondition):
    """A delete was refused because unexpected tags point to the manifest. Nothing was deleted."""

    @property
    def tags(self) -> tuple[str, ...]:
        """The unexpected tags. If there are very many, the first of them; see `tag_count`."""
        return _subjects(self, "TAGGED")

    @property
    def index_tags(self) -> tuple[str, ...]:
        """The tags of indexes that contain the manifest. They prevent the delete too."""
        return _subjects(self, "REFERENCED")

    @property
    def tag_count(self) -> int:
        """The number of unexpected tags, including those that `tags` leaves out."""
        stated = self.metadata.get("tags", "")
        return max(len(self.tags), int(stated) if stated.isdecimal() else 0)


class Referenced(FailedPrecondition):
    """A delete was refused because tagged indexes contain the manifest. Nothing was deleted. `force` overrides it."""

    @property
    def index_tags(self) -> tuple[str, ...]:
        """The tags of these indexes, at most the first 50."""
        return _subjects(self, "REFERENCED")


class PermissionDenied(RegistryError):
    """The caller may not do this, or the registry refuses the gateway's account."""


class Unauthenticated(RegistryError):
    """The gateway requires a credential that is missing or invalid."""


class ResourceExhausted(RegistryError):
    """Too many calls. `retry_delay` says when to try again."""


class DeadlineExceeded(RegistryError):
    """The deadline expired. A delete may still have happened."""


class Unavailable(RegistryError):
    """The gateway, the registry or its token service cannot be reached. A delete may still have happened."""


class DataLoss(RegistryError):
    """The registry sent invalid data, which the gateway did not pass on."""


class Internal(RegistryError):
    """The gateway failed, its configuration or account is wrong, or the registry failed."""


class Unimplemented(RegistryError):
    """The server at the address does not know the call: an older gateway, or not a gateway."""


class Cancelled(RegistryError):
    """The call was cancelled before it ended, usually because the client was closed."""


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

_REFUSED_DELETES: Mapping[str, type[FailedPrecondition]] = MappingProxyType(
    {"TAGGED": Tagged, "REFERENCED": Referenced}
)


def from_status(status: Status, request_id: str = "") -> RegistryError:
    """Converts a google.rpc.Status."""
    error = _CLASSES.get(_CODES.get(status.code, grpc.StatusCode.UNKNOWN), RegistryError)(status, request_id)
    if isinstance(error, FailedPrecondition) and error.reason in _REFUSED_DELETES:
        return _REFUSED_DELETES[error.reason](status, request_id)
    return error


def _subjects(error: RegistryError, kind: str) -> tuple[str, ...]:
    return tuple(violation.subject for violation in error.precondition_violations if violation.kind == kind)


def client_error(code: grpc.StatusCode, message: str) -> RegistryError:
    """An error that this client finds itself."""
    number: int = code.value[0]
    return from_status(Status(code=number, message=message))


@contextmanager
def raised_for(request_id: str) -> Iterator[None]:
    """Turns the gRPC error that ends the block into a `RegistryError`. `request_id` was sent with the call."""
    try:
        yield
    except grpc.RpcError as error:
        raise from_call(error, request_id) from error


def from_call(error: grpc.RpcError, request_id: str) -> RegistryError:
    """Converts the error of a call. `request_id` is the id that was sent with the call."""
    number: int = error.code().value[0]
    status = Status(code=number, message=error.details() or "")
    # types-grpcio types the entries as objects with attributes; they are tuples, and a value can be a str.
    metadata: Iterable[tuple[str, str | bytes]] = error.trailing_metadata() or ()  # type: ignore[assignment]
    for serialized in _values(metadata, _DETAILS_METADATA_KEY):
        if isinstance(serialized, bytes):
            try:
                rich = Status.FromString(serialized)
            except DecodeError:
                # Keep the code and message of gRPC.
                continue
            # A proxy can replace the status but not the details. Then the details belong to another error.
            if rich.code == number:
                status = rich
    answered = next((value for value in _values(metadata, _REQUEST_ID_METADATA_KEY) if isinstance(value, str)), "")
    return from_status(status, answered or request_id)


def _values(metadata: Iterable[tuple[str, str | bytes]], key: str) -> Iterable[str | bytes]:
    return (value for name, value in metadata if name == key)
