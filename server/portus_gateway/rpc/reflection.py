"""Server reflection, v1 and v1alpha, of exactly what the gateway serves."""

from collections.abc import Iterable

import grpc
from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_reflection.v1alpha import reflection_pb2
from grpc_reflection.v1alpha.reflection import aio

from portus.registry.v1 import registry_service_pb2
from portus_gateway.rpc.health_list import health_file
from portus_gateway.rpc.service_names import (
    HEALTH_SERVICE,
    REFLECTION_V1_SERVICE,
    REFLECTION_V1ALPHA_SERVICE,
    REGISTRY_SERVICE,
)

_SERVICES = (REGISTRY_SERVICE, HEALTH_SERVICE, REFLECTION_V1_SERVICE, REFLECTION_V1ALPHA_SERVICE)


def add_reflection(server: grpc.aio.Server) -> None:
    """Serves both versions: their messages are the same, to the byte, under two names."""
    servicer = aio.ReflectionServicer(_SERVICES, pool=_pool())
    for service in (REFLECTION_V1_SERVICE, REFLECTION_V1ALPHA_SERVICE):
        handler: grpc.RpcMethodHandler[
            reflection_pb2.ServerReflectionRequest, reflection_pb2.ServerReflectionResponse
        ] = grpc.stream_stream_rpc_method_handler(
            servicer.ServerReflectionInfo,
            reflection_pb2.ServerReflectionRequest.FromString,
            reflection_pb2.ServerReflectionResponse.SerializeToString,
        )
        server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(service, {"ServerReflectionInfo": handler}),)
        )


def _pool() -> DescriptorPool:
    pool = DescriptorPool()
    for file in _with_imports(registry_service_pb2.DESCRIPTOR, {}):
        pool.Add(file)
    v1alpha = FileDescriptorProto()
    reflection_pb2.DESCRIPTOR.CopyToProto(v1alpha)
    pool.Add(v1alpha)
    pool.Add(_v1(v1alpha))
    pool.Add(health_file())
    return pool


def _with_imports(file: FileDescriptor, seen: dict[str, FileDescriptorProto]) -> Iterable[FileDescriptorProto]:
    """The file and all that it imports, what is imported first."""
    for imported in file.dependencies:
        _with_imports(imported, seen)
    if file.name not in seen:
        seen[file.name] = FileDescriptorProto()
        file.CopyToProto(seen[file.name])
    return seen.values()


def _v1(v1alpha: FileDescriptorProto) -> FileDescriptorProto:
    """The file of grpc.reflection.v1, which no package ships: that of v1alpha under another name."""
    file = FileDescriptorProto(
        name="grpc/reflection/v1/reflection.proto", package="grpc.reflection.v1", syntax="proto3"
    )
    file.message_type.extend(v1alpha.message_type)
    file.service.extend(v1alpha.service)
    for message in file.message_type:
        for field in message.field:
            # Set on a field of a plain type, an empty one would be an error too.
            if field.type_name:
                field.type_name = field.type_name.replace(".v1alpha.", ".v1.")
    for method in file.service[0].method:
        method.input_type = method.input_type.replace(".v1alpha.", ".v1.")
        method.output_type = method.output_type.replace(".v1alpha.", ".v1.")
    return file
