"""What is read of a registry's notifications, as distribution 2.8 and 3.x send them."""

import json
from collections.abc import Mapping

import pytest

from portus_gateway.index.notification import MOST_EVENTS, NotAnEnvelope, parse_envelope
from portus_gateway.index.store import Hint, Notice
from tests.index.stores import digest

A = digest("a")


def event(action: str = "push", **target: object) -> dict[str, object]:
    return {
        "id": "1",
        "timestamp": "1970-01-01T01:00:05.5+01:00",
        "action": action,
        "target": {"repository": "team/app", **target},
        "actor": {"name": "ci"},
        "source": {"addr": "registry:5000", "instanceID": "one"},
    }


def body(*events: object) -> bytes:
    return json.dumps({"events": events}).encode()


def test_a_push_of_a_tag() -> None:
    envelope = parse_envelope(body(event(tag="v1", digest=A.text, mediaType="application/json", size=1)))
    assert envelope.notices == (Notice("team/app", Hint("v1", A, 5.5, "ci")),)
    assert envelope.instances == ("one",)


@pytest.mark.parametrize("empty", [{}, {"mediaType": "", "digest": "", "size": 0}], ids=["2.8", "3.x"])
def test_the_delete_of_a_tag(empty: Mapping[str, object]) -> None:
    envelope = parse_envelope(body(event("delete", tag="v1", **empty)))
    assert envelope.notices == (Notice("team/app", Hint("v1", None, 5.5, "ci")),)


def test_a_manifest_without_a_tag_says_only_which_repository() -> None:
    envelope = parse_envelope(body(event(digest=A.text), event("delete", digest=A.text)))
    assert envelope.notices == (Notice("team/app"), Notice("team/app"))


@pytest.mark.parametrize(
    "ignored",
    [
        event("pull", tag="v1", digest=A.text),
        event("mount", digest=A.text),
        event("something", tag="v1"),
        event("push", digest=A.text, mediaType="application/octet-stream"),
    ],
    ids=["pull", "mount", "unknown action", "blob"],
)
def test_what_changes_no_tag_is_ignored(ignored: object) -> None:
    envelope = parse_envelope(body(ignored))
    assert (envelope.notices, envelope.ignored, envelope.invalid) == ((), 1, 0)


@pytest.mark.parametrize(
    "invalid",
    [
        event(repository="UPPER", tag="v1", digest=A.text),
        event(repository=7),
        event(tag="v1", digest="sha256:short"),
        event(tag="v1"),
        event(tag="../x", digest=A.text),
        {"action": "push", "target": None},
        "text",
    ],
)
def test_what_makes_no_sense_is_counted(invalid: object) -> None:
    envelope = parse_envelope(body(invalid, event(digest=A.text)))
    assert (len(envelope.notices), envelope.invalid) == (1, 1)


@pytest.mark.parametrize("text", [b"", b"[]", b"{}", b'{"events": 1}', b"\xff", b"[" * 100_000, b"null"])
def test_a_body_that_is_no_notification(text: bytes) -> None:
    with pytest.raises(NotAnEnvelope):
        parse_envelope(text)


def test_a_time_that_cannot_be_read_is_left_out() -> None:
    broken = {**event(tag="v1", digest=A.text), "timestamp": "yesterday"}
    assert parse_envelope(body(broken)).notices[0].hint == Hint("v1", A, None, "ci")


def test_a_name_is_made_safe_to_store_and_show() -> None:
    forged = {**event(tag="v1", digest=A.text), "actor": {"name": "a\0b\n\ud800" + "x" * 10_000}}
    hint = parse_envelope(json.dumps({"events": [forged]}).encode()).notices[0].hint
    assert hint is not None
    assert hint.actor.startswith("a?b??x")
    assert len(hint.actor) == 256


def test_the_number_of_events_is_bounded() -> None:
    envelope = parse_envelope(body(*[event(digest=A.text)] * (MOST_EVENTS + 5)))
    assert (len(envelope.notices), envelope.invalid) == (MOST_EVENTS, 5)
