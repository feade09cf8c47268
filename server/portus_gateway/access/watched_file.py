"""A file that is read again when it changes."""

from dataclasses import dataclass, field
from pathlib import Path


def reason(error: OSError | ValueError) -> str:
    """Why a file could not be read, without the number and the path that an `OSError` shows."""
    return error.strerror or str(error) if isinstance(error, OSError) else str(error)


@dataclass(slots=True)
class WatchedFile:
    """Reads a file whole, and tells whether it has changed since. Follows symbolic links, as Kubernetes mounts them.

    A changed file that cannot be read, or is gone, counts as changed until it is read: nothing of it changes when, for
    example, there are file descriptors again.
    """

    path: Path
    limit: int
    """The largest size, in bytes."""
    _signature: tuple[int, ...] | None = field(default=None, init=False)

    def changed(self) -> bool:
        """Whether the file differs from the one last read."""
        return self.signature() != self._signature

    def read(self) -> bytes:
        """The content. Raises `OSError`, and `ValueError` for a file above the limit."""
        # The signature is taken before the content, so that a write in between is found at the next look.
        signature = self.signature()
        with self.path.open("rb") as file:
            content = file.read(self.limit + 1)
        self._signature = signature
        if len(content) > self.limit:
            raise ValueError(f"larger than {self.limit} bytes")
        return content

    def signature(self) -> tuple[int, ...]:
        """What tells the file as it is now from the one before a change. Empty if there is none."""
        try:
            found = self.path.stat()
        except OSError:
            return ()
        # Size and modification time can be put back (`touch -r`), the change time cannot.
        return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
