"""The pages of one listing of referrers."""

import grpc

from portus.registry.v1.registry_service_pb2 import ListReferrersRequest, ListReferrersResponse
from portus_client import errors


class ReferrerPages:
    """Builds the request of each page from the page before it."""

    def __init__(self, first: ListReferrersRequest) -> None:
        self._page_tokens = {""}
        self.request: ListReferrersRequest | None = first
        """The request of the next page. None after the last page."""

    def advance(self, page: ListReferrersResponse) -> None:
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
        following = ListReferrersRequest()
        following.CopyFrom(self.request)
        following.page_token = token
        self.request = following
