"""How many calls one processor of a replica answers in a second, by the CPU time that the gateway takes for each.

`python -m bench.scale_calls` prints a table. docs/scale.md has the figures.
"""

import asyncio
import tempfile
from pathlib import Path
from typing import Final

import uvloop
from google.protobuf.message import Message

from bench import calls, content, index_content, load, servers
from bench.process_figures import resident_bytes
from portus.registry.v1 import registry_service_pb2 as proto
from portus.registry.v1 import tag_history_pb2

_REPOSITORIES: Final = 10_000
_TAGS: Final = 10
_CALLERS: Final = 32
_SECONDS: Final = 4.0
_MEBIBYTE: Final = 1024 * 1024


async def _measured(folder: Path) -> None:
    content.put_image(folder / "registry/storage", "team/app", ["v1"], content.image("team/app"))
    names = [index_content.repository_name(number) for number in range(0, _REPOSITORIES, 97)]
    requests: dict[str, tuple[str, list[Message]]] = {
        "GetManifest, cached": (calls.GET_MANIFEST, [calls.get_manifest("team/app", "v1", cached=True)]),
        "GetManifest, checked with the registry": (
            calls.GET_MANIFEST,
            [calls.get_manifest("team/app", "v1", cached=False)],
        ),
        "ListTags from the registry": (calls.LIST_TAGS, [proto.ListTagsRequest(repository="team/app")]),
        "ListTags from the index, 10 tags": (
            calls.LIST_TAGS,
            [proto.ListTagsRequest(repository=name, max_staleness=calls.ANY_AGE) for name in names],
        ),
        "Catalog from the index, 100 repositories with tags": (
            calls.CATALOG,
            [
                proto.CatalogRequest(page_size=100, prefix=name[:10], include_tags=True, max_staleness=calls.ANY_AGE)
                for name in names
            ],
        ),
        "FindTags by a digest that no tag has": (
            calls.FIND_TAGS,
            [tag_history_pb2.FindTagsRequest(digest=content.image("nothing").digest)],
        ),
    }
    async with servers.registry(folder / "registry") as registry:
        index = f"sqlite://{folder}/index.db"
        await index_content.fill(index, _REPOSITORIES, _TAGS, registry=f"http://{registry.address}")
        async with servers.gateway(folder / "gateway", registry.address, PORTUS_INDEX=index) as gateway:
            print("| call | ms of CPU | calls/s with one processor | p50, ms |\n|---|---|---|---|")
            for what, (method, given) in requests.items():
                serialized = [request.SerializeToString() for request in given]
                made = await load.run(calls.load_on(gateway, method, serialized, callers=_CALLERS, seconds=_SECONDS))
                cpu = made.cpu_per_call
                print(f"| {what} | {cpu * 1000:.2f} | {1 / cpu:.0f} | {made.p50 * 1000:.1f} |", flush=True)
            print(f"\nmemory after all this: {resident_bytes(gateway.pid) / _MEBIBYTE:.0f} MiB")


if __name__ == "__main__":
    with (
        tempfile.TemporaryDirectory(prefix="portus-bench-") as made_folder,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        runner.run(_measured(Path(made_folder)))
