"""The command lines that list a catalog with its tags: what a script around each of them takes.

None of them lists all tags in one command, so each runs as people run it: the list of repositories first, then one
process for each repository, as many at a time as there are processors.
"""

import asyncio
import os
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from bench.child_process import finished
from bench.servers import TOOLS


@dataclass(frozen=True, slots=True)
class Peer:
    """A program, its command for the catalog (None where it has none), and that for a repository's tags."""

    name: str
    path: str
    catalog: Callable[[str], Sequence[str]] | None
    tags: Callable[[str, str], Sequence[str]]


_KNOWN: Final = (
    (
        "crane",
        lambda registry: ["catalog", "--insecure", registry],
        lambda registry, name: ["ls", "--insecure", f"{registry}/{name}"],
    ),
    (
        "regctl",
        lambda registry: ["repo", "ls", "--limit", "1000", "--host", f"reg={registry},tls=disabled", registry],
        lambda registry, name: ["tag", "ls", "--host", f"reg={registry},tls=disabled", f"{registry}/{name}"],
    ),
    ("skopeo", None, lambda registry, name: ["list-tags", "--tls-verify=false", f"docker://{registry}/{name}"]),
)


def installed() -> list[Peer]:
    """Those in `build/tools`, where `bench/install` puts some, or in PATH."""
    path = os.pathsep.join([str(TOOLS), os.environ.get("PATH", os.defpath)])
    found = ((name, shutil.which(name, path=path), catalog, tags) for name, catalog, tags in _KNOWN)
    return [Peer(name, program, catalog, tags) for name, program, catalog, tags in found if program]


async def whole_catalog(peer: Peer, registry: str, names: Sequence[str], at_a_time: int) -> float:
    """How long it takes `peer` to list `registry`'s repositories and the tags of `names`, in seconds.

    A peer without a command for the catalog is spared it.
    """
    began = time.perf_counter()
    if peer.catalog is not None:
        await _run(peer, peer.catalog(registry))
    waiting = iter(names)

    async def runner() -> None:
        for name in waiting:
            await _run(peer, peer.tags(registry, name))

    async with asyncio.TaskGroup() as runners:
        for _ in range(at_a_time):
            runners.create_task(runner())
    return time.perf_counter() - began


async def _run(peer: Peer, arguments: Sequence[str]) -> None:
    made = await finished([peer.path, *arguments])
    if made.returncode:
        raise RuntimeError(f"{peer.name} {' '.join(arguments)}: {made.stderr.decode(errors='replace').strip()}")
