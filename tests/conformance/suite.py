"""The conformance suite of the OCI distribution specification, run against a registry that anybody may use."""

import asyncio
import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from tests import programs

_PATIENCE_SECONDS = 120.0
_VERSION = "1.1"


@dataclass(frozen=True, slots=True)
class Outcome:
    """One check of the suite. Several checks have the same name."""

    name: str
    status: str
    """`passed`, `failure`, `error` or `skipped`."""
    message: str


@dataclass(frozen=True, slots=True)
class Report:
    """What a run of the suite found."""

    outcomes: tuple[Outcome, ...]
    total: int
    failed: int
    errors: int
    skipped: int
    """Checks of what the registry says that it does not do."""
    disabled: int
    """Checks that the suite leaves out of this version of the specification."""

    @property
    def passed(self) -> int:
        return self.total - self.failed - self.errors - self.skipped - self.disabled

    @property
    def counts(self) -> Counter[tuple[str, str]]:
        """How many checks of each name have each status. The order of checks is random."""
        return Counter((outcome.name, outcome.status) for outcome in self.outcomes)

    def problems(self) -> list[str]:
        """What failed, and why."""
        return [
            f"{outcome.name}: {outcome.message}"
            for outcome in self.outcomes
            if outcome.status in ("failure", "error") or (outcome.status == "skipped" and outcome.message)
        ]


async def run_suite(authority: str, folder: Path) -> Report:
    """Runs the whole suite over plain HTTP. `folder` is for its reports."""
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("OCI_")},
        "OCI_REGISTRY": authority,
        "OCI_TLS": "disabled",
        "OCI_VERSION": _VERSION,
        "OCI_RESULTS_DIR": str(folder),
        "OCI_LOG": "error",
        "NO_PROXY": "127.0.0.1",
    }
    process = await asyncio.create_subprocess_exec(
        programs.conformance(),
        cwd=folder,
        env=environment,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            _, said = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    report = folder / "junit.xml"
    assert report.exists(), f"the suite ended with {process.returncode} before its report: {said.decode()}"
    return _read(report)


def _read(report: Path) -> Report:
    suites = ElementTree.parse(report).getroot()
    return Report(
        outcomes=tuple(
            Outcome(case.attrib["name"], case.attrib["status"], (case.findtext("system-out") or "").strip())
            for case in suites.iter("testcase")
        ),
        total=_count(suites, "tests"),
        failed=_count(suites, "failures"),
        errors=_count(suites, "errors"),
        skipped=_count(suites, "skipped"),
        disabled=_count(suites, "disabled"),
    )


def _count(suites: ElementTree.Element, name: str) -> int:
    # The suite leaves out what is zero.
    return int(suites.attrib.get(name, "0"))
