"""Streams that were opened with a credential or a right that is withdrawn later."""

import asyncio
import signal
from pathlib import Path

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration

from portus.registry.v1.registry_service_pb2 import GetRegistryInfoRequest, IndexStatus
from portus.registry.v1.registry_service_pb2_grpc import RegistryServiceStub
from portus.registry.v1.watch_pb2 import WatchEventsRequest
from tests.access.policies import TEAM_A
from tests.access.test_token_file import line
from tests.e2e.gateway_process import gateway_process
from tests.e2e.test_access import bearer, reason_of
from tests.index.registries import until


@pytest.mark.parametrize(
    ("file", "content", "expected"),
    [
        ("tokens", line("root", "secret-root"), (grpc.StatusCode.UNAUTHENTICATED, "CREDENTIAL_INVALID")),
        ("policy", TEAM_A.replace("token:a", "token:b"), (grpc.StatusCode.PERMISSION_DENIED, "POLICY_DENIED")),
    ],
    ids=["token", "right"],
)
async def test_a_watch_ends_soon_after_its_callers_token_or_right_is_withdrawn(
    settings: dict[str, str],
    tmp_path: Path,
    file: str,
    content: str,
    expected: tuple[grpc.StatusCode, str],
) -> None:
    (tmp_path / "tokens").write_text(line("a", "secret-a") + line("root", "secret-root"))
    (tmp_path / "policy").write_text(TEAM_A)
    protected = settings | {
        "PORTUS_INDEX": f"sqlite://{tmp_path}/index.db",
        "PORTUS_CALLER_TOKEN_FILE": str(tmp_path / "tokens"),
        "PORTUS_POLICY_FILE": str(tmp_path / "policy"),
    }
    async with (
        gateway_process("serve", **protected) as gateway,
        grpc.aio.insecure_channel(gateway.address) as channel,
    ):
        stub = RegistryServiceStub(channel)

        async def is_ready() -> bool:
            info = await stub.GetRegistryInfo(GetRegistryInfoRequest(), metadata=bearer("secret-a"), timeout=10)
            return info.index.state == IndexStatus.READY

        await until(is_ready)
        # Its next message would come in five minutes.
        request = WatchEventsRequest(heartbeat_interval=Duration(seconds=300))
        watch = stub.WatchEvents(request, metadata=bearer("secret-a"))
        await watch.read()
        (tmp_path / file).write_text(content)
        gateway.signal(signal.SIGHUP)
        with pytest.raises(grpc.aio.AioRpcError) as ended:
            async with asyncio.timeout(15):
                await watch.read()
        assert reason_of(ended.value) == expected
