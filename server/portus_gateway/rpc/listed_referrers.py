"""Referrers in responses of ListReferrers."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from google.rpc.error_details_pb2 import ResourceInfo

from portus.registry.v1 import referrer_pb2
from portus_gateway.distribution.names import Repository
from portus_gateway.operations.referrers import Referrer, Source
from portus_gateway.rpc import conversion
from portus_gateway.rpc.part_failures import part_status

# A page can have a thousand of these.
_STATUS_LIMIT: Final = 1024
_SOURCES: Final["Mapping[Source, referrer_pb2.Referrer.Source.ValueType]"] = MappingProxyType(
    {
        "referrers API": referrer_pb2.Referrer.REFERRERS_API,
        "fallback tag": referrer_pb2.Referrer.FALLBACK_TAG,
        "cosign tag": referrer_pb2.Referrer.COSIGN_TAG,
    }
)


def message(referrer: Referrer, repository: Repository) -> referrer_pb2.Referrer:
    made = referrer_pb2.Referrer(
        descriptor=conversion.descriptor(referrer.descriptor),
        source=_SOURCES[referrer.source],
        tag=referrer.tag,
        layers=[conversion.descriptor(layer) for layer in referrer.layers],
    )
    if referrer.error is not None:
        name = f"{repository}@{referrer.descriptor.digest}"
        resource = ResourceInfo(resource_type="manifest", resource_name=name)
        made.layers_status.CopyFrom(part_status(referrer.error, resource, limit=_STATUS_LIMIT))
    return made
