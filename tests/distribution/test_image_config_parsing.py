"""The content of a configuration is what container runtimes read, or there is none."""

import json

import pytest

from portus_gateway.distribution.digest import Digest
from portus_gateway.distribution.image_config import HistoryEntry, ImageConfigContent
from portus_gateway.distribution.image_config_parsing import parse_image_config
from portus_gateway.distribution.instant import Instant
from portus_gateway.distribution.json_reading import MOST_VALUES
from portus_gateway.distribution.manifest import Platform
from portus_gateway.distribution.manifest_fields import MOST_ENTRIES

DIFF_ID = f"sha256:{'a' * 64}"
WHOLE = {
    "created": "2026-11-28T04:30:00.5Z",
    "author": "team",
    "architecture": "arm",
    "variant": "v7",
    "os": "windows",
    "os.version": "10.0.1",
    "os.features": ["win32k"],
    "docker_version": "27.0",
    "config": {
        "Hostname": "x",
        "User": "1000:1000",
        "ExposedPorts": {"8080/tcp": {}, "53/udp": {}},
        "Env": ["PATH=/bin", "EMPTY="],
        "Entrypoint": ["/app", "--flag"],
        "Cmd": ["serve"],
        "Volumes": {"/data": {}},
        "WorkingDir": "/srv",
        "Labels": {"b": "2", "a": ""},
        "StopSignal": "SIGTERM",
    },
    "rootfs": {"type": "layers", "diff_ids": [DIFF_ID]},
    "history": [
        {"created": "2026-11-28T04:30:00Z", "created_by": "COPY", "author": "me", "comment": "c"},
        {"created_by": "CMD", "empty_layer": True},
    ],
}


def content(document: object) -> ImageConfigContent:
    parsed = parse_image_config(json.dumps(document).encode())
    assert parsed.problem is None, parsed.problem
    assert parsed.content is not None
    return parsed.content


def problem(raw: bytes | str) -> tuple[str, str]:
    """The reason and the message."""
    parsed = parse_image_config(raw.encode() if isinstance(raw, str) else raw)
    assert parsed.content is None
    assert parsed.problem is not None
    return parsed.problem.reason, parsed.problem.message


def test_everything_that_is_shown() -> None:
    assert content(WHOLE) == ImageConfigContent(
        created=Instant(1795840200, 500_000_000),
        author="team",
        platform=Platform("windows", "arm", "v7", "10.0.1", ("win32k",)),
        labels={"b": "2", "a": ""},
        env=("PATH=/bin", "EMPTY="),
        entrypoint=("/app", "--flag"),
        cmd=("serve",),
        user="1000:1000",
        working_dir="/srv",
        exposed_ports=("53/udp", "8080/tcp"),
        volumes=("/data",),
        stop_signal="SIGTERM",
        diff_ids=(Digest(DIFF_ID),),
        history=(
            HistoryEntry(Instant(1795840200, 0), "COPY", "me", "c"),
            HistoryEntry(created_by="CMD", empty_layer=True),
        ),
    )


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"config": None, "rootfs": None, "history": None, "created": None},
        {"config": dict.fromkeys(("Env", "Cmd", "Labels", "ExposedPorts", "Volumes", "User"))},
        {"rootfs": {"type": "layers", "diff_ids": None}, "history": []},
    ],
)
def test_what_is_not_stated_is_empty(document: object) -> None:
    found = content(document)
    assert found.created is None
    assert (found.labels, found.env, found.cmd, found.exposed_ports, found.diff_ids, found.history) == (
        {},
        (),
        (),
        (),
        (),
        (),
    )


@pytest.mark.parametrize(
    "raw",
    [
        '{"rootfs": {}, "rootfS": {}}',
        '{"rootfS": {"type": "layers"}}',
        '{"os": "linux", "os": "windows"}',
        '{"OS": "linux"}',
        '{"config": {"Cmd": ["a"], "Cmd": ["b"]}}',
        '{"config": {"env": ["A=b"]}}',
        '{"config": {"Labels": {"a": "1", "a": "2"}}}',
        '{"config": {"Volumes": {"/a": {}, "/a": {}}}}',
        '{"config": {"User": "root", "U\u017fer": "nobody"}}',
        '{"history": [{"created_by": "a", "Created_By": "b"}]}',
    ],
)
def test_what_decoders_read_differently_is_ambiguous(raw: str) -> None:
    reason, message = problem(raw)
    assert reason == "CONTENT_AMBIGUOUS"
    assert message.startswith("the configuration can be read in more than one way: ")


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"[]",
        b"no JSON",
        b'{"os": 1}',
        b'{"os": "\xff"}',
        b'{"created": "yesterday"}',
        b'{"created": ""}',
        b'{"created": 1}',
        b'{"config": []}',
        b'{"config": {"Env": "A=b"}}',
        b'{"config": {"Env": [null]}}',
        b'{"config": {"Entrypoint": "/app"}}',
        b'{"config": {"Labels": {"a": 1}}}',
        b'{"config": {"ExposedPorts": ["80/tcp"]}}',
        b'{"config": {"ExposedPorts": {"80/tcp": 1}}}',
        b'{"rootfs": {"diff_ids": ["sha256:0"]}}',
        b'{"rootfs": {"type": 1}}',
        b'{"history": {}}',
        b'{"history": [{"empty_layer": 1}]}',
        b'{"history": [{"created": "2026"}]}',
        b'{"x": ' + b"[" * 250 + b"]" * 250 + b"}",
    ],
)
def test_what_does_not_follow_the_specification_is_invalid(raw: bytes) -> None:
    reason, message = problem(raw)
    assert reason == "CONTENT_INVALID"
    assert message.startswith("the configuration")


@pytest.mark.parametrize(
    "document",
    [
        {"config": {"Env": ["A=b"] * (MOST_ENTRIES + 1)}},
        {"config": {"Volumes": {str(number): {} for number in range(MOST_ENTRIES + 1)}}},
        {"history": [{}] * (MOST_ENTRIES + 1)},
        {"unknown": [0] * (MOST_VALUES + 1)},
    ],
    ids=["variables", "volumes", "history", "unknown values"],
)
def test_too_many_parts_are_not_read(document: object) -> None:
    assert problem(json.dumps(document))[0] == "CONTENT_TOO_LARGE"


def test_entries_are_counted() -> None:
    parsed = parse_image_config(json.dumps(WHOLE).encode())
    # Features, ports, variables, entrypoint, cmd, volume, labels, diff id and history.
    assert parsed.entries == 1 + 2 + 2 + 2 + 1 + 1 + 2 + 1 + 2
