"""The flavours 2.8 and 3.1 answer the same requests as distribution 2.8.2 and 3.1.1 do, in order, header by header.

What is not compared is what docs/registries.md lists as different: the texts of errors, several ranges in one request,
and the bytes of manifests that 2.8 rewrites to schema 1.
"""

import asyncio
import http.client
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from portus_gateway.devregistry import Content, DevRegistry, Flavour, image, multi_platform
from tests import programs
from tests.real.registry_process import serving

_ALL_TYPES = (
    "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json,"
    " application/vnd.docker.distribution.manifest.v2+json, application/vnd.docker.distribution.manifest.list.v2+json"
)
_OCI_INDEX = "application/vnd.oci.image.index.v1+json"
_DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
_SCHEMA_1 = "application/vnd.docker.distribution.manifest.v1+prettyjws"
_COMPARED = (
    "accept-ranges",
    "allow",
    "cache-control",
    "content-length",
    "content-range",
    "content-type",
    "docker-content-digest",
    "docker-distribution-api-version",
    "etag",
    "link",
    "location",
    "range",
    "x-content-type-options",
)
_OCI, _DOCKER, _INDEX = image("a"), image("b", format="docker", layers=2), multi_platform("i")
_BLOB, _BLOB_SIZE = next((digest, len(blob)) for digest, blob in _OCI.blobs.items())
_ABSENT = "sha256:" + "0" * 64
_PATIENCE_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Request:
    method: str
    path: str
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: object
    """Parsed, where it is JSON; of errors, the codes and messages alone."""


def requests() -> Iterator[Request]:
    """Requests that read and refuse, and deletes after them."""
    for path in (
        *("/", "/v1/", "/v2", "/v2/", "/v2/x", "/v2//a/tags/list", "/v2/a/../b/tags/list", "/v2/a%2Fb/tags/list"),
        *("/v2/_catalog", "/v2/_catalog/", "/v2/_catalog?n=0", "/v2/A/tags/list", "/v2/none/tags/list", "/v2/a/tags"),
        *("/v2/a/manifests/", "/v2/a/manifests/x%20y", f"/v2/a/manifests/{'t' * 129}", "/v2/a/blobs/"),
        *("/v2/a/blobs/uploads", "/v2/a/blobs/uploads/", "/v2/a/blobs/uploads/unknown", f"/v2/{'a' * 255}/tags/list"),
        *(f"/v2/a/b/blobs/{_BLOB}", f"/v2/a/blobs/{_BLOB}", f"/v2/a/referrers/{_OCI.digest}"),
    ):
        for method in ("GET", "HEAD", "POST", "OPTIONS"):
            # The uploads that begin have different names. An unknown upload is reported before its methods.
            if (method, path) not in (("POST", "/v2/a/blobs/uploads/"), ("OPTIONS", "/v2/a/blobs/uploads/unknown")):
                yield Request(method, path, {})
    for query in (
        *("", "?n=", "?last=", "?n=1", "?n=2", "?n=4", "?n=0", "?n=-1", "?n=x", "?n=%2B2", "?n=1000", "?n=1001"),
        *(f"?n={'9' * 20}", "?last=a", "?last=a/b&n=1", "?last=zz", "?n=2&last=a%2Fb", "?n=1&n=3", "?n=2&last=T2"),
    ):
        yield Request("GET", f"/v2/_catalog{query}", {})
        yield Request("GET", f"/v2/tags/tags/list{query}", {})
    for path in (
        *(f"a/b/manifests/{reference}" for reference in ("1", "none", _OCI.digest, "sha256:12", _ABSENT, _BLOB)),
        *(f"a/manifests/{reference}" for reference in ("docker", _DOCKER.digest)),
        *("b/manifests/index", "a/b/manifests/sha512:" + "0" * 128),
    ):
        for accept in ("", _ALL_TYPES, "*/*", _OCI_INDEX, _DOCKER_MANIFEST, f"{_DOCKER_MANIFEST};q=0.1, */*"):
            for method in ("GET", "HEAD"):
                yield Request(method, f"/v2/{path}", {"Accept": accept} if accept else {})
    for template in ("{}", '"{}"', 'W/"{}"', "*", '"other"'):
        for path, digest in ((f"manifests/{_OCI.digest}", _OCI.digest), (f"blobs/{_BLOB}", _BLOB)):
            headers = {"Accept": _ALL_TYPES, "If-None-Match": template.format(digest)}
            yield Request("GET", f"/v2/a/b/{path}", headers)
    for asked in (
        *("0-9", "5-", "-5", "-0", "0-0", "9-5", f"{_BLOB_SIZE}-", "x", "", f"0-{_BLOB_SIZE + 9}", f"0-{'9' * 30}"),
    ):
        yield Request("GET", f"/v2/a/b/blobs/{_BLOB}", {"Range": f"bytes={asked}"})
    for path in (
        *("a/b/manifests/none", "a/b/manifests/1", "a/b/manifests/sha256:12", f"a/b/manifests/{_ABSENT}"),
        *("none/manifests/1", f"none/manifests/{_OCI.digest}", f"a/b/manifests/{_OCI.digest}"),
        *(f"a/b/manifests/{_OCI.digest}", f"tags/blobs/{_OCI.digest}", f"tags/blobs/{_BLOB}", f"tags/blobs/{_BLOB}"),
        *("a/blobs/sha256:12", f"c/manifests/{_BLOB}", "a/blobs/uploads/", "a/blobs/uploads/unknown"),
    ):
        yield Request("DELETE", f"/v2/{path}", {})
        for read in ("a/b/tags/list", "_catalog", f"c/blobs/{_BLOB}", f"tags/blobs/{_BLOB}", "tags/manifests/t1"):
            yield Request("GET", f"/v2/{read}", {"Accept": _ALL_TYPES})


def answers_of(authority: str, flavour: Flavour) -> list[Answer]:
    """Pushes content, and sends the requests. Blocks."""
    for repository, content, *tags in (
        *(("a/b", _OCI, "1", "2"), ("a", _DOCKER, "docker"), ("b", _INDEX, "index"), ("c", _OCI, "t")),
        ("tags", _OCI, "t3", "t1", "T2", "t10", "_x"),
    ):
        for tag in tags:
            push(authority, repository, content, tag)
    return [compared(authority, flavour, *send(authority, request)) for request in requests()]


def push(authority: str, repository: str, content: Content, reference: str) -> None:
    for child in content.children:
        push(authority, repository, child, child.digest)
    for digest, blob in content.blobs.items():
        started = send(authority, Request("POST", f"/v2/{repository}/blobs/uploads/", {}))
        location = urlsplit(started[1]["location"])
        done = send(authority, Request("PUT", f"{location.path}?{location.query}&digest={digest}", {}), blob)
        assert done[0] == 201
    manifest = Request("PUT", f"/v2/{repository}/manifests/{reference}", {"Content-Type": content.media_type})
    assert send(authority, manifest, content.manifest)[0] == 201


def send(authority: str, request: Request, body: bytes | None = None) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection(authority, timeout=_PATIENCE_SECONDS)
    try:
        connection.request(request.method, request.path, body, dict(request.headers))
        answer = connection.getresponse()
        headers = {name.lower(): value for name, value in answer.getheaders()}
        try:
            return answer.status, headers, answer.read()
        except http.client.IncompleteRead as error:
            return answer.status, headers, b"broken off: " + error.partial
    finally:
        connection.close()


def compared(authority: str, flavour: Flavour, status: int, headers: dict[str, str], body: bytes) -> Answer:
    kept = {name: headers[name] for name in _COMPARED if name in headers}
    if "location" in kept:
        kept["location"] = re.sub(r"_state=[^&]*", "_state=…", kept["location"].replace(f"http://{authority}", ""))
    if status >= 300:
        # Texts differ in length.
        kept.pop("content-length", None)
    if kept.get("content-type") == _SCHEMA_1:
        return Answer(status, {"content-type": _SCHEMA_1}, b"")
    return Answer(status, kept, parsed(body, flavour))


def parsed(body: bytes, flavour: Flavour) -> object:
    try:
        document = json.loads(body)
    except ValueError:
        return body
    if isinstance(document, dict) and isinstance(document.get("errors"), list):
        return [(error["code"], error["message"]) for error in document["errors"]]
    if flavour == "2.8" and isinstance(document, dict) and isinstance(document.get("tags"), list):
        # They are in the order of its storage.
        return sorted(document["tags"])
    return document


@pytest.mark.parametrize("flavour", ["2.8", "3.1"])
async def test_the_same_requests_have_the_same_answers(tmp_path: Path, flavour: Flavour) -> None:
    program = programs.docker_registry() if flavour == "2.8" else programs.distribution()
    async with serving(program, tmp_path, auth=None) as real:
        expected = await asyncio.to_thread(answers_of, real.authority, flavour)
    async with DevRegistry(flavour=flavour, auth="anonymous") as registry:
        found = await asyncio.to_thread(answers_of, registry.url.removeprefix("http://"), flavour)
    differences = [
        (request, of_real, of_flavour)
        for request, of_real, of_flavour in zip(requests(), expected, found, strict=True)
        if of_real != of_flavour
    ]
    assert differences == []
