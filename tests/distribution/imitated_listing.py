"""Registries that list in every way that was met, and in some that were not, without HTTP."""

import json
import random
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import parse_qs, quote

from multidict import CIMultiDict, CIMultiDictProxy

from portus_gateway.distribution.exchange import Answer
from portus_gateway.distribution.registry_request import RegistryRequest
from portus_gateway.distribution.transport import Transport

PATH = "/v2/_catalog"

Size = Literal[
    "honoured",
    "small default",
    "ignored",
    "fixed",
    "clamped",
    "clamped but with a larger default",
    "refused",
    "unknown",
]
"""What a registry does with `n`. `fixed`: its pages have `limit` names. `unknown`: it refuses every request with it."""
Link = Literal["none", "by name", "relative", "other host", "other path", "own cursor", "full pages only"]
"""How the link to the next page looks. `full pages only`: only if the page has as many names as were asked for."""


@dataclass
class ImitatedListing(Transport):
    """Lists `names` for a `Listing`. `limit` is its largest page, and `requests` keeps the queries."""

    names: Sequence[str]
    size: Size = "honoured"
    last: bool = True
    """Whether it honours `last`."""
    link: Link = "by name"
    limit: int = 100
    refusal: int = 400
    starts_over: bool = False
    """Whether it answers with the beginning if nothing comes after `last`, as go-containerregistry's registry does."""
    shuffled: bool = False
    """Whether it lists in another order each time."""
    requests: list[str] = field(default_factory=list)

    async def send(self, request: RegistryRequest) -> Answer:
        path, _, query = request.target.partition("?")
        assert path == PATH
        self.requests.append(query)
        parameters = {name: values[0] for name, values in parse_qs(query, strict_parsing=bool(query)).items()}
        asked = int(parameters["n"]) if "n" in parameters else None
        if self.refuses(asked):
            return _answer(self.refusal, {"errors": [{"code": "SIZE_INVALID"}]})
        start = self._start(parameters)
        ordered = random.sample(self.names, len(self.names)) if self.shuffled else self.names
        names = ordered[start : start + self._page_size(asked)]
        more = start + len(names) < len(self.names)
        if self.link == "full pages only":
            more = len(names) == asked
        if not more or not names:
            return _answer(200, {"repositories": names})
        return _answer(200, {"repositories": names}, self._link(names[-1], start + len(names), asked))

    def refuses(self, asked: int | None) -> bool:
        if asked is None:
            return False
        return self.size == "unknown" or (self.size == "refused" and asked > self.limit)

    def _start(self, parameters: dict[str, str]) -> int:
        if "cursor" in parameters:
            return int(parameters["cursor"])
        if self.last and "last" in parameters:
            start = bisect_right(self.names, parameters["last"])
            return 0 if self.starts_over and start == len(self.names) else start
        return 0

    def _page_size(self, asked: int | None) -> int:
        everything = max(1, len(self.names))
        match self.size:
            case "honoured":
                return asked or everything
            case "ignored":
                return everything
            case "fixed":
                return self.limit
            case "clamped":
                return min(asked or self.limit, self.limit)
            case "clamped but with a larger default":
                return min(asked, self.limit) if asked else everything
            case "refused" | "small default":
                return asked or self.limit
            case "unknown":
                return self.limit

    def _link(self, last: str, position: int, asked: int | None) -> dict[str, str]:
        size = f"&n={asked}" if asked else ""
        query = f"last={quote(last, safe='')}{size}"
        match self.link:
            case "none":
                return {}
            case "by name" | "full pages only":
                target = f"{PATH}?{query}"
            case "relative":
                target = f"?{query}"
            case "other host":
                target = f"http://internal:5000{PATH}?{query}"
            case "other path":
                target = f"https://registry.example/docker{PATH}?{query}"
            case "own cursor":
                target = f"{PATH}?cursor={position}{size}"
        return {"Link": f'<{target}>; rel="next"'}


def _answer(status: int, document: object, headers: dict[str, str] | None = None) -> Answer:
    return Answer(status, CIMultiDictProxy(CIMultiDict(headers or {})), json.dumps(document).encode())
