"""Built content: every digest and size in it is compared with the bytes."""

import gzip
import hashlib
import io
import json
import tarfile
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portus_gateway.devregistry import Content, artifact, image, index, multi_platform, raw_manifest
from portus_gateway.devregistry.images import Format

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"


def document(content: Content) -> dict[str, Any]:
    parsed: dict[str, Any] = json.loads(content.manifest)
    return parsed


def sha256(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


@given(
    seed=st.text(max_size=20),
    layers=st.integers(0, 4),
    layer_size=st.integers(0, 5000),
    form=st.sampled_from(["oci", "docker"]),
)
def test_an_image_can_be_unpacked_and_all_its_digests_are_right(
    seed: str, layers: int, layer_size: int, form: Format
) -> None:
    content = image(seed, layers=layers, layer_size=layer_size, format=form)
    manifest = document(content)
    assert content.digest == sha256(content.manifest)
    assert manifest["mediaType"] == content.media_type == (OCI_MANIFEST if form == "oci" else DOCKER_MANIFEST)
    assert len(manifest["layers"]) == layers
    for descriptor in (manifest["config"], *manifest["layers"]):
        blob = content.blobs[descriptor["digest"]]
        assert descriptor["digest"] == sha256(blob)
        assert descriptor["size"] == len(blob)
    # The hour at which a layer was packed is not in it.
    assert all(content.blobs[layer["digest"]][4:8] == bytes(4) for layer in manifest["layers"])
    config = json.loads(content.blobs[manifest["config"]["digest"]])
    assert config["config"]["Labels"] == {"seed": seed}
    unpacked = [gzip.decompress(content.blobs[layer["digest"]]) for layer in manifest["layers"]]
    assert config["rootfs"]["diff_ids"] == [sha256(tar) for tar in unpacked]
    assert len(config["history"]) == layers
    for tar in unpacked:
        with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
            [member] = archive.getmembers()
            assert member.size == layer_size


def test_equal_arguments_give_equal_bytes_and_others_do_not() -> None:
    assert image("a").manifest == image("a").manifest
    assert multi_platform("a").digest == multi_platform("a").digest
    different = [
        image("a"),
        image("b"),
        image("a", platform="linux/arm64"),
        image("a", layers=2),
        image("a", layer_size=300),
        image("a", format="docker"),
        image("a", annotations={"k": "v"}),
        image("a", algorithm="sha512"),
    ]
    assert len({content.digest for content in different}) == len(different)


def test_a_platform_is_in_the_config_and_in_the_index() -> None:
    content = index([image("a", platform="linux/arm/v7"), image("a", platform="windows/amd64")])
    platforms = [descriptor["platform"] for descriptor in document(content)["manifests"]]
    assert platforms == [
        {"os": "linux", "architecture": "arm", "variant": "v7"},
        {"os": "windows", "architecture": "amd64"},
    ]
    child = content.children[0]
    config = json.loads(child.blobs[document(child)["config"]["digest"]])
    assert (config["os"], config["architecture"], config["variant"]) == ("linux", "arm", "v7")


@pytest.mark.parametrize("platform", ["linux", "", "linux/", "linux/arm/v7/x"])
def test_a_platform_is_written_os_and_architecture(platform: str) -> None:
    with pytest.raises(ValueError, match="write it as <os>/<architecture>"):
        image(platform=platform)


@pytest.mark.parametrize(("form", "media_type"), [("oci", OCI_INDEX), ("docker", DOCKER_LIST)])
def test_an_index_describes_its_children(form: Format, media_type: str) -> None:
    children = [image("a", format=form), artifact("application/x", {"a": b"1"})]
    content = index(children, format=form, annotations={"k": "v"})
    assert document(content)["mediaType"] == content.media_type == media_type
    assert document(content)["annotations"] == {"k": "v"}
    for descriptor, child in zip(document(content)["manifests"], children, strict=True):
        assert descriptor["digest"] == sha256(child.manifest)
        assert descriptor["size"] == len(child.manifest)
        assert descriptor["mediaType"] == child.media_type
    # An artifact is for no platform.
    assert ["platform" in descriptor for descriptor in document(content)["manifests"]] == [True, False]


def test_multi_platform_is_one_image_a_platform() -> None:
    content = multi_platform("a")
    assert [child.platform for child in content.children] == ["linux/amd64", "linux/arm64"]
    assert len({child.digest for child in content.children}) == 2
    assert {child.media_type for child in multi_platform("a", format="docker").children} == {DOCKER_MANIFEST}


def test_an_artifact_names_its_type_its_files_and_its_subject() -> None:
    subject = image("a")
    content = artifact(
        "application/spdx+json", {"sbom.json": b"{1}"}, media_type="application/spdx+json", subject=subject
    )
    manifest = document(content)
    assert manifest["artifactType"] == "application/spdx+json"
    assert manifest["subject"] == {
        "mediaType": OCI_MANIFEST,
        "digest": subject.digest,
        "size": len(subject.manifest),
    }
    [layer] = manifest["layers"]
    assert layer["annotations"] == {"org.opencontainers.image.title": "sbom.json"}
    assert content.blobs[layer["digest"]] == b"{1}"
    assert content.blobs[manifest["config"]["digest"]] == b"{}"


def test_an_artifact_without_config_or_files_has_neither_field() -> None:
    manifest = document(artifact("application/x", config=False))
    assert "config" not in manifest
    assert "layers" not in manifest


def test_a_raw_manifest_is_these_bytes() -> None:
    content = raw_manifest(b"not json", "text/plain", algorithm="sha512")
    assert content.manifest == b"not json"
    assert content.digest == "sha512:" + hashlib.sha512(b"not json").hexdigest()
