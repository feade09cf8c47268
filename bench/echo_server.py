"""The least that grpc.aio can do: a server that answers every call with the same bytes.

`python -m bench.echo_server <file with the bytes>` prints the address that it listens on.
"""

import asyncio
import sys
from pathlib import Path
from typing import cast

import grpc
import uvloop


async def _serve(answer: bytes) -> None:
    async def echo(request: bytes, context: "grpc.aio.ServicerContext[bytes, bytes]") -> bytes:  # noqa: ARG001
        return answer

    # The stubs describe handlers of the synchronous API.
    handler = cast("grpc.RpcMethodHandler[bytes, bytes]", grpc.unary_unary_rpc_method_handler(echo))

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
        runner.run(_serve(Path(sys.argv[1]).read_bytes()))
