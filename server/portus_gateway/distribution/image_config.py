"""The configuration of an image (OCI image specification 1.1, "Image Configuration")."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from portus_gateway.distribution.digest import Digest
from portus_gateway.distribution.instant import Instant
from portus_gateway.distribution.manifest import ContentProblem, Platform


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """One step that built the image. `empty_layer` says that it added no layer."""

    created: Instant | None = None
    created_by: str = ""
    author: str = ""
    comment: str = ""
    empty_layer: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageConfigContent:
    """What a configuration says. What it does not say is None or empty.

    `exposed_ports` and `volumes` are in lexical order, `diff_ids` and `history` in that of the image.
    """

    created: Instant | None
    author: str
    platform: Platform
    labels: Mapping[str, str]
    env: tuple[str, ...]
    entrypoint: tuple[str, ...]
    cmd: tuple[str, ...]
    user: str
    working_dir: str
    exposed_ports: tuple[str, ...]
    volumes: tuple[str, ...]
    stop_signal: str
    diff_ids: tuple[Digest, ...]
    history: tuple[HistoryEntry, ...]


@dataclass(frozen=True, slots=True, weakref_slot=True, eq=False)
class ImageConfig:
    """A configuration: its exact bytes, whose digest has been verified, and its parsed content.

    If `content` is None, `problem` says why. `entries` is the number of labels, variables, steps and the like. Two
    configurations are equal only if they are the same object.
    """

    raw: bytes = field(repr=False)
    content: ImageConfigContent | None
    problem: ContentProblem | None
    entries: int
