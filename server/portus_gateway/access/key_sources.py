"""Sources of the keys that verify tokens. This module has the source that is a file."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, Protocol

from portus_gateway.access.errors import KeysUnavailable
from portus_gateway.access.key_set import KeySet, parse_key_set
from portus_gateway.access.reloaded_file import ReloadedFile

TRUSTED_FOR: Final = 300.0
"""For how many seconds keys stay in use after their file has become unusable."""


class KeySource(Protocol):
    """A source of an issuer's keys."""

    async def key_set(self) -> KeySet:
        """The current keys: the same object for as long as nothing has changed. Raises `KeysUnavailable`."""
        ...

    async def newer_than(self, known: KeySet) -> KeySet:
        """The keys after a look for new ones, because `known` lacks one; the same where it is too early for a look.

        Raises `KeysUnavailable`.
        """
        ...


class KeyFile(ReloadedFile[KeySet]):
    """The JWKS in the file at `path`. Raises `InvalidAccessFile` if there is no valid one to begin with.

    A new file that is not valid, or cannot be read, leaves the old keys in use for `trusted_for` seconds.
    """

    def __init__(
        self, path: Path, *, trusted_for: float = TRUSTED_FOR, clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__(path, parse_key_set, trusted_for=trusted_for, clock=clock)

    async def key_set(self) -> KeySet:
        if not self.trusted:
            raise KeysUnavailable(
                "the file with the keys to check tokens cannot be used: the gateway's operator has to correct it"
            )
        return self.content

    async def newer_than(self, known: KeySet) -> KeySet:
        if self.content is known:
            await self.reload_if_changed()
        return await self.key_set()
