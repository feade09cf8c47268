"""Reads the registry's notifications: which repositories to look at, and what is said about their tags.

The format is that of distribution, `notifications/event.go`: `application/vnd.docker.distribution.events.v1+json` (2.8)
or `.v2+json` (3.x), with the same fields. A field that is absent may also be empty.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from portus_gateway.distribution.digest import Digest
from portus_gateway.distribution.errors import InvalidName
from portus_gateway.distribution.instant import Instant
from portus_gateway.distribution.names import Repository, Tag
from portus_gateway.index.store import Hint, Notice

MOST_EVENTS: Final = 1000
"""The most events of one envelope that are read. Registries send one."""
_LONGEST_TEXT: Final = 256
_BLOB: Final = "application/octet-stream"


@dataclass(frozen=True, slots=True)
class Envelope:
    """What a notification says. `ignored` counts events that change no tag, `invalid` those that make no sense."""

    notices: tuple[Notice, ...] = ()
    instances: tuple[str, ...] = ()
    ignored: int = 0
    invalid: int = 0


class NotAnEnvelope(ValueError):
    """The body of a request is no notification."""


def parse_envelope(body: bytes) -> Envelope:
    """Raises `NotAnEnvelope`."""
    try:
        document: object = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise NotAnEnvelope("not JSON") from error
    events = document.get("events") if isinstance(document, dict) else None
    if not isinstance(events, list):
        raise NotAnEnvelope("no list of events")
    notices: list[Notice] = []
    instances: dict[str, None] = {}
    ignored = 0
    invalid = max(0, len(events) - MOST_EVENTS)
    for event in events[:MOST_EVENTS]:
        if not isinstance(event, dict):
            invalid += 1
            continue
        instance = _text(_object(event, "source"), "instanceID")
        if instance:
            instances[instance] = None
        if _is_ignored(event):
            ignored += 1
            continue
        try:
            notices.append(_notice(event))
        except InvalidName:
            invalid += 1
    return Envelope(tuple(notices), tuple(instances), ignored, invalid)


def _is_ignored(event: Mapping[str, object]) -> bool:
    """Whether it changes no tag: pulls, mounts, and pushes of blobs."""
    action = _text(event, "action")
    return action not in ("push", "delete") or _text(_object(event, "target"), "mediaType") == _BLOB


def _notice(event: Mapping[str, object]) -> Notice:
    """Raises `InvalidName`."""
    target = _object(event, "target")
    repository = Repository(_text(target, "repository")).name
    name = _text(target, "tag")
    if not name:
        return Notice(repository)
    tag = Tag(name).name
    # The delete of a tag has no digest, or the one that the tag had.
    digest = None if _text(event, "action") == "delete" else Digest(_text(target, "digest"))
    return Notice(repository, Hint(tag, digest, _time(event), _text(_object(event, "actor"), "name")))


def _time(event: Mapping[str, object]) -> float | None:
    try:
        instant = Instant.parse(_text(event, "timestamp"))
    except ValueError:
        return None
    return instant.seconds + instant.nanoseconds / 1e9


def _object(parent: Mapping[str, object], field: str) -> Mapping[str, object]:
    value = parent.get(field)
    return value if isinstance(value, dict) else {}


def _text(parent: Mapping[str, object], field: str) -> str:
    """A text that can be stored and shown; empty where there is none."""
    value = parent.get(field)
    if not isinstance(value, str):
        return ""
    text = value[:_LONGEST_TEXT]
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else "?" for character in text)
