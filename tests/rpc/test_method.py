"""What a method takes as a request."""

from dataclasses import replace

import pytest
from google.protobuf.message import Message
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

from portus.registry.v1.registry_service_pb2 import ListTagsRequest, ListTagsResponse
from portus_gateway.access.rpcs import RPCS, SERVICE
from portus_gateway.errors import FieldViolation
from portus_gateway.rpc.call_errors import InvalidFields
from portus_gateway.rpc.method import Method
from portus_gateway.rpc.open_services import OPEN_METHODS
from portus_gateway.rpc.request_bounds import MessageShape

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
LIST_TAGS = replace(
    CHECK,
    name=f"/{SERVICE}/ListTags",
    service=SERVICE,
    rpc=RPCS["ListTags"],
    open=None,
    request_shape=MessageShape.of(ListTagsRequest.DESCRIPTOR),
    deserialize=ListTagsRequest.FromString,
    serialize=ListTagsResponse.SerializeToString,
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


def test_an_rpc_takes_a_larger_request_of_few_parts() -> None:
    request = ListTagsRequest(repository="x" * 100_000)
    assert LIST_TAGS.parsed(request.SerializeToString()) == request
    with pytest.raises(InvalidFields, match="has more than 16000 fields; split it"):
        LIST_TAGS.parsed(b"\x10\x01" * 16_001)


@pytest.mark.parametrize("method", [CHECK, LIST_TAGS])
def test_what_is_no_message_is_refused(method: Method) -> None:
    with pytest.raises(InvalidFields) as refused:
        method.parsed(b"\x0a\xff")
    assert [violation.field for violation in refused.value.field_violations] == ["request"]
