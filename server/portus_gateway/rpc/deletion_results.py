"""The results of BatchDeleteManifests."""

from portus.registry.v1.registry_service_pb2 import BatchDeleteManifestsResult, DeleteManifestRequest
from portus_gateway.access.rpcs import RPCS
from portus_gateway.errors import forget_frames
from portus_gateway.operations.deletion import BatchDeletion, Deleted, Outcome
from portus_gateway.rpc import conversion
from portus_gateway.rpc.known_error import known_error
from portus_gateway.rpc.part_failures import part_status
from portus_gateway.rpc.resources import resource_of


def deletion_result(wanted: BatchDeletion, outcome: Outcome) -> BatchDeleteManifestsResult:
    """The message for a part of the batch: what DeleteManifest would answer, or the status that it would fail with."""
    if isinstance(outcome.result, Deleted):
        return BatchDeleteManifestsResult(
            request_index=outcome.part, deleted=conversion.deleted_manifest(outcome.result)
        )
    rpc = RPCS["DeleteManifest"]
    part = wanted.parts[outcome.part]
    error = known_error(outcome.result, rpc.name)
    request = DeleteManifestRequest(repository=part.repository.name, digest=part.digest.text)
    status = part_status(error, resource_of(rpc, request, error))
    forget_frames(outcome.result)
    return BatchDeleteManifestsResult(request_index=outcome.part, status=status)
