"""`portus-client delete` of several manifests."""

import json

import pytest

from tests.clients.python.command_line import Terminal, run, run_with_input
from tests.clients.python.gateway import AMD64, ARM64, IMAGE_DIGEST, INDEX, Gateway

AMD64_DIGEST = AMD64.descriptor.digest
ARM64_DIGEST = ARM64.descriptor.digest
INDEX_DIGEST = INDEX.descriptor.digest
ABSENT = "sha256:" + "0" * 64


def test_several_manifests_are_deleted_in_one_call(gateway: Gateway) -> None:
    finished = run(
        gateway.address,
        *("delete", "team/app:latest", IMAGE_DIGEST, AMD64_DIGEST, INDEX_DIGEST, "manifests"),
        *("--expect", "1.0", "--expect", "multi", "--yes"),
    )
    assert (finished.status, finished.errors) == (0, "")
    assert sorted(finished.output.splitlines()) == sorted(
        [
            f"deleted team/app@{IMAGE_DIGEST} and its 2 tags 1.0, latest",
            f"deleted team/app@{AMD64_DIGEST}, which has no tags",
            f"deleted team/app@{INDEX_DIGEST} and its tag multi",
        ]
    )
    # One check and one delete.
    assert gateway.called("BatchDeleteManifests") == 2
    assert set(gateway.manifests) == {ARM64_DIGEST}


def test_digests_and_their_tags_come_from_standard_input(gateway: Gateway) -> None:
    lines = f"{IMAGE_DIGEST} 1.0 latest\n\n{INDEX_DIGEST} multi\n".encode()
    finished = run_with_input(lines, gateway.address, "delete", "team/app", "-", "manifests", "--yes")
    assert (finished.status, finished.errors) == (0, "")
    assert gateway.tags == {}
    finished = run_with_input(b"sha256:short\n", gateway.address, "delete", "team/app", "-", "manifests", "--yes")
    assert finished.status == 2
    assert "standard input, line 1" in finished.errors


def test_what_cannot_be_deleted_is_told_and_the_rest_is_deleted(gateway: Gateway) -> None:
    finished = run(gateway.address, "delete", "team/app", IMAGE_DIGEST, AMD64_DIGEST, ABSENT, "manifests", "--yes")
    assert finished.status == 6
    assert finished.output == f"deleted team/app@{AMD64_DIGEST}, which has no tags\n"
    assert (
        f"portus-client: {IMAGE_DIGEST}: nothing was deleted: unexpected tags point to the manifest" in finished.errors
    )
    assert "1.0, latest (TAGGED); name each with --expect, or give --force\n" in finished.errors
    assert f"portus-client: {ABSENT}: there is no such manifest (MANIFEST_UNKNOWN)\n" in finished.errors
    assert IMAGE_DIGEST in gateway.manifests


def test_where_nothing_can_be_deleted_the_status_is_that_of_the_first_failure(gateway: Gateway) -> None:
    finished = run(gateway.address, "delete", "team/app", IMAGE_DIGEST, ABSENT, "manifests", "--yes")
    assert finished.status == 4
    assert gateway.called("BatchDeleteManifests") == 1


@pytest.mark.parametrize(
    ("digest", "asked"),
    [
        (IMAGE_DIGEST, "This deletes 1 manifest of team/app and 2 tags: 1.0, latest. 1 other manifest"),
        (AMD64_DIGEST, "This deletes 1 manifest of team/app and no tags. 1 other manifest"),
    ],
    ids=["tags", "no-tags"],
)
def test_the_summary_of_one_manifest(gateway: Gateway, digest: str, asked: str) -> None:
    arguments = ["delete", "team/app:latest", digest, ABSENT, "manifests", "--expect", "1.0"]
    terminal = Terminal(gateway.address, arguments)
    terminal.wait_for("Delete? [y/N]: ")
    assert asked in terminal.text
    terminal.type("n\n")
    assert terminal.end() == 1


def test_it_asks_once_with_a_summary(gateway: Gateway) -> None:
    arguments = ["delete", "team/app:latest", IMAGE_DIGEST, AMD64_DIGEST, ABSENT, "manifests", "--expect", "1.0"]
    for answer, status, left in (("n\n", 1, 4), ("y\n", 6, 2)):
        terminal = Terminal(gateway.address, arguments)
        terminal.wait_for("Delete? [y/N]: ")
        assert "This deletes 2 manifests of team/app and 2 tags: 1.0, latest." in terminal.text
        assert "1 other manifest cannot be deleted." in terminal.text
        terminal.type(answer)
        assert terminal.end() == status
        assert terminal.text.count("Delete?") == 1
        assert len(gateway.manifests) == left


def test_a_tag_that_was_set_after_the_check_keeps_its_manifest(gateway: Gateway) -> None:
    terminal = Terminal(gateway.address, ["delete", "team/app", AMD64_DIGEST, ARM64_DIGEST, "manifests", "--force"])
    terminal.wait_for("Delete? [y/N]: ")
    gateway.tags["new"] = AMD64_DIGEST
    terminal.type("y\n")
    assert terminal.end() == 6
    assert AMD64_DIGEST in gateway.manifests
    assert ARM64_DIGEST not in gateway.manifests


def test_force_leaves_an_index_incomplete(gateway: Gateway) -> None:
    gateway.referenced.add(AMD64_DIGEST)
    refused = run(gateway.address, "delete", "team/app", AMD64_DIGEST, ARM64_DIGEST, "manifests", "--yes")
    assert refused.status == 6
    assert "REFERENCED" in refused.errors
    assert AMD64_DIGEST in gateway.manifests
    gateway.manifests[ARM64_DIGEST] = ARM64
    forced = run(gateway.address, "delete", "team/app", AMD64_DIGEST, ARM64_DIGEST, "manifests", "--yes", "--force")
    assert (forced.status, forced.errors) == (0, "")
    assert AMD64_DIGEST not in gateway.manifests


def test_a_dry_run_deletes_nothing_and_its_status_says_whether_all_would_go(gateway: Gateway) -> None:
    finished = run(gateway.address, "delete", "team/app", AMD64_DIGEST, ABSENT, "manifests", "--dry-run")
    assert finished.status == 6
    assert finished.output == f"would delete team/app@{AMD64_DIGEST}, which has no tags\n"
    assert AMD64_DIGEST in gateway.manifests
    both = run(gateway.address, "delete", "team/app", AMD64_DIGEST, ARM64_DIGEST, "manifests", "--dry-run")
    assert both.status == 0


def test_json_has_a_line_for_each(gateway: Gateway) -> None:
    finished = run(
        gateway.address, "--output", "json", "delete", "team/app", AMD64_DIGEST, ABSENT, "manifests", "--dry-run"
    )
    lines = [json.loads(line) for line in finished.output.splitlines()]
    assert lines[0] == {"digest": AMD64_DIGEST, "dry_run": True, "deleted_tags": [], "remaining_tags": []}
    assert (lines[1]["digest"], lines[1]["error"]["reason"]) == (ABSENT, "MANIFEST_UNKNOWN")


def test_tags_that_remain_are_told(gateway: Gateway) -> None:
    gateway.kept_tags.add("latest")
    finished = run(gateway.address, "delete", "team/app", IMAGE_DIGEST, AMD64_DIGEST, "manifests", "--force", "--yes")
    assert finished.status == 6
    assert "these tags still exist: latest" in finished.errors


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([AMD64_DIGEST, ABSENT, "blobs", "--yes"], "one at a time"),
        ([AMD64_DIGEST, ABSENT, "manifests"], "give --yes or --dry-run"),
        (["-", "manifests", "--yes"], "0 digests were given"),
    ],
)
def test_what_cannot_be_done(gateway: Gateway, arguments: list[str], message: str) -> None:
    finished = run(gateway.address, "delete", "team/app", *arguments)
    assert finished.status == 2
    assert message in finished.errors
    assert gateway.requests == []
