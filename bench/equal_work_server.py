"""A grpc.aio server that does what every typed call with a credential needs, and nothing else.

It reads the caller's token, the deadline and the request, serializes the answer, and sends an id in the trailing
metadata.

`python -m bench.equal_work_server <file with a GetManifestResponse> <token file>` prints the address that it listens
on. The token file is the gateway's: lines of `name sha256:<hexadecimal digest>`.
"""

import hashlib
import sys
from itertools import count
from pathlib import Path

import grpc

from bench.grpc_server import run
from portus.registry.v1 import registry_service_pb2 as proto

_Context = grpc.aio.ServicerContext[proto.GetManifestRequest, proto.GetManifestResponse]


def _handler(answer: proto.GetManifestResponse, callers: dict[bytes, str]) -> object:
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

    return grpc.unary_unary_rpc_method_handler(
        get_manifest,
        request_deserializer=proto.GetManifestRequest.FromString,
        response_serializer=proto.GetManifestResponse.SerializeToString,
    )


def _callers(file: Path) -> dict[bytes, str]:
    lines = (line.split(" sha256:") for line in file.read_text().splitlines())
    return {bytes.fromhex(digest): name for name, digest in lines}


if __name__ == "__main__":
    run(_handler(proto.GetManifestResponse.FromString(Path(sys.argv[1]).read_bytes()), _callers(Path(sys.argv[2]))))
