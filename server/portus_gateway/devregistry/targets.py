"""Distribution's routes, and the referrers API of the OCI specification."""

import re
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import unquote

_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_NAME = rf"{_COMPONENT}(?:/{_COMPONENT})*"
_TAG = r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}"
# Wider than the form of digests: a malformed digest is an error of its route, and not an unknown path.
_DIGEST = r"[a-z0-9]+(?:[.+_-][a-z0-9]+)*:[a-zA-Z0-9=_-]+"
_PATH = re.compile(
    rf"/v2/(?P<name>{_NAME})/(?:(?P<tags>tags/list)|manifests/(?P<manifest>{_TAG}|{_DIGEST})"
    rf"|blobs/(?P<blob>{_DIGEST})|blobs/uploads/(?P<upload>[a-zA-Z0-9_.=-]*)|referrers/(?P<referrers>[^/]*))"
)


@dataclass(frozen=True, slots=True)
class Target:
    """A route, its repository if it has one, and its tag, digest or upload."""

    route: str
    repository: str | None = None
    reference: str = ""


UNKNOWN = Target("unknown")
_PING = Target("ping")
_CATALOG = Target("catalog")


@lru_cache(maxsize=8192)
def target_of(path: str) -> Target:
    """The target of a path, which is still percent-encoded and has no query. `UNKNOWN` if there is no such route."""
    path = unquote(path)
    if path == "/v2/":
        return _PING
    if path == "/v2/_catalog":
        return _CATALOG
    found = _PATH.fullmatch(path)
    if found is None:
        return UNKNOWN
    name = found["name"]
    if found["tags"] is not None:
        return Target("tags", name)
    if found["manifest"] is not None:
        return Target("manifests", name, found["manifest"])
    if found["blob"] is not None:
        return Target("blobs", name, found["blob"])
    if found["upload"] is not None:
        return Target("uploads", name, found["upload"])
    return Target("referrers", name, found["referrers"])
