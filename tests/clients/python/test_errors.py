import pickle

import grpc
import pytest
from google.protobuf.any_pb2 import Any
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import ErrorInfo, PreconditionFailure
from google.rpc.status_pb2 import Status

from portus_client import FailedPrecondition, NotFound, RegistryError, Tagged
from portus_client.errors import from_call, from_status
from tests.clients.python.gateway import status, tagged


def call_error(code: grpc.StatusCode, message: str, serialized: bytes) -> grpc.RpcError:
    return grpc.aio.AioRpcError(
        code, grpc.aio.Metadata(), grpc.aio.Metadata(("grpc-status-details-bin", serialized)), details=message
    )


def test_details_of_an_unknown_type_are_ignored() -> None:
    answer = Status(code=5, message="gone")
    answer.details.append(Any(type_url="type.googleapis.com/example.Unheard", value=b"\xff\xff"))
    known = Any()
    known.Pack(Duration(seconds=1))
    answer.details.append(known)
    information = Any()
    information.Pack(ErrorInfo(reason="NAME_UNKNOWN"))
    answer.details.append(information)

    error = from_status(answer)

    assert isinstance(error, NotFound)
    assert error.reason == "NAME_UNKNOWN"
    assert error.retry_delay is None


def test_invalid_details_leave_code_and_message() -> None:
    answer = Status(code=5, message="gone")
    answer.details.append(Any(type_url="type.googleapis.com/google.rpc.ErrorInfo", value=b"\xff\xff"))

    for error in (
        from_status(answer),
        from_call(call_error(grpc.StatusCode.NOT_FOUND, "gone", b"\xff\xff"), ""),
        from_call(call_error(grpc.StatusCode.NOT_FOUND, "gone", answer.SerializeToString()), ""),
    ):
        assert isinstance(error, NotFound)
        assert error.message == "gone"
        assert error.reason == ""


def test_details_of_another_status_are_ignored() -> None:
    rich = status(grpc.StatusCode.NOT_FOUND, "gone", "NAME_UNKNOWN").SerializeToString()

    error = from_call(call_error(grpc.StatusCode.UNAVAILABLE, "proxy: no route", rich), "")

    assert error.code is grpc.StatusCode.UNAVAILABLE
    assert error.reason == ""
    assert error.message == "proxy: no route"


@pytest.mark.parametrize("code", [code for code in grpc.StatusCode if code is not grpc.StatusCode.OK])
def test_every_status_code_is_a_registry_error(code: grpc.StatusCode) -> None:
    error = from_status(status(code, "what happened", "WHY"))

    assert error.code is code
    assert str(error) == f"what happened ({code.name}, WHY)"


def test_an_unknown_status_code_is_unknown() -> None:
    error = from_status(Status(code=99, message="?"))

    assert type(error) is RegistryError
    assert error.code is grpc.StatusCode.UNKNOWN


def test_only_the_reason_tagged_is_tagged() -> None:
    assert isinstance(from_status(tagged(["1.0"])), Tagged)
    disabled = from_status(status(grpc.StatusCode.FAILED_PRECONDITION, "no deletes", "DELETION_DISABLED"))
    assert type(disabled) is FailedPrecondition


def test_tag_count_includes_the_tags_that_are_not_listed() -> None:
    error = from_status(tagged(["1", "2"], count=70))

    assert isinstance(error, Tagged)
    assert error.tags == ("1", "2")
    assert error.tag_count == 70


def test_tags_of_indexes_are_not_among_the_tags_of_the_manifest() -> None:
    violations = [
        PreconditionFailure.Violation(type=kind, subject=tag)
        for kind, tag in (("TAGGED", "1.0-amd64"), ("REFERENCED", "1.0"), ("TAGGED", "old"))
    ]
    code = grpc.StatusCode.FAILED_PRECONDITION
    error = from_status(status(code, "in use", "TAGGED", PreconditionFailure(violations=violations), tags="2"))

    assert isinstance(error, Tagged)
    assert (error.tags, error.tag_count, error.index_tags) == (("1.0-amd64", "old"), 2, ("1.0",))


def test_an_error_can_be_pickled() -> None:
    error = from_status(tagged(["1.0"]), "id-1")

    copy = pickle.loads(pickle.dumps(error))

    assert isinstance(copy, Tagged)
    assert copy.tags == ("1.0",)
    assert copy.request_id == "id-1"


def test_an_error_of_a_gateway_that_does_not_answer_says_what_to_check() -> None:
    assert str(from_status(Status(code=14, message="refused"))) == (
        "refused (UNAVAILABLE); no answer from a gateway: check the address, and whether the gateway uses TLS"
    )
    answered = from_status(status(grpc.StatusCode.UNAVAILABLE, "the gateway is stopping", "SHUTTING_DOWN"))
    assert str(answered) == "the gateway is stopping (UNAVAILABLE, SHUTTING_DOWN)"
