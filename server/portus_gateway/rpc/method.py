"""What the boundary knows of a method before it is called."""

from collections.abc import Callable
from dataclasses import dataclass

from google.protobuf.message import DecodeError, Message

from portus_gateway.access.rpcs import Rpc
from portus_gateway.errors import FieldViolation
from portus_gateway.rpc.call_errors import InvalidFields
from portus_gateway.rpc.open_services import OpenMethod
from portus_gateway.rpc.request_bounds import MessageShape, check_parts


@dataclass(frozen=True, slots=True)
class Method:
    """One method.

    `rpc` and `request_shape` are None for health and reflection, whose bounds are those of `open`. `seconds` is how
    long a call may take, until its answer has been read.
    """

    name: str
    service: str
    rpc: Rpc | None
    open: OpenMethod | None
    request_streams: bool
    response_streams: bool
    watches: bool
    seconds: float
    request_shape: MessageShape | None
    deserialize: Callable[[bytes], Message]
    serialize: Callable[[Message], bytes]

    def parsed(self, data: bytes) -> Message:
        """The request. Raises `InvalidFields` if it is too large or malformed."""
        if self.request_shape is not None:
            check_parts(data, self.request_shape)
        if self.open is not None and len(data) > self.open.request_bytes:
            problem = f"has {len(data)} bytes; this method takes {self.open.request_bytes} at most"
            raise InvalidFields([FieldViolation("request", problem)])
        try:
            return self.deserialize(data)
        except DecodeError as error:
            violation = FieldViolation("request", "not a message of the type that this method takes")
            raise InvalidFields([violation]) from error
