"""Content pushed byte for byte, for a registry that checks little of what it is sent."""

import http.client
from collections.abc import Mapping

from portus_gateway.devregistry import Content

_PATIENCE_SECONDS = 20.0


def push_unchecked(authority: str, repository: str, tag: str, content: Content) -> None:
    """Pushes `content` with its blobs and children to a registry without accounts. Blocks until it is there."""
    for child in content.children:
        push_unchecked(authority, repository, child.digest, child)
    for digest, blob in content.blobs.items():
        _send(authority, "POST", f"/v2/{repository}/blobs/uploads/?digest={digest}", blob, {})
    media_type = {"Content-Type": content.media_type}
    _send(authority, "PUT", f"/v2/{repository}/manifests/{tag}", content.manifest, media_type)


def _send(authority: str, method: str, target: str, body: bytes, headers: Mapping[str, str]) -> None:
    connection = http.client.HTTPConnection(authority, timeout=_PATIENCE_SECONDS)
    try:
        connection.request(method, target, body, headers)
        answer = connection.getresponse()
        assert answer.status == 201, f"{method} {target}: {answer.status} {answer.read()!r}"
    finally:
        connection.close()
