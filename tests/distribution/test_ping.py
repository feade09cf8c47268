import base64
import json

import pytest
from aiohttp import web

from portus_gateway.distribution import Repository
from portus_gateway.distribution.concern import Concern
from portus_gateway.distribution.errors import RegistryFault
from tests.distribution.clients import PASSWORD, client
from tests.distribution.upstream import Upstream, answer

APP = Repository("team/app")
TAGS = answer(200, '{"name": "team/app", "tags": ["v1"]}')
BASIC = "Basic " + base64.b64encode(f"portus:{PASSWORD}".encode()).decode()


def token(secret: str = "t0ken", **fields: object) -> web.Response:
    return answer(200, json.dumps({"token": secret, **fields}))


async def test_a_ping_says_whether_it_is_a_registry(upstream: Upstream) -> None:
    upstream.script(
        answer(200, "{}", Docker_Distribution_Api_Version="registry/2.0"), answer(200), answer(404, "nginx")
    )
    async with client(upstream.url) as registry:
        assert (await registry.ping()).api_version == "registry/2.0"
        assert (await registry.ping()).api_version == ""
        with pytest.raises(RegistryFault, match="no Distribution registry") as caught:
            await registry.ping()
    assert caught.value.concern is Concern.REGISTRY_URL
    assert caught.value.operator_detail == upstream.url
