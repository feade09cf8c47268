"""A real registry as a process of its own, on a free port of the loopback interface."""

import asyncio
import json
import os
import re
import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import aiohttp

Settings: TypeAlias = Mapping[str, "str | int | bool | Sequence[str] | Sequence[Settings] | Settings"]

_START_SECONDS = 20.0
_STOP_SECONDS = 10.0
_POLL_SECONDS = 0.02
_LOG_SHOWN = 6000
_DISTRIBUTION_LISTENS = re.compile(r"listening on 127\.0\.0\.1:([0-9]+)")


@dataclass(frozen=True, slots=True)
class RegistryProcess:
    """A registry that runs."""

    authority: str
    """Host and port: `127.0.0.1:5000`."""
    log: Path
    _process: asyncio.subprocess.Process = field(repr=False)

    @property
    def url(self) -> str:
        return f"http://{self.authority}"

    def log_tail(self) -> str:
        return _text_of(self.log)[-_LOG_SHOWN:]

    def kill(self) -> None:
        """Ends the process at once."""
        self._process.kill()

    async def stop(self) -> None:
        """Ends the process. A second call does nothing."""
        if self._process.returncode is None:
            self._process.terminate()
        try:
            async with asyncio.timeout(_STOP_SECONDS):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()


@asynccontextmanager
async def serving(
    program: str,
    folder: Path,
    *,
    auth: Settings | None,
    deletion_enabled: bool = True,
    largest_page: int = 1000,
    port: int = 0,
    certificate: tuple[Path, Path] | None = None,
    notifications: Settings | None = None,
) -> AsyncIterator[RegistryProcess]:
    """Runs distribution with its content in `storage_of(folder)`, which may exist already. Port 0 takes a free one.

    `auth` and `notifications` are the sections of those names in its configuration. Without `auth`, anybody may do
    everything. `largest_page` is `catalog.maxentries`. With `certificate`, which is one and its key, it uses TLS.
    Layers may have URLs, which distribution refuses unless it is configured.
    """
    tls: Settings = {}
    if certificate is not None:
        tls = {"tls": {"certificate": str(certificate[0]), "key": str(certificate[1])}}
    configuration = _write_configuration(
        folder,
        {
            "version": "0.1",
            "log": {"level": "info"},
            "storage": {
                "filesystem": {"rootdirectory": str(storage_of(folder))},
                "delete": {"enabled": deletion_enabled},
            },
            "catalog": {"maxentries": largest_page},
            "http": {"addr": f"127.0.0.1:{port}", "secret": secrets.token_urlsafe(18), **tls},
            "validation": {"manifests": {"urls": {"allow": ["^https?://"]}}},
            **({} if auth is None else {"auth": auth}),
            **({} if notifications is None else {"notifications": notifications}),
        },
    )
    command = (program, "serve", str(configuration))
    # Over plain HTTP, that is.
    answers = 400 if certificate is not None else 200 if auth is None else 401
    async with running(command, folder, listens=_DISTRIBUTION_LISTENS, answers=answers) as registry:
        yield registry


def storage_of(folder: Path) -> Path:
    """Where a distribution registry that works in `folder` keeps its content."""
    return folder / "storage"


@asynccontextmanager
async def running(
    command: Sequence[str], folder: Path, *, listens: re.Pattern[str], answers: int
) -> AsyncIterator[RegistryProcess]:
    """Runs a registry, with its log in `folder`. The log is added to every exception that the block raises.

    `listens` finds the port in the log. `answers` is the status of `/v2/` for a client without credentials.
    """
    log = _log_in(folder)
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdout=output,
            stderr=output,
            # Distribution 3 would send traces to a collector, and there is none.
            env={**os.environ, "OTEL_TRACES_EXPORTER": "none"},
        )
    registry = RegistryProcess("", log, process)
    try:
        async with asyncio.timeout(_START_SECONDS):
            registry = RegistryProcess(f"127.0.0.1:{await _port_of(process, log, listens)}", log, process)
            await _answering(registry.url, answers)
        yield registry
    except Exception as error:
        error.add_note(f"the registry's log ({command[0]}):\n{registry.log_tail()}")
        raise
    finally:
        await registry.stop()


def _write_configuration(folder: Path, settings: Settings) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "configuration.json"  # JSON is YAML
    file.write_text(json.dumps(settings))
    return file


async def _port_of(process: asyncio.subprocess.Process, log: Path, listens: re.Pattern[str]) -> str:
    """The port in the registry's log. The registry chose it, so no other process has it."""
    while (said := listens.search(_text_of(log))) is None:
        assert process.returncode is None, f"the registry ended with {process.returncode} before it listened"
        await asyncio.sleep(_POLL_SECONDS)  # no event tells that a file has grown
    return said.group(1)


def _log_in(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder / "registry.log"


def _text_of(log: Path) -> str:
    return log.read_text(errors="replace")


async def _answering(url: str, status: int) -> None:
    async with aiohttp.ClientSession() as session:
        while True:
            try:
                async with session.get(f"{url}/v2/") as answer:
                    assert answer.status == status, f"{url}/v2/ answered {answer.status} instead of {status}"
                    return
            except aiohttp.ClientConnectionError:
                await asyncio.sleep(_POLL_SECONDS)
