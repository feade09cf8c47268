"""The command lines that list a catalog with its tags, or the images of tags: what a script around each of them takes.

None of them does either in one command, so each runs as people run it: the list of repositories or tags first, then one
process for each of them.
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
    """A program, its command for the catalog (None if it has none), for a repository's tags, and for one image.

    The last one shows the date and the platform of an image. Of the sizes of its layers, only skopeo's shows them too.
    """

    name: str
    path: str
    catalog: Callable[[str], Sequence[str]] | None
    tags: Callable[[str, str], Sequence[str]]
    image: Callable[[str, str, str], Sequence[str]]


_KNOWN: Final = (
    (
        "crane",
        lambda registry: ["catalog", "--insecure", registry],
        lambda registry, name: ["ls", "--insecure", f"{registry}/{name}"],
        lambda registry, name, tag: ["config", "--insecure", f"{registry}/{name}:{tag}"],
    ),
    (
        "regctl",
        lambda registry: ["repo", "ls", "--limit", "1000", "--host", f"reg={registry},tls=disabled", registry],
        lambda registry, name: ["tag", "ls", "--host", f"reg={registry},tls=disabled", f"{registry}/{name}"],
        lambda registry, name, tag: [
            *("image", "inspect", "--host", f"reg={registry},tls=disabled", f"{registry}/{name}:{tag}"),
        ],
    ),
    (
        "skopeo",
        None,
        lambda registry, name: ["list-tags", "--tls-verify=false", f"docker://{registry}/{name}"],
        lambda registry, name, tag: [
            *("inspect", "--no-tags", "--tls-verify=false", f"docker://{registry}/{name}:{tag}"),
        ],
    ),
)


def installed() -> list[Peer]:
    """Those in `build/tools`, where `bench/install` puts some, or in PATH."""
    path = os.pathsep.join([str(TOOLS), os.environ.get("PATH", os.defpath)])
    found = ((shutil.which(name, path=path), name, commands) for name, *commands in _KNOWN)
    return [Peer(name, program, *commands) for program, name, commands in found if program]


async def whole_catalog(peer: Peer, registry: str, names: Sequence[str], at_a_time: int) -> float:
    """How long it takes `peer` to list `registry`'s repositories and the tags of `names`, in seconds.

    A peer without a command for the catalog is spared it.
    """
    began = time.perf_counter()
    if peer.catalog is not None:
        await _run(peer, peer.catalog(registry))
    await _run_each(peer, [peer.tags(registry, name) for name in names], at_a_time)
    return time.perf_counter() - began


async def all_images(peer: Peer, registry: str, name: str, tags: Sequence[str], at_a_time: int) -> float:
    """How long it takes `peer` to list the tags of a repository and to show the image of each of `tags`, in seconds."""
    began = time.perf_counter()
    await _run(peer, peer.tags(registry, name))
    await _run_each(peer, [peer.image(registry, name, tag) for tag in tags], at_a_time)
    return time.perf_counter() - began


async def _run_each(peer: Peer, commands: Sequence[Sequence[str]], at_a_time: int) -> None:
    waiting = iter(commands)

    async def runner() -> None:
        for command in waiting:
            await _run(peer, command)

    async with asyncio.TaskGroup() as runners:
        for _ in range(at_a_time):
            runners.create_task(runner())


async def _run(peer: Peer, arguments: Sequence[str]) -> None:
    made = await finished([peer.path, *arguments])
    if made.returncode:
        raise RuntimeError(f"{peer.name} {' '.join(arguments)}: {made.stderr.decode(errors='replace').strip()}")
