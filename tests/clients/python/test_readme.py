"""The programs and commands in the README work as written, with `portus-gateway dev`."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients.python.command_line import PATIENCE, environment, run
from tests.clients.python.real_gateway import real_gateway

README = (Path(__file__).parents[3] / "clients/python/README.md").read_text(encoding="utf-8")
DOCUMENTED = "127.0.0.1:50051"


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    # No command in the README deletes anything.
    with real_gateway() as address:
        yield address


def blocks(fence: str) -> list[str]:
    return re.findall(rf"^```{fence}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


MANIFEST, DETAILS, DELETE, _WATCH, TESTING = blocks("python")


def output_of(program: str) -> str:
    """The output of a program that succeeds."""
    finished = subprocess.run(
        [sys.executable, "-c", program],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert (finished.returncode, finished.stderr) == (0, ""), finished
    return finished.stdout


def test_the_first_program_prints_a_manifest_and_deletes_nothing(address: str) -> None:
    assert DOCUMENTED in MANIFEST
    assert "delete" not in MANIFEST

    digest, _, manifest = output_of(MANIFEST.replace(DOCUMENTED, address)).partition("\n")

    known = run(address, "resolve", "team/app").output.split()[0]
    assert digest == known
    assert manifest.strip() == run(address, "manifest", f"team/app@{known}", "--raw").output.strip()


def test_the_second_program_prints_the_configuration_and_the_sbom() -> None:
    assert DOCUMENTED in DETAILS
    (flavour,) = re.findall(r"`portus-gateway dev (--flavour [^`]+)` has an SBOM", README)
    with real_gateway(*flavour.split()) as address:
        built, referrer, content = output_of(DETAILS.replace(DOCUMENTED, address)).split("\n", 2)

    assert built == "built on 2024-05-01 12:00:00+00:00 for linux/amd64"
    assert referrer == "referrer application/spdx+json"
    assert json.loads(content)["spdxVersion"] == "SPDX-2.3"


def test_the_delete_is_refused_and_names_the_tag(address: str) -> None:
    assert DOCUMENTED in DELETE
    assert output_of(DELETE.replace(DOCUMENTED, address)) == "still tagged: 1.1.0\n"
    assert run(address, "resolve", "team/app").status == 0


def test_the_example_of_the_testing_module_runs() -> None:
    assert output_of(TESTING) == ""


def session() -> list[tuple[str, str]]:
    """The commands in the README and their output."""
    (text,) = blocks("console")
    steps = (part.partition("\n") for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:])
    return [(command, output) for command, _, output in steps]


@pytest.mark.parametrize(("command", "expected"), session())
def test_every_command_in_the_session_prints_the_documented_output(address: str, command: str, expected: str) -> None:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    finished = subprocess.run(
        ["bash", "-c", command],
        env=environment(PATH=path, PORTUS_GATEWAY_ADDRESS=address),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert finished.stdout == expected


def test_every_command_and_option_in_the_table_exists(address: str) -> None:
    table = re.findall(r"^\| `portus-client ([a-z]+)(.*?)\|", README, re.MULTILINE)
    listed = run(address, "--help").output.partition("Commands:\n")[2].partition("\n\n")[0]
    assert {command for command, _ in table} == {line.split()[0] for line in listed.splitlines()}
    for command, rest in table:
        known = run(address, command, "--help").output
        for option in re.findall(r"--[a-z-]+", rest):
            assert option in known, (command, option)


def test_the_documented_profile_is_valid(address: str, tmp_path: Path) -> None:
    (text,) = blocks("toml")
    folder = tmp_path / "portus-client"
    folder.mkdir()
    (folder / "config.toml").write_text(re.sub(r"^(ca_file|token_file).*\n", "", text, flags=re.MULTILINE))

    # The address in the environment overrides the one in the profile.
    finished = run(address, "--profile", "prod", "ping", XDG_CONFIG_HOME=str(tmp_path))
    (folder / "config.toml").write_text(re.sub(r"^ca_file.*\n", "", text, flags=re.MULTILINE))
    named = run(None, "--profile", "prod", "ping", XDG_CONFIG_HOME=str(tmp_path), HOME=str(tmp_path))

    assert (finished.status, finished.errors) == (0, "")
    assert f"{tmp_path}/.secrets/portus cannot be read: No such file" in named.errors
