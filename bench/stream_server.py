"""The least that grpc.aio can do for a stream: a server that answers every call with the same message, many times.

`python -m bench.stream_server <size of a message in bytes> <number of messages>` prints the address that it listens on.
"""

import asyncio
import sys
from collections.abc import AsyncIterator
from typing import cast

import grpc
import uvloop


async def _serve(size: int, count: int) -> None:
    message = bytes(size)

    async def stream(
        request: bytes,  # noqa: ARG001
        context: "grpc.aio.ServicerContext[bytes, bytes]",  # noqa: ARG001
    ) -> AsyncIterator[bytes]:
        for _ in range(count):
            yield message

    # The stubs describe handlers of the synchronous API.
    handler = cast("grpc.RpcMethodHandler[bytes, bytes]", grpc.unary_stream_rpc_method_handler(stream))

    class Everything(grpc.GenericRpcHandler):
        def service(self, _: grpc.HandlerCallDetails) -> "grpc.RpcMethodHandler[bytes, bytes]":
            return handler

    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    server.add_generic_rpc_handlers((Everything(),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(f"127.0.0.1:{port}", flush=True)
    await server.wait_for_termination()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(int(sys.argv[1]), int(sys.argv[2])))
