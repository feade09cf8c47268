"""What a request is about, for errors and logs: read from the request as it came, valid or not."""

from google.protobuf.message import Message
from google.rpc.error_details_pb2 import ResourceInfo

from portus.registry.v1 import registry_service_pb2
from portus_gateway.errors import GatewayError

_LONGEST_REPOSITORY = 255

_REPOSITORY = "repository"
_MANIFEST = "manifest"
_BLOB = "blob"


def repository_of(request: Message | None) -> str:
    """The repository that `request` names, at most 255 characters of it; empty where it names none."""
    match request:
        case (
            registry_service_pb2.ListTagsRequest()
            | registry_service_pb2.ResolveManifestRequest()
            | registry_service_pb2.GetManifestRequest()
            | registry_service_pb2.DeleteManifestRequest()
            | registry_service_pb2.DeleteBlobRequest()
        ):
            return request.repository[:_LONGEST_REPOSITORY]
        case _:
            return ""


def resource_of(request: Message | None, error: GatewayError) -> ResourceInfo | None:
    """What an error is about: the repository, or the manifest or blob in it. None where the request names none."""
    repository = repository_of(request)
    if not repository or not error.concerns_resource:
        return None
    if error.reason == "NAME_UNKNOWN":
        return ResourceInfo(resource_type=_REPOSITORY, resource_name=repository)
    match request:
        case registry_service_pb2.ResolveManifestRequest() | registry_service_pb2.GetManifestRequest():
            name = f"{repository}@{request.digest}" if request.digest else f"{repository}:{request.tag}"
            return ResourceInfo(resource_type=_MANIFEST, resource_name=name)
        case registry_service_pb2.DeleteManifestRequest():
            return ResourceInfo(resource_type=_MANIFEST, resource_name=f"{repository}@{request.digest}")
        case registry_service_pb2.DeleteBlobRequest():
            return ResourceInfo(resource_type=_BLOB, resource_name=f"{repository}@{request.digest}")
        case _:
            return ResourceInfo(resource_type=_REPOSITORY, resource_name=repository)
