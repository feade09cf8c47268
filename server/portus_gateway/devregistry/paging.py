"""The queries `n` and `last` of a listing, and the `Link` to its next page."""

import re
from urllib.parse import parse_qs, urlencode

from portus_gateway.devregistry.errors import RegistryError

# Numbers as Go's strconv.Atoi reads them.
_INTEGER = re.compile(r"[+-]?[0-9]+")
_LARGEST = 2**63 - 1


def page_parameters(query: str) -> tuple[str, str]:
    """`n` and `last` as they were sent; empty strings if they were not."""
    if not query:
        return "", ""
    parameters = parse_qs(query)
    return parameters.get("n", [""])[0], parameters.get("last", [""])[0]


def page_size(text: str) -> int:
    """A page size of 0 or more. Raises PAGINATION_NUMBER_INVALID for anything else."""
    size = int(text) if _INTEGER.fullmatch(text) else -1
    if not 0 <= size <= _LARGEST:
        raise RegistryError("PAGINATION_NUMBER_INVALID", {"n": text})
    return size


def next_link(path: str, size: int, last: str) -> str:
    """A relative link, as distribution writes it."""
    return f'<{path}?{urlencode({"last": last, "n": size})}>; rel="next"'
