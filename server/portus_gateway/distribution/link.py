"""The `Link` field, which says how a listing continues (RFC 8288; OCI distribution 1.1, "Listing Tags")."""

import re
from collections.abc import Iterable
from urllib.parse import unquote

from yarl import URL

from portus_gateway.distribution.errors import RegistryFault

# Longer than any query that was seen, and short enough for every server.
_LONGEST_QUERY = 4096

_SEPARATORS = re.compile(r"[ \t,]*")
_TARGET = re.compile(r"<([^<>]*)>")
_PARAMETER = re.compile(
    r"""[ \t]*;[ \t]*
        (?P<name>[!#$%&'*+\-.^_`|~0-9A-Za-z]*)
        (?:[ \t]*=[ \t]*(?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<plain>[^\s,;"]*)))?""",
    re.VERBOSE | re.DOTALL,
)


def next_query(fields: Iterable[str], path: str) -> str | None:
    """The query of the next page of the listing at `path`, as the registry wrote it. None: there is no `next` link.

    Only the query of a link is used. Its scheme, host and path may differ from ours, because a registry behind a
    reverse proxy does not know its public address. But the path must end like `path`. Raises `RegistryFault` for a link
    to something else, or without a query that can be used.
    """
    target = next_target(fields)
    if target is None:
        return None
    try:
        url = URL(f"http://registry{path}", encoded=True).join(URL(target, encoded=True))
    except ValueError as error:
        raise RegistryFault("the registry's Link for the next page is not an address") from error
    if _last_segment(url.raw_path) != _last_segment(path):
        raise RegistryFault(f"the registry's Link for the next page of {path} leads to something else")
    query = url.raw_query_string
    plain = query.isascii() and query.isprintable() and not any(character in query for character in ' #<>"\\')
    if not query or len(query) > _LONGEST_QUERY or not plain:
        raise RegistryFault("the registry's Link for the next page has no query that can be used")
    return query


def continues_after(query: str, name: str) -> bool:
    """Whether a next page's query says no more than that the page begins after `name`."""
    parameters = dict(pair.partition("=")[::2] for pair in query.split("&"))
    return parameters.keys() <= {"last", "n"} and unquote(parameters.get("last", "")) == name


def next_target(fields: Iterable[str]) -> str | None:
    """The target of the first link whose relation types include `next`, as it was written. None without one.

    Text that is not a link ends the reading of its field (RFC 8288, appendix B).
    """
    for field in fields:
        at = 0
        while True:
            at = _end(_SEPARATORS, field, at)
            target = _TARGET.match(field, at)
            if target is None:
                break
            at = target.end()
            relation: str | None = None
            while parameter := _PARAMETER.match(field, at):
                at = parameter.end()
                if relation is None and parameter["name"].lower() == "rel":
                    relation = parameter["quoted"] if parameter["quoted"] is not None else parameter["plain"]
            if relation is not None and "next" in relation.lower().split():
                return target.group(1).strip()
    return None


def _last_segment(path: str) -> str:
    return unquote(path).rpartition("/")[2]


def _end(pattern: re.Pattern[str], text: str, at: int) -> int:
    match = pattern.match(text, at)
    return match.end() if match else at
