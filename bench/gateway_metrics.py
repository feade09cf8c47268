"""Reads the metrics of a gateway."""

from collections.abc import Sequence

import aiohttp
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from bench.servers import Server


async def samples(gateway: Server, family: str) -> Sequence[Sample]:
    """The samples of one family, such as `grpc_server_handled`. Raises `LookupError` if there is none of that name."""
    async with aiohttp.ClientSession() as session, session.get(f"http://{gateway.metrics}/metrics") as answer:
        for found in text_string_to_metric_families(await answer.text()):
            if found.name == family:
                return tuple(found.samples)
    raise LookupError(f"the gateway has no metric {family}")
