"""A grpc.aio server that does what every typed call with a credential needs, and nothing else.

It reads the caller's token, the deadline and the request, serializes the answer, and sends an id in the trailing
metadata.

`python -m bench.equal_work_server <file with a GetManifestResponse> <token file>` prints the address that it listens
on. The token file is the gateway's: lines of `name sha256:<hexadecimal digest>`.
"""

import asyncio
import hashlib
import sys
from itertools import count
from pathlib import Path
from typing import cast

import grpc
import uvloop

from portus.registry.v1 import registry_service_pb2 as proto

_Context = grpc.aio.ServicerContext[proto.GetManifestRequest, proto.GetManifestResponse]


async def _serve(answer: proto.GetManifestResponse, callers: dict[bytes, str]) -> None:
    ids = count()

    async def get_manifest(request: proto.GetManifestRequest, context: "_Context") -> proto.GetManifestResponse:
        credential = next(value for key, value in context.invocation_metadata() or () if key == "authorization")
        token = str(credential).removeprefix("Bearer ").encode()
        caller = callers.get(hashlib.sha256(token).digest())
        context.time_remaining()
        if caller is None or not request.repository:
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, "unknown token")
        context.set_trailing_metadata((("x-request-id", f"{next(ids):016x}"),))
        return answer

    # The stubs describe handlers of the synchronous API.
    handler = cast(
        "grpc.RpcMethodHandler[bytes, bytes]",
        grpc.unary_unary_rpc_method_handler(
            get_manifest,
            request_deserializer=proto.GetManifestRequest.FromString,
            response_serializer=proto.GetManifestResponse.SerializeToString,
        ),
    )

    class Everything(grpc.GenericRpcHandler):
        def service(self, _: grpc.HandlerCallDetails) -> "grpc.RpcMethodHandler[bytes, bytes]":
            return handler

    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    server.add_generic_rpc_handlers((Everything(),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(f"127.0.0.1:{port}", flush=True)
    await server.wait_for_termination()


def _callers(file: Path) -> dict[bytes, str]:
    lines = (line.split(" sha256:") for line in file.read_text().splitlines())
    return {bytes.fromhex(digest): name for name, digest in lines}


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        response = proto.GetManifestResponse.FromString(Path(sys.argv[1]).read_bytes())
        runner.run(_serve(response, _callers(Path(sys.argv[2]))))
