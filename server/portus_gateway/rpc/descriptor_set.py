"""The API as a descriptor set, with comments and with everything that it imports."""

from importlib.resources import files
from typing import Final

NAME: Final = "portus-registry-v1.binpb"


def descriptor_set() -> bytes:
    """A serialized `google.protobuf.FileDescriptorSet`. What a file imports comes before it."""
    return files("portus_gateway.rpc").joinpath(NAME).read_bytes()
