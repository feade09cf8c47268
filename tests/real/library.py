"""Enough repositories for several pages of a listing."""

from dataclasses import dataclass

from portus_gateway.devregistry import image
from tests.real.image_tools import ImageTools

NAMESPACE = "library"
# In the order of the pushes, which is not their sorted order.
MANY_TAGS = ("v10", "v9", "latest", "v1", "V2", "1.0", "v3", "_x", "v11", "nightly-2024", "v4", "v5")


@dataclass(frozen=True, slots=True)
class Library:
    """The tags of each pushed repository, both sorted."""

    tags: dict[str, list[str]]

    @property
    def with_many_tags(self) -> str:
        return f"{NAMESPACE}/many-tags"


async def stock(images: ImageTools) -> Library:
    """Pushes 25 repositories with one or two tags each, and one with a dozen."""
    tags = {f"book-{number:02}": ["1.0", "2.0"] if number % 5 == 0 else ["1.0"] for number in range(1, 26)}
    tags["many-tags"] = sorted(MANY_TAGS)
    book = image("book")
    await images.push_many(NAMESPACE, {f"{name}:{tag}": book for name in tags for tag in tags[name]})
    return Library({f"{NAMESPACE}/{name}": tags[name] for name in sorted(tags)})
