"""clients/grpcurl/README.md shows the real output of its commands.

`PORTUS_RECORD=1 pytest tests/clients/interop/test_recipes.py` records it again.
"""

import os
import re
import shutil
from pathlib import Path

import pytest

from tests.clients.interop import recipes
from tests.clients.interop.background import running
from tests.clients.interop.conftest import TOKEN, Gateways
from tests.clients.interop.gateways import dev_gateway
from tests.clients.interop.programs import PROGRAMS, ROOT

DOCUMENT = ROOT / "clients/grpcurl/README.md"
CONTRACT = ROOT / "build/portus-registry-v1.binpb"


def test_every_command_in_the_document_prints_the_documented_output(gateways: Gateways, tmp_path: Path) -> None:
    next(program for program in PROGRAMS if program.language == "grpcurl").require()
    shutil.copy(CONTRACT, tmp_path)
    shutil.copy(gateways.ca_file, tmp_path)
    document = DOCUMENT.read_text(encoding="utf-8")
    documented = recipes.read(document)
    with running(dev_gateway()) as plaintext, running(dev_gateway("--no-reflection")) as without_reflection:
        printed = recipes.execute(
            documented,
            tmp_path,
            {
                "127.0.0.1:50051": plaintext,
                "127.0.0.1:50052": without_reflection,
                "localhost:50443": gateways.tls,
            },
            {"PORTUS_TOKEN": TOKEN},
        )
    if os.environ.get("PORTUS_RECORD"):
        DOCUMENT.write_text(recipes.write(document, printed), encoding="utf-8")
        pytest.skip("recorded: look at the difference")
    for wanted, got in zip(documented, printed, strict=True):
        assert _squeezed(got.output) == _squeezed(wanted.output), f"{wanted.command}\n{got.output}"


def test_every_rpc_has_a_recipe() -> None:
    contract = (ROOT / "protos/portus/registry/v1/registry_service.proto").read_text(encoding="utf-8")
    methods = {line.split("(")[0].removeprefix("  rpc ") for line in contract.splitlines() if line.startswith("  rpc ")}
    commands = "\n".join(recipe.command for recipe in recipes.read(DOCUMENT.read_text(encoding="utf-8")))
    assert methods
    assert {method for method in methods if f"$service/{method}" not in commands} == set()


def _squeezed(output: str) -> str:
    # The layout of error details depends on the version of grpcurl. The version of the gateway changes with releases.
    # `asOf` is the time of the answer, and `cursor` is there once the index is ready.
    stable = re.sub(r'"(gatewayVersion|asOf)":"[^"]+"', r'"\1":"…"', "".join(output.split()))
    return re.sub(r',"cursor":"[^"]+"', "", stable)
