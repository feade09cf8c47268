"""What is measured: each server is a process of its own, on a free port of loopback."""

import asyncio
import hashlib
import json
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, cast

from bench.child_process import begun, end

TOOLS = Path(__file__).parents[1] / "build/tools"
_START_SECONDS = 30.0
_STOP_SECONDS = 10.0
# Debian's 2.8 lists no more than a thousand repositories at a time, whatever is asked for; so shall 3.1.
LARGEST_PAGE = 1000
_POLICY = """
[[deny]]
name = "nobody deletes"
principals = ["*"]
rpcs = ["delete"]
repositories = ["**"]

[[allow]]
name = "another team"
principals = ["token:other-*"]
rpcs = ["read"]
repositories = ["other/**"]

[[allow]]
name = "the bench reads"
principals = ["token:bench"]
rpcs = ["read"]
repositories = ["**"]
"""


@dataclass(frozen=True, slots=True)
class Server:
    """A server that runs: where it listens, and which process it is."""

    address: str
    pid: int
    token: str = field(default="", repr=False)
    metrics: str = ""


def registry_program() -> str:
    """The registry, 3.1 where there is one. Raises `FileNotFoundError`, with what to do."""
    for found in (shutil.which("registry", path=TOOLS), shutil.which("docker-registry")):
        if found:
            return found
    raise FileNotFoundError("no registry to measure with: run bench/install")


@dataclass(frozen=True, slots=True)
class Notified:
    """Where a registry sends its notifications, with which token."""

    url: str
    token: str = field(repr=False)


@asynccontextmanager
async def registry(folder: Path, notified: Notified | None = None) -> AsyncGenerator[Server, None]:
    """A real registry that asks nobody for credentials, with its content in `folder/storage`."""
    address = free_address()
    configuration = _registry_configuration(folder, address, notified)
    environment = {**os.environ, "OTEL_TRACES_EXPORTER": "none"}
    async with _process([registry_program(), "serve", str(configuration)], folder, environment) as process:
        await _accepting(address, process)
        yield Server(address, process.pid)


@asynccontextmanager
async def echo(folder: Path, answer: bytes) -> AsyncGenerator[Server, None]:
    """The bare grpc.aio server that answers `answer`."""
    async with _python("bench.echo_server", str(_file(folder, "answer", answer))) as server:
        yield server


@asynccontextmanager
async def equal_work(folder: Path, answer: bytes) -> AsyncGenerator[Server, None]:
    """The grpc.aio server that reads a token and a request, and serializes `answer`, a GetManifestResponse."""
    token = secrets.token_urlsafe(32)
    files = (str(_file(folder, "answer", answer)), str(token_file(folder, token)))
    async with _python("bench.equal_work_server", *files) as server:
        yield Server(server.address, server.pid, token)


@asynccontextmanager
async def stream(size: int, count: int) -> AsyncGenerator[Server, None]:
    """The bare grpc.aio server that answers with `count` messages of `size` bytes."""
    async with _python("bench.stream_server", str(size), str(count)) as server:
        yield server


@asynccontextmanager
async def sink() -> AsyncGenerator[Server, None]:
    """The server that only counts notifications."""
    async with _python("bench.sink_server") as server:
        yield server


@asynccontextmanager
async def delaying_proxy(upstream: str, *, seconds: float = 0.0, fail_every: int = 0) -> AsyncGenerator[Server, None]:
    """The proxy in front of `upstream`, which delays each way by `seconds`."""
    async with _python("bench.delaying_proxy", upstream, str(seconds), str(fail_every)) as server:
        yield server


@asynccontextmanager
async def gateway(
    folder: Path,
    registry_address: str,
    *,
    authentication: bool = True,
    program: str = "portus_gateway",
    **variables: str,
) -> AsyncGenerator[Server, None]:
    """`portus-gateway serve` in front of a registry, with metrics, and logs in JSON.

    With `authentication`, callers show a token, and a policy says what they may do. `program` is the module to run.
    """
    token = secrets.token_urlsafe(32) if authentication else ""
    settings = {
        "PORTUS_REGISTRY_URL": f"http://{registry_address}",
        "PORTUS_REGISTRY_ANONYMOUS": "true",
        "PORTUS_LISTEN": "127.0.0.1:0",
        "PORTUS_METRICS_LISTEN": "127.0.0.1:0",
        "PORTUS_LOG_FORMAT": "json",
        **variables,
    }
    if authentication:
        settings["PORTUS_CALLER_TOKEN_FILE"] = str(token_file(folder, token))
        settings["PORTUS_POLICY_FILE"] = str(_policy_file(folder))
    log = _file(folder, "gateway.log", b"")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PORTUS_")} | settings
    async with _process([sys.executable, "-m", program, "serve"], folder, environment, log) as process:
        listening = await _logged(log, "listening", process)
        yield Server(str(listening["address"]), process.pid, token, str(listening["metrics"]))


def _registry_configuration(folder: Path, address: str, notified: Notified | None) -> Path:
    settings: dict[str, object] = {
        "version": "0.1",
        "log": {"level": "error", "accesslog": {"disabled": True}},
        "storage": {
            "filesystem": {"rootdirectory": str(folder / "storage"), "maxthreads": 100},
            "delete": {"enabled": True},
        },
        "catalog": {"maxentries": LARGEST_PAGE},
        "http": {"addr": address, "secret": secrets.token_urlsafe(18)},
    }
    if notified is not None:
        # As `portus-gateway index endpoint` prints them.
        endpoint = {
            "name": "bench",
            "url": notified.url,
            "headers": {"Authorization": [f"Bearer {notified.token}"]},
            "timeout": "1s",
            "threshold": 5,
            "backoff": "1s",
            "ignoredmediatypes": ["application/octet-stream"],
        }
        settings["notifications"] = {"endpoints": [endpoint]}
    return _file(folder, "configuration.json", json.dumps(settings).encode())  # JSON is YAML


def token_file(folder: Path, token: str) -> Path:
    """A file of ten tokens, one of which is this one, that of `bench`."""
    tokens = {f"other-{number}": secrets.token_urlsafe(32) for number in range(9)} | {"bench": token}
    lines = [f"{name} sha256:{hashlib.sha256(value.encode()).hexdigest()}\n" for name, value in tokens.items()]
    return _file(folder, "tokens", "".join(lines).encode())


def _policy_file(folder: Path) -> Path:
    return _file(folder, "policy.toml", _POLICY.encode())


def _file(folder: Path, name: str, content: bytes) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / name
    file.write_bytes(content)
    return file


@asynccontextmanager
async def _python(module: str, *arguments: str) -> AsyncGenerator[Server, None]:
    command = [sys.executable, "-m", module, *arguments]
    process = await begun(command, subprocess.PIPE)
    try:
        output = cast("IO[bytes]", process.stdout)
        address = (await asyncio.wait_for(asyncio.to_thread(output.readline), _START_SECONDS)).decode().strip()
        if not address:
            raise RuntimeError(f"{module} ended before it listened")
        yield Server(address, process.pid)
    finally:
        await end(process, _STOP_SECONDS)


@asynccontextmanager
async def _process(
    command: list[str], folder: Path, environment: Mapping[str, str], log: Path | None = None
) -> AsyncGenerator[subprocess.Popen[bytes], None]:
    log = log or _file(folder, "log", b"")
    with log.open("wb") as output:
        process = await begun(command, output, output, environment)
    try:
        yield process
    finally:
        await end(process, _STOP_SECONDS)


async def _logged(log: Path, event: str, process: subprocess.Popen[bytes]) -> dict[str, object]:
    wanted = re.compile(rf'^\{{.*"event": "{event}".*\}}$', re.MULTILINE)
    end = time.monotonic() + _START_SECONDS
    while (found := wanted.search(_text(log))) is None:
        if process.poll() is not None or time.monotonic() > end:
            raise RuntimeError(f"no {event!r} in its log:\n{_text(log)}")
        await asyncio.sleep(0.02)
    return dict(json.loads(found[0]))


async def _accepting(address: str, process: subprocess.Popen[bytes]) -> None:
    host, _, port = address.rpartition(":")
    end = time.monotonic() + _START_SECONDS
    while True:
        try:
            _, writer = await asyncio.open_connection(host, int(port))
        except ConnectionRefusedError:
            if process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"nothing listens on {address}") from None
            await asyncio.sleep(0.02)
        else:
            writer.close()
            await writer.wait_closed()
            return


def _text(file: Path) -> str:
    return file.read_text()


def free_address() -> str:
    """An address of loopback that nothing listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{listener.getsockname()[1]}"
