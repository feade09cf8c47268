"""`GET /v2/<name>/tags/list`."""

import json

from aiohttp import web

from portus_gateway.devregistry.behaviour import Behaviour
from portus_gateway.devregistry.errors import RegistryError
from portus_gateway.devregistry.paging import next_link, page_parameters, page_size
from portus_gateway.devregistry.storage import Repository, Storage


def list_tags(storage: Storage, behaviour: Behaviour, name: str, path: str, query: str) -> web.Response:
    """A page of tags in order; in 2.8 all tags, unsorted, whatever the query."""
    traits = behaviour.traits
    n, last = page_parameters(query)
    size: int | None = None
    if n and traits.pages_tags:
        size = min(page_size(n), behaviour.maximum_page)
    repository = storage.repository(name)
    if not _is_known(repository, behaviour, size):
        raise RegistryError("NAME_UNKNOWN", {"name": name})
    headers = {"Content-Type": traits.json_type}
    tags: list[str] = []
    if repository is not None and size != 0:
        if traits.pages_tags:
            tags, more = _page(repository, behaviour, last, size)
            if more:
                headers["Link"] = next_link(path, len(tags), tags[-1])
        else:
            tags = repository.tags_unsorted()
    shown = None if not tags and size != 0 and traits.no_tags_are_null else tags
    body = json.dumps({"name": name, "tags": shown}, separators=(",", ":")).encode() + b"\n"
    return web.Response(body=body, headers=headers)


def _is_known(repository: Repository | None, behaviour: Behaviour, size: int | None) -> bool:
    if behaviour.traits.lists_untagged_repository:
        return repository is not None
    # Distribution answers a request for no tags before it looks for the repository.
    return size == 0 or (repository is not None and repository.ever_tagged)


def _page(repository: Repository, behaviour: Behaviour, last: str, size: int | None) -> tuple[list[str], bool]:
    """The tags, and whether there is a page after them."""
    if size is None:
        return repository.tags_after(last, None), False
    tags = repository.tags_after(last, size + 1)
    more = len(tags) > size
    if behaviour.traits.links_full_last_page:
        more = len(tags) >= size
    return tags[:size], more
