"""The least that grpc.aio can do: a server that answers every call with the same bytes.

`python -m bench.echo_server <file with the bytes>` prints the address that it listens on.
"""

import sys
from pathlib import Path

import grpc

from bench.grpc_server import run


def _handler(answer: bytes) -> object:
    async def echo(request: bytes, context: "grpc.aio.ServicerContext[bytes, bytes]") -> bytes:  # noqa: ARG001
        return answer

    return grpc.unary_unary_rpc_method_handler(echo)


if __name__ == "__main__":
    run(_handler(Path(sys.argv[1]).read_bytes()))
