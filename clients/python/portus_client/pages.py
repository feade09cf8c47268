"""The pages of one listing."""

from typing import Generic, TypeVar

import grpc

from portus.registry.v1.registry_service_pb2 import (
    ListReferrersRequest,
    ListReferrersResponse,
    ListTagsRequest,
    ListTagsResponse,
)
from portus.registry.v1.tag_history_pb2 import (
    FindTagsRequest,
    FindTagsResponse,
    ListTagHistoryRequest,
    ListTagHistoryResponse,
)
from portus_client import errors

Request = TypeVar("Request", ListTagsRequest, ListReferrersRequest, ListTagHistoryRequest, FindTagsRequest)
Response = ListTagsResponse | ListReferrersResponse | ListTagHistoryResponse | FindTagsResponse


class Pages(Generic[Request]):
    """Builds the request of each page from the page before it."""

    def __init__(self, first: Request) -> None:
        self._page_tokens = {""}
        self.request: Request | None = first
        """The request of the next page. None after the last page."""

    def advance(self, page: Response) -> None:
        """Goes on to the page after `page`. Raises `RegistryError` if its token came before: the listing is endless."""
        token = page.next_page_token
        if not token or self.request is None:
            self.request = None
            return
        if token in self._page_tokens:
            raise errors.client_error(
                grpc.StatusCode.INTERNAL, "the gateway repeats a page token, so the listing has no end"
            )
        self._page_tokens.add(token)
        following = type(self.request)()
        following.CopyFrom(self.request)
        following.page_token = token
        self.request = following
