"""Both clients have the same methods, parameters and results, and they cover every RPC."""

import inspect
import re
from collections.abc import AsyncGenerator, Iterator
from typing import get_args, get_origin, get_type_hints

import pytest

from portus.registry.v1 import registry_service_pb2
from portus_client import AsyncBlobReader, AsyncRegistryClient, BlobReader, RegistryClient, aio_client, client

SERVICE = registry_service_pb2.DESCRIPTOR.services_by_name["RegistryService"]
METHODS = sorted(name for name, _ in inspect.getmembers(RegistryClient, inspect.isfunction) if not name.startswith("_"))


def test_both_have_the_same_methods() -> None:
    asynchronous = inspect.getmembers(AsyncRegistryClient, inspect.isfunction)
    assert sorted(name for name, _ in asynchronous if not name.startswith("_")) == METHODS


@pytest.mark.parametrize("name", METHODS)
def test_a_method_has_the_same_parameters_and_result_in_both(name: str) -> None:
    synchronous, asynchronous = getattr(RegistryClient, name), getattr(AsyncRegistryClient, name)
    hints, other_hints = get_type_hints(synchronous), get_type_hints(asynchronous)
    parameters = inspect.signature(synchronous).parameters.values()
    other_parameters = inspect.signature(asynchronous).parameters.values()

    assert [(p.name, p.kind, p.default, hints.get(p.name)) for p in parameters] == [
        (p.name, p.kind, p.default, other_hints.get(p.name)) for p in other_parameters
    ]
    answer, other_answer = hints["return"], other_hints["return"]
    if answer is BlobReader:
        # Each is used as its kind of program reads a stream.
        assert other_answer is AsyncBlobReader
        assert not inspect.iscoroutinefunction(asynchronous)
        return
    if get_origin(answer) is Iterator:
        assert get_origin(other_answer) is AsyncGenerator
        assert get_args(answer)[0] == get_args(other_answer)[0]
        assert not inspect.iscoroutinefunction(asynchronous)
    else:
        assert answer == other_answer
        assert inspect.iscoroutinefunction(asynchronous)


@pytest.mark.parametrize("rpc", [method.name for method in SERVICE.methods])
@pytest.mark.parametrize("module", [client, aio_client], ids=["sync", "async"])
def test_every_rpc_is_called_by_both(module: object, rpc: str) -> None:
    assert inspect.ismodule(module)
    assert len(re.findall(rf"\bself\._stub\.{rpc}\b", inspect.getsource(module))) == 1


@pytest.mark.parametrize("kind", [RegistryClient, AsyncRegistryClient])
def test_every_method_has_a_docstring(kind: type) -> None:
    assert [name for name in METHODS if not inspect.getdoc(getattr(kind, name))] == []
