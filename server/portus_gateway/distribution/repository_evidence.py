"""Whether a repository exists whose list of tags the registry does not know.

Distribution answers `tags/list` with NAME_UNKNOWN for a repository that was only pushed to by digest, as for one that
does not exist. Its catalog lists the first and not the second. No other request tells them apart.
"""

import asyncio
import json
from typing import Final
from urllib.parse import quote

from portus_gateway.distribution.errors import UntrustedAnswer
from portus_gateway.distribution.failures import failure
from portus_gateway.distribution.names import Repository
from portus_gateway.distribution.registry_request import RegistryRequest
from portus_gateway.distribution.transport import Transport
from portus_gateway.errors import GatewayError

# Names that sort between the start and the one that is looked for: most often none.
_PAGE: Final = 100
_BODY_LIMIT: Final = 64 * 1024
# Distribution 2.8 walks its storage for each page of the catalog, which can take minutes. A caller should not wait that
# long to learn that a repository does not exist.
_LONGEST_SECONDS: Final = 2.0


class RepositoryEvidence:
    """Looks for repositories in the catalog, one at a time, so that it never costs the registry more than that."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._turn = asyncio.Lock()

    async def exists(self, repository: Repository) -> bool:
        """Whether the catalog proves that the repository exists. False: it does not, or there is no proof.

        There is no proof without the right to read the catalog, or if the catalog takes more than two seconds.
        """
        try:
            async with asyncio.timeout(_LONGEST_SECONDS):
                return await self.is_listed(repository)
        except (GatewayError, TimeoutError):
            return False

    async def is_listed(self, repository: Repository) -> bool:
        """Whether the catalog lists the repository. Raises what the registry's failure is."""
        # A name that is shorter by its last character sorts before it, and most often right before it.
        start = repository.name[:-1]
        query = f"n={_PAGE}&last={quote(start, safe='')}" if start else f"n={_PAGE}"
        request = RegistryRequest(
            method="GET",
            target=f"/v2/_catalog?{query}",
            route="catalog",
            scope="registry:catalog:*",
            body_limit=_BODY_LIMIT,
        )
        async with self._turn:
            answer = await self._transport.send(request)
        if answer.status != 200:
            raise failure(answer, f"look for {repository} in the catalog")
        try:
            names = json.loads(answer.body)["repositories"]
        except (ValueError, RecursionError, LookupError, TypeError) as error:
            raise UntrustedAnswer("the registry's catalog is not the JSON that it should be") from error
        return isinstance(names, list) and repository.name in names
