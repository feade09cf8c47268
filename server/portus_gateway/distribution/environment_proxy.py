"""The proxy that the environment names (`HTTPS_PROXY`, `NO_PROXY` and the like)."""

from urllib.request import getproxies, proxy_bypass

from yarl import URL


def environment_proxy(url: URL) -> URL | None:
    """The proxy for `url`, None where it is to be reached directly.

    aiohttp's own reading of the environment takes credentials from `~/.netrc` as well, which are none of ours.
    """
    if url.host is None or proxy_bypass(url.host):
        return None
    proxy = getproxies().get(url.scheme)
    return URL(proxy) if proxy else None
