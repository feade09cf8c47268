"""Server reflection, v1 and v1alpha, of exactly what the gateway serves."""

from collections.abc import Iterable, Iterator
from typing import cast

import grpc
from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorProto, FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_reflection.v1alpha import reflection_pb2
from grpc_reflection.v1alpha.reflection import aio

from portus_gateway.rpc.descriptor_set import descriptor_set
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
    # The library asks five things of a pool. This one has them.
    servicer = aio.ReflectionServicer(_SERVICES, pool=cast("DescriptorPool", _SymbolPool(_files())))
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


class _File:
    """A file of the API with its comments. It has what the library asks of protobuf's own, which drops comments."""

    def __init__(self, proto: FileDescriptorProto, dependencies: tuple["_File", ...]) -> None:
        self._proto = proto
        self.name = proto.name
        self.dependencies = dependencies

    def CopyToProto(self, proto: FileDescriptorProto) -> None:  # noqa: N802
        proto.CopyFrom(self._proto)


class _SymbolPool:
    """All files that reflection shows.

    Unlike protobuf's pool, it also finds methods: `grpcurl describe` asks for them by name.
    """

    def __init__(self, files: Iterable[FileDescriptorProto]) -> None:
        self._pool = DescriptorPool()
        self._files: dict[str, _File] = {}
        for file in files:
            self._pool.Add(file)
            self._files[file.name] = _File(file, tuple(self._files[name] for name in file.dependency))
        self.FindMessageTypeByName = self._pool.FindMessageTypeByName
        self.FindExtensionByNumber = self._pool.FindExtensionByNumber
        self.FindAllExtensions = self._pool.FindAllExtensions

    def FindFileByName(self, name: str) -> _File:  # noqa: N802
        return self._files[name]

    def FindFileContainingSymbol(self, symbol: str) -> _File:  # noqa: N802
        service, _, method = symbol.rpartition(".")
        if service in _SERVICES and method in self._pool.FindServiceByName(service).methods_by_name:
            symbol = service
        return self._files[self._pool.FindFileContainingSymbol(symbol).name]


def _files() -> Iterator[FileDescriptorProto]:
    """What a file imports comes before it."""
    # The API, with the details of errors, which it does not import: without them they are shown as bytes.
    yield from FileDescriptorSet.FromString(descriptor_set()).file
    v1alpha = FileDescriptorProto()
    reflection_pb2.DESCRIPTOR.CopyToProto(v1alpha)
    for file in (v1alpha, _v1(v1alpha), health_file()):
        _name_for_json(file.message_type)
        yield file


def _name_for_json(messages: Iterable[DescriptorProto]) -> None:
    """Gives each field the name that JSON has for it, as protoc does for all languages but Python.

    A caller that goes by these names alone, such as grpcurl before 1.9, would print `media_type` for `mediaType`.
    """
    for message in messages:
        for field in message.field:
            first, *others = field.name.split("_")
            field.json_name = first + "".join(other.capitalize() for other in others)
        _name_for_json(message.nested_type)


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
