"""Details of tags in both clients, and `portus-client tags --details`."""

import json
from datetime import UTC, datetime, timedelta

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from portus.registry.v1.manifest_pb2 import Descriptor as DescriptorMessage
from portus.registry.v1.manifest_pb2 import Platform as PlatformMessage
from portus.registry.v1.registry_service_pb2 import ListTagsRequest
from portus.registry.v1.tag_details_pb2 import TagDetails as TagDetailsMessage
from portus_client import Descriptor, NotFound, Platform, TagDetails, TagView
from portus_client.cli.age import age
from tests.clients.python import gateway as canned
from tests.clients.python.clients import Client
from tests.clients.python.command_line import Terminal, run
from tests.clients.python.gateway import IMAGE_DIGEST, INDEX, MANY_TAGS, Gateway

CREATED = datetime(2026, 11, 28, 4, 30, 0, 123456, UTC)
DAY = timedelta(days=1)


def asked(gateway: Gateway) -> list[ListTagsRequest]:
    return [request for _, request in gateway.requests if isinstance(request, ListTagsRequest)]


def details_of(tag: str, created: datetime | None, *platforms: str, size: int | None = 1) -> TagDetailsMessage:
    message = TagDetailsMessage(tag=tag, total_size=size)
    message.descriptor.CopyFrom(DescriptorMessage(media_type=canned.IMAGE_TYPE, digest=IMAGE_DIGEST, size=7))
    if created is not None:
        message.created.FromDatetime(created)
    for platform in platforms:
        os, architecture = platform.split("/")
        message.platforms.add(os=os, architecture=architecture)
    return message


# --- The clients ------------------------------------------------------------------------------------------------


def test_the_details_of_each_tag(client: Client) -> None:
    first, latest, multi = client.tag_details("team/app")

    assert first == TagDetails(
        "1.0",
        Descriptor(canned.IMAGE_TYPE, IMAGE_DIGEST, len(canned.IMAGE.raw)),
        CREATED,
        2_501_000,
        (Platform("linux", "amd64"),),
    )
    assert (latest.tag, latest.descriptor) == ("latest", first.descriptor)
    assert multi.platforms == (Platform("linux", "amd64"), Platform("linux", "arm64"))


def test_what_is_not_known_is_none_and_the_error_says_why(client: Client, gateway: Gateway) -> None:
    del gateway.tags["latest"]
    gateway.tag_details["multi"] = TagDetailsMessage(tag="multi", descriptor=INDEX.descriptor)

    _, latest, multi = client.tag_details("team/app")

    assert (latest.descriptor, latest.created, latest.total_size, latest.platforms) == (None, None, None, ())
    assert isinstance(latest.error, NotFound)
    assert (multi.created, multi.total_size, multi.error) == (None, None, None)


def test_the_arguments_are_sent_with_each_page(client: Client, gateway: Gateway) -> None:
    gateway.tags |= dict.fromkeys(MANY_TAGS, IMAGE_DIGEST)
    listed = client.tag_details("many", digest=IMAGE_DIGEST, omit_referrer_tags=True, order_by="created desc")

    assert [one.tag for one in listed] == list(MANY_TAGS)
    requests = asked(gateway)
    assert len(requests) > 1
    assert {(request.view, request.digest, request.omit_referrer_tags, request.order_by) for request in requests} == {
        (ListTagsRequest.FULL, IMAGE_DIGEST, True, "created desc")
    }
    # Each page of a listing in the order of dates reads all tags.
    assert {request.page_size for request in requests} == {1000}


def test_a_page_with_details_is_small_and_has_as_many_as_tags(client: Client) -> None:
    pages = list(client.tag_pages("many", view=TagView.DESCRIPTORS))

    assert all(len(page.details) == len(page.tags) <= 250 for page in pages)
    assert [tag for page in pages for tag in page.tags] == list(MANY_TAGS)
    assert [len(page.details) for page in client.tag_pages("team/app")] == [0, 0]


def test_names_of_the_tags_on_a_digest(client: Client, gateway: Gateway) -> None:
    assert list(client.tags("team/app", digest=IMAGE_DIGEST, omit_referrer_tags=True)) == ["1.0", "latest"]
    assert asked(gateway)[0].view == ListTagsRequest.NAMES
    assert asked(gateway)[0].omit_referrer_tags


# --- The command ------------------------------------------------------------------------------------------------


def test_a_line_has_everything_for_programs(gateway: Gateway) -> None:
    gateway.tag_details["latest"] = details_of("latest", None, size=None)
    finished = run(gateway.address, "tags", "team/app", "--details")

    assert (finished.status, finished.errors) == (0, "")
    assert [line.split() for line in finished.output.splitlines()] == [
        ["1.0", IMAGE_DIGEST, "2026-11-28T04:30:00.123456Z", "2501000", "linux/amd64"],
        ["latest", IMAGE_DIGEST, "-", "-", "-"],
        ["multi", INDEX.descriptor.digest, "2026-11-28T04:30:00.123456Z", "2501000", "linux/amd64,linux/arm64"],
    ]


def test_the_newest_come_first_and_those_without_a_date_last(gateway: Gateway) -> None:
    gateway.tag_details = {
        "1.0": details_of("1.0", None, "linux/amd64"),
        "latest": details_of("latest", CREATED - DAY, "linux/amd64"),
        "multi": details_of("multi", CREATED, "linux/amd64"),
    }
    details = run(gateway.address, "tags", "team/app", "--details", "--sort", "created")
    names = run(gateway.address, "tags", "team/app", "--sort", "created")
    document = run(gateway.address, "tags", "team/app", "--sort", "created", "--output", "json")

    due = ["multi", "latest", "1.0"]
    assert [line.split()[0] for line in details.output.splitlines()] == due
    assert names.output.split() == due
    assert json.loads(document.output) == {"repository": "team/app", "tags": due}


def test_more_tags_than_the_gateway_sorts_are_sorted(gateway: Gateway) -> None:
    for number, tag in enumerate(MANY_TAGS):
        gateway.tag_details[tag] = details_of(tag, CREATED + timedelta(seconds=number), "linux/amd64")

    finished = run(gateway.address, "tags", "many", "--sort", "created")

    assert (finished.status, finished.output.split()) == (0, list(reversed(MANY_TAGS)))
    assert {request.order_by for request in asked(gateway)} == {""}


def test_json_has_all_that_is_known(gateway: Gateway) -> None:
    gateway.tag_details["latest"] = TagDetailsMessage(
        tag="latest", status=canned.status(grpc.StatusCode.DATA_LOSS, "the content is damaged", "DIGEST_MISMATCH")
    )
    windows = PlatformMessage(os="windows", architecture="amd64", os_version="10.0.20348.1", os_features=["win32k"])
    gateway.tag_details["multi"] = details_of("multi", None, size=2**60)
    gateway.tag_details["multi"].platforms.append(windows)
    finished = run(gateway.address, "tags", "team/app", "--details", "--output", "json")

    assert finished.status == 6
    first, latest, multi = json.loads(finished.output)["tags"]
    assert first == {
        "tag": "1.0",
        "digest": IMAGE_DIGEST,
        "media_type": canned.IMAGE_TYPE,
        "size": len(canned.IMAGE.raw),
        "created": "2026-11-28T04:30:00.123456Z",
        "total_size": 2_501_000,
        "platforms": [{"os": "linux", "architecture": "amd64"}],
    }
    assert (latest["digest"], latest["created"], latest["total_size"], latest["platforms"]) == (None, None, None, [])
    assert latest["error"]["reason"] == "DIGEST_MISMATCH"
    assert (multi["created"], multi["total_size"]) == (None, 2**60)
    assert multi["platforms"] == [
        {"os": "windows", "architecture": "amd64", "os_version": "10.0.20348.1", "os_features": ["win32k"]}
    ]


def test_a_tag_that_cannot_be_read_has_a_question_mark_and_the_status_is_6(gateway: Gateway) -> None:
    del gateway.tags["latest"]
    finished = run(gateway.address, "tags", "team/app", "--details")

    assert finished.status == 6
    assert finished.output.splitlines()[1] == "latest  ?  ?  ?  ?  there is no such manifest (MANIFEST_UNKNOWN)"
    assert finished.errors == "portus-client: 1 of 3 tags could not be read completely\n"


def test_only_tags_on_a_digest_and_without_referrers(gateway: Gateway) -> None:
    finished = run(gateway.address, "tags", "team/app", "--points-at", IMAGE_DIGEST, "--no-referrers")

    assert finished.output.split() == ["1.0", "latest"]
    (request,) = {request.omit_referrer_tags for request in asked(gateway)}
    assert request


def test_an_empty_repository_has_no_lines(gateway: Gateway) -> None:
    assert run(gateway.address, "tags", "empty", "--details").output == ""
    assert json.loads(run(gateway.address, "tags", "empty", "--details", "--output", "json").output)["tags"] == []


@pytest.mark.parametrize("arguments", [["--digests", "--details"], ["--digests", "--sort", "created"]])
def test_digests_and_details_exclude_each_other(gateway: Gateway, arguments: list[str]) -> None:
    finished = run(gateway.address, "tags", "team/app", *arguments)

    assert finished.status == 2
    assert "use --details instead" in finished.errors


def table(gateway: Gateway, width: int, status: int = 0) -> list[str]:
    terminal = Terminal(gateway.address, ["tags", "team/app", "--details"], variables={"COLUMNS": str(width)})
    assert terminal.end() == status
    return [line.rstrip() for line in terminal.text.replace("\r", "").splitlines() if line.strip()]


def test_the_table_shows_age_size_short_digests_and_platforms(gateway: Gateway) -> None:
    now = datetime.now(UTC)
    gateway.tag_details = {
        "1.0": details_of("1.0", now - 100 * DAY, "linux/amd64", size=12_345_678),
        "latest": details_of("latest", now - timedelta(hours=5, minutes=30), "linux/amd64", "linux/arm64", size=999),
        "multi": details_of("multi", None, size=None),
    }
    lines = table(gateway, 100)[-5:]

    assert lines[0].split() == ["Tag", "Created", "Size", "Digest", "Platforms"]
    short = f"{IMAGE_DIGEST[:19]}..."
    assert lines[2] == f"1.0     3 months ago  12.3 MB  {short}  linux/amd64"
    assert lines[3] == f"latest  5 hours ago     999 B  {short}  linux/amd64, linux/arm64"
    assert lines[4] == f"multi   -                   -  {short}  -"
    assert IMAGE_DIGEST in table(gateway, 160)[-1]


def test_a_narrow_terminal_gets_fewer_columns_and_no_line_is_too_long(gateway: Gateway) -> None:
    platforms = ["linux/amd64", "linux/arm64", "linux/s390x", "linux/ppc64le"]
    gateway.tag_details = {
        tag: details_of(tag, datetime.now(UTC) - 3 * DAY, *platforms, size=5_000_000)
        for tag in ("1.0", "latest", "multi")
    }
    for width, header in (
        (79, "Tag     Created       Size  Digest                  Platforms"),
        (60, "Tag     Created       Size  Platforms"),
        (48, "Tag     Created     Platforms"),
        (40, "Tag     Created"),
        (30, "Tag     Created"),
    ):
        lines = table(gateway, width)
        assert header in lines
        assert all(len(line) <= width for line in lines[-5:]), width
        shown = all(any(platform in line for line in lines) for platform in platforms)
        assert shown is ("Platforms" in header)


def test_the_table_has_the_reason_of_a_failure_and_standard_error_its_message(gateway: Gateway) -> None:
    del gateway.tags["latest"]
    for width in (100, 30):
        lines = table(gateway, width, status=6)
        assert any(line.startswith(("latest  -", "latest  ?")) for line in lines)
        assert any(line.endswith("? MANIFEST_UNKNOWN") for line in lines)
        assert lines[-2:] == [
            "portus-client: latest: there is no such manifest (MANIFEST_UNKNOWN)",
            "portus-client: 1 of 3 tags could not be read completely",
        ]


def test_a_long_tag_is_not_cut(gateway: Gateway) -> None:
    gateway.repositories["team/app"] = ("1.0", "x" * 60)
    gateway.tag_details["x" * 60] = details_of("x" * 60, None, "linux/amd64")
    lines = table(gateway, 60)
    assert "x" * 60 in lines
    assert any(line.split() == ["-", "linux/amd64"] for line in lines)


def test_a_hostile_name_does_not_control_the_terminal(gateway: Gateway) -> None:
    gateway.tag_details["1.0"] = details_of("1.0", CREATED)
    gateway.tag_details["1.0"].platforms.add(os="\x1b[31mlinux", architecture="amd64")
    finished = run(gateway.address, "tags", "team/app", "--details")

    assert "\x1b" not in finished.output
    assert "\\x1b[31mlinux/amd64" in finished.output


@pytest.mark.parametrize(
    ("passed", "text"),
    [
        (timedelta(), "just now"),
        (timedelta(seconds=59), "59 seconds ago"),
        (timedelta(seconds=60), "1 minute ago"),
        (timedelta(hours=47), "1 day ago"),
        (13 * DAY, "13 days ago"),
        (14 * DAY, "2 weeks ago"),
        (59 * DAY, "8 weeks ago"),
        (60 * DAY, "2 months ago"),
        (729 * DAY, "24 months ago"),
        (730 * DAY, "2 years ago"),
        (-2 * DAY, "2026-11-30"),
    ],
)
def test_an_age_is_in_the_largest_unit(passed: timedelta, text: str) -> None:
    assert age(CREATED - passed, CREATED) == text


def test_a_date_of_year_1_is_an_age_too(gateway: Gateway) -> None:
    gateway.tag_details["1.0"] = TagDetailsMessage(tag="1.0", created=Timestamp(seconds=-62135596799))
    assert "0001-01-01T00:00:01Z" in run(gateway.address, "tags", "team/app", "--details").output
    assert run(gateway.address, "tags", "team/app", "--sort", "created").output.split()[-1] == "1.0"
