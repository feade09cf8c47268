"""What access control knows of each RPC, against the contract."""

import pytest
from google.protobuf.descriptor import Descriptor, MethodDescriptor

from portus.registry.v1 import registry_service_pb2
from portus_gateway.access.rpcs import METHODS, RPCS, SERVICE, Rpc

ROWS = [pytest.param(rpc, id=rpc.name) for rpc in RPCS.values()]
REPOSITORY = "portus.registry.v1.Repository"


def method_of(rpc: Rpc) -> MethodDescriptor:
    return registry_service_pb2.DESCRIPTOR.services_by_name["RegistryService"].methods_by_name[rpc.name]


def one_request_of(rpc: Rpc) -> Descriptor:
    """The request; for a batch, the message of which it has many."""
    request = method_of(rpc).input_type
    many = request.fields_by_name.get("requests")
    one = None if many is None else many.message_type
    return request if one is None else one


def lists_repositories(rpc: Rpc) -> bool:
    """Whether the items of the response are repositories, or belong to repositories that the request does not name."""
    if "repository" in one_request_of(rpc).fields_by_name:
        return False
    items = [field.message_type for field in method_of(rpc).output_type.fields if field.message_type is not None]
    return any(item.full_name == REPOSITORY or "repository" in item.fields_by_name for item in items)


@pytest.mark.parametrize("rpc", ROWS)
def test_what_its_messages_show(rpc: Rpc) -> None:
    assert METHODS[f"/{SERVICE}/{rpc.name}"] is rpc
    assert rpc.streams == method_of(rpc).server_streaming
    assert rpc.watches == rpc.name.startswith("Watch")
    assert rpc.lists_repositories == lists_repositories(rpc)
    assert rpc.in_repository == (lists_repositories(rpc) or "repository" in one_request_of(rpc).fields_by_name)
    assert rpc.deletes == ("Delete" in rpc.name)


@pytest.mark.parametrize("rpc", ROWS)
def test_a_batch_needs_the_right_of_its_single_requests_and_a_catalog_that_of_its_tags(rpc: Rpc) -> None:
    right = rpc.repository_right
    # The history of a tag belongs to the list of tags.
    if rpc.lists_repositories or rpc.name == "ListTagHistory":
        assert right is RPCS["ListTags"]
    else:
        assert right is RPCS[one_request_of(rpc).name.removesuffix("Request")]
    # What is absent has the same reason in a batch as in a single request.
    assert rpc.missing == right.missing or rpc.lists_repositories


@pytest.mark.parametrize("rpc", ROWS)
def test_what_is_absent_has_the_reason_of_what_the_rpc_names(rpc: Rpc) -> None:
    if "Blob" in rpc.name:
        assert rpc.missing == "BLOB_UNKNOWN"
    elif any(named in rpc.name for named in ("Manifest", "ImageConfig", "DeleteTag")):
        assert rpc.missing == "MANIFEST_UNKNOWN"
    else:
        assert rpc.missing == "NAME_UNKNOWN"
