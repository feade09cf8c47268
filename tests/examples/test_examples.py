"""The scripts of `examples/` over real registries, by the gateway alone. docs/recipes.md counts their calls."""

import asyncio
import re
import sys
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from prometheus_client.parser import text_string_to_metric_families

from portus_gateway.devregistry import artifact, image, index, multi_platform
from tests.e2e.gateway_process import clean_environment, gateway_process
from tests.examples.images import cosign_tag, image_of_files, signature_of
from tests.real.backends import DISTRIBUTION, DOCKER_REGISTRY, Backend, Distribution
from tests.real.image_tools import ImageTools

EXAMPLES = Path(__file__).parents[2] / "examples"
PATIENCE = 60.0

pytestmark = pytest.mark.asyncio(loop_scope="module")


@dataclass(frozen=True)
class Outcome:
    status: int
    output: str
    errors: str
    calls: Counter[str]
    """The RPCs that the script called."""


@dataclass(frozen=True)
class Gateway:
    backend: Backend
    address: str
    metrics: str

    async def run(self, script: str, *arguments: str, given: str = "") -> Outcome:
        """Runs an example to its end."""
        before = await self._calls()
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, str(EXAMPLES / script), *arguments),
            env=clean_environment({"PORTUS_GATEWAY_ADDRESS": self.address}),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            output, errors = await asyncio.wait_for(process.communicate(given.encode()), PATIENCE)
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        assert process.returncode is not None
        return Outcome(process.returncode, output.decode(), errors.decode(), await self._calls() - before)

    async def _calls(self) -> Counter[str]:
        calls: Counter[str] = Counter()
        async with aiohttp.ClientSession() as session, session.get(f"http://{self.metrics}/metrics") as answer:
            for family in text_string_to_metric_families(await answer.text()):
                for sample in family.samples:
                    if (
                        sample.name == "grpc_server_handled_total"
                        and "RegistryService" in sample.labels["grpc_service"]
                    ):
                        calls[sample.labels["grpc_method"]] += int(sample.value)
        return calls


@pytest_asyncio.fixture(
    scope="module", loop_scope="module", params=[DOCKER_REGISTRY, DISTRIBUTION], ids=lambda kind: kind.name
)
async def gateway(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Gateway]:
    kind: Distribution = request.param
    password = tmp_path_factory.mktemp("gateway") / "password"
    async with kind.serving(tmp_path_factory.mktemp("registry")) as backend:
        password.write_text(backend.tokens.password)
        async with gateway_process(
            "serve",
            PORTUS_REGISTRY_URL=backend.url,
            PORTUS_TOKEN_REALM=backend.tokens.realm,
            PORTUS_PASSWORD_FILE=str(password),
            PORTUS_METRICS_LISTEN="127.0.0.1:0",
            PORTUS_ALLOW_DELETE="true",
        ) as process:
            yield Gateway(backend, process.address, process.metrics)


@pytest.fixture
def images(gateway: Gateway, tmp_path: Path) -> ImageTools:
    return ImageTools.of(gateway.backend, tmp_path)


@pytest.fixture
def key() -> EllipticCurvePrivateKey:
    return generate_private_key(SECP256R1())


@pytest.fixture
def key_file(key: EllipticCurvePrivateKey, tmp_path: Path) -> Path:
    """The public half of `key`, as `cosign generate-key-pair` writes it."""
    file = tmp_path / "cosign.pub"
    file.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return file


async def test_the_cleaner_keeps_the_newest_images(gateway: Gateway, images: ImageTools) -> None:
    days = [image(f"day {day}", created=f"2024-05-0{day}T12:00:00Z") for day in range(1, 6)]
    for day, content in enumerate(days, 1):
        await images.push("clean/app", f"v{day}", content=content)
    await images.push("clean/app", "stable", content=days[0])
    await images.push("clean/app", "undated", content=image("undated", created=None))

    shown = await gateway.run("keep_newest.py", "clean/app", "--keep", "2")
    assert (shown.status, sorted(shown.output.splitlines())) == (
        0,
        ["would delete: stable, v1", "would delete: v2", "would delete: v3"],
    )
    assert "undated has no date" in shown.errors
    assert await images.holds("clean/app", "v1")

    cleaned = await gateway.run("keep_newest.py", "clean/app", "--keep", "2", "--delete")
    assert cleaned.status == 0, cleaned.errors
    assert sorted(cleaned.output.splitlines()) == ["deleted: stable, v1", "deleted: v2", "deleted: v3"]
    assert cleaned.calls == {"ListTags": 1, "BatchDeleteManifests": 1}
    held = [tag for tag in ("v1", "v2", "v3", "v4", "v5", "stable", "undated") if await images.holds("clean/app", tag)]
    assert held == ["v4", "v5", "undated"]


async def test_the_cleaner_keeps_what_a_kept_index_needs(gateway: Gateway, images: ImageTools) -> None:
    child = image("child", created="2024-01-01T00:00:00Z")
    newer_child = image("newer child", platform="linux/arm64", created="2025-01-01T00:00:00Z")
    await images.push("clean/needed", "index", content=index([child, newer_child]))
    await images.push("clean/needed", "child", content=child)

    cleaned = await gateway.run("keep_newest.py", "clean/needed", "--keep", "1", "--delete")

    assert (cleaned.status, cleaned.output) == (1, "")
    assert "kept: child" in cleaned.errors
    assert await images.holds("clean/needed", "child")


async def test_the_scanner_reads_all_layers_and_sboms(gateway: Gateway, images: ImageTools) -> None:
    content = image_of_files({"bin/su": 0o4755, "bin/ls": 0o755})
    await images.push("scan/app", "v1", content=content)
    sbom = artifact("application/spdx+json", {"sbom": b'{"packages": [{}, {}]}'}, media_type="text/spdx+json")
    await images.push("scan/app", cosign_tag(content.digest, "sbom"), content=sbom)

    scanned = await gateway.run("scan_image.py", "scan/app:v1")

    assert (scanned.status, scanned.errors) == (1, "")
    assert scanned.output.splitlines() == [
        "setuid: bin/su",
        "1 layers, 1 setuid files",
        "SBOM: text/spdx+json, 2 packages",
    ]
    assert scanned.calls == {"GetManifest": 1, "ListReferrers": 1, "ReadBlob": 2}


async def test_the_deployer_pins_all_images_or_none(gateway: Gateway, images: ImageTools) -> None:
    content = multi_platform("pin")
    await images.push("pin/app", "v1", "v2", content=content)

    pinned = await gateway.run("pin_images.py", "--platform", "linux/arm64", given="pin/app:v1\npin/app:v2\n")

    assert (pinned.status, pinned.output) == (0, f"pin/app@{content.children[1].digest}\n" * 2)
    assert pinned.calls == {"BatchResolveManifests": 1}

    half = await gateway.run("pin_images.py", given="pin/app:v1\npin/app:missing\n")
    assert (half.status, half.output) == (1, "")
    assert "pin/app:missing" in half.errors


async def test_the_dashboard_shows_the_newest_image_of_each_repository(gateway: Gateway, images: ImageTools) -> None:
    await images.push("board/app", "old", content=image("old", created="2024-05-01T12:00:00Z"))
    await images.push("board/app", "new", content=image("new", created="2024-06-01T12:00:00Z"))
    await images.push("board/web", "only", content=multi_platform("web"))

    shown = await gateway.run("dashboard.py", "--prefix", "board/")

    assert shown.status == 0, shown.errors
    header, app, web = shown.output.splitlines()
    assert header.split() == ["REPOSITORY", "TAGS", "NEWEST", "AGE", "SIZE", "PLATFORMS"]
    assert re.fullmatch(r"board/app +2 +new +\d+ d +\d\.\d kB +linux/amd64", app)
    assert re.fullmatch(r"board/web +1 +only +\d+ d +\d\.\d kB +linux/amd64, linux/arm64", web)
    assert shown.calls == {"StreamCatalog": 1, "ListTags": 2}


async def test_only_signed_images_are_admitted(
    gateway: Gateway, images: ImageTools, key: EllipticCurvePrivateKey, key_file: Path
) -> None:
    signed, unsigned, forged = image("signed"), image("unsigned"), image("forged")
    for tag, content in (("signed", signed), ("unsigned", unsigned), ("forged", forged)):
        await images.push("admit/app", tag, content=content)
    for subject, signature in (
        (signed, signature_of(signed.digest, key)),
        # A good signature of another image, and one with another key, prove nothing.
        (unsigned, signature_of(signed.digest, key)),
        (forged, signature_of(forged.digest, generate_private_key(SECP256R1()))),
    ):
        await images.push("admit/app", cosign_tag(subject.digest, "sig"), content=signature)

    admitted = await gateway.run("check_signature.py", "admit/app:signed", "--key", str(key_file))
    assert (admitted.status, admitted.output) == (0, f"admit/app@{signed.digest}\n"), admitted.errors
    assert admitted.calls == {"ResolveManifest": 1, "ListReferrers": 1, "ReadBlob": 1}

    for tag in ("unsigned", "forged"):
        refused = await gateway.run("check_signature.py", f"admit/app:{tag}", "--key", str(key_file))
        assert (refused.status, refused.output) == (1, ""), refused.errors
        assert "is not signed with this key" in refused.errors

    missing = await gateway.run("check_signature.py", "admit/app:missing", "--key", str(key_file))
    assert (missing.status, missing.output) == (2, "")


@pytest.mark.parametrize(
    ("script", "arguments", "given", "said"),
    [
        ("check_signature.py", ("Team/App", "--key", "none"), "", "'Team/App' is not a repository name"),
        ("check_signature.py", ("team/app", "--key", "/no/such/key"), "", "No such file or directory: '/no/such/key'"),
        ("scan_image.py", ("team/app", "--platform", "arm64"), "", "'arm64' is not a platform"),
        ("pin_images.py", (), "image: team/app\n", "'image: team' is not a registry host"),
    ],
)
async def test_a_mistake_in_the_arguments_is_one_line_and_status_2(
    gateway: Gateway, script: str, arguments: tuple[str, ...], given: str, said: str
) -> None:
    refused = await gateway.run(script, *arguments, given=given)

    assert (refused.status, refused.output) == (2, "")
    assert f"{script}: error: " in refused.errors.splitlines()[-1]
    assert said in refused.errors
    assert refused.calls == {}


async def test_a_layer_that_is_no_archive_is_not_an_answer_of_the_scanner(gateway: Gateway, images: ImageTools) -> None:
    # Status 1 would mean that files were found.
    await images.push("scan/other", "v1", content=artifact("example/image", {"layer": b"not an archive"}))

    scanned = await gateway.run("scan_image.py", "scan/other:v1")

    assert (scanned.status, scanned.output) == (2, "")
    assert scanned.errors.startswith("scan/other:v1: ")
    assert "Traceback" not in scanned.errors
