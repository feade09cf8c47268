"""Metadata of a stranger that takes very much room, or has no end. Each attack is bounded: seconds, and MiB."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest

from portus.registry.v1.registry_service_pb2_grpc import RegistryServiceStub
from tests.attack.processes import MEBIBYTE, peak
from tests.attack.raw_http2 import (
    CONTINUATION,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    RawConnection,
    call_headers,
    field,
)
from tests.attack.test_floods import LIST_TAGS, TAGS, WINDOW, own_connection
from tests.e2e.gateway_process import gateway_process

Attack = Callable[[RawConnection], Awaitable[None]]
# The newest field of the table (RFC 7541, 2.3.3).
NEWEST = b"\xbe"


async def metadata_without_end(attacker: RawConnection) -> None:
    """One call, whose metadata has a million fields and does not end."""
    stream = attacker.next_stream()
    attacker.send(HEADERS, 0, stream, call_headers(LIST_TAGS))
    part = field("a", "b" * 10) * 1000
    for _ in range(1000):
        attacker.send(CONTINUATION, 0, stream, part)
        await attacker.sent()


async def compressed_metadata(attacker: RawConnection) -> None:
    """Calls whose metadata of 16 KiB takes 60 MiB when it is decompressed (an HPACK bomb)."""
    large = field("x-large", "v" * 4000, indexed=True)
    attacker.send(HEADERS, END_HEADERS | END_STREAM, attacker.next_stream(), call_headers(LIST_TAGS) + large)
    block = call_headers(LIST_TAGS)
    block += NEWEST * (16_384 - len(block))
    for _ in range(20):
        attacker.send(HEADERS, END_HEADERS | END_STREAM, attacker.next_stream(), block)
        await attacker.sent()


@pytest.mark.parametrize("attack", [metadata_without_end, compressed_metadata])
async def test_metadata_that_is_too_large_takes_bounded_memory_and_delays_nobody(
    settings: dict[str, str], attack: Attack
) -> None:
    async with (
        gateway_process("serve", **settings) as gateway,
        own_connection(gateway.address) as channel,
        RawConnection.open(gateway.address, window=WINDOW) as attacker,
    ):
        stub = RegistryServiceStub(channel)
        await stub.ListTags(TAGS, timeout=10)
        before = peak(gateway.process.pid)

        async def read() -> None:
            async for _ in attacker.frames():
                pass

        reading = asyncio.create_task(read())
        with suppress(ConnectionError):
            await attack(attacker)
        began = time.monotonic()
        await stub.ListTags(TAGS, timeout=10)
        assert time.monotonic() - began < 5
        assert peak(gateway.process.pid) - before < 30 * MEBIBYTE
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
