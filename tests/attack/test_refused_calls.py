"""Calls that are refused take no memory, whatever they carry."""

import asyncio
import gzip
import resource
from pathlib import Path

import grpc
import pytest

from tests.access.policies import TEAM_A
from tests.access.test_token_file import line
from tests.attack.processes import MEBIBYTE, address_space, peak, resident
from tests.attack.raw_http2 import RawConnection
from tests.e2e.gateway_process import GatewayProcess, gateway_process
from tests.rpc.gateways import SERVICE

BATCH = f"/{SERVICE}/BatchGetManifests"
# As many empty requests as fit into a message of the largest size.
EMPTY_REQUESTS = b"\x0a\x00" * ((MEBIBYTE - 64) // 2)
CALLS = 60


@pytest.fixture
def protected(settings: dict[str, str], tmp_path: Path) -> dict[str, str]:
    """A gateway whose only known caller is `a`."""
    (tmp_path / "tokens").write_text(line("a", "secret-a"))
    (tmp_path / "policy.toml").write_text(TEAM_A)
    return {
        **settings,
        "PORTUS_CALLER_TOKEN_FILE": str(tmp_path / "tokens"),
        "PORTUS_POLICY_FILE": str(tmp_path / "policy.toml"),
    }


async def refusals(gateway: GatewayProcess, metadata: tuple[tuple[str, str], ...] = ()) -> set[grpc.StatusCode]:
    """How the gateway answers a batch of half a million empty requests, again and again."""
    codes = set()
    async with grpc.aio.insecure_channel(gateway.address) as channel:
        method: grpc.aio.UnaryStreamMultiCallable[bytes, bytes] = channel.unary_stream(BATCH)
        for _ in range(CALLS):
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await method(EMPTY_REQUESTS, metadata=metadata, timeout=30).read()
            codes.add(refused.value.code())
    return codes


@pytest.mark.parametrize("known", [False, True])
async def test_huge_requests_that_are_refused_leave_no_memory_taken(protected: dict[str, str], known: bool) -> None:
    async with gateway_process("serve", **protected) as gateway:
        before = resident(gateway.process.pid)
        codes = await refusals(gateway, (("authorization", "Bearer secret-a"),) if known else ())
        assert codes == {grpc.StatusCode.INVALID_ARGUMENT if known else grpc.StatusCode.UNAUTHENTICATED}
        # Parsed, one of these requests takes 41 MiB.
        assert peak(gateway.process.pid) - before < 40 * MEBIBYTE


async def test_compressed_requests_are_refused_without_being_decompressed(protected: dict[str, str]) -> None:
    packed = gzip.compress(EMPTY_REQUESTS)
    assert len(packed) < 2048
    async with gateway_process("serve", **protected) as gateway:
        before = resident(gateway.process.pid)
        async with RawConnection.open(gateway.address, window=65_535) as connection:
            for _ in range(CALLS):
                await connection.call(BATCH, packed, metadata=[("grpc-encoding", "gzip")], compressed=True)
            refused = b""
            async with asyncio.timeout(20):
                async for frame in connection.frames():
                    refused += frame.payload
                    if refused.count(b"grpc-status\x0212") == CALLS:
                        break
        assert peak(gateway.process.pid) - before < 20 * MEBIBYTE


async def test_a_gateway_with_little_memory_survives_both(protected: dict[str, str]) -> None:
    async with gateway_process("serve", **protected) as gateway:
        most = address_space(gateway.process.pid) + 400 * MEBIBYTE
        resource.prlimit(gateway.process.pid, resource.RLIMIT_AS, (most, most))
        await refusals(gateway)
        await refusals(gateway, (("authorization", "Bearer secret-a"),))
        assert gateway.process.returncode is None
