"""The README is correct: its settings, its errors, and its grpcurl session, which is run as written."""

import asyncio
import os
import re
import sys
from asyncio.subprocess import PIPE, STDOUT
from pathlib import Path

import pytest

from portus_gateway.access.errors import AccessError, Hidden
from portus_gateway.distribution import errors
from portus_gateway.errors import GatewayError
from portus_gateway.index.errors import LiveIndexError
from portus_gateway.operations.deletion_errors import DeletionRefused
from portus_gateway.rpc.call_errors import CallError
from portus_gateway.rpc.status import CODES
from portus_gateway.settings import Settings, variable_of
from tests.e2e.gateway_process import gateway_process

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def settings_table() -> str:
    """The table between the README's marks."""
    lines = ["| variable | default | description |", "|---|---|---|"]
    for name, field in Settings.model_fields.items():
        match field.default:
            case _ if field.is_required():
                default = "required"
            case None | "" | ():
                default = ""
            case bool():
                default = f"`{str(field.default).lower()}`"
            case float():
                default = f"`{field.default:.12g}`"
            case _:
                default = f"`{field.default}`"
        lines.append(f"| `{variable_of(name)}` | {default} | {field.description} |")
    return "\n".join(lines)


def test_the_settings_table_is_the_settings() -> None:
    written = README.partition("tests/test_readme.py -->\n")[2].partition("\n<!-- /settings -->")[0]
    assert written == settings_table(), f"the README's table should be:\n{settings_table()}"


def written_reasons() -> dict[str, str]:
    """The errors table: reason to status."""
    table = README.partition("## Errors")[2].partition("## Metrics")[0]
    rows = re.findall(r"^\| `([A-Z_]+)` \| ((?:`[A-Z_0-9]+`(?:, )?)+) \|", table, flags=re.MULTILINE)
    return {reason: status for status, reasons in rows for reason in re.findall(r"`([A-Z_0-9]+)`", reasons)}


# Names of families, never raised as such; and an unusable name in a request is an INVALID_FIELD.
FAMILIES = (
    GatewayError,
    CallError,
    errors.NotFound,
    errors.GatewaySetup,
    DeletionRefused,
    errors.InvalidName,
    AccessError,
    LiveIndexError,
    Hidden,
)


@pytest.mark.parametrize("kind", [kind for kind in CODES if kind not in FAMILIES], ids=lambda kind: kind.__name__)
def test_every_error_that_a_caller_may_get_is_in_the_errors_table(kind: type[GatewayError]) -> None:
    assert written_reasons().get(kind.reason) == CODES[kind].name


def test_the_errors_table_names_no_reason_that_is_none() -> None:
    known = {kind.reason for kind in CODES}
    # What registries say, and what is said of one place alone.
    known |= {
        "NAME_UNKNOWN",
        "MANIFEST_UNKNOWN",
        "BLOB_UNKNOWN",
        "MANIFEST_BLOB_UNKNOWN",
        "SCHEMA_1",
        "UNUSABLE_NAME",
        "CREDENTIAL_MISSING",
        "LISTING_CHANGED",
        "REFERENCED",
        "CONTENT_AMBIGUOUS",
        "CONTENT_TOO_LARGE",
        "CONTENT_TYPE_UNKNOWN",
    }
    assert set(written_reasons()) <= known


def reasons_of_the_contract() -> set[str]:
    """The reasons in the comments of the .proto: lists of words in capitals before a colon."""
    contract = "".join(path.read_text() for path in (ROOT / "protos/portus/registry/v1").glob("*.proto"))
    comments = "\n".join(line.partition("//")[2] for line in contract.splitlines() if "//" in line)
    lists = re.findall(r"((?:[A-Z][A-Z_0-9]+, )*[A-Z][A-Z_0-9]+): ", comments)
    return {reason for reasons in lists for reason in reasons.split(", ")}


def test_the_contract_and_the_readme_name_the_same_reasons() -> None:
    assert reasons_of_the_contract() == set(written_reasons())


def test_the_readme_and_the_gateway_have_the_same_metrics() -> None:
    section = README.partition("## Metrics")[2].partition("\n## ")[0]
    source = "\n".join(path.read_text() for path in (ROOT / "server/portus_gateway/telemetry").glob("*.py"))
    metric = r"((?:portus|grpc_server)_[a-z_]+)"
    written, made = re.findall(f"`{metric}`", section), re.findall(f'"{metric}"', source)
    assert {name.removesuffix("_total") for name in written} == {name.removesuffix("_total") for name in made}


def session() -> list[tuple[str, str]]:
    """The commands of the README's grpcurl session, and what they print."""
    (text,) = re.findall(r"```console\n(.*?)```", README, flags=re.DOTALL)
    steps: list[tuple[str, str]] = []
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        lines = part.splitlines()
        end = next(number for number, line in enumerate(lines) if "RegistryService" in line)
        steps.append(("\n".join(lines[: end + 1]), "\n".join(lines[end + 1 :])))
    return steps


async def test_the_grpcurl_session_prints_what_it_says() -> None:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    async with gateway_process("dev") as gateway:
        for command, expected in session():
            process = await asyncio.create_subprocess_shell(
                command.replace("127.0.0.1:50051", gateway.address),
                stdout=PIPE,
                stderr=STDOUT,
                env={**os.environ, "PATH": path},
            )
            output, _ = await asyncio.wait_for(process.communicate(), 30)
            assert squeezed(output.decode()) == squeezed(expected)


def squeezed(output: str) -> str:
    # grpcurl prints details with random spaces, so that nobody relies on them. `asOf` is the time of the answer,
    # and `cursor` is there once the index is ready.
    stable = re.sub(r'"asOf":"[^"]+"', '"asOf":"…"', "".join(output.split()))
    return re.sub(r',"cursor":"[^"]+"', "", stable)
