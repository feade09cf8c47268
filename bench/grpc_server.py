"""Serves one handler with grpc.aio: the part that the servers to compare the gateway with have in common."""

import asyncio
from typing import cast

import grpc
import uvloop


def run(handler: object) -> None:
    """Answers every call by `handler`, until the process ends. Prints the address that it listens on.

    `handler` is made by grpc's `unary_unary_rpc_method_handler` or its like. The stubs describe handlers of the
    synchronous API, so its type does not fit.
    """
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(cast("grpc.RpcMethodHandler[bytes, bytes]", handler)))


async def _serve(handler: "grpc.RpcMethodHandler[bytes, bytes]") -> None:
    class Everything(grpc.GenericRpcHandler):
        def service(self, _: grpc.HandlerCallDetails) -> "grpc.RpcMethodHandler[bytes, bytes]":
            return handler

    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    server.add_generic_rpc_handlers((Everything(),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(f"127.0.0.1:{port}", flush=True)
    await server.wait_for_termination()
