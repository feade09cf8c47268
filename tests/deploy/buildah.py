"""Images that buildah builds in a storage of its own."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from tests import programs

_PATIENCE_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Buildah:
    """buildah, and the folder of its storage."""

    program: str
    storage: Path

    def __call__(self, command: str, *arguments: str) -> str:
        """Runs a command of buildah, which has to succeed, and returns its output."""
        words = [self.program, "--storage-driver", "vfs", "--root", str(self.storage / "root")]
        words += ["--runroot", str(self.storage / "run"), command, *arguments]
        ended = subprocess.run(words, capture_output=True, text=True, timeout=_PATIENCE_SECONDS, check=False)
        assert ended.returncode == 0, f"buildah {command} ended with {ended.returncode}:\n{ended.stdout}{ended.stderr}"
        return ended.stdout

    def build(self, context: Path, *arguments: str) -> str:
        """Builds an image, and returns its id."""
        return self("bud", "--quiet", "--isolation", "chroot", *arguments, str(context)).strip()

    @contextmanager
    def files(self, image: str) -> Iterator[Path]:
        """The root folder of an image."""
        container = self("from", "--pull-never", image).strip()
        try:
            yield Path(self("mount", container).strip())
        finally:
            self("rm", container)


@contextmanager
def buildah() -> Iterator[Buildah]:
    """buildah with an empty storage, which is removed at the end."""
    with TemporaryDirectory(prefix="portus-gateway-images-") as folder:
        yield Buildah(programs.buildah(), Path(folder))
