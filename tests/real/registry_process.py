"""A real registry as a process of its own, on a free port of loopback."""

import asyncio
import json
import os
import re
import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import aiohttp

Settings: TypeAlias = "Mapping[str, str | int | bool | Settings]"

_START_SECONDS = 20.0
_STOP_SECONDS = 10.0
_POLL_SECONDS = 0.02
_LOG_SHOWN = 6000
_LISTENING = re.compile(r"listening on (127\.0\.0\.1:[0-9]+)")


@dataclass(frozen=True, slots=True)
class RegistryProcess:
    """A registry that runs. Its content is in `storage`, and stays there when it ends."""

    authority: str
    """Host and port: `127.0.0.1:5000`."""
    storage: Path
    log: Path
    _process: asyncio.subprocess.Process = field(repr=False)

    @property
    def url(self) -> str:
        return f"http://{self.authority}"

    def log_tail(self) -> str:
        return _text_of(self.log)[-_LOG_SHOWN:]

    async def stop(self) -> None:
        """Ends the process. Once more is no error."""
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
    auth: Settings,
    deletion_enabled: bool = True,
    largest_page: int = 1000,
    port: int = 0,
) -> AsyncIterator[RegistryProcess]:
    """Runs a registry with its content in `folder`, which may have some already. Port 0 takes a free one.

    `auth` is the section of that name in its configuration, `largest_page` its `catalog.maxentries`. What it logged is
    added to whatever fails in the block.
    """
    storage, log = folder / "storage", folder / "registry.log"
    configuration = _write_configuration(
        folder,
        {
            "version": "0.1",
            "log": {"level": "info"},
            "storage": {"filesystem": {"rootdirectory": str(storage)}, "delete": {"enabled": deletion_enabled}},
            "catalog": {"maxentries": largest_page},
            "http": {"addr": f"127.0.0.1:{port}", "secret": secrets.token_urlsafe(18)},
            "auth": auth,
        },
    )
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            program,
            "serve",
            str(configuration),
            stdout=output,
            stderr=output,
            # Registry 3 would send traces to a collector that is not there.
            env={**os.environ, "OTEL_TRACES_EXPORTER": "none"},
        )
    registry = RegistryProcess("", storage, log, process)
    try:
        async with asyncio.timeout(_START_SECONDS):
            registry = RegistryProcess(await _listening_at(process, log), storage, log, process)
            await _answering(registry.url)
        yield registry
    except Exception as error:
        error.add_note(f"the registry's log ({program}):\n{registry.log_tail()}")
        raise
    finally:
        await registry.stop()


def _write_configuration(folder: Path, settings: Settings) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "configuration.json"  # JSON is YAML
    file.write_text(json.dumps(settings))
    return file


async def _listening_at(process: asyncio.subprocess.Process, log: Path) -> str:
    """Where the registry says that it listens: with a port that it took itself, no other process can be in its way."""
    while (said := _LISTENING.search(_text_of(log))) is None:
        assert process.returncode is None, f"the registry ended with {process.returncode} before it listened"
        await asyncio.sleep(_POLL_SECONDS)  # nothing tells when a file grows
    return said.group(1)


def _text_of(log: Path) -> str:
    return log.read_text(errors="replace")


async def _answering(url: str) -> None:
    async with aiohttp.ClientSession() as session:
        while True:
            try:
                async with session.get(f"{url}/v2/") as answer:
                    assert answer.status == 401, f"{url} answers {answer.status} to whoever has no token"
                    return
            except aiohttp.ClientConnectionError:
                await asyncio.sleep(_POLL_SECONDS)
