"""A real Distribution registry on loopback: Debian's docker-registry."""

import json
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from portus_gateway.devregistry import Content
from tests import programs

_START = 20.0


@contextmanager
def serving(folder: Path, *, notifies: str = "", token: str = "") -> Iterator[str]:
    """Runs an empty registry that allows deletes and needs no credentials. Gives its URL.

    It sends notifications to the URL `notifies`, if it is set, with the token.
    """
    endpoint = {
        "name": "gateway",
        "url": notifies,
        "headers": {"Authorization": [f"Bearer {token}"]},
        "timeout": "1s",
        "threshold": 1,
        "backoff": "100ms",
    }
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    configuration = folder / "registry.json"  # JSON is YAML
    configuration.write_text(
        json.dumps(
            {
                "version": "0.1",
                "log": {"level": "error"},
                "storage": {"filesystem": {"rootdirectory": str(folder / "storage")}, "delete": {"enabled": True}},
                "http": {"addr": f"127.0.0.1:{port}"},
                "notifications": {"endpoints": [endpoint] if notifies else []},
            }
        )
    )
    with (folder / "registry.log").open("wb") as log:
        process = subprocess.Popen([programs.docker_registry(), "serve", str(configuration)], stdout=log, stderr=log)
    url = f"http://127.0.0.1:{port}"
    try:
        _wait_for(f"{url}/v2/", process)
        yield url
    finally:
        process.terminate()
        process.wait(20)


def push(url: str, repository: str, content: Content, *tags: str) -> None:
    """Pushes a manifest and everything it refers to, with each of the tags."""
    for child in content.children:
        push(url, repository, child, child.digest)
    for digest, blob in content.blobs.items():
        upload = _send("POST", f"{url}/v2/{repository}/blobs/uploads/", b"", "application/octet-stream")
        separator = "&" if "?" in upload else "?"
        _send("PUT", f"{upload}{separator}digest={digest}", blob, "application/octet-stream")
    for tag in tags:
        _send("PUT", f"{url}/v2/{repository}/manifests/{tag}", content.manifest, content.media_type)


def _send(method: str, url: str, body: bytes, media_type: str) -> str:
    request = urllib.request.Request(url, body, {"Content-Type": media_type}, method=method)
    with urllib.request.urlopen(request, timeout=20) as answer:
        return str(answer.headers.get("Location", ""))


def _wait_for(url: str, process: "subprocess.Popen[bytes]") -> None:
    end = time.monotonic() + _START
    while True:
        try:
            with urllib.request.urlopen(url, timeout=1):
                return
        except (urllib.error.URLError, OSError):
            if process.poll() is not None or time.monotonic() > end:
                pytest.fail(f"the registry does not answer at {url}; it ended with {process.poll()}")
            time.sleep(0.05)  # there is no event when it listens
