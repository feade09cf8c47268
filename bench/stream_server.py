"""The least that grpc.aio can do for a stream: a server that answers every call with the same message, many times.

`python -m bench.stream_server <size of a message in bytes> <number of messages>` prints the address that it listens on.
"""

import sys
from collections.abc import AsyncIterator

import grpc

from bench.grpc_server import run


def _handler(size: int, count: int) -> object:
    message = bytes(size)

    async def stream(
        request: bytes,  # noqa: ARG001
        context: "grpc.aio.ServicerContext[bytes, bytes]",  # noqa: ARG001
    ) -> AsyncIterator[bytes]:
        for _ in range(count):
            yield message

    return grpc.unary_stream_rpc_method_handler(stream)


if __name__ == "__main__":
    run(_handler(int(sys.argv[1]), int(sys.argv[2])))
