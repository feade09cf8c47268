"""`portus-client tag rm`."""

import json
import shlex

import pytest

from tests.clients.python.command_line import COMMAND, Terminal, run, run_in_shell
from tests.clients.python.gateway import IMAGE_DIGEST, INDEX, Gateway


def test_a_tag_is_deleted_and_its_manifest_stays(gateway: Gateway) -> None:
    finished = run(gateway.address, "tag", "rm", "team/app:latest", "--yes")
    assert (finished.status, finished.errors) == (0, "")
    assert finished.output == f"deleted the tag team/app:latest, which pointed to {IMAGE_DIGEST}\n"
    assert "latest" not in gateway.tags
    assert IMAGE_DIGEST in gateway.manifests


def test_it_shows_what_the_tag_points_to_and_asks(gateway: Gateway) -> None:
    for answer, status, gone in (("n\n", 1, False), ("y\n", 0, True)):
        terminal = Terminal(gateway.address, ["tag", "rm", "team/app:latest"])
        terminal.wait_for("Delete? [y/N]: ")
        assert f"This deletes the tag team/app:latest, which points to {IMAGE_DIGEST}" in terminal.text
        assert ("latest" in gateway.tags) is True
        terminal.type(answer)
        assert terminal.end() == status
        assert ("latest" not in gateway.tags) is gone


def test_what_was_shown_is_what_the_gateway_is_told_to_expect(gateway: Gateway) -> None:
    terminal = Terminal(gateway.address, ["tag", "rm", "team/app:latest"])
    terminal.wait_for("Delete? [y/N]: ")
    gateway.tags["latest"] = INDEX.descriptor.digest
    terminal.type("y\n")
    assert terminal.end() == 4
    assert "TAG_MOVED" in terminal.text
    assert "latest" in gateway.tags


def test_a_digest_in_the_name_is_what_the_tag_has_to_point_to(gateway: Gateway) -> None:
    finished = run(gateway.address, "tag", "rm", f"team/app:latest@{INDEX.descriptor.digest}", "--yes")
    assert finished.status == 4
    assert "TAG_MOVED" in finished.errors
    assert run(gateway.address, "tag", "rm", f"team/app:latest@{IMAGE_DIGEST}", "--yes").status == 0


def test_a_dry_run_and_json(gateway: Gateway) -> None:
    finished = run(gateway.address, "--output", "json", "tag", "rm", "team/app:latest", "--dry-run")
    assert json.loads(finished.output) == {
        "repository": "team/app",
        "tag": "latest",
        "digest": IMAGE_DIGEST,
        "dry_run": True,
    }
    assert "latest" in gateway.tags


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["team/app", "--yes"], 2, "write NAME:TAG"),
        (["team/app:gone", "--yes"], 3, "no such"),
        (["team/app:latest"], 2, "give --yes or --dry-run"),
        (["host.example/app:1.0", "--yes"], 2, "can be a registry host"),
    ],
)
def test_what_cannot_be_done(gateway: Gateway, arguments: list[str], status: int, message: str) -> None:
    finished = run(gateway.address, "tag", "rm", *arguments)
    assert finished.status == status
    assert message in finished.errors
    assert finished.errors.count("\n") == 1
    assert "DeleteTag" not in [rpc for rpc, _ in gateway.requests]


def test_a_full_disk_is_not_taken_for_a_failed_delete(gateway: Gateway) -> None:
    command = shlex.join([*COMMAND, "tag", "rm", "team/app:latest", "--yes"])
    finished = run_in_shell(f"{command} >/dev/full", gateway.address)
    assert finished.status == 1
    assert "deleted the tag team/app:latest" in finished.errors
