"""Calls of grpc.health.v1, whose stubs have no types."""

import grpc
from google.protobuf.message import Message
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

from portus_gateway.rpc.health_list import HealthListRequest, HealthListResponse
from tests.rpc.gateways import PATIENCE

_HEALTH = "/grpc.health.v1.Health"


async def check(channel: grpc.aio.Channel, service: str = "") -> int:
    """The status of a service."""
    method = channel.unary_unary(
        f"{_HEALTH}/Check", HealthCheckRequest.SerializeToString, HealthCheckResponse.FromString
    )
    response = await method(HealthCheckRequest(service=service), timeout=PATIENCE)
    return response.status


def watch(channel: grpc.aio.Channel, service: str = "") -> "grpc.aio.UnaryStreamCall[Message, HealthCheckResponse]":
    """An open watch, without a deadline."""
    method = channel.unary_stream(
        f"{_HEALTH}/Watch", HealthCheckRequest.SerializeToString, HealthCheckResponse.FromString
    )
    return method(HealthCheckRequest(service=service))


async def list_all(channel: grpc.aio.Channel) -> Message:
    """The status of every service."""
    method = channel.unary_unary(f"{_HEALTH}/List", HealthListRequest.SerializeToString, HealthListResponse.FromString)
    return await method(HealthListRequest(), timeout=PATIENCE)
