"""`GET /v2/<name>/tags/list`."""

import json

from aiohttp import web

from portus_gateway.devregistry.behaviour import Behaviour
from portus_gateway.devregistry.errors import RegistryError
from portus_gateway.devregistry.paging import next_link, page_parameters, page_size
from portus_gateway.devregistry.storage import Storage


def list_tags(storage: Storage, behaviour: Behaviour, name: str, path: str, query: str) -> web.Response:
    """A page of tags; in 2.8, all of them, `n` or not. No tags are `null`, as real registries have it."""
    n, last = page_parameters(query)
    size: int | None = None
    if n and behaviour.flavour != "2.8":
        size = min(page_size(n), behaviour.maximum_page)
    repository = storage.repository(name)
    if size != 0 and (repository is None or not repository.ever_tagged):
        raise RegistryError("NAME_UNKNOWN", {"name": name})
    headers = {"Content-Type": behaviour.json_type}
    tags: list[str] | None = []
    if repository is not None and size != 0:
        if behaviour.flavour == "2.8":
            tags = repository.tags_unsorted() or None
        else:
            tags = repository.tags_after(last, size) or None
        # A full page has a link even when it is the last one: the page after it is empty.
        if tags is not None and len(tags) == size:
            headers["Link"] = next_link(path, size, tags[-1])
    body = json.dumps({"name": name, "tags": tags}, separators=(",", ":")).encode() + b"\n"
    return web.Response(body=body, headers=headers)
