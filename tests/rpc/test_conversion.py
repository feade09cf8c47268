"""Every field, set and unset."""

from dataclasses import fields

import pytest
from google.protobuf.duration_pb2 import Duration

from portus.registry.v1 import manifest_pb2, registry_service_pb2
from portus_gateway.distribution import (
    Descriptor,
    Digest,
    Image,
    Index,
    Manifest,
    Platform,
    Repository,
    Tag,
    UnusableName,
)
from portus_gateway.distribution.errors import Denied
from portus_gateway.operations.catalog_listing import CatalogEntry
from portus_gateway.rpc import conversion
from portus_gateway.rpc.limits import ServerLimits
from tests.rpc.failures import read

D1, D2, D3, D4 = (f"sha256:{digit * 64}" for digit in "1234")

PLATFORM = Platform(os="windows", architecture="arm", variant="v7", os_version="10.0", os_features=("a", "b"))
FULL = Descriptor(
    media_type="application/a",
    digest=Digest(D1),
    size=7,
    platform=PLATFORM,
    artifact_type="application/b",
    annotations={"key": "value", "": "empty"},
)
BARE = Descriptor(media_type="", digest=Digest(D2))

PLATFORM_MESSAGE = manifest_pb2.Platform(
    os="windows", architecture="arm", variant="v7", os_version="10.0", os_features=["a", "b"]
)
FULL_MESSAGE = manifest_pb2.Descriptor(
    media_type="application/a",
    digest=D1,
    size=7,
    platform=PLATFORM_MESSAGE,
    artifact_type="application/b",
    annotations={"key": "value", "": "empty"},
)
BARE_MESSAGE = manifest_pb2.Descriptor(digest=D2)


def test_a_platform() -> None:
    assert conversion.platform(PLATFORM) == PLATFORM_MESSAGE
    assert conversion.platform(Platform("linux", "amd64")) == manifest_pb2.Platform(os="linux", architecture="amd64")


def test_a_descriptor() -> None:
    assert conversion.descriptor(FULL) == FULL_MESSAGE
    assert conversion.descriptor(BARE) == BARE_MESSAGE


def test_what_a_descriptor_does_not_say_is_unset() -> None:
    message = conversion.descriptor(BARE)
    assert not message.HasField("size")
    assert not message.HasField("platform")
    assert conversion.descriptor(Descriptor("", Digest(D1), size=0)).HasField("size")


def test_an_image() -> None:
    layer = Descriptor("application/layer", Digest(D3), size=5)
    image = Image(config=FULL, layers=(layer, layer), subject=BARE, artifact_type="a", annotations={"b": "c"})
    layer_message = manifest_pb2.Descriptor(media_type="application/layer", digest=D3, size=5)
    assert conversion.image(image) == manifest_pb2.Image(
        config=FULL_MESSAGE,
        layers=[layer_message, layer_message],
        subject=BARE_MESSAGE,
        artifact_type="a",
        annotations={"b": "c"},
        image_id=D1,
        total_size=17,
    )


def test_an_image_that_says_nothing() -> None:
    message = conversion.image(Image(config=None, layers=()))
    assert message == manifest_pb2.Image(total_size=0)
    assert not message.HasField("config")
    assert not message.HasField("subject")
    assert message.image_id == ""


@pytest.mark.parametrize("sizes", [(None,), (1, None), (2**63 - 1, 1)])
def test_a_total_size_that_is_not_known_is_unset(sizes: tuple[int | None, ...]) -> None:
    layers = tuple(Descriptor("", Digest(D1), size=size) for size in sizes)
    assert not conversion.image(Image(config=None, layers=layers)).HasField("total_size")


def test_an_index() -> None:
    index = Index(manifests=(FULL, BARE), subject=BARE, artifact_type="a", annotations={"b": "c"})
    assert conversion.index(index) == manifest_pb2.Index(
        manifests=[FULL_MESSAGE, BARE_MESSAGE], subject=BARE_MESSAGE, artifact_type="a", annotations={"b": "c"}
    )
    empty = conversion.index(Index(manifests=()))
    assert empty == manifest_pb2.Index()
    assert not empty.HasField("subject")


@pytest.mark.parametrize(
    ("content", "kind"), [(Image(config=None, layers=()), "image"), (Index(manifests=()), "index"), (None, None)]
)
def test_a_manifest(content: Image | Index | None, kind: str | None) -> None:
    message = conversion.manifest(Manifest(descriptor=FULL, raw=b"\x00\xff", content=content))
    assert (message.descriptor, message.raw, message.WhichOneof("content")) == (FULL_MESSAGE, b"\x00\xff", kind)


def test_every_field_of_the_values_has_one_in_the_messages() -> None:
    for value, message in (
        (Platform, manifest_pb2.Platform),
        (Descriptor, manifest_pb2.Descriptor),
        (Index, manifest_pb2.Index),
    ):
        assert {field.name for field in fields(value)} == set(message.DESCRIPTOR.fields_by_name)
    computed = {"image_id", "total_size"}
    assert {field.name for field in fields(Image)} | computed == set(manifest_pb2.Image.DESCRIPTOR.fields_by_name)


def test_text_that_utf_8_cannot_write_does_not_break_a_message() -> None:
    half = "half \ud83d"
    odd = Descriptor(half, Digest(D1), artifact_type=half, annotations={half: half}, platform=Platform(half, half))
    message = conversion.descriptor(odd)
    assert (message.media_type, message.artifact_type) == ("half ?", "half ?")
    assert dict(message.annotations) == {"half ?": "half ?"}
    assert message.platform == manifest_pb2.Platform(os="half ?", architecture="half ?")
    assert manifest_pb2.Descriptor.FromString(message.SerializeToString()) == message
    assert conversion.text("ä\U0001f4a5") == "ä\U0001f4a5"


def test_a_repository_with_tags_without_and_with_none_asked_for() -> None:
    name = Repository("team/app")
    assert conversion.repository(CatalogEntry(name, (Tag("1"), Tag("2")))) == registry_service_pb2.Repository(
        name="team/app", tags=["1", "2"]
    )
    for tags in (None, ()):
        assert conversion.repository(CatalogEntry(name, tags)) == registry_service_pb2.Repository(name="team/app")


def test_a_repository_whose_tags_are_unknown() -> None:
    message = conversion.repository(CatalogEntry(Repository("team/app"), Denied("not for us " + "x" * 5000)))
    told = read(message.tags_status)
    assert (message.name, list(message.tags)) == ("team/app", [])
    assert (told.reason, told.resource) == ("DENIED", ("repository", "team/app"))
    assert message.tags_status.ByteSize() <= 1024


def test_an_unusable_name_of_any_length() -> None:
    message = conversion.repository(CatalogEntry(UnusableName("Ü" * 5000, "no name"), None))
    assert message == registry_service_pb2.Repository(name="Ü" * 1024)


def test_limits() -> None:
    limits = ServerLimits(
        max_concurrent_calls=1, max_call_duration=0.0015, max_manifest_bytes=2**40, max_upstream_requests=3
    )
    assert conversion.limits(limits) == registry_service_pb2.Limits(
        default_page_size=100,
        max_page_size=1000,
        max_manifest_bytes=2**40,
        max_concurrent_calls=1,
        max_call_duration=Duration(nanos=2_000_000),
        max_upstream_requests=3,
    )
