"""A request to the registry, relative to it and without credentials."""

from dataclasses import dataclass

from portus_gateway.distribution.open_body import OpenBody

REPEATABLE = frozenset({"GET", "HEAD"})
"""The methods that may be sent twice."""
SMALL_BODY = 64 * 1024
"""The limit of bodies that hold no content, in bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistryRequest:
    """A request to the registry."""

    method: str
    target: str
    """Path and query as they go on the wire: `/v2/team/app/tags/list?n=100`."""
    route: str
    """What it is about, for metrics: `tags`."""
    scope: str
    """The scope that it is expected to need, in normal form (`challenge.normal_scopes`), empty if none. Scopes that the
    registry's challenge names are used instead.
    """
    body_limit: int
    """How many bytes a successful answer may have."""
    accept: tuple[str, ...] = ()
    if_none_match: str = ""
    follow_redirects: bool = True
    total: float | None = None
    """Time limit in seconds, if the usual ones do not fit."""
    content: bytes = b""
    """The body of the request, and its type:"""
    content_type: str = ""
    range: str = ""
    """The field `Range`: `bytes=100-199`. Empty for the whole."""
    open_body: OpenBody | None = None
    """Takes over the body of a successful answer, which is then read piece by piece."""
    is_harmless: bool = False
    """Whether a DELETE may be sent twice, because what it names cannot exist."""

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]


PING = RegistryRequest(method="GET", target="/v2/", route="ping", scope="", body_limit=SMALL_BODY)
