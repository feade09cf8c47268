import json
import threading

import pytest

from portus.registry.v1 import manifest_pb2
from portus_gateway.distribution import Digest, Manifest
from portus_gateway.distribution.manifest import OCI_MANIFEST
from portus_gateway.distribution.manifest_parsing import parse_manifest
from portus_gateway.rpc import conversion
from portus_gateway.rpc.conversion_thread import ConversionThread
from portus_gateway.rpc.converted_manifests import ConvertedManifests

RAW = b'{"schemaVersion": 2}'


def manifest(raw: bytes = RAW) -> Manifest:
    return parse_manifest(raw, digest=Digest.of(raw), media_type=OCI_MANIFEST)


async def test_a_manifest_in_memory_is_converted_once() -> None:
    converted = ConvertedManifests(ConversionThread())
    known = manifest()
    first = await converted.of(known)
    assert first == conversion.manifest(known)
    assert await converted.of(known) is first


async def test_each_manifest_has_its_own_response() -> None:
    converted = ConvertedManifests(ConversionThread())
    manifests = [manifest(RAW + b" " * number) for number in range(3)]
    for _ in range(2):
        assert [(await converted.of(known)).raw for known in manifests] == [known.raw for known in manifests]
    assert len(converted) == 3


async def test_two_manifests_with_equal_bytes_are_converted_separately() -> None:
    """Which of two equal manifests goes first must not matter to the one that stays."""
    converted = ConvertedManifests(ConversionThread())
    stays, goes = manifest(), manifest()
    first = await converted.of(stays)
    assert await converted.of(goes) == first
    del goes
    assert len(converted) == 1
    assert await converted.of(stays) is first


async def test_the_response_is_forgotten_with_its_manifest() -> None:
    converted = ConvertedManifests(ConversionThread())
    known = manifest()
    await converted.of(known)
    del known
    assert len(converted) == 0


async def test_a_manifest_at_the_address_of_a_forgotten_one_is_converted_anew() -> None:
    converted = ConvertedManifests(ConversionThread())
    addresses = set()
    for number in range(100):
        known = manifest(RAW + b" " * number)
        addresses.add(id(known))
        assert (await converted.of(known)).raw == known.raw
        assert len(converted) <= 2
        del known
    assert len(addresses) < 100, "no address was used twice: this showed nothing"


async def test_a_manifest_that_cannot_be_converted_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_message: object, _value: Manifest) -> None:
        raise ValueError("no proto for it")

    converted = ConvertedManifests(ConversionThread())
    known = manifest()
    with monkeypatch.context() as patched:
        patched.setattr(conversion, "fill_manifest", fail)
        with pytest.raises(ValueError, match="no proto for it"):
            await converted.of(known)
    assert len(converted) == 0
    assert (await converted.of(known)).raw == RAW


@pytest.mark.parametrize(("entries", "elsewhere"), [(10, False), (1000, True)])
async def test_a_manifest_of_many_entries_is_converted_on_another_thread(
    monkeypatch: pytest.MonkeyPatch, entries: int, elsewhere: bool
) -> None:
    threads: list[int] = []
    fill = conversion.fill_manifest

    def observed(message: manifest_pb2.Manifest, value: Manifest) -> None:
        threads.append(threading.get_ident())
        fill(message, value)

    monkeypatch.setattr(conversion, "fill_manifest", observed)
    annotations = json.dumps({"annotations": {str(number): "" for number in range(entries)}}).encode()
    answer = await ConvertedManifests(ConversionThread()).of(manifest(annotations))
    assert len(answer.image.annotations) == entries
    assert [thread != threading.get_ident() for thread in threads] == [elsewhere]
