import pytest

from portus_gateway.distribution.digest import Digest
from portus_gateway.distribution.errors import UpstreamTimeout
from portus_gateway.distribution.names import Repository
from portus_gateway.operations.digest_comparison import DigestComparison
from tests.scripted_registry import ScriptedRegistry, manifest_of

APP = Repository("team/app")
RAW = manifest_of("one").raw
SHA256, SHA512 = Digest.of(RAW), Digest.of(RAW, "sha512")


@pytest.fixture
def registry() -> ScriptedRegistry:
    return ScriptedRegistry({"team/app": {"1.0": "one"}})


@pytest.mark.parametrize(("digest", "other"), [(SHA256, SHA512), (SHA512, SHA256)])
async def test_a_digest_of_another_algorithm_is_compared_by_the_bytes_which_are_read_once(
    registry: ScriptedRegistry, digest: Digest, other: Digest
) -> None:
    comparison = DigestComparison(registry, APP, digest)
    for _ in range(2):
        assert await comparison.names(other)
        assert not await comparison.names(Digest.of(b"other bytes", other.algorithm))
    assert registry.asked == [f"team/app@{digest}"]


async def test_digests_of_one_algorithm_need_no_bytes(registry: ScriptedRegistry) -> None:
    comparison = DigestComparison(registry, APP, SHA256)
    assert await comparison.names(SHA256)
    assert not await comparison.names(Digest.of(b"other bytes"))
    assert registry.asked == []


async def test_nothing_names_a_manifest_that_does_not_exist(registry: ScriptedRegistry) -> None:
    comparison = DigestComparison(registry, APP, Digest.of(b"no such manifest"))
    for _ in range(2):
        assert not await comparison.names(SHA512)
    assert len(registry.asked) == 1


async def test_a_manifest_that_cannot_be_read_is_an_error(registry: ScriptedRegistry) -> None:
    registry.failures[f"team/app@{SHA256}"] = UpstreamTimeout("slow")
    with pytest.raises(UpstreamTimeout):
        await DigestComparison(registry, APP, SHA256).names(SHA512)
