"""Origins: which server a URL belongs to, and so which server may get a credential."""

from dataclasses import dataclass
from typing import Self

from yarl import URL


@dataclass(frozen=True, slots=True)
class Origin:
    """Scheme, host and port (RFC 6454). `of` raises `ValueError` for anything but http and https."""

    scheme: str
    host: str
    port: int

    @classmethod
    def of(cls, url: URL) -> Self:
        if url.scheme not in ("http", "https") or not url.host or url.port is None:
            raise ValueError("not an http or https address")
        return cls(url.scheme, url.host.lower(), url.port)

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"


def without_secrets(url: URL) -> str:
    """The URL as an error may show it: no user info, no query, no fragment, at most 200 characters."""
    try:
        shown = str(url.with_user(None).with_query(None).with_fragment(None))
    except ValueError:
        shown = url.path
    return shown if len(shown) <= 200 else f"{shown[:200]}…"
