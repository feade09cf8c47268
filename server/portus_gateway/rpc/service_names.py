"""The full names of the services that the gateway serves."""

from portus.registry.v1 import registry_service_pb2

REGISTRY_SERVICE: str = registry_service_pb2.DESCRIPTOR.services_by_name["RegistryService"].full_name
HEALTH_SERVICE = "grpc.health.v1.Health"
REFLECTION_V1_SERVICE = "grpc.reflection.v1.ServerReflection"
REFLECTION_V1ALPHA_SERVICE = "grpc.reflection.v1alpha.ServerReflection"
