"""A real Prometheus server, which scrapes gateways of this machine and evaluates rules."""

import asyncio
import json
import re
import urllib.parse
import urllib.request
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import yaml

from tests import programs

Labels: TypeAlias = dict[str, str]
_PATIENCE_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Sample:
    """One series of an instant query."""

    labels: Labels
    value: float


@dataclass(frozen=True, slots=True)
class PrometheusServer:
    """A server that runs."""

    address: str

    async def query(self, expression: str) -> list[Sample]:
        """What an expression is now. Raises `HTTPError` for one that is not valid."""
        answer = await self._get("query", {"query": expression})
        result = answer["result"]
        assert isinstance(result, list)
        return [Sample(series["metric"], float(series["value"][1])) for series in result]

    async def firing(self) -> set[tuple[str, str]]:
        """The alerts that fire: name and job."""
        samples = await self.query('ALERTS{alertstate="firing"}')
        return {(sample.labels["alertname"], sample.labels.get("job", "")) for sample in samples}

    async def _get(self, endpoint: str, parameters: Mapping[str, str]) -> dict[str, object]:
        url = f"http://{self.address}/api/v1/{endpoint}?{urllib.parse.urlencode(parameters)}"

        def fetch() -> dict[str, object]:
            with urllib.request.urlopen(url, timeout=10) as answer:
                data: dict[str, object] = json.load(answer)["data"]
                return data

        return await asyncio.to_thread(fetch)


@asynccontextmanager
async def prometheus_server(
    folder: Path, jobs: Mapping[str, Sequence[str]], rules: str, *, instances: Mapping[str, str] | None = None
) -> AsyncGenerator[PrometheusServer, None]:
    """Runs a server that scrapes the addresses of each job twice in a second. `rules` is a file of rules (YAML).

    `instances` has names for addresses, for the label `instance`.
    """
    names = instances or {}
    (folder / "rules.yaml").write_text(rules)
    configuration = {
        "global": {"scrape_interval": "500ms", "scrape_timeout": "400ms", "evaluation_interval": "500ms"},
        "rule_files": ["rules.yaml"],
        "scrape_configs": [
            {
                "job_name": job,
                "static_configs": [
                    {"targets": [address], "labels": {"instance": names.get(address, address)}} for address in addresses
                ],
            }
            for job, addresses in jobs.items()
        ],
    }
    (folder / "prometheus.yaml").write_text(yaml.safe_dump(configuration))
    process = await asyncio.create_subprocess_exec(
        programs.prometheus(),
        f"--config.file={folder / 'prometheus.yaml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        "--web.listen-address=127.0.0.1:0",
        stdout=DEVNULL,
        stderr=PIPE,
    )
    assert process.stderr is not None
    try:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            address = await _address(process.stderr)
        # Its log has to be read, or it stops.
        reading = asyncio.create_task(process.stderr.read())
        try:
            yield PrometheusServer(address)
        finally:
            process.terminate()
            await reading
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def _address(log: asyncio.StreamReader) -> str:
    """Where it listens, once it answers."""
    lines: list[str] = []
    address = ""
    async for line in log:
        lines.append(line.decode())
        listening = re.search(r'msg="Listening on" address=(\S+)', lines[-1])
        if listening is not None:
            address = listening[1]
        if "Server is ready to receive web requests" in lines[-1]:
            return address
    raise AssertionError("Prometheus ended:\n" + "".join(lines))
