"""The body of an answer that is read piece by piece, while its connection stays open."""

from collections.abc import Callable

import aiohttp

from portus_gateway.distribution.failed_exchange import FailedExchange


class OpenBody:
    """Owns the connection of one answer at a time, and the slot that its request took.

    The code that makes it must close it. `Exchange` gives it the answer, if that is a success.
    """

    def __init__(self) -> None:
        self._response: aiohttp.ClientResponse | None = None
        self._failed: FailedExchange | None = None
        self._release: Callable[[], None] | None = None
        self._observe: Callable[[int], None] = lambda _: None

    @property
    def is_open(self) -> bool:
        return self._release is not None

    def opened(
        self,
        response: aiohttp.ClientResponse,
        failed: FailedExchange,
        release: Callable[[], None],
        observe: Callable[[int], None],
    ) -> None:
        """Takes over a response.

        `failed` translates errors while it is read. `release` gives the slot back. `observe` is told how many bytes
        come.
        """
        self.close()
        self._response, self._failed, self._release, self._observe = response, failed, release, observe

    async def read(self, size: int) -> bytes:
        """The next bytes of the body, at most `size`. Empty at its end.

        The server is not read further than a buffer while nobody asks. Raises the `Unavailable` family.
        """
        if self._response is None or self._failed is None:
            raise AssertionError("no body is open")
        with self._failed:
            content = await self._response.content.read(size)
        self._observe(len(content))
        return content

    def close(self) -> None:
        """Closes the connection, unless the body was read to its end, and gives the slot back."""
        if self._response is not None:
            self._response.close()
        if self._release is not None:
            self._release()
        self._response = self._failed = self._release = None
