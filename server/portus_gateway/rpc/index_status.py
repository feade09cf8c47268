"""The state of the index, as GetRegistryInfo shows it."""

from portus.registry.v1.registry_service_pb2 import IndexStatus
from portus_gateway.index.errors import IndexUnavailable
from portus_gateway.operations.index_answers import IndexAnswers
from portus_gateway.rpc import conversion


async def index_status(answers: IndexAnswers) -> IndexStatus | None:
    """None where the gateway has no index. A failing index never fails the call."""
    try:
        state = await answers.state()
    except IndexUnavailable:
        return IndexStatus(state=IndexStatus.UNAVAILABLE)
    if state is None:
        return None
    status = IndexStatus(state=IndexStatus.READY if state.ready else IndexStatus.BUILDING)
    if state.walk_started is not None:
        status.as_of.CopyFrom(conversion.timestamp(state.walk_started))
    return status
