"""Blobs and referrers: both Python clients and the command."""

import asyncio
import hashlib
import io
import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

import grpc
import pytest

from portus.registry.v1.registry_service_pb2 import ReadBlobRequest
from portus_client import AsyncRegistryClient, BlobReader, DataLoss, NotFound, Referrer, RegistryClient, Unavailable
from portus_client.errors import RegistryError
from tests.clients.python.command_line import Terminal, run
from tests.clients.python.gateway import (
    BLOB,
    BLOB_DIGEST,
    IMAGE_DIGEST,
    REFERRERS,
    SBOM_TYPE,
    SIGNATURE_TYPE,
    Gateway,
    status,
)

Read = Callable[..., tuple[int | None, bytes]]
BROKEN = status(grpc.StatusCode.UNAVAILABLE, "it broke", "UPSTREAM_UNREACHABLE")


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("portus_client.blob_progress._FIRST_PAUSE", 0.001)


@pytest.fixture(params=["sync", "async"])
def read(request: pytest.FixtureRequest, gateway: Gateway) -> Read:
    """Reads a blob by each client: its size and its bytes."""

    def synchronous(digest: str = BLOB_DIGEST, offset: int = 0, limit: int | None = None) -> tuple[int | None, bytes]:
        with (
            RegistryClient(gateway.address) as client,
            client.read_blob("team/app", digest, offset=offset, limit=limit) as blob,
        ):
            return blob.size, b"".join(blob.chunks())

    def asynchronous(digest: str = BLOB_DIGEST, offset: int = 0, limit: int | None = None) -> tuple[int | None, bytes]:
        async def run_it() -> tuple[int | None, bytes]:
            async with (
                AsyncRegistryClient(gateway.address) as client,
                client.read_blob("team/app", digest, offset=offset, limit=limit) as blob,
            ):
                return blob.size, await blob.read()

        return asyncio.run(run_it())

    return synchronous if request.param == "sync" else asynchronous


def asked(gateway: Gateway) -> list[tuple[int, int]]:
    return [(request.offset, request.limit) for _, request in gateway.requests if isinstance(request, ReadBlobRequest)]


def test_a_blob_is_read_and_verified(gateway: Gateway, read: Read) -> None:
    assert read() == (len(BLOB), BLOB)
    assert asked(gateway) == [(0, 0)]


@pytest.mark.parametrize(("offset", "limit"), [(0, 10), (100, None), (70_000, 100_000), (len(BLOB), None)])
def test_a_part(read: Read, offset: int, limit: int | None) -> None:
    expected = BLOB[offset : None if limit is None else offset + limit]
    assert read(offset=offset, limit=limit) == (len(BLOB), expected)


def test_a_blob_without_bytes(gateway: Gateway, read: Read) -> None:
    digest = f"sha256:{hashlib.sha256(b'').hexdigest()}"
    gateway.blob_contents[digest] = b""
    assert read(digest) == (0, b"")


def test_a_read_goes_on_where_it_broke(gateway: Gateway, read: Read) -> None:
    gateway.blob_breaks = [65536, 131072, 131072]
    assert read() == (len(BLOB), BLOB)
    assert asked(gateway) == [(0, 0), (65536, 0), (131072, 0), (131072, 0)]


def test_a_part_goes_on_where_it_broke(gateway: Gateway, read: Read) -> None:
    gateway.blob_breaks = [70_000]
    assert read(offset=10, limit=200_000) == (len(BLOB), BLOB[10:200_010])
    assert asked(gateway) == [(10, 200_000), (10 + 2 * 65536, 200_000 - 2 * 65536)]


def test_a_read_that_gets_no_further_is_given_up(gateway: Gateway, read: Read) -> None:
    gateway.blob_breaks = [65536] * 20
    with pytest.raises(Unavailable):
        read()
    assert asked(gateway) == [(0, 0)] + [(65536, 0)] * 4


@pytest.mark.parametrize("breaks", [[], [65536]])
def test_other_bytes_than_those_of_the_digest(gateway: Gateway, read: Read, breaks: list[int]) -> None:
    """The client verifies by itself: after a break, the gateway sees only a part."""
    gateway.blob_contents[BLOB_DIGEST] = BLOB[:-1] + b"x"
    gateway.blob_breaks = breaks
    with pytest.raises(DataLoss) as caught:
        read()
    assert caught.value.reason == "DIGEST_MISMATCH"


def test_an_absent_blob_is_told_at_once(gateway: Gateway, read: Read) -> None:
    with RegistryClient(gateway.address) as client, pytest.raises(NotFound):
        client.read_blob("team/app", IMAGE_DIGEST)
    with pytest.raises(NotFound):
        read(IMAGE_DIGEST)


def test_a_blob_is_a_file(gateway: Gateway) -> None:
    with RegistryClient(gateway.address) as client:
        with client.read_blob("team/app", BLOB_DIGEST) as blob:
            assert isinstance(blob, BlobReader)
            assert (blob.readable(), blob.writable(), blob.seekable()) == (True, False, False)
            copy = io.BytesIO()
            shutil.copyfileobj(blob, copy, 1000)
        assert copy.getvalue() == BLOB
        assert blob.closed
        with pytest.raises(ValueError, match="closed"):
            blob.read(1)
        with client.read_blob("team/app", BLOB_DIGEST) as blob:
            assert blob.read() == BLOB


def test_whoever_stops_early_ends_the_call(gateway: Gateway) -> None:
    with RegistryClient(gateway.address) as client, client.read_blob("team/app", BLOB_DIGEST) as blob:
        blob.read(1)
    assert gateway.blob_ended.wait(10)


def test_a_limit_of_nothing_is_a_mistake(gateway: Gateway) -> None:
    with RegistryClient(gateway.address) as client, pytest.raises(ValueError, match="at least 1"):
        client.read_blob("team/app", BLOB_DIGEST, limit=0)


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_referrers_come_from_all_pages(gateway: Gateway, kind: str) -> None:
    async def listed() -> list[Referrer]:
        async with AsyncRegistryClient(gateway.address) as client:
            return [one async for one in client.referrers("team/app", IMAGE_DIGEST)]

    if kind == "sync":
        with RegistryClient(gateway.address) as client:
            found = list(client.referrers("team/app", IMAGE_DIGEST))
    else:
        found = asyncio.run(listed())
    assert [one.descriptor.digest for one in found] == [one.descriptor.digest for one in REFERRERS]
    assert [one.source for one in found] == ["referrers API", "fallback tag", "cosign tag"]
    assert [one.tag for one in found] == [one.tag for one in REFERRERS]
    assert [len(one.layers) for one in found] == [1, 0, 1]
    assert isinstance(found[1].error, NotFound)
    assert found[2].descriptor.annotations == {"who": "me"}
    assert gateway.called("ListReferrers") == 2


def test_referrers_of_one_type(gateway: Gateway) -> None:
    with RegistryClient(gateway.address) as client:
        (only,) = client.referrers("team/app", IMAGE_DIGEST, artifact_type=SBOM_TYPE)
        with client.read_blob("team/app", only.layers[0].digest) as blob:
            assert blob.read() == BLOB


# --- The command ------------------------------------------------------------------------------------------------------


def test_the_command_writes_a_file_when_the_blob_is_complete(gateway: Gateway, tmp_path: Path) -> None:
    path = tmp_path / "layer"
    gateway.blob_breaks = [65536]
    finished = run(gateway.address, "blob", f"team/app@{BLOB_DIGEST}", "-o", str(path))
    assert (finished.status, finished.output, finished.errors) == (0, "", "")
    assert path.read_bytes() == BLOB
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~current_umask()
    assert os.listdir(tmp_path) == ["layer"]


def current_umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_a_file_stays_as_it_was_if_the_blob_is_damaged(gateway: Gateway, tmp_path: Path) -> None:
    path = tmp_path / "layer"
    path.write_text("before")
    gateway.blob_contents[BLOB_DIGEST] = b"other"
    finished = run(gateway.address, "blob", f"team/app@{BLOB_DIGEST}", "-o", str(path))
    assert finished.status == 1
    assert "DIGEST_MISMATCH" in finished.errors
    assert path.read_text() == "before"
    assert os.listdir(tmp_path) == ["layer"]


def test_a_file_that_cannot_be_written(gateway: Gateway, tmp_path: Path) -> None:
    finished = run(gateway.address, "blob", f"team/app@{BLOB_DIGEST}", "-o", str(tmp_path / "absent/layer"))
    assert finished.status == 1
    assert "cannot write" in finished.errors
    assert "No such file or directory" in finished.errors
    assert run(gateway.address, "blob", f"team/app@{BLOB_DIGEST}", "-o", "/dev/null").status == 0


def test_text_on_standard_output(gateway: Gateway) -> None:
    digest = f"sha256:{hashlib.sha256(b'text').hexdigest()}"
    gateway.blob_contents[digest] = b"text"
    assert run(gateway.address, "blob", f"team/app@{digest}").output == "text"
    assert run(gateway.address, "blob", f"team/app@{digest}", "--offset", "1", "--limit", "2").output == "ex"


def test_a_terminal_gets_text_and_no_binary(gateway: Gateway) -> None:
    digest = f"sha256:{hashlib.sha256('ein Täxt'.encode()).hexdigest()}"
    gateway.blob_contents[digest] = "ein Täxt".encode()
    terminal = Terminal(gateway.address, ["blob", f"team/app@{digest}"])
    assert terminal.end() == 0
    assert "ein Täxt" in terminal.text
    terminal = Terminal(gateway.address, ["blob", f"team/app@{BLOB_DIGEST}"])
    assert terminal.end() == 2
    assert "the blob is binary" in terminal.text
    assert "give -o FILE" in terminal.text


def test_a_terminal_sees_the_progress(gateway: Gateway, tmp_path: Path) -> None:
    terminal = Terminal(gateway.address, ["blob", f"team/app@{BLOB_DIGEST}", "-o", str(tmp_path / "layer")])
    assert terminal.end() == 0
    assert BLOB_DIGEST[:19] in terminal.text
    assert (tmp_path / "layer").read_bytes() == BLOB


def test_a_blob_needs_a_digest(gateway: Gateway) -> None:
    finished = run(gateway.address, "blob", "team/app:1.0")
    assert finished.status == 2
    assert "NAME@sha256:" in finished.errors


def test_referrers_as_lines_and_as_json(gateway: Gateway) -> None:
    finished = run(gateway.address, "referrers", "team/app:1.0")
    assert finished.status == 6
    first, second, third = finished.output.splitlines()
    assert first.split() == [REFERRERS[0].descriptor.digest, SBOM_TYPE, "referrers-API", BLOB_DIGEST]
    assert second.split()[1:4] == ["-", "fallback-tag", "?"]
    assert third.split()[1:] == [SIGNATURE_TYPE, "cosign-tag", BLOB_DIGEST]
    assert "1 of 3 referrers could not be read" in finished.errors
    finished = run(
        gateway.address, "referrers", "team/app:1.0", "--type", SBOM_TYPE, "--format", "{source} {layers[0].digest}"
    )
    assert (finished.status, finished.output) == (0, f"referrers API {BLOB_DIGEST}\n")


def test_referrers_on_a_terminal(gateway: Gateway) -> None:
    terminal = Terminal(gateway.address, ["referrers", "team/app:1.0"])
    assert terminal.end() == 6
    for text in ("Found by", SBOM_TYPE, "cosign tag", BLOB_DIGEST, "MANIFEST_UNKNOWN"):
        assert text in terminal.text
    terminal = Terminal(gateway.address, ["referrers", "team/app:1.0", "--type", "no/such"])
    assert terminal.end() == 0
    assert terminal.text == f"nothing refers to team/app@{IMAGE_DIGEST}\n"


def test_an_error_while_referrers_are_listed_is_no_empty_list(gateway: Gateway) -> None:
    gateway.failures["ListReferrers"] = [BROKEN] * 5
    with RegistryClient(gateway.address) as client, pytest.raises(RegistryError):
        list(client.referrers("team/app", IMAGE_DIGEST))
