"""Responses of ListTags."""

import asyncio
from typing import Final

from google.rpc.error_details_pb2 import ResourceInfo

from portus.registry.v1 import tag_details_pb2
from portus.registry.v1.registry_service_pb2 import ListTagsResponse
from portus_gateway.distribution.names import UnusableName
from portus_gateway.operations.tag_details import TagDetails, View
from portus_gateway.operations.tag_listing import Listed, WantedTags
from portus_gateway.registry.protocol import Page
from portus_gateway.rpc import conversion
from portus_gateway.rpc.part_failures import part_status

# A page can have a thousand of these.
_STATUS_LIMIT: Final = 1024
# How many details are converted before other calls have their turn.
_AT_ONCE: Final = 100


async def response(wanted: WantedTags, page: Page[Listed], next_page_token: str) -> ListTagsResponse:
    """The response with this page. By name, its tags are in lexical order, whatever order the registry has."""
    listed = [one for one in page.items if isinstance(one, TagDetails)]
    if not wanted.newest_first:
        listed.sort(key=str)
    answer = ListTagsResponse(
        tags=map(str, listed),
        unusable_tags=conversion.unusable_tags(one for one in page.items if isinstance(one, UnusableName)),
        next_page_token=next_page_token,
    )
    if wanted.view is not View.NAMES:
        for number, one in enumerate(listed):
            if number and number % _AT_ONCE == 0:
                await asyncio.sleep(0)
            _fill(answer.details.add(), one, f"{wanted.repository}:{one}")
    return answer


def _fill(message: tag_details_pb2.TagDetails, details: TagDetails, image: str) -> None:
    message.tag = details.tag.name
    if details.descriptor is not None:
        message.descriptor.CopyFrom(conversion.descriptor(details.descriptor))
    if details.created is not None:
        conversion.fill_timestamp(message.created, details.created)
    # Each size fits into 64 bits, but the sum may not.
    if details.total_size is not None and details.total_size < 2**63:
        message.total_size = details.total_size
    for platform in details.platforms:
        conversion.fill_platform(message.platforms.add(), platform)
    if details.error is not None:
        resource = ResourceInfo(resource_type="manifest", resource_name=image)
        message.status.CopyFrom(part_status(details.error, resource, limit=_STATUS_LIMIT))
