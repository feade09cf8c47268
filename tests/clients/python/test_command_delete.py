"""`portus-client delete`: its output, its question, and its limits."""

import json
import shlex

import grpc
import pytest

from portus.registry.v1 import registry_service_pb2
from tests.clients.python.command_line import COMMAND, Terminal, run, run_in_shell
from tests.clients.python.gateway import IMAGE_DIGEST, LAYER_DIGEST, Gateway, status, tagged

BOTH = ("--expect", "1.0", "--expect", "latest")


def real_deletes(gateway: Gateway) -> list[registry_service_pb2.DeleteManifestRequest]:
    return [
        request
        for _, request in gateway.requests
        if isinstance(request, registry_service_pb2.DeleteManifestRequest) and not request.validate_only
    ]


def test_delete_reports_the_deleted_tags(gateway: Gateway) -> None:
    finished = run(gateway.address, "delete", "team/app", IMAGE_DIGEST, "manifests", *BOTH, "--yes")

    assert (finished.status, finished.errors) == (0, "")
    assert finished.output == f"deleted team/app@{IMAGE_DIGEST} and its 2 tags 1.0, latest\n"
    assert IMAGE_DIGEST not in gateway.manifests


def test_the_tag_in_the_image_name_is_expected_and_other_tags_are_not(gateway: Gateway) -> None:
    refused = run(gateway.address, "delete", "team/app:1.0", IMAGE_DIGEST, "manifests", "--yes")
    assert refused.status == 4
    assert refused.errors == (
        "portus-client: nothing was deleted: unexpected tags point to the manifest: latest (TAGGED);"
        " name each with --expect, or give --force\n"
    )
    assert IMAGE_DIGEST in gateway.manifests

    del gateway.tags["latest"]
    assert run(gateway.address, "delete", "team/app:1.0", IMAGE_DIGEST, "manifests", "--yes").status == 0


def test_an_ambiguous_host_is_refused(gateway: Gateway) -> None:
    finished = run(gateway.address, "delete", "docker.io/team/app:1.0", IMAGE_DIGEST, "manifests", *BOTH, "--yes")

    assert finished.status == 2
    assert "write team/app or /docker.io/team/app" in finished.errors
    assert gateway.requests == []


def test_only_the_first_of_many_tags_are_listed(gateway: Gateway) -> None:
    gateway.failures["DeleteManifest"] = [tagged([f"v{number}" for number in range(50)], count=2000)]

    finished = run(gateway.address, "delete", "team/app", IMAGE_DIGEST, "manifests", "--yes")

    assert "v0, v1, v2, v3, v4, v5, v6, v7, v8, v9 and 1990 more (TAGGED)" in finished.errors


def test_a_dry_run_reports_what_would_be_deleted_and_deletes_nothing(gateway: Gateway) -> None:
    text = run(gateway.address, "delete", "team/app", IMAGE_DIGEST, "manifests", "--force", "--dry-run")
    arguments = ("delete", "team/app", IMAGE_DIGEST, "manifests", "--force", "--dry-run", "--output", "json")

    assert text.output == f"would delete team/app@{IMAGE_DIGEST} and its 2 tags 1.0, latest\n"
    assert json.loads(run(gateway.address, *arguments).output) == {
        "digest": IMAGE_DIGEST,
        "deleted_tags": ["1.0", "latest"],
        "remaining_tags": [],
        "dry_run": True,
    }
    assert real_deletes(gateway) == []


def test_force_deletes_only_the_tags_that_were_shown(gateway: Gateway) -> None:
    assert run(gateway.address, "delete", "team/app", IMAGE_DIGEST, "manifests", "--force", "--yes").status == 0

    (request,) = real_deletes(gateway)
    assert not request.force
    assert list(request.expected_tags) == ["1.0", "latest"]


def test_a_manifest_in_a_tagged_index_is_deleted_only_by_force(gateway: Gateway) -> None:
    gateway.referenced.add(IMAGE_DIGEST)
    arguments = ("delete", "team/app", IMAGE_DIGEST, "manifests", "--yes")

    refused = run(gateway.address, *arguments, *BOTH)
    assert refused.status == 4
    assert refused.errors == (
        "portus-client: nothing was deleted: tagged indexes contain the manifest: multi (REFERENCED);"
        " --force deletes it and leaves them incomplete\n"
    )
    assert IMAGE_DIGEST in gateway.manifests

    assert run(gateway.address, *arguments, "--force").status == 0
    assert [(request.force, list(request.expected_tags)) for request in real_deletes(gateway)] == [
        (False, ["1.0", "latest"]),
        (True, ["1.0", "latest"]),
    ]


def test_a_tag_set_after_the_check_stops_the_delete(gateway: Gateway) -> None:
    terminal = Terminal(gateway.address, ["delete", "team/app", IMAGE_DIGEST, "manifests", "--force"])
    terminal.wait_for("Delete? [y/N]")
    gateway.tags["new"] = IMAGE_DIGEST
    terminal.type("y\n")

    assert terminal.end() == 4
    assert "unexpected tags point to the manifest: new (TAGGED)" in terminal.text
    assert "they were set after the check" in terminal.text
    assert IMAGE_DIGEST in gateway.manifests


def test_more_tags_than_the_limit_are_deleted_by_force(gateway: Gateway) -> None:
    gateway.tags |= {f"v{number:04}": IMAGE_DIGEST for number in range(1500)}

    finished = run(gateway.address, "delete", "team/app", IMAGE_DIGEST, "manifests", "--force", "--yes")

    assert finished.status == 0
    assert "its 1502 tags" in finished.output


def test_without_a_terminal_the_delete_needs_yes(gateway: Gateway) -> None:
    finished = run(gateway.address, "delete", "team/app", IMAGE_DIGEST, "manifests", *BOTH)

    assert finished.status == 2
    assert "give --yes" in finished.errors
    assert gateway.requests == []


@pytest.mark.parametrize("answer", ["n\n", "\n", "\x04"])
def test_on_a_terminal_the_answer_no_deletes_nothing(gateway: Gateway, answer: str) -> None:
    terminal = Terminal(gateway.address, ["delete", "team/app", IMAGE_DIGEST, "manifests", *BOTH])
    terminal.wait_for("and its 2 tags 1.0, latest")
    terminal.wait_for("Delete? [y/N]")
    terminal.type(answer)

    assert terminal.end() == 1
    assert "nothing was deleted" in terminal.text
    assert real_deletes(gateway) == []


def test_on_a_terminal_the_answer_yes_deletes(gateway: Gateway) -> None:
    terminal = Terminal(gateway.address, ["delete", "team/app", IMAGE_DIGEST, "manifests", *BOTH])
    terminal.wait_for("Delete? [y/N]")
    assert IMAGE_DIGEST in gateway.manifests
    terminal.type("y\n")

    assert terminal.end() == 0
    assert IMAGE_DIGEST not in gateway.manifests


def test_a_blob_is_deleted(gateway: Gateway) -> None:
    arguments = ("delete", "team/app", LAYER_DIGEST, "blobs", "--yes")

    assert run(gateway.address, *arguments).output == f"deleted the blob team/app@{LAYER_DIGEST}\n"
    again = run(gateway.address, *arguments)
    assert again.status == 3
    assert "BLOB_UNKNOWN" in again.errors


def test_the_outcome_of_a_delete_without_a_response_is_unknown(gateway: Gateway) -> None:
    terminal = Terminal(gateway.address, ["delete", "team/app", LAYER_DIGEST, "blobs"])
    terminal.wait_for("Delete? [y/N]")
    gateway.failures["DeleteBlob"] = [
        status(grpc.StatusCode.UNAVAILABLE, "the answer got lost", "DELETE_OUTCOME_UNKNOWN")
    ]
    terminal.type("y\n")

    assert terminal.end() == 5
    assert f"it is not known whether {LAYER_DIGEST} was deleted" in terminal.text


def test_a_failed_check_is_not_an_unknown_outcome(gateway: Gateway) -> None:
    gateway.failures["DeleteBlob"] = [status(grpc.StatusCode.UNAVAILABLE, "try later", "UPSTREAM_UNAVAILABLE")]

    finished = run(gateway.address, "delete", "team/app", LAYER_DIGEST, "blobs", "--yes")

    assert finished.errors == "portus-client: try later (UPSTREAM_UNAVAILABLE)\n"


def test_ctrl_c_at_the_question_deletes_nothing_and_has_status_130(gateway: Gateway) -> None:
    terminal = Terminal(gateway.address, ["delete", "team/app", IMAGE_DIGEST, "manifests", *BOTH])
    terminal.wait_for("Delete? [y/N]")
    terminal.interrupt_the_question()

    assert terminal.end() == 130
    assert "nothing was deleted" in terminal.text
    assert "Traceback" not in terminal.text
    assert real_deletes(gateway) == []


@pytest.mark.parametrize("output", [(), ("--output", "json")], ids=["text", "json"])
def test_a_delete_whose_output_cannot_be_written_still_says_what_was_deleted(
    gateway: Gateway, output: tuple[str, ...]
) -> None:
    arguments = ["delete", "team/app", IMAGE_DIGEST, "manifests", *BOTH, "--yes", *output]

    finished = run_in_shell(f"{shlex.join([*COMMAND, *arguments])} >/dev/full", gateway.address)

    assert IMAGE_DIGEST not in gateway.manifests
    assert finished.status == 1
    assert finished.errors == (
        f"portus-client: deleted team/app@{IMAGE_DIGEST} and its 2 tags 1.0, latest\n"
        "portus-client: cannot write the output: No space left on device\n"
    )


def test_remaining_tags_are_named_and_the_status_is_6(gateway: Gateway) -> None:
    gateway.kept_tags.add("latest")
    arguments = ("delete", "team/app", IMAGE_DIGEST, "manifests", *BOTH, "--yes")

    finished = run(gateway.address, *arguments, "--output", "json")

    assert finished.status == 6
    assert finished.errors == "portus-client: these tags pointed to it and still exist: latest\n"
    assert json.loads(finished.output) == {
        "digest": IMAGE_DIGEST,
        "dry_run": False,
        "deleted_tags": ["1.0"],
        "remaining_tags": ["latest"],
    }
