"""A request to the registry, relative to it and without credentials."""

from dataclasses import dataclass

SMALL_BODY = 64 * 1024
"""The limit of bodies that hold no content, in bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistryRequest:
    """What to ask the registry: relative to it, and without credentials."""

    method: str
    target: str
    """Path and query as they go on the wire: `/v2/team/app/tags/list?n=100`."""
    route: str
    scope: str
    """The scope that this is expected to need, in normal form (`challenge.normal_scopes`); empty for none. What the
    registry's challenge names goes first.
    """
    body_limit: int
    accept: tuple[str, ...] = ()
    if_none_match: str = ""
    follow_redirects: bool = True
    total: float | None = None
    is_harmless: bool = False
    """Whether a DELETE may be sent twice, because what it names cannot exist."""

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]


PING = RegistryRequest(method="GET", target="/v2/", route="ping", scope="", body_limit=SMALL_BODY)
