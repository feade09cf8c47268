"""`portus-client batch` and `portus-client tags --digests`."""

import json

import grpc
import pytest

from tests.clients.python import gateway as canned
from tests.clients.python.command_line import Terminal, run, run_with_input
from tests.clients.python.gateway import BATCH_END, IMAGE, IMAGE_DIGEST, INDEX, Gateway, status

INDEX_DIGEST = INDEX.descriptor.digest
GONE = "? there is no such manifest (MANIFEST_UNKNOWN)"


def test_batch_prints_results_in_the_order_of_the_names(gateway: Gateway) -> None:
    finished = run(gateway.address, "batch", "team/app:1.0", "host:5000/team/app:multi", f"team/app@{IMAGE_DIGEST}")

    assert (finished.status, finished.errors) == (0, "")
    assert [line.split() for line in finished.output.splitlines()] == [
        ["team/app:1.0", IMAGE_DIGEST],
        ["host:5000/team/app:multi", INDEX_DIGEST],
        [f"team/app@{IMAGE_DIGEST}", IMAGE_DIGEST],
    ]


def test_a_failed_image_does_not_end_the_batch_and_the_status_is_6(gateway: Gateway) -> None:
    finished = run(gateway.address, "batch", "team/app:gone", "team/app")

    assert finished.status == 6
    assert finished.output == f"team/app:gone  {GONE}\nteam/app       {IMAGE_DIGEST}\n"
    assert finished.errors == "portus-client: 1 of 2 manifests could not be fetched\n"


def test_batch_in_json_has_one_line_per_result_in_the_order_of_arrival(gateway: Gateway) -> None:
    finished = run(gateway.address, "batch", "team/app:1.0", "team/app:gone", "--output", "json")

    assert finished.status == 6
    assert [json.loads(line) for line in finished.output.splitlines()] == [
        {
            "index": 1,
            "image": "team/app:gone",
            "error": {"code": "NOT_FOUND", "reason": "MANIFEST_UNKNOWN", "message": "there is no such manifest"},
        },
        {
            "index": 0,
            "image": "team/app:1.0",
            "digest": IMAGE_DIGEST,
            "media_type": canned.IMAGE_TYPE,
            "size": len(IMAGE.raw),
            "manifest": json.loads(IMAGE.raw),
        },
    ]


def test_batch_reads_names_from_standard_input_and_arguments(gateway: Gateway) -> None:
    names = b"team/app:multi\n\n  team/app:latest \n"

    finished = run_with_input(names, gateway.address, "batch", "team/app:1.0", "-")

    assert finished.status == 0
    assert [line.split()[0] for line in finished.output.splitlines()] == [
        "team/app:1.0",
        "team/app:multi",
        "team/app:latest",
    ]


def test_the_platform_applies_to_the_whole_batch(gateway: Gateway) -> None:
    finished = run(gateway.address, "batch", "team/app:multi", "team/app:1.0", "--platform", "linux/arm64")

    assert [line.split()[1] for line in finished.output.splitlines()] == [
        canned.ARM64.descriptor.digest,
        IMAGE_DIGEST,
    ]


def test_batch_with_empty_standard_input_makes_no_call(gateway: Gateway) -> None:
    finished = run(gateway.address, "batch", "-")

    assert (finished.status, finished.output, finished.errors) == (0, "", "")
    assert gateway.requests == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"team/app\nTeam/App\n", "standard input, line 2: 'Team/App' is not a repository name"),
        (b"\xff\xfe", "standard input, line 1: "),
    ],
)
def test_an_invalid_name_on_standard_input_stops_the_batch_before_any_call(
    gateway: Gateway, text: bytes, said: str
) -> None:
    finished = run_with_input(text, gateway.address, "batch", "-")

    assert finished.status == 2
    assert said in finished.errors
    assert finished.errors.count("\n") == 1
    assert gateway.requests == []


def test_a_failed_batch_call_has_its_own_status(gateway: Gateway) -> None:
    gateway.failures[BATCH_END] = [status(grpc.StatusCode.INTERNAL, "the gateway failed", "BUG")]

    finished = run(gateway.address, "batch", "team/app")

    assert finished.status == 1
    assert "the gateway failed (BUG)" in finished.errors


def test_a_batch_on_a_terminal_is_a_table_with_sizes_and_platforms(gateway: Gateway) -> None:
    terminal = Terminal(gateway.address, ["batch", "team/app:1.0", "team/app:multi", "team/app:gone"])

    assert terminal.end() == 6
    rows = [line.split(maxsplit=1) for line in terminal.text.splitlines() if line.startswith("team/app:")]
    assert [name for name, _ in rows] == ["team/app:1.0", "team/app:multi", "team/app:gone"]
    assert rows[0][1].split() == [f"{IMAGE_DIGEST[:19]}...", "2.5", "MB", "image"]
    assert rows[1][1].split() == [f"{INDEX_DIGEST[:19]}...", "-", "linux/amd64,", "linux/arm64"]
    assert rows[2][1] == GONE


def test_a_batch_shows_its_progress(gateway: Gateway) -> None:
    gateway.silent.add(BATCH_END)
    terminal = Terminal(gateway.address, ["batch", "team/app:1.0", "team/app:multi"])

    terminal.wait_for("2 of 2 manifests")
    terminal.interrupt()

    assert terminal.end() == 130
    assert "Traceback" not in terminal.text


def test_tags_show_their_digests(gateway: Gateway) -> None:
    finished = run(gateway.address, "tags", "team/app", "--digests")

    assert (finished.status, finished.errors) == (0, "")
    assert finished.output == f"1.0     {IMAGE_DIGEST}\nlatest  {IMAGE_DIGEST}\nmulti   {INDEX_DIGEST}\n"


def test_a_tag_deleted_meanwhile_is_unknown_and_the_status_is_6(gateway: Gateway) -> None:
    del gateway.tags["latest"]

    text = run(gateway.address, "tags", "team/app", "--digests")
    document = run(gateway.address, "tags", "team/app", "--digests", "--output", "json")

    assert text.status == document.status == 6
    assert text.output.splitlines()[1] == f"latest  {GONE}"
    listed = json.loads(document.output)
    assert listed["repository"] == "team/app"
    assert listed["tags"][0] == {
        "tag": "1.0",
        "digest": IMAGE_DIGEST,
        "media_type": canned.IMAGE_TYPE,
        "size": len(IMAGE.raw),
    }
    assert listed["tags"][1]["tag"] == "latest"
    assert listed["tags"][1]["error"]["reason"] == "MANIFEST_UNKNOWN"


def test_very_many_tags_take_few_calls(gateway: Gateway) -> None:
    gateway.tags |= dict.fromkeys(canned.MANY_TAGS, IMAGE_DIGEST)

    finished = run(gateway.address, "tags", "many", "--digests")

    assert [tuple(line.split()) for line in finished.output.splitlines()] == [
        (tag, IMAGE_DIGEST) for tag in canned.MANY_TAGS
    ]
    assert gateway.called("BatchGetManifests") == 3


def test_tags_with_digests_on_a_terminal_are_a_table(gateway: Gateway) -> None:
    terminal = Terminal(gateway.address, ["tags", "team/app", "--digests"])

    assert terminal.end() == 0
    assert [line.split() for line in terminal.text.splitlines() if line.startswith("multi")] == [
        ["multi", f"{INDEX_DIGEST[:19]}...", "-", "linux/amd64,", "linux/arm64"]
    ]


def test_tags_of_a_missing_repository_are_not_found(gateway: Gateway) -> None:
    finished = run(gateway.address, "tags", "nowhere", "--digests")

    assert finished.status == 3
    assert "NAME_UNKNOWN" in finished.errors
