"""The development registry and the conformance suite of the OCI distribution specification 1.1.

The flavour `oci-1.1` passes all of it. The flavours 2.8 and 3.1 pass and fail what distribution 2.8.2 and 3.1.1 do.
"""

from pathlib import Path

import pytest

from portus_gateway.devregistry import DevRegistry, Flavour
from tests import programs
from tests.conformance.suite import Report, run_suite
from tests.real.registry_process import serving

CHECKS = 862
# Version 1.1 does not ask for the cancellation of uploads.
DISABLED = 2


async def report_on_flavour(flavour: Flavour, folder: Path) -> Report:
    async with DevRegistry(flavour=flavour, auth="anonymous") as registry:
        return await run_suite(registry.url.removeprefix("http://"), folder)


async def report_on_distribution(program: str, folder: Path) -> Report:
    async with serving(program, folder / "registry", auth=None) as registry:
        return await run_suite(registry.authority, folder)


async def test_oci_1_1_passes_the_whole_suite(tmp_path: Path) -> None:
    report = await report_on_flavour("oci-1.1", tmp_path)
    assert report.problems() == []
    assert (report.failed, report.errors, report.skipped) == (0, 0, 0)
    assert (report.passed, report.disabled) == (CHECKS - DISABLED, DISABLED)


# What distribution itself fails: digests of sha512, referrers, and in 2.8 tags in order and deletes of tags.
@pytest.mark.parametrize(("flavour", "failed", "skipped"), [("2.8", 92, 46), ("3.1", 87, 16)])
async def test_a_flavour_of_distribution_passes_and_fails_what_distribution_does(
    tmp_path: Path, flavour: Flavour, failed: int, skipped: int
) -> None:
    program = programs.docker_registry() if flavour == "2.8" else programs.distribution()
    (tmp_path / "real").mkdir()
    (tmp_path / "imitation").mkdir()
    real = await report_on_distribution(program, tmp_path / "real")
    imitation = await report_on_flavour(flavour, tmp_path / "imitation")
    assert set(imitation.counts.items()) ^ set(real.counts.items()) == set()
    assert (imitation.failed, imitation.errors, imitation.skipped) == (failed, 0, skipped)
