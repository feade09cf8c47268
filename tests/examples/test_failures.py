"""The scripts of `examples/` where a file, the gateway's address or the output is wrong: one line, and no traceback."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from portus_gateway import app
from portus_gateway.devregistry import DevRegistry, artifact, image
from portus_gateway.settings import load
from tests.e2e.gateway_process import clean_environment
from tests.examples.images import cosign_tag, image_of_files, signature_of

EXAMPLES = Path(__file__).parents[2] / "examples"
PATIENCE = 60.0
# Each script, its arguments, and its exit status for what is none of its results.
SCRIPTS = (
    ("check_signature.py", ("team/app:new", "--key", "{key}"), 2),
    ("dashboard.py", (), 1),
    ("keep_newest.py", ("team/app", "--keep", "1"), 1),
    ("pin_images.py", (), 1),
    ("scan_image.py", ("team/app:new",), 2),
)
each_script = pytest.mark.parametrize(("script", "arguments", "status"), SCRIPTS, ids=[name for name, *_ in SCRIPTS])


@pytest.fixture
async def registry() -> AsyncIterator[DevRegistry]:
    async with DevRegistry() as running:
        yield running


@pytest.fixture
async def gateway(registry: DevRegistry) -> AsyncIterator[str]:
    """The address of a gateway over the registry."""
    settings = {"registry_url": registry.url, "token_realm": registry.realm, "listen": "127.0.0.1:0"}
    account = {"username": registry.username, "password": registry.password}
    async with app.running(load({**settings, **account, "audit_log": os.devnull, "allow_delete": "true"})) as running:
        yield str(running.address)


@pytest.fixture
def key_file(registry: DevRegistry, tmp_path: Path) -> Path:
    """The key that signed `team/app:new`. There is an older image, too."""
    key = generate_private_key(SECP256R1())
    new, old = (image(year, created=f"{year}-05-01T12:00:00Z") for year in ("2024", "2023"))
    registry.push("team/app", "new", content=new)
    registry.push("team/app", "old", content=old)
    registry.push("team/app", cosign_tag(new.digest, "sig"), content=signature_of(new.digest, key))
    file = tmp_path / "cosign.pub"
    file.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return file


@contextmanager
def full_disk() -> Iterator[int]:
    number = os.open("/dev/full", os.O_WRONLY)
    try:
        yield number
    finally:
        os.close(number)


@contextmanager
def closed_pipe() -> Iterator[int]:
    """A pipe whose reader has gone, as `head` does."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        yield writer
    finally:
        os.close(writer)


async def run(script: str, arguments: Sequence[str], output: int, **variables: str) -> tuple[int | None, str, str]:
    """Exit status, output and errors of an example."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(EXAMPLES / script), *arguments),
        # Output is buffered, as it usually is: then it is written when the script ends.
        env=clean_environment({"PYTHONUNBUFFERED": "", **variables}),
        stdin=asyncio.subprocess.PIPE,
        stdout=output,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        printed, errors = await asyncio.wait_for(process.communicate(b"team/app:new\n"), PATIENCE)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return process.returncode, (printed or b"").decode(), errors.decode()


@each_script
async def test_output_that_cannot_be_written_is_one_line(
    gateway: str, key_file: Path, script: str, arguments: tuple[str, ...], status: int
) -> None:
    given = [argument.format(key=key_file) for argument in arguments]
    with full_disk() as full, closed_pipe() as closed:
        outcomes = await asyncio.gather(
            run(script, given, full, PORTUS_GATEWAY_ADDRESS=gateway),
            run(script, given, closed, PORTUS_GATEWAY_ADDRESS=gateway),
        )
    assert list(outcomes) == [
        (status, "", "standard output: No space left on device\n"),
        (status, "", "standard output: Broken pipe\n"),
    ]


@each_script
async def test_a_token_file_or_an_address_that_cannot_be_used_is_one_line(
    key_file: Path, tmp_path: Path, script: str, arguments: tuple[str, ...], status: int
) -> None:
    given = [argument.format(key=key_file) for argument in arguments]
    empty = tmp_path / "empty"
    empty.touch()
    missing, malformed, address = await asyncio.gather(
        run(script, given, asyncio.subprocess.PIPE, PORTUS_GATEWAY_TOKEN_FILE=str(tmp_path / "none")),
        run(script, given, asyncio.subprocess.PIPE, PORTUS_GATEWAY_TOKEN_FILE=str(empty)),
        run(script, given, asyncio.subprocess.PIPE, PORTUS_GATEWAY_ADDRESS="http://gateway.test"),
    )
    assert missing == (status, "", f"{tmp_path / 'none'}: No such file or directory\n")
    for refused, part in ((malformed, f"the token in {empty} is empty"), (address, "http://gateway.test")):
        assert refused[:2] == (status, "")
        (line,) = refused[2].splitlines()
        assert part in line


@pytest.mark.parametrize("sbom", [b"not JSON", b"[]", b'{"packages": 1}', b"[" * 100_000])
async def test_a_malformed_sbom_is_not_an_answer_of_the_scanner(
    gateway: str, registry: DevRegistry, sbom: bytes
) -> None:
    # Status 1 would mean that files were found.
    content = image_of_files({"bin/ls": 0o755})
    registry.push("scan/app", "v1", content=content)
    attached = artifact("application/spdx+json", {"sbom": sbom}, media_type="text/spdx+json")
    registry.push("scan/app", cosign_tag(content.digest, "sbom"), content=attached)
    outcome = await run("scan_image.py", ["scan/app:v1"], asyncio.subprocess.PIPE, PORTUS_GATEWAY_ADDRESS=gateway)
    assert outcome == (2, "1 layers, 0 setuid files\n", "scan/app:v1: an SBOM is malformed\n")


async def test_a_script_whose_output_the_caller_has_closed_still_does_its_work(gateway: str, key_file: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *("sh", "-c", '"$0" "$@" >&-', sys.executable, str(EXAMPLES / "check_signature.py")),
        *("team/app:new", "--key", str(key_file)),
        env=clean_environment({"PORTUS_GATEWAY_ADDRESS": gateway}),
        stderr=asyncio.subprocess.PIPE,
    )
    _, errors = await asyncio.wait_for(process.communicate(), PATIENCE)
    assert (process.returncode, errors) == (0, b"")
