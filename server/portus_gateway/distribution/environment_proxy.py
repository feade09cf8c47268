"""The proxy that the environment variables name (`HTTPS_PROXY`, `NO_PROXY` and similar)."""

from urllib.request import getproxies, proxy_bypass

from yarl import URL


def environment_proxy(url: URL) -> URL | None:
    """The proxy for `url`, None for a direct connection.

    aiohttp's own support for these variables also takes credentials from `~/.netrc`, which must not be used.
    """
    if url.host is None or proxy_bypass(url.host):
        return None
    proxy = getproxies().get(url.scheme)
    return URL(proxy) if proxy else None
