"""The full names of the services that the gateway serves."""

from google.protobuf.descriptor import Descriptor

from portus.registry.v1 import registry_service_pb2

_SERVICE = registry_service_pb2.DESCRIPTOR.services_by_name["RegistryService"]
REGISTRY_SERVICE: str = _SERVICE.full_name
HEALTH_SERVICE = "grpc.health.v1.Health"
REFLECTION_V1_SERVICE = "grpc.reflection.v1.ServerReflection"
REFLECTION_V1ALPHA_SERVICE = "grpc.reflection.v1alpha.ServerReflection"


def request_type(rpc: str) -> Descriptor:
    """The type of the requests of an RPC of the RegistryService."""
    return _SERVICE.methods_by_name[rpc].input_type
