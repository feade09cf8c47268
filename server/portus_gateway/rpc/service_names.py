"""The full names of the services that the gateway serves.

They are written out, so that a program that needs only a name, such as a health check, does not load the messages.
"""

from typing import Final

REGISTRY_SERVICE: Final = "portus.registry.v1.RegistryService"
HEALTH_SERVICE: Final = "grpc.health.v1.Health"
REFLECTION_V1_SERVICE: Final = "grpc.reflection.v1.ServerReflection"
REFLECTION_V1ALPHA_SERVICE: Final = "grpc.reflection.v1alpha.ServerReflection"
