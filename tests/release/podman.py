"""Containers that podman runs as an engine would: as the image's user, without any right that can be taken away."""

import json
import os
import resource
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.programs import missing, required

_PATIENCE = 300.0
# podman refuses the layout of cgroups that has both versions. In a mount namespace of its own it sees version 2 alone.
_WITH_CGROUPS_2 = """
if ! [ -e /sys/fs/cgroup/cgroup.controllers ]; then
  umount --recursive /sys/fs/cgroup
  mount -t cgroup2 none /sys/fs/cgroup
fi
exec "$@"
"""
CONFINED = ("--read-only", "--read-only-tmpfs=false", "--cap-drop", "all", "--security-opt", "no-new-privileges")


@dataclass(frozen=True, slots=True)
class Podman:
    """podman with a storage of its own."""

    program: str
    storage: Path

    def command(self, *arguments: str) -> list[str]:
        options = ["--root", str(self.storage / "root"), "--runroot", str(self.storage / "run")]
        options += ["--storage-driver", "vfs", "--cgroup-manager", "cgroupfs", "--events-backend", "none"]
        inside = ["unshare", "--mount", "sh", "-euc", _WITH_CGROUPS_2, "sh"]
        return [*inside, self.program, *options, *arguments]

    def __call__(self, *arguments: str) -> str:
        """Runs a command of podman to its end, and returns its output."""
        ended = subprocess.run(self.command(*arguments), capture_output=True, text=True, timeout=_PATIENCE, check=False)
        assert ended.returncode == 0, f"podman {arguments} ended with {ended.returncode}:\n{ended.stderr}"
        return ended.stdout

    def load(self, archive: Path) -> str:
        """Loads an image, as `docker load` does; returns its id."""
        return self("pull", "--quiet", f"docker-archive:{archive}").strip()

    def inspect(self, image: str) -> Mapping[str, Any]:
        (found,) = json.loads(self("image", "inspect", image))
        assert isinstance(found, dict)
        return found

    def run(self, image: str, *command: str, options: Sequence[str] = ()) -> list[str]:
        """The words that run a confined container on the network of this machine."""
        # podman asks for more files than a container that runs this test may have.
        files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        ulimits = ("--ulimit", f"nofile={files}:{files}", "--ulimit", "nproc=1024:1024")
        words = ("--rm", "--network", "host", "--cgroups", "disabled", *ulimits, *CONFINED, *options)
        return self.command("run", *words, image, *command)


@contextmanager
def podman() -> Iterator[Podman]:
    """podman with an empty storage, which is removed at the end."""
    if os.geteuid() != 0:
        missing("podman is run as root here")
    program = required("podman", "run tests/deploy/install")
    # pytest's folders have names that are too long for podman: 50 characters are the most.
    with TemporaryDirectory(prefix="podman-", dir="/tmp") as folder:
        yield Podman(program, Path(folder))
