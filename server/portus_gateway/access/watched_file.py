"""A file that is looked at again when it changes."""

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(slots=True)
class WatchedFile:
    """Reads a file whole, and knows whether it has become another since. Follows links: Kubernetes' mounts are some."""

    path: Path
    limit: int
    """How many bytes it may have."""
    _signature: tuple[int, ...] | None = field(default=None, init=False)

    def changed(self) -> bool:
        """Whether it is another than the one last read. One that is gone counts as changed, once."""
        return self._look() != self._signature

    def read(self) -> bytes:
        """Its content. Raises `OSError`; `ValueError` where it is larger than the limit."""
        # Looked at before it is read: what is written in between is found the next time.
        self._signature = self._look()
        with self.path.open("rb") as file:
            content = file.read(self.limit + 1)
        if len(content) > self.limit:
            raise ValueError(f"larger than {self.limit} bytes")
        return content

    def _look(self) -> tuple[int, ...] | None:
        try:
            found = self.path.stat()
        except OSError:
            return ()
        return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns
