"""GET /v2/: whether a registry is there, and takes our credentials."""

from dataclasses import dataclass

from portus_gateway.distribution.concern import Concern
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
                "the configured address answers 404 at /v2/, so no Distribution registry is there",
                operator_detail=str(self._transport.origin),
                concern=Concern.REGISTRY_URL,
            )
        if answer.status != 200:
            raise failure(answer, "ping")
        said = answer.concealment.for_callers(answer.headers.get("Docker-Distribution-Api-Version", ""))
        return RegistryVersion(said[:64])
