"""The options of the server and of the Python client. gRPC ignores an option whose name it does not know."""

from importlib.util import find_spec
from pathlib import Path

import grpc
import pytest

from portus_client import channel
from portus_gateway.rpc import server
from portus_gateway.rpc.server import ServerLimits


def _library() -> bytes:
    spec = find_spec("grpc._cython.cygrpc")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).read_bytes()


LIBRARY = _library()


@pytest.mark.parametrize(
    "name", sorted({name for name, _ in (*server._options(ServerLimits(), True), *channel.options())})
)
def test_grpc_knows_the_option(name: str) -> None:
    # Each name is a string in the library, with a zero byte at its end.
    assert f"{name}\0".encode() in LIBRARY, f"gRPC {grpc.__version__} has no option {name}"
