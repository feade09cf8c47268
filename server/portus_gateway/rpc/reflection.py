"""Server reflection, v1 and v1alpha, of exactly what the gateway serves."""

from collections.abc import Iterable
from typing import cast

import grpc
from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.rpc import error_details_pb2
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


def reflection() -> tuple[grpc.GenericRpcHandler, ...]:
    """Both versions of the service: their messages are the same, to the byte, under two names."""
    # The pool stands in for the library's, which asks four things of it.
    servicer = aio.ReflectionServicer(_SERVICES, pool=cast("DescriptorPool", _SymbolPool(_pool())))
    handler: grpc.RpcMethodHandler[reflection_pb2.ServerReflectionRequest, reflection_pb2.ServerReflectionResponse] = (
        grpc.stream_stream_rpc_method_handler(
            servicer.ServerReflectionInfo,
            reflection_pb2.ServerReflectionRequest.FromString,
            reflection_pb2.ServerReflectionResponse.SerializeToString,
        )
    )
    return tuple(
        grpc.method_handlers_generic_handler(service, {"ServerReflectionInfo": handler})
        for service in (REFLECTION_V1_SERVICE, REFLECTION_V1ALPHA_SERVICE)
    )


class _SymbolPool:
    """A pool that finds methods, too, which protobuf's own does not: `grpcurl describe` asks for them by name."""

    def __init__(self, pool: DescriptorPool) -> None:
        self._pool = pool
        self.FindFileByName = pool.FindFileByName
        self.FindMessageTypeByName = pool.FindMessageTypeByName
        self.FindExtensionByNumber = pool.FindExtensionByNumber
        self.FindAllExtensions = pool.FindAllExtensions

    def FindFileContainingSymbol(self, symbol: str) -> FileDescriptor:  # noqa: N802
        service, _, method = symbol.rpartition(".")
        if service in _SERVICES and method in self._pool.FindServiceByName(service).methods_by_name:
            return self._pool.FindFileContainingSymbol(service)
        return self._pool.FindFileContainingSymbol(symbol)


def _pool() -> DescriptorPool:
    pool = DescriptorPool()
    # Errors carry their details as messages of a file that ours do not import: without it they show as bytes.
    files: dict[str, FileDescriptorProto] = {}
    for root in (registry_service_pb2.DESCRIPTOR, error_details_pb2.DESCRIPTOR):
        _collect_with_imports(root, files)
    v1alpha = FileDescriptorProto()
    reflection_pb2.DESCRIPTOR.CopyToProto(v1alpha)
    for file in (*files.values(), v1alpha, _v1(v1alpha), health_file()):
        _name_for_json(file.message_type)
        pool.Add(file)
    return pool


def _name_for_json(messages: Iterable[DescriptorProto]) -> None:
    """Gives each field the name that JSON has for it, as protoc does for all languages but Python.

    A caller that goes by these names alone, such as grpcurl before 1.9, would print `media_type` for `mediaType`.
    """
    for message in messages:
        for field in message.field:
            first, *others = field.name.split("_")
            field.json_name = first + "".join(other.capitalize() for other in others)
        _name_for_json(message.nested_type)


def _collect_with_imports(file: FileDescriptor, files: dict[str, FileDescriptorProto]) -> None:
    """Adds the file and all that it imports to `files`, what is imported first."""
    for imported in file.dependencies:
        _collect_with_imports(imported, files)
    if file.name not in files:
        files[file.name] = FileDescriptorProto()
        file.CopyToProto(files[file.name])


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
