"""What a method takes as a request."""

import pytest
from google.protobuf.message import Message
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

from portus_gateway.errors import FieldViolation
from portus_gateway.rpc.call_errors import InvalidFields
from portus_gateway.rpc.method import Method
from portus_gateway.rpc.open_services import OPEN_METHODS

NAME = "/grpc.health.v1.Health/Check"
CHECK = Method(
    name=NAME,
    service="grpc.health.v1.Health",
    rpc=None,
    open=OPEN_METHODS[NAME],
    request_streams=False,
    response_streams=False,
    watches=False,
    seconds=1.0,
    request_shape=None,
    deserialize=HealthCheckRequest.FromString,
    serialize=HealthCheckResponse.SerializeToString,
)


def request_of(size: int) -> Message:
    """A request that has so many bytes."""
    # Before the text come one byte for the field, and its length in seven bits a byte.
    request = HealthCheckRequest(service="x" * (size - (3 if size < 2**14 else 4)))
    assert request.ByteSize() == size
    return request


def test_a_check_takes_a_request_of_four_kibibytes() -> None:
    request = request_of(4096)
    assert CHECK.parsed(request.SerializeToString()) == request


@pytest.mark.parametrize("size", [4097, 100_000])
def test_a_larger_request_is_refused(size: int) -> None:
    with pytest.raises(InvalidFields) as refused:
        CHECK.parsed(request_of(size).SerializeToString())
    problem = f"has {size} bytes; this method takes 4096 at most"
    assert refused.value.field_violations == (FieldViolation("request", problem),)


def test_what_is_no_message_is_refused() -> None:
    with pytest.raises(InvalidFields) as refused:
        CHECK.parsed(b"\x0a\xff")
    assert [violation.field for violation in refused.value.field_violations] == ["request"]
