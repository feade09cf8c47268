"""grpc.health.v1: whether the process lives (the empty name), and whether the registry answers (the service's name).

Nothing here asks the registry: `set_serving` sets its state.
"""

import asyncio
from collections.abc import AsyncGenerator

import grpc
from google.protobuf.message import Message
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

from portus_gateway.distribution.errors import NotFound
from portus_gateway.rpc.call_errors import ShuttingDown
from portus_gateway.rpc.health_list import HealthListRequest, HealthListResponse, health_list
from portus_gateway.rpc.service_names import HEALTH_SERVICE, REGISTRY_SERVICE

_PROCESS = ""


class Health:
    """The health of the process and of the RegistryService. A service begins as not serving."""

    def __init__(self) -> None:
        self._serving = {_PROCESS: True, REGISTRY_SERVICE: False}
        self._draining = False
        self._changed = asyncio.Event()

    def service(self) -> grpc.GenericRpcHandler:
        """The service's methods: Check, Watch and List."""
        handlers: dict[str, grpc.RpcMethodHandler[Message, Message]] = {
            "Check": grpc.unary_unary_rpc_method_handler(
                self.check, HealthCheckRequest.FromString, HealthCheckResponse.SerializeToString
            ),
            "Watch": grpc.unary_stream_rpc_method_handler(
                self.watch, HealthCheckRequest.FromString, HealthCheckResponse.SerializeToString
            ),
            "List": grpc.unary_unary_rpc_method_handler(
                self.list_all, HealthListRequest.FromString, HealthListResponse.SerializeToString
            ),
        }
        return grpc.method_handlers_generic_handler(HEALTH_SERVICE, handlers)

    def set_serving(self, service: str, serving: bool) -> None:
        """Sets a service's health; without effect once the server drains."""
        if not self._draining:
            self._set(service, serving)

    def drain(self) -> None:
        """Says NOT_SERVING of everything from now on, and ends all who watch: they would hold up the stop."""
        self._draining = True
        for service in tuple(self._serving):
            self._set(service, False)

    async def check(self, request: HealthCheckRequest, context: object) -> HealthCheckResponse:  # noqa: ARG002
        if request.service not in self._serving:
            raise NotFound("this gateway serves no such service", reason="SERVICE_UNKNOWN")
        return HealthCheckResponse(status=self._status(request.service))

    async def list_all(self, request: Message, context: object) -> Message:  # noqa: ARG002
        return health_list({service: self._status(service) for service in self._serving})

    async def watch(
        self,
        request: HealthCheckRequest,
        context: object,  # noqa: ARG002
    ) -> AsyncGenerator[HealthCheckResponse, None]:
        sent: int | None = None
        while True:
            # Read before the status is sent, so that no change in between is missed.
            changed, draining = self._changed, self._draining
            status = self._status(request.service)
            if status != sent:
                yield HealthCheckResponse(status=status)
                sent = status
            if draining:
                raise ShuttingDown
            await changed.wait()

    def _status(self, service: str) -> int:
        match self._serving.get(service):
            case None:
                return HealthCheckResponse.SERVICE_UNKNOWN
            case True:
                return HealthCheckResponse.SERVING
            case False:
                return HealthCheckResponse.NOT_SERVING

    def _set(self, service: str, serving: bool) -> None:
        self._serving[service] = serving
        self._changed.set()
        self._changed = asyncio.Event()
