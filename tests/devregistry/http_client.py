"""An HTTP client that knows nothing of the registry but its URL and its users."""

import base64
import io
import json
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass

import aiohttp
from multidict import CIMultiDictProxy
from yarl import URL

from portus_gateway.devregistry import Content, DevRegistry

ALL_MANIFESTS = (
    "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, "
    "application/vnd.docker.distribution.manifest.v2+json, "
    "application/vnd.docker.distribution.manifest.list.v2+json"
)


@dataclass(frozen=True)
class Answer:
    status: int
    headers: CIMultiDictProxy[str]
    body: bytes

    def json(self) -> dict[str, object]:
        document = json.loads(self.body)
        assert isinstance(document, dict)
        return document

    @property
    def code(self) -> str:
        """The code of the first error."""
        return str(json.loads(self.body)["errors"][0]["code"])


class HttpClient:
    """Sends requests unchanged. Answers a challenge once, with the registry's user."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def send(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        data: bytes | None = None,
        trust: ssl.SSLContext | bool = True,
    ) -> Answer:
        body = None if data is None else io.BytesIO(data)
        async with self._session.request(
            method, URL(url, encoded=True), headers=headers, data=body, allow_redirects=False, ssl=trust
        ) as response:
            return Answer(response.status, response.headers, await response.read())

    async def token(
        self, realm: str, service: str, scopes: list[str], username: str, password: str, account: str = ""
    ) -> Answer:
        query = [("service", service), ("account", account or username), *(("scope", scope) for scope in scopes)]
        return await self.send(
            "GET", str(URL(realm).with_query(query)), headers={"Authorization": basic(username, password)}
        )

    async def call(
        self,
        registry: DevRegistry,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        data: bytes | None = None,
    ) -> Answer:
        """As the registry's own user, with a token if the registry asks for one."""
        url = path if path.startswith("http") else registry.url + path
        sent = dict(headers or {})
        answer = await self.send(method, url, headers=sent, data=data)
        challenge = answer.headers.get("WWW-Authenticate", "")
        if answer.status != 401 or not challenge.startswith("Bearer"):
            return answer
        scope = re.search(r'scope="([^"]*)"', challenge)
        token = await self.token(
            registry.realm,
            registry.service,
            scope[1].split(" ") if scope else [],
            registry.username,
            registry.password,
        )
        sent["Authorization"] = f"Bearer {token.json()['token']}"
        return await self.send(method, url, headers=sent, data=data)

    async def put_manifest(self, registry: DevRegistry, repository: str, reference: str, content: Content) -> Answer:
        """Pushes the manifest without its blobs."""
        return await self.call(
            registry,
            "PUT",
            f"/v2/{repository}/manifests/{reference}",
            headers={"Content-Type": content.media_type},
            data=content.manifest,
        )

    async def pull(self, registry: DevRegistry, repository: str, reference: str, method: str = "GET") -> Answer:
        """A manifest of any type."""
        return await self.call(
            registry, method, f"/v2/{repository}/manifests/{reference}", headers={"Accept": ALL_MANIFESTS}
        )


def basic(username: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()
