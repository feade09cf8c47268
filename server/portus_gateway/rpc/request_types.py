"""The types of the requests of the RegistryService."""

from google.protobuf.descriptor import Descriptor

from portus.registry.v1 import registry_service_pb2
from portus_gateway.rpc.service_names import REGISTRY_SERVICE

_SERVICE = registry_service_pb2.DESCRIPTOR.services_by_name[REGISTRY_SERVICE.rpartition(".")[2]]


def request_type(rpc: str) -> Descriptor:
    """The type of the requests of an RPC."""
    return _SERVICE.methods_by_name[rpc].input_type
