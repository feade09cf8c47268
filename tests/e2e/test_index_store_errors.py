"""The real process with a store that it cannot use: it says why and what to do, and answers from the registry."""

import asyncio
import os
import sqlite3
from asyncio.subprocess import PIPE
from collections.abc import AsyncGenerator, Iterator, Sequence
from pathlib import Path

import grpc
import pytest

from portus.registry.v1.registry_service_pb2 import CatalogRequest, GetRegistryInfoRequest
from portus.registry.v1.registry_service_pb2_grpc import RegistryServiceStub
from portus_gateway.devregistry import DevRegistry
from portus_gateway.index.sqlite import SqliteStore
from tests.e2e.gateway_process import GatewayProcess, gateway_process_into, outcome
from tests.index.postgres_server import PostgresServer, postgres_server
from tests.index.registries import until

# Root may write everything. Without these rights it is as any other user.
LIKE_A_USER = () if os.getuid() else ("setpriv", "--bounding-set=-dac_override,-dac_read_search,-fowner", "--")
FAILURE = "the index cannot be used: the gateway answers from the registry"


@pytest.fixture
async def registry() -> AsyncGenerator[DevRegistry, None]:
    async with DevRegistry(auth="anonymous") as running:
        for number in range(300):
            running.push(f"team/app{number}", "v1")
        yield running


@pytest.fixture
def variables(registry: DevRegistry) -> dict[str, str]:
    return {"PORTUS_REGISTRY_URL": registry.url, "PORTUS_REGISTRY_ANONYMOUS": "true"}


async def problem_of(
    registry: DevRegistry, variables: dict[str, str], index: str, wrapper: Sequence[str] = LIKE_A_USER, **more: str
) -> str:
    """What the gateway's log says of the index. The gateway answers all the same, and says that the index is away."""
    settings = {**variables, "PORTUS_INDEX": index, **more}
    async with gateway_process_into(PIPE, "serve", wrapper=wrapper, **settings) as gateway:
        failure = await asyncio.wait_for(gateway.event(FAILURE), 30)
        await check_that_it_answers(gateway, registry)
        return str(failure["problem"])


async def check_that_it_answers(gateway: GatewayProcess, registry: DevRegistry) -> None:
    async with grpc.aio.insecure_channel(gateway.address) as channel:
        stub = RegistryServiceStub(channel)
        request = CatalogRequest(page_size=1000)
        request.max_staleness.seconds = 3600
        page = await stub.Catalog(request)
        assert len(page.repositories) == len(registry.repositories())

        async def is_unavailable() -> bool:
            info = await stub.GetRegistryInfo(GetRegistryInfoRequest())
            return info.index.state == info.index.UNAVAILABLE

        await until(is_unavailable)


async def test_an_address_that_is_not_one(variables: dict[str, str]) -> None:
    for address in ("mysql://host/index", "sqlite://relative.db", "/var/lib/portus/index.db"):
        status, _, errors = await outcome("serve", **variables, PORTUS_INDEX=address)
        assert status == 78
        assert "PORTUS_INDEX" in errors
        assert "sqlite:///var/lib/portus/index.db" in errors


async def test_a_folder_that_does_not_exist(registry: DevRegistry, variables: dict[str, str], tmp_path: Path) -> None:
    assert "its folder must exist" in await problem_of(registry, variables, f"sqlite://{tmp_path}/none/index.db")


async def test_a_folder_that_the_user_may_not_write(
    registry: DevRegistry, variables: dict[str, str], tmp_path: Path
) -> None:
    tmp_path.chmod(0o500)  # noqa: ASYNC240
    problem = await problem_of(registry, variables, f"sqlite://{tmp_path}/index.db")
    assert "the gateway's user must be able to write it" in problem


async def test_a_file_that_the_user_may_not_write(
    registry: DevRegistry, variables: dict[str, str], tmp_path: Path
) -> None:
    async with SqliteStore(tmp_path / "index.db", registry.url):
        pass
    (tmp_path / "index.db").chmod(0o400)
    problem = await problem_of(registry, variables, f"sqlite://{tmp_path}/index.db")
    assert "cannot be written: give the gateway's user the right to write it and its folder" in problem


async def test_a_file_that_is_no_database(registry: DevRegistry, variables: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "index.db").write_text("not a database, but a text that is long enough for a header of SQLite\n" * 100)
    problem = await problem_of(registry, variables, f"sqlite://{tmp_path}/index.db")
    assert "move it away, and the index is built anew" in problem


async def test_a_schema_of_a_newer_gateway(registry: DevRegistry, variables: dict[str, str], tmp_path: Path) -> None:
    async with SqliteStore(tmp_path / "index.db", registry.url):
        pass
    connection = sqlite3.connect(tmp_path / "index.db")
    connection.execute("PRAGMA user_version = 1000")
    connection.close()
    problem = await problem_of(registry, variables, f"sqlite://{tmp_path}/index.db")
    assert "use the newer gateway again" in problem


async def test_the_index_of_another_registry(registry: DevRegistry, variables: dict[str, str], tmp_path: Path) -> None:
    async with SqliteStore(tmp_path / "index.db", "http://another.example"):
        pass
    problem = await problem_of(registry, variables, f"sqlite://{tmp_path}/index.db")
    assert "the index of another registry, http://another.example" in problem
    assert "portus-gateway index rebuild" in problem


async def test_a_file_that_may_not_grow(registry: DevRegistry, variables: dict[str, str], tmp_path: Path) -> None:
    # As a quota does. The log of the gateway goes into a pipe, which has no such limit.
    wrapper = ("prlimit", f"--fsize={100 * 1024}", "--")
    problem = await problem_of(registry, variables, f"sqlite://{tmp_path}/index.db", wrapper)
    assert "cannot be written" in problem
    assert "quota" in problem


def on_a_small_disk(folder: Path, size: int) -> Sequence[str]:
    """A wrapper that gives the process a disk of so many bytes at `folder`, in a mount namespace of its own."""
    script = f'mount -t tmpfs -o size={size} none "{folder}" && exec "$@"'
    namespace = ["unshare", "--mount"] if not os.getuid() else ["unshare", "--map-root-user", "--mount"]
    return (*namespace, "sh", "-c", script, "sh")


async def test_a_disk_that_is_full(registry: DevRegistry, variables: dict[str, str], tmp_path: Path) -> None:
    wrapper = on_a_small_disk(tmp_path, 160 * 1024)
    trial = await asyncio.create_subprocess_exec(*wrapper, "true", stderr=PIPE)
    if await trial.wait():
        pytest.skip("this machine allows no mounts: test_sqlite.py fills a store in another way")
    problem = await problem_of(registry, variables, f"sqlite://{tmp_path}/index.db", wrapper)
    assert "is full: make room" in problem


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    with postgres_server() as server:
        yield server


async def test_a_postgresql_that_is_not_there(registry: DevRegistry, variables: dict[str, str], tmp_path: Path) -> None:
    problem = await problem_of(registry, variables, f"postgresql://portus@/index?host={tmp_path}")
    assert "PostgreSQL cannot be reached" in problem


async def test_a_wrong_password(
    registry: DevRegistry, variables: dict[str, str], tmp_path: Path, postgres: PostgresServer
) -> None:
    url = postgres.new_database()
    postgres.run("psql", "--quiet", "--command", "CREATE ROLE portus_index LOGIN PASSWORD 'right'", url)
    password = tmp_path / "password"
    password.write_text("wrong-password\n")
    as_user = url.replace("postgres@", "portus_index@")
    problem = await problem_of(registry, variables, as_user, (), PORTUS_INDEX_PASSWORD_FILE=str(password))
    assert "rejects the user or its password: check PORTUS_INDEX and PORTUS_INDEX_PASSWORD_FILE" in problem
    assert "wrong-password" not in problem
