"""The audit log of the real process: several workers, a pipe that nobody reads, callers who leave at once."""

import asyncio
import json
import os
import signal
import time
from collections import Counter
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import BinaryIO

import grpc
import pytest

from portus.registry.v1 import registry_service_pb2
from portus_gateway.devregistry import DevRegistry
from tests.e2e.gateway_process import gateway_process, gateway_process_into
from tests.e2e.test_serve import reason_of, stub

LONG_TAGS = [f"{number:0>128}" for number in range(60)]
ABSENT = "sha256:" + "0" * 64
# A record has five seconds to be written, a call here three times as long.
PATIENCE = 15.0
AUDIT_FAILED = (grpc.StatusCode.UNAVAILABLE, "AUDIT_FAILED")


def deletion(digest: str = ABSENT, *expected_tags: str) -> registry_service_pb2.DeleteManifestRequest:
    return registry_service_pb2.DeleteManifestRequest(
        repository="team/app", digest=digest, expected_tags=expected_tags or LONG_TAGS
    )


async def delete(
    channel: grpc.aio.Channel, request: registry_service_pb2.DeleteManifestRequest
) -> tuple[grpc.StatusCode, str]:
    try:
        await stub(channel).DeleteManifest(request, timeout=PATIENCE)
    except grpc.aio.AioRpcError as error:
        return reason_of(error)
    return grpc.StatusCode.OK, ""


@asynccontextmanager
async def channels_to(address: str, count: int) -> AsyncGenerator[list[grpc.aio.Channel], None]:
    """Channels with a connection each, which the system spreads over the workers."""
    options = (("grpc.use_local_subchannel_pool", 1),)
    channels = [grpc.aio.insecure_channel(address, options=options) for _ in range(count)]
    try:
        yield channels
    finally:
        for channel in channels:
            await channel.close()


async def test_records_of_several_workers_do_not_mix_in_a_pipe(settings: dict[str, str]) -> None:
    async with gateway_process("serve", "--allow-delete", "--workers", "2", "--audit-log", "-", **settings) as gateway:
        async with channels_to(gateway.address, 16) as channels:
            # At once: workers that take turns do not mix anything.
            calls = [delete(channel, deletion()) for channel in channels for _ in range(4)]
            assert set(await asyncio.gather(*calls)) == {(grpc.StatusCode.NOT_FOUND, "MANIFEST_UNKNOWN")}
        gateway.signal(signal.SIGTERM)
        await gateway.ended()
    lines = gateway.output.splitlines()
    assert max(map(len, lines)) < 4096
    records = [json.loads(line) for line in lines]
    whole = [record for record in records if not record.get("continued")]
    assert Counter(record["event"] for record in whole) == {"attempt": 64, "outcome": 64}
    named: Counter[tuple[str, str]] = Counter()
    for record in records:
        named[record["request_id"], record["event"]] += len(record.get("expected_tags", ()))
    assert set(named.values()) == {50}


async def test_a_pipe_that_nobody_opened_blocks_neither_start_nor_deletes_nor_shutdown(
    registry: DevRegistry, settings: dict[str, str], tmp_path: Path
) -> None:
    pipe = tmp_path / "audit.fifo"
    os.mkfifo(pipe)
    digest = registry.push("team/app", "gone")
    async with gateway_process("serve", "--allow-delete", "--audit-log", str(pipe), **settings) as gateway:
        await gateway.event("nobody reads the audit log yet. Deletes are refused until somebody does")
        async with channels_to(gateway.address, 1) as (channel,):
            assert await delete(channel, deletion(digest, "gone")) == AUDIT_FAILED
            assert registry.holds("team/app", digest)
            reading = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
            try:
                assert await delete(channel, deletion(digest, "gone")) == (grpc.StatusCode.OK, "")
                records = [json.loads(line) for line in os.read(reading, 65536).splitlines()]
            finally:
                os.close(reading)
            assert [record.get("outcome") for record in records] == [None, "deleted"]
        gateway.signal(signal.SIGTERM)
        assert await gateway.ended() == 0


@contextmanager
def unread_pipe() -> Iterator[BinaryIO]:
    reading, writing = os.pipe()
    with open(reading, "rb"), open(writing, "wb", buffering=0) as end:
        yield end


async def test_a_standard_output_that_nobody_reads_blocks_neither_deletes_nor_shutdown(
    registry: DevRegistry, settings: dict[str, str]
) -> None:
    digest = registry.push("team/app", "gone")
    with unread_pipe() as output:
        async with gateway_process_into(
            output.fileno(), "serve", "--allow-delete", "--audit-log", "-", **settings
        ) as gateway:
            async with channels_to(gateway.address, 1) as (channel,):
                outcomes = [await delete(channel, deletion()) for _ in range(6)]
                # A pipe takes 64 KiB, and each of these takes some twelve of them. The last one had its attempt
                # recorded, and the registry's answer is what its caller gets.
                assert outcomes[0] == (grpc.StatusCode.NOT_FOUND, "MANIFEST_UNKNOWN")
                started = time.monotonic()
                assert await delete(channel, deletion(digest, "gone")) == AUDIT_FAILED
                assert time.monotonic() - started < PATIENCE
                assert registry.holds("team/app", digest)
                # Reads have nothing to do with it.
                request = registry_service_pb2.ListTagsRequest(repository="team/app")
                assert (await stub(channel).ListTags(request, timeout=PATIENCE)).tags
            gateway.signal(signal.SIGTERM)
            assert await gateway.ended() == 0


@pytest.mark.parametrize("patience", [0.0005, 0.002, 0.01])
async def test_an_attempt_whose_caller_leaves_early_has_an_outcome(
    settings: dict[str, str], tmp_path: Path, patience: float
) -> None:
    path = tmp_path / "audit.jsonl"
    async with gateway_process("serve", "--allow-delete", "--audit-log", str(path), **settings) as gateway:
        async with channels_to(gateway.address, 1) as (channel,):
            await channel.channel_ready()
            await delete(channel, deletion(ABSENT, "x"))
            calls = [stub(channel).DeleteManifest(deletion(ABSENT, "x"), timeout=patience) for _ in range(50)]
            await asyncio.gather(*calls, return_exceptions=True)
        gateway.signal(signal.SIGTERM)
        assert await gateway.ended() == 0
    events: Counter[str] = Counter()
    open_ids: set[object] = set()
    for line in path.read_text().splitlines():
        record = json.loads(line)
        events[record["event"]] += 1
        (open_ids.add if record["event"] == "attempt" else open_ids.discard)(record["request_id"])
    assert events["attempt"] >= 1
    assert open_ids == set(), events
