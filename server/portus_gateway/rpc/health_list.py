"""The messages of grpc.health.v1.Health/List, which grpcio-health-checking does not ship in every version."""

from collections.abc import Mapping

from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from grpc_health.v1 import health_pb2

_PACKAGE = "grpc.health.v1"


def health_file() -> FileDescriptorProto:
    """The file of grpc.health.v1, complete with List (grpc-proto, grpc/health/v1/health.proto)."""
    file = FileDescriptorProto()
    health_pb2.DESCRIPTOR.CopyToProto(file)
    service = file.service[0]
    if any(method.name == "List" for method in service.method):
        return file
    file.message_type.add(name="HealthListRequest")
    entry = DescriptorProto(name="StatusesEntry")
    entry.options.map_entry = True
    entry.field.add(
        name="key", number=1, type=FieldDescriptorProto.TYPE_STRING, label=FieldDescriptorProto.LABEL_OPTIONAL
    )
    entry.field.add(
        name="value",
        number=2,
        type=FieldDescriptorProto.TYPE_MESSAGE,
        type_name=f".{_PACKAGE}.HealthCheckResponse",
        label=FieldDescriptorProto.LABEL_OPTIONAL,
    )
    response = file.message_type.add(name="HealthListResponse")
    response.nested_type.append(entry)
    response.field.add(
        name="statuses",
        number=1,
        type=FieldDescriptorProto.TYPE_MESSAGE,
        type_name=f".{_PACKAGE}.HealthListResponse.StatusesEntry",
        label=FieldDescriptorProto.LABEL_REPEATED,
    )
    service.method.add(
        name="List",
        input_type=f".{_PACKAGE}.HealthListRequest",
        output_type=f".{_PACKAGE}.HealthListResponse",
    )
    return file


# A pool of its own: the default one has the package's file under the same name.
_pool = DescriptorPool()
_pool.Add(health_file())
HealthListRequest: type[Message] = GetMessageClass(_pool.FindMessageTypeByName(f"{_PACKAGE}.HealthListRequest"))
HealthListResponse: type[Message] = GetMessageClass(_pool.FindMessageTypeByName(f"{_PACKAGE}.HealthListResponse"))


def health_list(statuses: Mapping[str, int]) -> Message:
    """The answer of List: the status of each service."""
    return HealthListResponse(statuses={service: {"status": status} for service, status in statuses.items()})
