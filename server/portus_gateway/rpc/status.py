"""From errors to gRPC: the one table of codes, and the rich status (AIP-193) that goes with each error."""

import math
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import TypeVar

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, PreconditionFailure, ResourceInfo, RetryInfo
from google.rpc.status_pb2 import Status

from portus_gateway.access import errors as access
from portus_gateway.access.current_call import current_request_id
from portus_gateway.aio.deadline import DeadlineExceeded
from portus_gateway.aio.single_flight import WorkEnded
from portus_gateway.distribution import errors
from portus_gateway.errors import GatewayError
from portus_gateway.index import errors as index
from portus_gateway.operations.catalog_listing import TooManyTags, UnusableRepositoryName
from portus_gateway.operations.deletion_errors import (
    DeletionDisabled,
    DeletionRefused,
    ExpectedDigestRequired,
    IsManifest,
    ManifestDeletedToo,
    ManifestInUse,
    TagMoved,
    UnusableTags,
)
from portus_gateway.operations.image_config import NotAnImage, PlatformRequired
from portus_gateway.operations.platform_selection import PlatformUndecided, PlatformUnknown
from portus_gateway.operations.registry_status import AccountNotAskedFor
from portus_gateway.operations.setting_advice import concerns_settings, operator_text
from portus_gateway.rpc import call_errors

DOMAIN = "portus-gateway"
DETAILS_METADATA_KEY = "grpc-status-details-bin"

# Trailing metadata above 8 KiB gets lost on its way, and the status with it. The details travel as base64 to most
# clients, a third larger, beside the message, in which every character but plain ASCII takes three or more.
SERIALIZED_LIMIT = 4608
MESSAGE_LIMIT = 1024
# As the contract says: the first 50.
_MOST_VIOLATIONS = 50
_TEXT_LIMIT = 512
_DESCRIPTION_LIMIT = 256
_LONGEST_RETRY_DELAY = 24 * 3600.0
_CUT_MARK = "..."

CODES: Mapping[type[GatewayError], grpc.StatusCode] = MappingProxyType(
    {
        GatewayError: grpc.StatusCode.INTERNAL,
        DeadlineExceeded: grpc.StatusCode.DEADLINE_EXCEEDED,
        WorkEnded: grpc.StatusCode.UNAVAILABLE,
        errors.DistributionError: grpc.StatusCode.INTERNAL,
        errors.InvalidName: grpc.StatusCode.INVALID_ARGUMENT,
        errors.NotFound: grpc.StatusCode.NOT_FOUND,
        errors.InvalidRequest: grpc.StatusCode.INVALID_ARGUMENT,
        errors.RangeInvalid: grpc.StatusCode.OUT_OF_RANGE,
        errors.Unsupported: grpc.StatusCode.FAILED_PRECONDITION,
        errors.PreconditionFailed: grpc.StatusCode.FAILED_PRECONDITION,
        errors.Denied: grpc.StatusCode.PERMISSION_DENIED,
        errors.TooManyRequests: grpc.StatusCode.RESOURCE_EXHAUSTED,
        errors.Unavailable: grpc.StatusCode.UNAVAILABLE,
        errors.Unreachable: grpc.StatusCode.UNAVAILABLE,
        errors.TooManyOpenFiles: grpc.StatusCode.UNAVAILABLE,
        errors.UpstreamTimeout: grpc.StatusCode.UNAVAILABLE,
        errors.DeleteOutcomeUnknown: grpc.StatusCode.UNAVAILABLE,
        errors.GatewaySetup: grpc.StatusCode.INTERNAL,
        errors.WrongAddress: grpc.StatusCode.INTERNAL,
        errors.CredentialsRejected: grpc.StatusCode.INTERNAL,
        errors.RealmRefused: grpc.StatusCode.INTERNAL,
        errors.ChallengeUnusable: grpc.StatusCode.INTERNAL,
        errors.RegistryFault: grpc.StatusCode.INTERNAL,
        errors.RedirectRefused: grpc.StatusCode.FAILED_PRECONDITION,
        errors.IncompleteListing: grpc.StatusCode.FAILED_PRECONDITION,
        errors.UntrustedAnswer: grpc.StatusCode.DATA_LOSS,
        errors.NotHttp: grpc.StatusCode.INTERNAL,
        errors.DigestMismatch: grpc.StatusCode.DATA_LOSS,
        errors.AnswerTooLarge: grpc.StatusCode.DATA_LOSS,
        errors.ContentUnclear: grpc.StatusCode.FAILED_PRECONDITION,
        index.LiveIndexError: grpc.StatusCode.INTERNAL,
        index.IndexUnavailable: grpc.StatusCode.UNAVAILABLE,
        index.IndexDisabled: grpc.StatusCode.FAILED_PRECONDITION,
        index.IndexNotReady: grpc.StatusCode.UNAVAILABLE,
        index.CursorExpired: grpc.StatusCode.OUT_OF_RANGE,
        index.CursorUnknown: grpc.StatusCode.OUT_OF_RANGE,
        access.AccessError: grpc.StatusCode.INTERNAL,
        access.Unauthenticated: grpc.StatusCode.UNAUTHENTICATED,
        access.PermissionDenied: grpc.StatusCode.PERMISSION_DENIED,
        access.Hidden: grpc.StatusCode.NOT_FOUND,
        access.KeysUnavailable: grpc.StatusCode.UNAVAILABLE,
        access.AuditUnavailable: grpc.StatusCode.UNAVAILABLE,
        access.OutcomeNotRecorded: grpc.StatusCode.INTERNAL,
        access.CallerRateExceeded: grpc.StatusCode.RESOURCE_EXHAUSTED,
        access.CallerConcurrencyExceeded: grpc.StatusCode.RESOURCE_EXHAUSTED,
        AccountNotAskedFor: grpc.StatusCode.FAILED_PRECONDITION,
        TooManyTags: grpc.StatusCode.FAILED_PRECONDITION,
        UnusableRepositoryName: grpc.StatusCode.INTERNAL,
        PlatformUnknown: grpc.StatusCode.NOT_FOUND,
        PlatformRequired: grpc.StatusCode.FAILED_PRECONDITION,
        NotAnImage: grpc.StatusCode.FAILED_PRECONDITION,
        PlatformUndecided: grpc.StatusCode.FAILED_PRECONDITION,
        DeletionRefused: grpc.StatusCode.FAILED_PRECONDITION,
        ManifestInUse: grpc.StatusCode.FAILED_PRECONDITION,
        UnusableTags: grpc.StatusCode.FAILED_PRECONDITION,
        IsManifest: grpc.StatusCode.FAILED_PRECONDITION,
        TagMoved: grpc.StatusCode.FAILED_PRECONDITION,
        ExpectedDigestRequired: grpc.StatusCode.INVALID_ARGUMENT,
        ManifestDeletedToo: grpc.StatusCode.INTERNAL,
        DeletionDisabled: grpc.StatusCode.FAILED_PRECONDITION,
        call_errors.CallError: grpc.StatusCode.INTERNAL,
        call_errors.InvalidFields: grpc.StatusCode.INVALID_ARGUMENT,
        call_errors.TooManyCalls: grpc.StatusCode.RESOURCE_EXHAUSTED,
        call_errors.TooManyUnreadAnswers: grpc.StatusCode.RESOURCE_EXHAUSTED,
        call_errors.TooManyDownloads: grpc.StatusCode.RESOURCE_EXHAUSTED,
        call_errors.ShuttingDown: grpc.StatusCode.UNAVAILABLE,
        call_errors.WaitInterrupted: grpc.StatusCode.UNAVAILABLE,
        call_errors.Bug: grpc.StatusCode.INTERNAL,
    }
)

GATEWAY_FAULTS = frozenset(
    {
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.DATA_LOSS,
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.UNKNOWN,
    }
)
"""The codes of failures that are the gateway's or the registry's, and not the caller's."""

# What a registry says in its own code, where that tells more than the HTTP status did.
_CODES_OF_REASONS: Mapping[tuple[type[GatewayError], str], grpc.StatusCode] = MappingProxyType(
    {
        (kind, reason): code
        for kind in (errors.NotFound, errors.InvalidRequest)
        for reason, code in (
            ("MANIFEST_BLOB_UNKNOWN", grpc.StatusCode.FAILED_PRECONDITION),
            ("NAME_UNKNOWN", grpc.StatusCode.NOT_FOUND),
            ("MANIFEST_UNKNOWN", grpc.StatusCode.NOT_FOUND),
            ("BLOB_UNKNOWN", grpc.StatusCode.NOT_FOUND),
            ("BLOB_UPLOAD_UNKNOWN", grpc.StatusCode.NOT_FOUND),
        )
    }
)
# Retrying at once does not help where a rate or a number of calls is the limit.
_DEFAULT_DELAYS: Mapping[grpc.StatusCode, float] = MappingProxyType({grpc.StatusCode.RESOURCE_EXHAUSTED: 1.0})

Item = TypeVar("Item", bound=Message)


def code_of(error: GatewayError) -> grpc.StatusCode:
    """The gRPC code for an error: the row of its class, or of the nearest class above it."""
    for kind in type(error).__mro__:
        code = _CODES_OF_REASONS.get((kind, error.reason)) or CODES.get(kind)
        if code is not None:
            return code
    return grpc.StatusCode.INTERNAL


def problem_of(error: GatewayError) -> str:
    """What the log says about a call that failed with `error`; empty if the operator has nothing to correct."""
    text = operator_text(error)
    return text if code_of(error) in GATEWAY_FAULTS or text != str(error) else ""


def status_of(
    error: GatewayError,
    resource: ResourceInfo | None = None,
    *,
    limit: int = SERIALIZED_LIMIT,
    trace_id: str = "",
) -> Status:
    """The rich status for an error; `resource` is what it is about, `trace_id` the trace of the call if it has one.

    Serialized it has at most `limit` bytes, which have to be 1 KiB or more: the message and long texts are cut, and
    of lists as much is kept as fits.
    """
    code = code_of(error)
    number: int = code.value[0]
    status = Status(code=number, message=_cut(_message(error), min(MESSAGE_LIMIT, limit // 2)))
    details = _Details(status, limit)
    facts = {name: _cut(fact, _DESCRIPTION_LIMIT) for name, fact in error.facts.items()}
    if trace_id:
        facts["trace_id"] = trace_id
    details.add(ErrorInfo(reason=_cut(error.reason, 63), domain=DOMAIN, metadata=facts))
    delay = _retry_delay(error, code)
    if delay is not None:
        details.add(RetryInfo(retry_delay=delay))
    if resource is not None:
        details.add(
            ResourceInfo(
                resource_type=resource.resource_type,
                resource_name=_cut(resource.resource_name, _TEXT_LIMIT),
                description=resource.description,
            )
        )
    if error.field_violations:
        violations = (
            BadRequest.FieldViolation(
                field=_cut(violation.field, _DESCRIPTION_LIMIT),
                description=_cut(violation.description, _DESCRIPTION_LIMIT),
            )
            for violation in error.field_violations
        )
        details.add(BadRequest(field_violations=details.as_many_as_fit(violations)))
    if error.precondition_violations:
        preconditions = (
            PreconditionFailure.Violation(
                type=violation.type,
                subject=_cut(violation.subject, _DESCRIPTION_LIMIT),
                description=_cut(violation.description, _DESCRIPTION_LIMIT),
            )
            for violation in error.precondition_violations[:_MOST_VIOLATIONS]
        )
        details.add(PreconditionFailure(violations=details.as_many_as_fit(preconditions)))
    return status


def _message(error: GatewayError) -> str:
    """The error's own message. Addresses, account and settings are for the operator, who finds them in the log."""
    if not concerns_settings(error):
        return str(error)
    logged = current_request_id()
    return f"{error}. The gateway's operator has to look: its log says more" + (
        f" under the request id {logged}" if logged else ""
    )


class _Details:
    """Fills the details of a status as far as its size allows."""

    # The tags and lengths around a message inside of another, at most.
    _FRAME = 8
    # What packing adds to a detail: its type's address.
    _PACKING = 80

    def __init__(self, status: Status, limit: int) -> None:
        self._status = status
        self._limit = limit

    def add(self, detail: Message) -> None:
        packed = AnyMessage()
        packed.Pack(detail)
        if self._status.ByteSize() + packed.ByteSize() + self._FRAME <= self._limit:
            self._status.details.append(packed)

    def as_many_as_fit(self, items: Iterable[Item]) -> list[Item]:
        """The first of `items`, as many as there is room for in one detail."""
        kept: list[Item] = []
        size = self._status.ByteSize() + self._PACKING
        for item in items:
            size += item.ByteSize() + self._FRAME
            if size > self._limit:
                break
            kept.append(item)
        return kept


def _retry_delay(error: GatewayError, code: grpc.StatusCode) -> Duration | None:
    seconds = _DEFAULT_DELAYS.get(code) if error.retry_after is None else error.retry_after
    if seconds is None or math.isnan(seconds):
        return None
    delay = Duration()
    delay.FromMilliseconds(int(1000 * min(max(seconds, 0.0), _LONGEST_RETRY_DELAY)))
    return delay


def _cut(text: str, limit: int) -> str:
    """As much of `text` as takes at most `limit` bytes in a percent-encoded message (gRPC over HTTP/2, "Responses")."""
    text = text.encode(errors="replace").decode()
    if len(text) * 12 <= limit:
        return text
    size = 0
    for position, character in enumerate(text):
        size += 1 if " " <= character <= "~" and character != "%" else 3 * len(character.encode())
        if size > limit:
            # The dots take the place of as many characters, none of which is smaller than a dot.
            return text[: max(0, position - len(_CUT_MARK))] + _CUT_MARK
    return text
