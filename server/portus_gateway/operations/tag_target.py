"""What a tag points to, if it exists."""

from portus_gateway.access.errors import Hidden
from portus_gateway.distribution.digest import Digest
from portus_gateway.distribution.errors import NotFound
from portus_gateway.distribution.names import Repository, Tag
from portus_gateway.registry.protocol import Registry


async def tag_target(registry: Registry, repository: Repository, tag: Tag) -> Digest | None:
    """The digest that the tag points to; None if there is no such tag. Raises what the registry raises."""
    try:
        return (await registry.resolve_manifest(repository, tag)).digest
    except Hidden:
        # The policy changed meanwhile: this says nothing about the tag.
        raise
    except NotFound:
        return None
