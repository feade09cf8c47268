"""What is refused before it is parsed."""

import time
from contextlib import suppress

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from hypothesis import given
from hypothesis import strategies as st

from portus.registry.v1 import manifest_pb2
from portus.registry.v1.registry_service_pb2 import (
    BatchGetManifestsRequest,
    DeleteManifestRequest,
    GetManifestRequest,
    ListTagsRequest,
)
from portus_gateway.rpc.call_errors import InvalidFields
from portus_gateway.rpc.request_bounds import MOST_PARTS, MessageShape, check_parts, count_parts
from portus_gateway.rpc.request_parsing import MAX_BATCH, MAX_EXPECTED_TAGS
from tests.rpc.failures import failure_of
from tests.rpc.gateways import finish, serve
from tests.rpc.scripted_registry import DIGEST, ScriptedRegistry

BATCH = MessageShape.of(BatchGetManifestsRequest.DESCRIPTOR)
BROKEN = b"\x0a\xff"
"""What no message ends with. Whoever parses first, says so."""
MANY = 200_000
TOO_MANY: dict[str, tuple[str, bytes]] = {
    "empty requests": ("BatchGetManifests", b"\x0a\x00" * MANY),
    "parts of an inner message": (
        "GetManifest",
        GetManifestRequest(platform=manifest_pb2.Platform(os_features=[""] * MANY)).SerializeToString(),
    ),
    "parts of inner messages of a batch": (
        "BatchGetManifests",
        BatchGetManifestsRequest(
            requests=[GetManifestRequest(platform=manifest_pb2.Platform(os_features=[""] * 100))] * (MANY // 100)
        ).SerializeToString(),
    ),
    "a field that is not known": ("ListTags", b"\xfa\x07\x00" * MANY),
    "numbers": ("Catalog", b"\x08\x01" * MANY),
    "fixed numbers": ("Catalog", b"\xfd\x07abcd" * (MANY // 2)),
    "groups": ("Catalog", b"\xfb\x07\xfc\x07" * (MANY // 2)),
    "tags": ("DeleteManifest", DeleteManifestRequest(expected_tags=[""] * MANY).SerializeToString()),
}


@pytest.mark.parametrize("kind", TOO_MANY)
async def test_a_request_of_too_many_parts_is_refused_before_it_is_parsed(kind: str) -> None:
    rpc, data = TOO_MANY[kind]
    registry = ScriptedRegistry()
    async with serve(registry) as gateway:
        failed = await failure_of(finish(gateway.channel, rpc, data + BROKEN))
    assert failed.outcome == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")
    assert failed.fields == {"request": f"has more than {MOST_PARTS} fields; split it"}
    assert registry.asked == []


def test_the_largest_valid_requests_have_fewer_parts() -> None:
    full = GetManifestRequest(
        repository="a" * 255,
        digest=DIGEST.text,
        platform=manifest_pb2.Platform(
            os="windows", architecture="arm64", variant="v8", os_version="1", os_features=["win32k", "other"]
        ),
        max_staleness=Duration(seconds=60, nanos=1),
    )
    batch = BatchGetManifestsRequest(requests=[full] * MAX_BATCH)
    check_parts(batch.SerializeToString(), BATCH)
    tags = [f"{number:0128}" for number in range(MAX_EXPECTED_TAGS)]
    deletion = DeleteManifestRequest(repository="a" * 255, digest=DIGEST.text, expected_tags=tags, force=True)
    check_parts(deletion.SerializeToString(), MessageShape.of(DeleteManifestRequest.DESCRIPTOR))


@given(st.binary(max_size=200), st.integers(16_000, 20_000))
def test_any_bytes_are_counted_or_left_to_the_parser(data: bytes, repetitions: int) -> None:
    with suppress(InvalidFields):
        check_parts(data * repetitions, BATCH)


@pytest.mark.parametrize("data", [b"\xff" * 1_000_000, b"\x0a" + b"\xff" * 1_000_000, b"\x08" + b"\x80" * 1_000_000])
def test_a_number_without_end_is_left_to_the_parser_at_once(data: bytes) -> None:
    begun = time.process_time()
    check_parts(data, BATCH)
    assert time.process_time() - begun < 1


@given(st.integers(0, 300), st.integers(0, 40), st.integers(0, 40))
def test_parts_are_counted_in_inner_messages_too(requests: int, features: int, unknown: int) -> None:
    one = GetManifestRequest(repository="x", platform=manifest_pb2.Platform(os_features=["y"] * features))
    data = BatchGetManifestsRequest(requests=[one] * requests).SerializeToString() + b"\xfa\x07\x01z" * unknown
    # The batch's field, and in it repository, platform, and features.
    parts = requests * (3 + features) + unknown
    assert count_parts(data, BATCH, most=100_000) == parts
    assert count_parts(data, BATCH, most=parts) == parts
    if parts:
        assert count_parts(data, BATCH, most=parts - 1) is None


@pytest.mark.parametrize(
    "field",
    [
        b"\x08\x01",
        # A negative number, as long as a number can be.
        b"\x08" + b"\xff" * 9 + b"\x01",
        # Values whose bytes would be more fields, or the begin of a long number.
        b"\xfd\x07" + b"\x08" * 4,
        b"\xfd\x07" + b"\xff" * 4,
        b"\xf9\x07" + b"\x08" * 8,
        b"\xf9\x07" + b"\xff" * 8,
        # Text of an unknown field: of 8, and of 300 bytes.
        b"\xfa\x07\x08" + b"\x08" * 8,
        b"\xfa\x07\xac\x02" + b"\x08" * 300,
    ],
    ids=bytes.hex,
)
def test_a_field_counts_once_whatever_its_bytes_are(field: bytes) -> None:
    assert count_parts(field * 100, BATCH, most=1000) == 100


def test_a_number_that_is_too_long_ends_the_count() -> None:
    assert count_parts(b"\x80" * 10 + b"\x00" + b"\x08\x01" * 5, BATCH, most=1000) == 1


def test_the_smallest_parts_are_counted_too() -> None:
    check_parts(b"\x08\x01" * MOST_PARTS, BATCH)
    with pytest.raises(InvalidFields, match=f"has more than {MOST_PARTS} fields"):
        check_parts(b"\x08\x01" * (MOST_PARTS + 1), BATCH)


def test_no_more_is_counted_than_may_be() -> None:
    data = b"\x0a\x00" * 4_000_000
    begun = time.process_time()
    with pytest.raises(InvalidFields):
        check_parts(data, BATCH)
    assert time.process_time() - begun < 0.5


async def test_a_compressed_request_is_refused() -> None:
    registry = ScriptedRegistry()
    async with (
        serve(registry) as gateway,
        grpc.aio.insecure_channel(gateway.address, compression=grpc.Compression.Gzip) as channel,
    ):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await finish(channel, "ListTags", ListTagsRequest(repository="x" * 255))
        assert refused.value.code() == grpc.StatusCode.UNIMPLEMENTED
        assert refused.value.details() == "Compression algorithm 'gzip' is disabled."
        assert registry.asked == []
