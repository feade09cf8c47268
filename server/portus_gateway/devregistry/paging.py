"""The `n` and `last` of a listing, and the `Link` to its next page."""

from urllib.parse import parse_qs, urlencode

from portus_gateway.devregistry.errors import RegistryError


def page_parameters(query: str) -> tuple[str, str]:
    """`n` and `last` as they were sent; empty where they were not."""
    if not query:
        return "", ""
    parameters = parse_qs(query)
    return parameters.get("n", [""])[0], parameters.get("last", [""])[0]


def page_size(text: str) -> int:
    """A page size of 0 or more; raises PAGINATION_NUMBER_INVALID for anything else."""
    try:
        size = int(text)
    except ValueError:
        size = -1
    if size < 0:
        raise RegistryError("PAGINATION_NUMBER_INVALID", {"n": text})
    return size


def next_link(path: str, size: int, last: str) -> str:
    """A relative link, as distribution writes it."""
    return f'<{path}?{urlencode({"last": last, "n": size})}>; rel="next"'
