"""A registry whose listing of tags has no end."""

import hashlib
import json
from pathlib import Path

import grpc
import pytest
from aiohttp import web

from portus.registry.v1.registry_service_pb2 import DeleteManifestRequest
from portus.registry.v1.registry_service_pb2_grpc import RegistryServiceStub
from tests.attack.processes import MEBIBYTE, peak, resident
from tests.distribution.upstream import Upstream
from tests.e2e.gateway_process import gateway_process
from tests.e2e.test_access import reason_of

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
EMPTY = {"mediaType": "application/vnd.oci.empty.v1+json", "digest": "sha256:" + "0" * 64, "size": 2}
MANIFEST = json.dumps({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": EMPTY, "layers": []}).encode()
DIGEST = "sha256:" + hashlib.sha256(MANIFEST).hexdigest()


class EndlessTags:
    """Has one manifest, and pages of names without an end, none of which is a tag."""

    def __init__(self) -> None:
        self.pages = 0
        self.deletes = 0

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        self.deletes += request.method == "DELETE"
        if request.path.endswith("/tags/list"):
            self.pages += 1
            names = [f"-{self.pages}-{number}" for number in range(5000)]
            link = f'<{request.path}?page={self.pages}>; rel="next"'
            return web.json_response({"name": "team/app", "tags": names}, headers={"Link": link})
        if "/manifests/" in request.path:
            return web.Response(body=MANIFEST, content_type=OCI_MANIFEST, headers={"Docker-Content-Digest": DIGEST})
        return web.json_response({}, headers={"Docker-Distribution-Api-Version": "registry/2.0"})


async def test_a_delete_ends_soon_and_deletes_nothing(tmp_path: Path) -> None:
    endless = EndlessTags()
    async with Upstream() as registry:
        registry.script(endless)
        settings = {
            "PORTUS_REGISTRY_URL": registry.url,
            "PORTUS_REGISTRY_ANONYMOUS": "true",
            "PORTUS_ALLOW_DELETE": "true",
            "PORTUS_AUDIT_LOG": str(tmp_path / "audit.log"),
        }
        async with (
            gateway_process("serve", **settings) as gateway,
            grpc.aio.insecure_channel(gateway.address) as channel,
        ):
            idle = resident(gateway.process.pid)
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                request = DeleteManifestRequest(repository="team/app", digest=DIGEST)
                await RegistryServiceStub(channel).DeleteManifest(request, timeout=20)
            assert reason_of(refused.value) == (grpc.StatusCode.DATA_LOSS, "UPSTREAM_ANSWER_TOO_LARGE")
            assert peak(gateway.process.pid) - idle < 64 * MEBIBYTE
    assert endless.pages < 10
    assert endless.deletes == 0
