import math
from collections.abc import Iterator
from urllib.parse import quote

import grpc
import pytest
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, PreconditionFailure, ResourceInfo

from portus_gateway.access import errors as access
from portus_gateway.aio.deadline import DeadlineExceeded
from portus_gateway.aio.single_flight import WorkEnded
from portus_gateway.distribution import errors
from portus_gateway.distribution.errors import DistributionError
from portus_gateway.errors import FieldViolation, GatewayError
from portus_gateway.index.errors import (
    CursorExpired,
    CursorUnknown,
    IndexDisabled,
    IndexNotReady,
    IndexUnavailable,
    LiveIndexError,
)
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
from portus_gateway.rpc import call_errors
from portus_gateway.rpc.call_errors import CallError, InvalidFields
from portus_gateway.rpc.status import CODES, code_of, problem_of, status_of
from tests.rpc.failures import Failure, failure_of, read
from tests.rpc.gateways import finish, serve
from tests.rpc.scripted_registry import DIGEST, ScriptedRegistry, raising

Code = grpc.StatusCode
LARGEST = 6 * 1024

TABLE: list[tuple[GatewayError, Code, str]] = [
    (GatewayError("no"), Code.INTERNAL, "INTERNAL"),
    (WorkEnded(), Code.UNAVAILABLE, "SHUTTING_DOWN"),
    (DistributionError("no"), Code.INTERNAL, "UPSTREAM_ERROR"),
    (errors.InvalidName("tag", "-", "letters"), Code.INVALID_ARGUMENT, "INVALID_NAME"),
    (errors.NotFound("no"), Code.NOT_FOUND, "NOT_FOUND"),
    (errors.NotFound("no", reason="NAME_UNKNOWN"), Code.NOT_FOUND, "NAME_UNKNOWN"),
    (errors.NotFound("no", reason="MANIFEST_UNKNOWN"), Code.NOT_FOUND, "MANIFEST_UNKNOWN"),
    (errors.NotFound("no", reason="BLOB_UNKNOWN"), Code.NOT_FOUND, "BLOB_UNKNOWN"),
    # Of what the manifest refers to, something is missing: the registry says so with 404 or with 400.
    (errors.NotFound("no", reason="MANIFEST_BLOB_UNKNOWN"), Code.FAILED_PRECONDITION, "MANIFEST_BLOB_UNKNOWN"),
    (errors.InvalidRequest("no", reason="MANIFEST_BLOB_UNKNOWN"), Code.FAILED_PRECONDITION, "MANIFEST_BLOB_UNKNOWN"),
    (PlatformUndecided("no"), Code.FAILED_PRECONDITION, "PLATFORM_UNDECIDED"),
    (PlatformUnknown("no"), Code.NOT_FOUND, "PLATFORM_UNKNOWN"),
    (errors.InvalidRequest("no"), Code.INVALID_ARGUMENT, "INVALID_REQUEST"),
    (AccountNotAskedFor(), Code.FAILED_PRECONDITION, "ACCOUNT_NOT_ASKED_FOR"),
    (errors.InvalidRequest("no", reason="DIGEST_INVALID"), Code.INVALID_ARGUMENT, "DIGEST_INVALID"),
    (errors.InvalidRequest("no", reason="MANIFEST_UNKNOWN"), Code.NOT_FOUND, "MANIFEST_UNKNOWN"),
    (errors.RangeInvalid("no"), Code.OUT_OF_RANGE, "RANGE_INVALID"),
    (errors.Unsupported("no"), Code.FAILED_PRECONDITION, "UNSUPPORTED"),
    (DeletionRefused("no"), Code.FAILED_PRECONDITION, "DELETION_REFUSED"),
    (ManifestInUse("no", tags=["1.0"]), Code.FAILED_PRECONDITION, "TAGGED"),
    (ManifestInUse("no", index_tags=["1.0"]), Code.FAILED_PRECONDITION, "REFERENCED"),
    (UnusableTags("no"), Code.FAILED_PRECONDITION, "UNUSABLE_TAGS"),
    (IsManifest("no"), Code.FAILED_PRECONDITION, "IS_MANIFEST"),
    (TagMoved("a:1", expected=DIGEST, actual=DIGEST), Code.FAILED_PRECONDITION, "TAG_MOVED"),
    (ExpectedDigestRequired(), Code.INVALID_ARGUMENT, "INVALID_FIELD"),
    (ManifestDeletedToo("no"), Code.INTERNAL, "MANIFEST_DELETED_TOO"),
    (DeletionDisabled("no"), Code.FAILED_PRECONDITION, "DELETION_DISABLED"),
    (errors.PreconditionFailed("no"), Code.FAILED_PRECONDITION, "UPSTREAM_PRECONDITION_FAILED"),
    (errors.PreconditionFailed("no", reason="CONFLICT"), Code.FAILED_PRECONDITION, "CONFLICT"),
    (errors.Denied("no"), Code.PERMISSION_DENIED, "DENIED"),
    (errors.TooManyRequests("no"), Code.RESOURCE_EXHAUSTED, "TOOMANYREQUESTS"),
    (errors.Unavailable("no"), Code.UNAVAILABLE, "UPSTREAM_UNAVAILABLE"),
    (errors.Unreachable("no"), Code.UNAVAILABLE, "UPSTREAM_UNREACHABLE"),
    (errors.TooManyOpenFiles(), Code.UNAVAILABLE, "TOO_MANY_OPEN_FILES"),
    (errors.UpstreamTimeout("no"), Code.UNAVAILABLE, "UPSTREAM_TIMEOUT"),
    (errors.DeleteOutcomeUnknown("no"), Code.UNAVAILABLE, "DELETE_OUTCOME_UNKNOWN"),
    (DeadlineExceeded("no"), Code.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED"),
    (errors.GatewaySetup("no"), Code.INTERNAL, "UPSTREAM_SETUP"),
    (errors.WrongAddress("no"), Code.INTERNAL, "UPSTREAM_SETUP"),
    (errors.CredentialsRejected("no"), Code.INTERNAL, "UPSTREAM_CREDENTIALS_REJECTED"),
    (errors.RealmRefused("no"), Code.INTERNAL, "UPSTREAM_REALM_REFUSED"),
    (errors.ChallengeUnusable("no"), Code.INTERNAL, "UPSTREAM_CHALLENGE_UNUSABLE"),
    (errors.RegistryFault("no"), Code.INTERNAL, "UPSTREAM_ERROR"),
    (errors.UntrustedAnswer("no"), Code.DATA_LOSS, "UPSTREAM_ANSWER_INVALID"),
    (errors.NotHttp("no"), Code.INTERNAL, "UPSTREAM_ERROR"),
    (errors.DigestMismatch(expected="sha256:a", actual="sha256:b"), Code.DATA_LOSS, "DIGEST_MISMATCH"),
    (errors.IncompleteListing("no"), Code.FAILED_PRECONDITION, "LISTING_INCOMPLETE"),
    (PlatformRequired("no"), Code.FAILED_PRECONDITION, "PLATFORM_REQUIRED"),
    (NotAnImage("no"), Code.FAILED_PRECONDITION, "NOT_AN_IMAGE"),
    (errors.RedirectRefused("no"), Code.FAILED_PRECONDITION, "REDIRECT_REFUSED"),
    (errors.AnswerTooLarge("no"), Code.DATA_LOSS, "UPSTREAM_ANSWER_TOO_LARGE"),
    (errors.ContentUnclear("no"), Code.FAILED_PRECONDITION, "CONTENT_INVALID"),
    (errors.ContentUnclear("no", reason="CONTENT_AMBIGUOUS"), Code.FAILED_PRECONDITION, "CONTENT_AMBIGUOUS"),
    (access.AccessError("no"), Code.INTERNAL, "ACCESS"),
    (access.Unauthenticated("no"), Code.UNAUTHENTICATED, "CREDENTIAL_INVALID"),
    (access.Unauthenticated("no", reason="CREDENTIAL_MISSING"), Code.UNAUTHENTICATED, "CREDENTIAL_MISSING"),
    (access.PermissionDenied("no"), Code.PERMISSION_DENIED, "POLICY_DENIED"),
    (access.Hidden("no", reason="MANIFEST_UNKNOWN"), Code.NOT_FOUND, "MANIFEST_UNKNOWN"),
    (access.KeysUnavailable("no"), Code.UNAVAILABLE, "KEYS_UNAVAILABLE"),
    (access.AuditUnavailable("no"), Code.UNAVAILABLE, "AUDIT_FAILED"),
    (access.OutcomeNotRecorded("no"), Code.INTERNAL, "AUDIT_OUTCOME_NOT_RECORDED"),
    (LiveIndexError("no"), Code.INTERNAL, "INTERNAL"),
    (IndexUnavailable(), Code.UNAVAILABLE, "INDEX_UNAVAILABLE"),
    (IndexDisabled(), Code.FAILED_PRECONDITION, "INDEX_DISABLED"),
    (IndexNotReady(), Code.UNAVAILABLE, "INDEX_NOT_READY"),
    (CursorExpired(), Code.OUT_OF_RANGE, "CURSOR_EXPIRED"),
    (CursorUnknown(), Code.OUT_OF_RANGE, "CURSOR_UNKNOWN"),
    (access.CallerRateExceeded("no"), Code.RESOURCE_EXHAUSTED, "CALLER_RATE_EXCEEDED"),
    (access.CallerConcurrencyExceeded("no"), Code.RESOURCE_EXHAUSTED, "CALLER_CONCURRENCY_EXCEEDED"),
    (TooManyTags("no"), Code.FAILED_PRECONDITION, "TOO_MANY_TAGS"),
    (UnusableRepositoryName("no"), Code.INTERNAL, "UNUSABLE_NAME"),
    (CallError("no"), Code.INTERNAL, "INTERNAL"),
    (InvalidFields([FieldViolation("tag", "no")]), Code.INVALID_ARGUMENT, "INVALID_FIELD"),
    (call_errors.TooManyCalls("no"), Code.RESOURCE_EXHAUSTED, "TOO_MANY_CALLS"),
    (call_errors.TooManyDownloads("no"), Code.RESOURCE_EXHAUSTED, "TOO_MANY_DOWNLOADS"),
    (call_errors.TooManyUnreadAnswers("no"), Code.RESOURCE_EXHAUSTED, "TOO_MANY_CALLS"),
    (call_errors.ShuttingDown(), Code.UNAVAILABLE, "SHUTTING_DOWN"),
    (call_errors.WaitInterrupted(), Code.UNAVAILABLE, "UPSTREAM_UNAVAILABLE"),
    (call_errors.Bug("abc-123"), Code.INTERNAL, "BUG"),
]


def kinds(base: type[Exception]) -> Iterator[type[Exception]]:
    for kind in base.__subclasses__():
        yield kind
        yield from kinds(kind)


def described(error: GatewayError) -> str:
    return f"{type(error).__name__}-{error.reason}"


@pytest.mark.parametrize(("error", "code", "reason"), TABLE, ids=[described(error) for error, _, _ in TABLE])
async def test_the_table(error: GatewayError, code: Code, reason: str) -> None:
    async with serve(ScriptedRegistry(raising(error))) as gateway:
        failed = await failure_of(finish(gateway.channel, "ResolveManifest"))
    assert (failed.code, failed.reason, failed.domain) == (code, reason, "portus-gateway")
    assert failed.message.partition(". The gateway's operator has to look")[0] == str(error)


def test_every_error_has_a_row_here_and_in_the_code() -> None:
    # Errors that a test makes up for itself are none of the package's.
    every = {kind for kind in (GatewayError, *kinds(GatewayError)) if kind.__module__.startswith("portus_gateway.")}
    assert set(CODES) == every
    assert {type(error) for error, _, _ in TABLE} == every


def test_an_error_that_is_new_gets_the_code_of_what_it_is() -> None:
    class NoSuchThing(errors.NotFound):
        reason = "NO_SUCH_THING"

    class Odd(CallError):
        pass

    assert code_of(NoSuchThing("no")) is Code.NOT_FOUND
    assert code_of(Odd("no")) is Code.INTERNAL


# --- Details ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        (errors.TooManyRequests("no"), 1.0),
        (errors.TooManyRequests("no", retry_after=2.5), 2.5),
        (errors.TooManyRequests("no", retry_after=-1), 0.0),
        (errors.TooManyRequests("no", retry_after=math.inf), 86400.0),
        (errors.TooManyRequests("no", retry_after=math.nan), None),
        (call_errors.TooManyCalls("no", retry_after=3), 3.0),
        (errors.Unavailable("no"), None),
        (errors.Unavailable("no", retry_after=7), 7.0),
        (errors.DeleteOutcomeUnknown("no"), None),
        (errors.NotFound("no"), None),
        (call_errors.ShuttingDown(), None),
    ],
    ids=str,
)
def test_when_to_try_again(error: GatewayError, seconds: float | None) -> None:
    assert read(status_of(error)).retry_delay == seconds


def test_the_error_of_a_traced_call_names_its_trace_beside_its_facts() -> None:
    error = GatewayError("failed")
    error.facts = {"tags": "1"}
    information = ErrorInfo()
    assert status_of(error, trace_id="5" * 32).details[0].Unpack(information)
    assert dict(information.metadata) == {"tags": "1", "trace_id": "5" * 32}
    assert status_of(error).details[0].Unpack(information)
    assert dict(information.metadata) == {"tags": "1"}


def test_tagged_names_the_tags_and_counts_them() -> None:
    reported = read(status_of(ManifestInUse("no", tags=["1.0", "latest"])))
    assert reported.subjects == ("1.0", "latest")
    assert reported.facts == {"tags": "2"}


def test_a_mismatch_names_both_digests() -> None:
    reported = read(status_of(errors.DigestMismatch(expected="sha256:a", actual="sha256:b")))
    assert reported.facts == {"expected": "sha256:a", "actual": "sha256:b"}


RESOURCES = {
    ("ListTags", "NAME_UNKNOWN"): ("repository", "team/app"),
    ("ListTags", "UPSTREAM_TIMEOUT"): ("repository", "team/app"),
    ("ResolveManifest", "MANIFEST_UNKNOWN"): ("manifest", "team/app:1.0"),
    ("ResolveManifest", "NAME_UNKNOWN"): ("repository", "team/app"),
    ("GetManifest", "MANIFEST_UNKNOWN"): ("manifest", "team/app:1.0"),
    ("GetImageConfig", "MANIFEST_UNKNOWN"): ("manifest", "team/app:1.0"),
    ("DeleteManifest", "MANIFEST_UNKNOWN"): ("manifest", "team/app@sha256:"),
    ("DeleteBlob", "BLOB_UNKNOWN"): ("blob", "team/app@sha256:"),
    ("DeleteBlob", "NAME_UNKNOWN"): ("repository", "team/app"),
    ("Catalog", "UNSUPPORTED"): None,
    ("StreamCatalog", "UNSUPPORTED"): None,
}


@pytest.mark.parametrize(("rpc", "reason"), RESOURCES)
async def test_an_error_says_what_it_is_about(rpc: str, reason: str) -> None:
    async with serve(ScriptedRegistry(raising(errors.Unsupported("no", reason=reason)))) as gateway:
        failed = await failure_of(finish(gateway.channel, rpc))
    due = RESOURCES[rpc, reason]
    if due is None or failed.resource is None:
        assert failed.resource == due
    else:
        assert failed.resource[0] == due[0]
        assert failed.resource[1].startswith(due[1])


async def test_a_bug_and_a_bad_field_are_about_no_resource() -> None:
    async with serve(ScriptedRegistry(raising(ValueError()))) as gateway:
        assert (await failure_of(finish(gateway.channel, "ListTags"))).resource is None
        assert (await failure_of(finish(gateway.channel, "ListTags", b"\x0a\x01/"))).resource is None


# --- Size -------------------------------------------------------------------------------------------------------

LONG = "ä" * 100_000
LARGE: list[GatewayError] = [
    ManifestInUse(LONG, tags=[f"{number:0128}" for number in range(5000)]),
    ManifestInUse(LONG, tags=[LONG] * 100),
    errors.NotFound(LONG, reason=LONG),
    errors.RegistryFault("\n" * 100_000),
    errors.RegistryFault("\U0001f4a5" * 5000),
    errors.RegistryFault("half of a pair: \ud83d" * 1000),
    errors.DigestMismatch(expected=LONG, actual=LONG),
    InvalidFields([FieldViolation(f"expected_tags[{number}]", LONG[:1000]) for number in range(1000)]),
    errors.TooManyRequests(LONG, retry_after=1e300),
]


@pytest.mark.parametrize("error", LARGE, ids=lambda error: type(error).__name__)
async def test_a_large_error_arrives_whole_as_what_it_is(error: GatewayError) -> None:
    async with serve(ScriptedRegistry(raising(error))) as gateway:
        failed = await failure_of(finish(gateway.channel, "ResolveManifest"))
    assert (failed.code, failed.domain) == (code_of(error), "portus-gateway")
    assert failed.reason
    assert error.reason.startswith(failed.reason.removesuffix("..."))
    # The details travel as base64 beside the message, and 8 KiB is where gRPC begins to drop them.
    assert failed.size * 4 / 3 + encoded(failed.message) < LARGEST * 4 / 3
    assert failed.message.endswith("...")


PRINTABLE = "".join(map(chr, range(0x20, 0x7F))).replace("%", "")


def encoded(message: str) -> int:
    """Bytes that a message takes in its trailer."""
    return len(quote(message.encode(), safe=PRINTABLE))


async def test_of_thousands_of_tags_the_first_fifty_are_named() -> None:
    tags = [f"v{number}" for number in range(5000)]
    async with serve(ScriptedRegistry(raising(ManifestInUse("too many", tags=tags)))) as gateway:
        failed = await failure_of(finish(gateway.channel, "ResolveManifest"))
    assert failed.subjects == tuple(tags[:50])
    assert failed.facts == {"tags": "5000"}


def test_of_long_tags_there_are_as_many_as_fit() -> None:
    reported = reported_of(ManifestInUse("too many", tags=["x" * 128] * 50))
    assert 20 < len(reported.subjects) < 50
    assert set(reported.subjects) == {"x" * 128}


def reported_of(error: GatewayError) -> Failure:
    return read(status_of(error))


@pytest.mark.parametrize("error", LARGE, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("limit", [1024, 2000, 4608])
def test_a_status_keeps_its_limit_and_the_reason(error: GatewayError, limit: int) -> None:
    for resource in (None, ResourceInfo(resource_type="manifest", resource_name="x" * 400, description="y" * 100)):
        status = status_of(error, resource, limit=limit)
        assert status.ByteSize() <= limit
        assert read(status).reason


def test_of_a_list_as_much_is_kept_as_fits() -> None:
    error = ManifestInUse("no", tags=[f"{number:0128}" for number in range(50)])
    counts = [len(read(status_of(error, limit=limit)).subjects) for limit in range(1024, 4096)]
    # One of them takes 128 bytes for the tag, and some for what it is.
    assert counts[0] >= (1024 - 250) // 146
    assert counts[-1] >= (4096 - 250) // 146
    assert counts == sorted(counts)


@pytest.mark.parametrize(
    ("error", "kinds"),
    [
        (errors.NotFound("no"), ["ErrorInfo"]),
        (errors.TooManyRequests("no"), ["ErrorInfo", "RetryInfo"]),
        (InvalidFields([FieldViolation("tag", "no")]), ["ErrorInfo", "BadRequest"]),
        (ManifestInUse("no", tags=["1.0"]), ["ErrorInfo", "PreconditionFailure"]),
    ],
)
def test_an_error_has_the_details_that_say_something(error: GatewayError, kinds: list[str]) -> None:
    assert [detail.type_url.rpartition(".")[2] for detail in status_of(error).details] == kinds


def test_a_resource_keeps_its_description() -> None:
    resource = ResourceInfo(resource_type="manifest", resource_name="team/app:1.0", description="the image")
    kept = ResourceInfo()
    status_of(errors.NotFound("no"), resource).details[1].Unpack(kept)
    assert kept == resource


def test_violations_say_which_kind_they_are_and_why() -> None:
    failure = PreconditionFailure()
    status_of(ManifestInUse("no", tags=["1.0"], index_tags=["multi"])).details[1].Unpack(failure)
    assert [(each.type, each.subject, bool(each.description)) for each in failure.violations] == [
        ("TAGGED", "1.0", False),
        ("REFERENCED", "multi", True),
    ]
    request = BadRequest()
    status_of(InvalidFields([FieldViolation("tag", "no good")])).details[1].Unpack(request)
    assert [(each.field, each.description) for each in request.field_violations] == [("tag", "no good")]


def test_outside_of_a_call_an_operator_is_sent_to_the_log_without_a_request_id() -> None:
    error = errors.TooManyOpenFiles()
    assert status_of(error).message == f"{error}. The gateway's operator has to look: its log says more"


@pytest.mark.parametrize(
    ("error", "problem"),
    [
        (errors.NotFound("no such tag"), ""),
        (errors.Unavailable("the registry answers 503"), "the registry answers 503"),
        (errors.RedirectRefused("refused", operator_detail="it leads to https://x"), "https://x"),
    ],
)
def test_the_log_has_a_problem_if_the_operator_has_something_to_correct(error: GatewayError, problem: str) -> None:
    told = problem_of(error)
    assert problem in told if problem else not told


def test_a_short_message_is_not_touched() -> None:
    text = "ä%\n" * 20
    assert status_of(errors.NotFound(text)).message == text


def test_a_message_is_cut_where_it_is_too_long() -> None:
    assert status_of(errors.NotFound("x" * 1024)).message == "x" * 1024
    assert status_of(errors.NotFound("x" * 1025)).message == "x" * 1021 + "..."
    assert status_of(errors.NotFound("x" * 1025), limit=1024).message == "x" * 509 + "..."


@pytest.mark.parametrize(("character", "bytes_each"), [(" ", 1), ("~", 1), ("%", 3), ("\x7f", 3), ("\n", 3), ("ä", 6)])
def test_a_message_is_measured_as_it_travels(character: str, bytes_each: int) -> None:
    most = 1024 // bytes_each
    assert status_of(errors.NotFound(character * most)).message == character * most
    assert status_of(errors.NotFound(character * (most + 1))).message.endswith("...")
