"""Registries that run for all tests of this folder, with images that skopeo and buildah push."""

import itertools
from collections.abc import AsyncIterator, Generator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from tests.real.backends import KINDS, Backend, Kind
from tests.real.gateways import gateway_over
from tests.real.image_tools import ImageTools
from tests.real.library import Library, stock

if TYPE_CHECKING:
    from portus.registry.v1.registry_service_pb2_grpc import RegistryServiceAsyncStub

_numbers = itertools.count(1)


@pytest.fixture(scope="session", params=KINDS, ids=lambda kind: kind.name)
def kind(request: pytest.FixtureRequest) -> Kind:
    chosen: Kind = request.param
    return chosen


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def backend(kind: Kind, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Backend]:
    """A registry that deletes."""
    async with kind.serving(tmp_path_factory.mktemp(kind.name)) as served:
        yield served


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def restricted(kind: Kind, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Backend]:
    """A registry that does not delete, and whose pages have ten repositories at most."""
    folder = tmp_path_factory.mktemp(f"{kind.name}-restricted")
    async with kind.serving(folder, deletion_enabled=False, largest_page=10) as served:
        yield served


@pytest.fixture
def images(backend: Backend, tmp_path: Path) -> ImageTools:
    """skopeo and buildah, against `backend`."""
    return ImageTools.of(backend, tmp_path)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def library(backend: Backend, tmp_path_factory: pytest.TempPathFactory) -> Library:
    """Many repositories in `backend`, to be read alone."""
    return await stock(ImageTools.of(backend, tmp_path_factory.mktemp("library")))


@pytest_asyncio.fixture(scope="session", loop_scope="session", params=[True, False], ids=["decorated", "plain"])
async def gateway(backend: Backend, request: pytest.FixtureRequest) -> "AsyncIterator[RegistryServiceAsyncStub]":
    """A client of a gateway over `backend`, with and without what remembers and shares answers."""
    async with gateway_over(backend.configuration(), decorated=request.param) as client:
        yield client


@pytest.fixture
def repository() -> str:
    """The name of a repository that no other test uses."""
    return f"team/app-{next(_numbers)}"


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "not_over(kind, reason): the test cannot be run over this kind of registry, and why"
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if isinstance(item, pytest.Function):
            for mark in item.iter_markers("not_over"):
                if item.callspec.params.get("kind") is mark.args[0]:
                    item.add_marker(pytest.mark.skip(reason=mark.kwargs["reason"]))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Adds the logs of the test's registries to the report of a failure."""
    report = yield
    if report.failed and isinstance(item, pytest.Function):
        for name, value in item.funcargs.items():
            if isinstance(value, Backend):
                report.sections.append((f"log of {name} ({value.name})", value.log_tail()))
    return report
