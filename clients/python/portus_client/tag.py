"""Tags of a repository, and what is known of them."""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from portus_client.descriptor import Descriptor, Platform
from portus_client.errors import RegistryError


class TagView(Enum):
    """How much a listing of tags says of each tag."""

    NAMES = "names"
    """Only its name."""
    DESCRIPTORS = "descriptors"
    """What it points to."""
    FULL = "full"
    """In addition, when the image was built, its size and its platforms."""


@dataclass(frozen=True, slots=True)
class TagDetails:
    """What is known of a tag.

    If something could not be found out, `error` says why, and the fields that depend on it are None or empty.
    """

    tag: str
    """The tag."""
    descriptor: Descriptor | None = None
    """What the tag points to. None if it could not be found out."""
    created: datetime | None = None
    """When the image was built; for an index, the date of its newest image. None if not stated. Only with `FULL`."""
    total_size: int | None = None
    """Size in bytes of configuration and layers; for an index, of all its images together. None if not known. Only with
    `FULL`."""
    platforms: tuple[Platform, ...] = ()
    """Platforms of the image, or of the images of an index. Only with `FULL`."""
    error: RegistryError | None = None
    """Why something could not be found out. None if there was no error."""


@dataclass(frozen=True, slots=True)
class TagPage:
    """One page of the tags of a repository."""

    tags: tuple[str, ...]
    """The tags, in the requested order. A page can be short or empty without being the last."""
    unusable_tags: tuple[str, ...] = ()
    """Names that the registry lists as tags but that are not valid tags. Without `force`, deletes are refused then."""
    details: tuple[TagDetails, ...] = ()
    """The details of each of `tags`. Empty for `TagView.NAMES`."""
