"""The policy's file, and every other file that may change while the gateway runs."""

# The files of a test are small and local.
# ruff: noqa: ASYNC240

import asyncio
import os
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from portus_gateway.access.errors import InvalidAccessFile
from portus_gateway.access.policy_file import PolicyFile
from tests.access.policies import TEAM_A, A

TEAM_B = TEAM_A.replace("team-a/", "team-b/")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "policy.toml"
    path.write_text(TEAM_A)
    return path


def sees_team_b(file: PolicyFile) -> bool:
    return file.policy.sees(A, "team-b/x")


def test_the_start_is_refused_without_a_valid_file(path: Path) -> None:
    path.write_text("[[allow]]")
    with pytest.raises(InvalidAccessFile) as caught:
        PolicyFile(path)
    assert caught.value.path == str(path)
    assert len(caught.value.problems) == 4
    path.unlink()
    with pytest.raises(InvalidAccessFile, match=r": cannot be read: No such file or directory$"):
        PolicyFile(path)
    path.write_text("#" * (1024 * 1024 + 1))
    with pytest.raises(InvalidAccessFile, match="larger than 1048576 bytes"):
        PolicyFile(path)


async def test_a_valid_new_file_is_used(path: Path) -> None:
    file = PolicyFile(path)
    path.write_text(TEAM_B)
    assert not sees_team_b(file)
    assert await file.reload()
    assert sees_team_b(file)


async def test_an_invalid_new_file_is_logged_and_the_old_policy_stays_in_force(path: Path) -> None:
    file = PolicyFile(path)
    path.write_text(TEAM_B.replace('"read"', '"reed"'))
    with capture_logs() as logs:
        assert not await file.reload()
    assert file.policy.sees(A, "team-a/x")
    assert not sees_team_b(file)
    (entry,) = logs
    assert entry["log_level"] == "error"
    assert "the old one stays in force" in entry["event"]
    assert "'reed' is neither an RPC" in entry["problems"][0]
    assert entry["problems"] == list(file.problems)
    path.write_text(TEAM_B)
    assert await file.reload()
    assert file.problems == ()


async def test_a_change_on_disk_is_noticed(path: Path) -> None:
    file = PolicyFile(path)
    watch = asyncio.create_task(file.watch(interval=0.01))
    try:
        # As Kubernetes and careful editors do it: another file takes the place of this one.
        fresh = path.with_name("fresh")
        fresh.write_text(TEAM_B)
        os.replace(fresh, path)
        async with asyncio.timeout(5):
            while not sees_team_b(file):
                await asyncio.sleep(0.01)
        with capture_logs() as logs:
            path.unlink()
            async with asyncio.timeout(5):
                while not file.problems:
                    await asyncio.sleep(0.01)
            # It is checked many times and logged once.
            await asyncio.sleep(0.1)
        assert [entry["log_level"] for entry in logs] == ["error"]
        assert sees_team_b(file)
        path.write_text(TEAM_A)
        async with asyncio.timeout(5):
            while sees_team_b(file):
                await asyncio.sleep(0.01)
    finally:
        watch.cancel()
        await asyncio.gather(watch, return_exceptions=True)
