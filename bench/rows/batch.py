"""What a batch saves: a thousand cached manifests in one call, against as many calls."""

from functools import partial
from pathlib import Path
from statistics import median

from bench import calls, content, load, servers
from bench.figure import Figure
from bench.statistics import interleaved, ratios
from portus.registry.v1 import registry_service_pb2 as proto

_REPOSITORIES, _TAGS = 200, 5
_CALLERS = 16


async def measure(folder: Path, rounds: int, seconds: float) -> list[Figure]:
    """Single calls come from 16 callers at a time; the batch from one."""
    names = [(f"team/app-{number}", f"v{tag}") for number in range(_REPOSITORIES) for tag in range(_TAGS)]
    for repository, tag in names:
        content.put_image(folder / "registry/storage", repository, [tag], content.image(f"{repository}:{tag}"))
    requests = [calls.get_manifest(repository, tag, cached=True) for repository, tag in names]
    batch = proto.BatchGetManifestsRequest(requests=requests).SerializeToString()
    async with (
        servers.registry(folder / "registry") as registry,
        servers.gateway(folder / "gateway", registry.address) as gateway,
    ):
        common = partial(calls.load_on, gateway, seconds=seconds)
        outcomes = await interleaved(
            {
                "batch": partial(
                    load.run,
                    common(calls.BATCH_GET_MANIFESTS, [batch], streaming=True, callers=1),
                ),
                "single": partial(
                    load.run,
                    common(
                        calls.GET_MANIFEST,
                        [request.SerializeToString() for request in requests],
                        callers=_CALLERS,
                    ),
                ),
            },
            rounds,
        )
    batched = [outcome.rate * len(requests) for outcome in outcomes["batch"]]
    single = [outcome.rate for outcome in outcomes["single"]]
    cpu = median(outcome.cpu_per_call for outcome in outcomes["batch"]) * 1e6 / len(requests)
    return [
        Figure(
            name="BatchGetManifests, 1,000 cached",
            runs=ratios(batched, single),
            unit="times",
            direction="at least",
            bar=10,
            against=f"single cached calls by {_CALLERS} callers",
            measured=f"{median(batched):.0f} manifests/s, {cpu:.0f} µs CPU each; single {median(single):.0f}/s",
            raw=outcomes,
        )
    ]
