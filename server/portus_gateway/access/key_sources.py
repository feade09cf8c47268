"""Where the keys that tokens are checked with come from: a file."""

from pathlib import Path
from typing import Protocol

from portus_gateway.access.key_set import KeySet, parse_key_set
from portus_gateway.access.reloaded_file import ReloadedFile


class KeySource(Protocol):
    """Has an issuer's keys."""

    async def key_set(self) -> KeySet:
        """The keys now: the same object for as long as nothing changed. Raises `KeysUnavailable`."""
        ...

    async def newer_than(self, known: KeySet) -> KeySet:
        """The keys after a look for new ones, because `known` lacks one; the same where it is too early for a look.

        Raises `KeysUnavailable`.
        """
        ...


class KeyFile(ReloadedFile[KeySet]):
    """The JWKS in the file at `path`. Raises `InvalidAccessFile` where there is no valid one to begin with."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, parse_key_set)

    async def key_set(self) -> KeySet:
        return self.content

    async def newer_than(self, known: KeySet) -> KeySet:
        if self.content is known:
            await self.reload_if_changed()
        return self.content
