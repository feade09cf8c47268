"""The client and its command with a real gateway, over the registry of `portus-gateway dev`."""

import hashlib
import json
from collections.abc import Iterator

import pytest

from portus_client import AsyncRegistryClient, Image, Index, Manifest, NotFound, Platform, RegistryClient, Tagged
from tests.clients.python.command_line import Terminal, run, run_with_input
from tests.clients.python.real_gateway import real_gateway

CATALOG = {
    "charts/shop": ("1.4.0",),
    "library/alpine": ("3.19", "3.20", "latest"),
    "library/nginx": ("1.27",),
    "team/app": ("1.0.0", "1.0.1", "1.1.0", "1.1.0-sbom", "latest"),
    "team/worker": ("0.9",),
}
NOWHERE = "sha256:" + "0" * 64


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """A gateway for tests that change nothing."""
    with real_gateway() as address:
        yield address


@pytest.fixture
def own_address() -> Iterator[str]:
    """A gateway for one test."""
    with real_gateway() as address:
        yield address


def digest(address: str, image: str) -> str:
    return run(address, "resolve", image).output.split()[0]


def test_ping(address: str) -> None:
    finished = run(address, "ping")

    assert finished.status == 0
    assert finished.output.startswith("registry reachable (registry/2.0); gateway ")
    # What the index of `portus-gateway dev` is doing follows.
    assert "; deletion enabled; index " in finished.output


def test_catalog(address: str) -> None:
    listed = run(address, "catalog", "--output", "json")

    assert listed.status == 0
    assert {line["name"]: tuple(line["tags"]) for line in map(json.loads, listed.output.splitlines())} == CATALOG
    assert run(address, "catalog", "--prefix", "team/", "--no-tags").output == "team/app\nteam/worker\n"


def test_tags(address: str) -> None:
    assert tuple(run(address, "tags", "team/app").output.split()) == CATALOG["team/app"]


def test_tags_with_digests(address: str) -> None:
    listed = run(address, "tags", "team/app", "--digests")

    assert (listed.status, listed.errors) == (0, "")
    pointers = dict(line.split() for line in listed.output.splitlines())
    assert tuple(pointers) == CATALOG["team/app"]
    assert pointers["latest"] == pointers["1.1.0"] == digest(address, "team/app")


def test_batch(address: str) -> None:
    names = [f"{repository}:{tag}" for repository, tags in CATALOG.items() for tag in tags]
    all_of_them = run_with_input("\n".join(names).encode(), address, "batch", "-")
    some = run(address, "batch", "team/app", "team/nothing:1", "--output", "json")

    assert (all_of_them.status, all_of_them.errors) == (0, "")
    assert [line.split()[0] for line in all_of_them.output.splitlines()] == names
    assert some.status == 6
    found, gone = sorted(map(json.loads, some.output.splitlines()), key=lambda line: line["index"])
    assert found["digest"] == digest(address, "team/app")
    assert gone["error"]["code"] == "NOT_FOUND"


def test_manifest_and_resolve_agree(address: str) -> None:
    raw = run(address, "manifest", "team/app", "--raw").output
    shown = run(address, "manifest", "team/app")
    known = digest(address, "team/app")

    assert known == f"sha256:{hashlib.sha256(raw.encode()).hexdigest()}"
    assert (json.loads(shown.output), shown.errors) == (json.loads(raw), f"{known}\n")
    assert run(address, "manifest", f"team/app@{known}", "--raw").output == raw


def test_manifest_of_a_platform(address: str) -> None:
    picked = run(address, "manifest", "library/alpine", "--platform", "linux/arm64", "--output", "json")
    missing = run(address, "manifest", "library/alpine", "--platform", "windows/amd64")

    assert len(json.loads(picked.output)["manifest"]["layers"]) == 1
    assert missing.status == 3
    assert "PLATFORM_UNKNOWN" in missing.errors


def test_an_image_and_an_index_on_a_terminal(address: str) -> None:
    image = Terminal(address, ["manifest", "team/app"])
    index = Terminal(address, ["manifest", "library/alpine"])

    assert (image.end(), index.end()) == (0, 0)
    assert "1.2 kB in 3 layers" in image.text
    assert "linux/amd64" in index.text
    assert "linux/arm64" in index.text


def test_delete_is_refused_for_unexpected_tags_and_deletes_expected_ones(own_address: str) -> None:
    known = digest(own_address, "team/app:1.1.0")
    arguments = ("delete", "team/app:1.1.0", known, "manifests", "--yes")

    refused = run(own_address, *arguments)
    deleted = run(own_address, *arguments, "--expect", "latest")

    assert refused.status == 4
    assert "unexpected tags point to the manifest: latest (TAGGED)" in refused.errors
    assert (deleted.status, deleted.errors) == (0, "")
    assert deleted.output == f"deleted team/app@{known} and its 2 tags 1.1.0, latest\n"
    assert run(own_address, "tags", "team/app").output.split() == ["1.0.0", "1.0.1", "1.1.0-sbom"]
    assert run(own_address, "resolve", "team/app:1.1.0").status == 3


def test_delete_of_a_blob(own_address: str) -> None:
    document = json.loads(run(own_address, "manifest", "team/worker:0.9", "--output", "json").output)
    layer = document["manifest"]["layers"][0]["digest"]

    planned = run(own_address, "delete", "team/worker", layer, "blobs", "--dry-run")
    deleted = run(own_address, "delete", "team/worker", layer, "blobs", "--yes")

    assert planned.output == f"would delete the blob team/worker@{layer}\n"
    assert (deleted.status, deleted.output) == (0, f"deleted the blob team/worker@{layer}\n")
    assert run(own_address, "delete", "team/worker", layer, "blobs", "--yes").status == 3


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["resolve", "team/app:gone"], 3, "MANIFEST_UNKNOWN"),
        (["tags", "team/nothing"], 3, "NAME_UNKNOWN"),
        (["delete", "team/app", NOWHERE, "manifests", "--yes"], 3, "MANIFEST_UNKNOWN"),
        (["catalog", "--prefix", "a" * 256], 2, "prefix"),
    ],
)
def test_each_failure_has_its_exit_status_and_one_line(
    address: str, arguments: list[str], status: int, said: str
) -> None:
    finished = run(address, *arguments)

    assert finished.status == status
    assert said in finished.errors
    assert finished.errors.startswith("portus-client: ")
    assert finished.errors.count("\n") == 1


@pytest.mark.parametrize(
    ("fault", "arguments", "status", "said"),
    [
        ("manifests:corrupt", ["manifest", "team/app"], 1, "DIGEST_MISMATCH"),
        (
            "manifests:status=405,method=DELETE",
            ["delete", "team/worker:0.9", "-", "manifests", "--yes"],
            4,
            "UNSUPPORTED",
        ),
        ("manifests:status=503", ["manifest", "team/app"], 5, "UPSTREAM_UNAVAILABLE"),
        ("tags:repository=team/app,status=500", ["catalog"], 6, "the tags of 1 of 5 repositories are not known"),
    ],
)
def test_each_registry_failure_has_its_exit_status_and_one_line(
    fault: str, arguments: list[str], status: int, said: str
) -> None:
    with real_gateway("--fault", fault) as address:
        known = digest(address, "team/worker:0.9") if "-" in arguments else ""
        finished = run(address, *(known if argument == "-" else argument for argument in arguments))

    assert finished.status == status
    assert said in finished.errors
    assert finished.errors.count("\n") == 1


def test_the_synchronous_client(own_address: str) -> None:
    with RegistryClient(own_address) as client:
        assert client.info().reachable
        assert {item.name: item.tags for item in client.catalog(include_tags=True)} == CATALOG
        assert client.catalog_page(page_size=2).next_page_token
        assert tuple(client.tags("team/app")) == CATALOG["team/app"]
        known = client.resolve("team/app", "latest").digest
        image = client.manifest("team/app", known)
        assert isinstance(image.content, Image)
        assert isinstance(client.manifest("library/alpine", "latest").content, Index)
        arm = client.manifest("library/alpine", "latest", platform=Platform("linux", "arm64"))
        assert isinstance(arm.content, Image)
        found, gone = sorted(
            client.batch_manifests([("team/app", "latest"), ("team/app", "gone")]), key=lambda result: result.index
        )
        assert found.outcome == image
        assert isinstance(gone.outcome, NotFound)
        with pytest.raises(Tagged) as refused:
            client.delete_manifest("team/app", known, expected_tags=["latest"])
        assert refused.value.tags == ("1.1.0",)
        assert client.delete_manifest("team/app", known, expected_tags=["latest", "1.1.0"]).digest == known
        assert client.delete_blob("team/app", image.content.layers[0].digest).digest
        with pytest.raises(NotFound):
            client.resolve("team/app", known)


async def test_the_asynchronous_client(own_address: str) -> None:
    async with AsyncRegistryClient(own_address) as client:
        assert (await client.info()).reachable
        assert {item.name: item.tags async for item in client.catalog(include_tags=True)} == CATALOG
        assert (await client.catalog_page(page_size=2)).next_page_token
        assert tuple([tag async for tag in client.tags("team/app")]) == CATALOG["team/app"]
        known = (await client.resolve("team/app", "latest")).digest
        image = await client.manifest("team/app", known)
        assert isinstance(image.content, Image)
        outcomes = {
            result.index: result.outcome
            async for result in client.batch_manifests([("team/app", "latest"), ("team/app", "gone")])
        }
        assert isinstance(outcomes[0], Manifest)
        assert outcomes[0] == image
        assert isinstance(outcomes[1], NotFound)
        with pytest.raises(Tagged) as refused:
            await client.delete_manifest("team/app", known, expected_tags=["latest"])
        assert refused.value.tags == ("1.1.0",)
        assert (await client.delete_manifest("team/app", known, force=True)).deleted_tags == ("1.1.0", "latest")
        assert (await client.delete_blob("team/app", image.content.layers[0].digest)).digest
        with pytest.raises(NotFound):
            await client.resolve("team/app", known)
