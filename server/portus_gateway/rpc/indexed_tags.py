"""Responses of ListTags from the index."""

from portus.registry.v1.registry_service_pb2 import ListTagsResponse
from portus_gateway.operations.index_answers import IndexedTags
from portus_gateway.rpc import conversion


def response(answer: IndexedTags, next_page_token: str) -> ListTagsResponse:
    return ListTagsResponse(
        tags=conversion.tags(answer.page.items),
        unusable_tags=conversion.unusable_tags(answer.page.items),
        next_page_token=next_page_token,
        as_of=conversion.timestamp(answer.freshness.as_of),
        cursor=answer.freshness.cursor,
    )
