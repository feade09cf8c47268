"""`GET /v2/_catalog`."""

import json

from aiohttp import web

from portus_gateway.devregistry.behaviour import Behaviour
from portus_gateway.devregistry.errors import RegistryError
from portus_gateway.devregistry.paging import next_link, page_parameters, page_size
from portus_gateway.devregistry.storage import Storage


def list_catalog(storage: Storage, behaviour: Behaviour, path: str, query: str) -> web.Response:
    """A page of repositories, with a `Link` when there are more."""
    n, last = page_parameters(query)
    size = _size(n, behaviour)
    names = storage.catalog_after(last, size + 1)
    headers = {"Content-Type": behaviour.traits.json_type}
    more = len(names) > size
    if more:
        names.pop()
    if size and more:
        headers["Link"] = next_link(path, size, names[-1])
    body = json.dumps({"repositories": names}, separators=(",", ":")).encode() + b"\n"
    return web.Response(body=body, headers=headers)


def _size(n: str, behaviour: Behaviour) -> int:
    if not n:
        return behaviour.default_page
    try:
        size = page_size(n)
    except RegistryError:
        if behaviour.traits.ignores_bad_page_size:
            return behaviour.default_page
        raise
    if size > behaviour.maximum_page:
        raise RegistryError("PAGINATION_NUMBER_INVALID", {"n": size})
    return size
