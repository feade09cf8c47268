"""Images built by buildah, without an engine, in a storage of their own."""

import json
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeAlias

from tests import programs

Json: TypeAlias = "str | int | bool | list[Json] | dict[str, Json] | None"
_PATIENCE_SECONDS = 900.0


@dataclass(frozen=True, slots=True)
class Buildah:
    """buildah, and where it keeps what it makes."""

    program: str
    storage: Path

    def __call__(self, command: str, *arguments: str) -> str:
        """Runs a command of buildah's, which has to end well; answers with what it wrote."""
        words = [self.program, "--storage-driver", "vfs", "--root", str(self.storage / "root")]
        words += ["--runroot", str(self.storage / "run"), command, *arguments]
        ended = subprocess.run(words, capture_output=True, text=True, timeout=_PATIENCE_SECONDS, check=False)
        assert ended.returncode == 0, f"buildah {command} ended with {ended.returncode}:\n{ended.stdout}{ended.stderr}"
        return ended.stdout

    def build(self, context: Path, *arguments: str) -> str:
        """Builds an image; answers with its id."""
        return self("bud", "--quiet", "--isolation", "chroot", "--format", "docker", *arguments, str(context)).strip()

    @contextmanager
    def container(self, image: str) -> Iterator["Container"]:
        container = self("from", "--pull-never", image).strip()
        try:
            yield Container(self, container)
        finally:
            self("rm", container)

    def configuration(self, image: str) -> Mapping[str, Json]:
        """What an image says of how it is run."""
        inspected = json.loads(self("inspect", "--type", "image", image))
        configuration: Mapping[str, Json] = inspected["Docker"]["config"]
        return configuration


@dataclass(frozen=True, slots=True)
class Container:
    """A container of an image: it has the image's user, variables and files."""

    buildah: Buildah
    name: str

    def run(self, *command: str) -> str:
        return self.buildah("run", "--isolation", "chroot", self.name, "--", *command)

    @contextmanager
    def files(self) -> Iterator[Path]:
        """The container's root folder."""
        root = Path(self.buildah("mount", self.name).strip())
        try:
            yield root
        finally:
            self.buildah("umount", self.name)


@contextmanager
def buildah() -> Iterator[Buildah]:
    """Buildah with an empty storage, which goes at the end: pytest would keep its hundreds of megabytes."""
    with TemporaryDirectory(prefix="portus-gateway-images-") as folder:
        yield Buildah(programs.buildah(), Path(folder))
