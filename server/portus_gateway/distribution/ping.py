"""GET /v2/: whether a registry is there, and takes our credentials."""

from dataclasses import dataclass

from portus_gateway.distribution.errors import RegistryFault
from portus_gateway.distribution.failures import failure
from portus_gateway.distribution.transport import RegistryRequest, Transport

_BODY_LIMIT = 64 * 1024


@dataclass(frozen=True, slots=True)
class RegistryVersion:
    """What a registry says of itself. `api_version` is empty where it says nothing."""

    api_version: str


class Ping:
    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def send(self) -> RegistryVersion:
        answer = await self._transport.send(
            RegistryRequest(method="GET", target="/v2/", route="ping", scope="", body_limit=_BODY_LIMIT)
        )
        if answer.status == 404:
            raise RegistryFault(
                f"{self._transport.origin} answers 404 at /v2/: that is no Distribution registry;"
                " check PORTUS_REGISTRY_URL"
            )
        if answer.status != 200:
            raise failure(answer, "ping")
        return RegistryVersion(answer.concealed(answer.headers.get("Docker-Distribution-Api-Version", ""))[:64])
