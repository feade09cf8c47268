"""Configurations of images."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from portus_client.descriptor import Descriptor, Platform
from portus_client.errors import RegistryError


@dataclass(frozen=True, slots=True)
class ImageHistory:
    """One step that built an image."""

    created: datetime | None = None
    """When the step was made, to the microsecond. None if not stated."""
    created_by: str = ""
    """The command of the step."""
    author: str = ""
    """Who made the step."""
    comment: str = ""
    """A comment of the program that built the image."""
    empty_layer: bool = False
    """Whether the step added no layer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageConfig:
    """The configuration of an image: its exact bytes and its parsed content.

    If `content_error` is set, the content is not shown: only `manifest`, `config` and `raw` have values.
    """

    manifest: Descriptor
    """The manifest that names the configuration. For an index: the manifest for the platform."""
    config: Descriptor
    """Media type, digest and size of the configuration."""
    created: datetime | None = None
    """When the image was built, to the microsecond. None if not stated."""
    author: str = ""
    """Who built the image."""
    platform: Platform | None = None
    """The platform that the image runs on."""
    labels: Mapping[str, str] = field(default_factory=dict, hash=False)
    """Labels, such as `org.opencontainers.image.source`."""
    env: tuple[str, ...] = ()
    """Environment variables: `PATH=/usr/bin`."""
    entrypoint: tuple[str, ...] = ()
    """Command that a container runs. `cmd` are its arguments."""
    cmd: tuple[str, ...] = ()
    """Arguments of `entrypoint`, or the command if there is no entrypoint."""
    user: str = ""
    """User that runs the command."""
    working_dir: str = ""
    """Folder that the command runs in."""
    exposed_ports: tuple[str, ...] = ()
    """Ports that the command listens on: `8080/tcp`."""
    volumes: tuple[str, ...] = ()
    """Folders of the container that are volumes."""
    stop_signal: str = ""
    """Signal that stops the container."""
    diff_ids: tuple[str, ...] = ()
    """Digests of the layers' content, not compressed, base first."""
    history: tuple[ImageHistory, ...] = ()
    """The steps that built the image, the first one first."""
    raw: bytes = field(repr=False)
    """The exact bytes of the configuration. The gateway has verified them."""
    content_error: RegistryError | None = None
    """Why the content is not shown, with a reason such as `CONTENT_AMBIGUOUS`. None if it is shown."""
