"""The Dockerfile. tests/release/test_image.py tests the image."""

import re

import pytest

from tests.deploy.dockerfile import last, stages
from tests.deploy.project import ROOT, commands, subcommand

DOCKERFILE = ROOT / "Dockerfile"
builder, final = stages(DOCKERFILE)


def test_it_serves_by_default() -> None:
    (program,) = last(final, "ENTRYPOINT").words()
    (command,) = last(final, "CMD").words()
    assert program in commands()
    assert command == "serve"
    subcommand(command)


def test_the_health_check_is_a_command_that_fits_its_own_timeout() -> None:
    options, _, words = last(final, "HEALTHCHECK").arguments.partition("CMD ")
    assert words == '["portus-gateway", "healthcheck"]'
    (timeout,) = [option for option in subcommand("healthcheck").params if option.name == "timeout"]
    allowed = re.search(r"--timeout=(\d+)s", options)
    assert allowed is not None
    assert isinstance(timeout.default, float)
    assert timeout.default < int(allowed[1]), "the engine would stop it before it says what is wrong"


def test_it_does_not_run_as_root() -> None:
    user = last(final, "USER").arguments
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", user), "runAsNonRoot of Kubernetes needs a number"


def test_the_final_stage_installs_nothing() -> None:
    assert not [instruction for instruction in final if instruction.name == "RUN"]
    copies = [instruction.arguments for instruction in final if instruction.name == "COPY"]
    assert copies == ["--from=builder /opt/portus-gateway /opt/portus-gateway"]


def test_only_packages_with_a_known_hash_are_installed() -> None:
    installs = [
        command
        for instruction in builder
        if instruction.name == "RUN"
        for command in instruction.arguments.split("&&")
        if re.search(r"\bpip\b.*\b(install|download|wheel)\b", command)
    ]
    assert installs
    for command in installs:
        assert "--require-hashes" in command or "--no-index" in command, command


@pytest.mark.parametrize("word", ["http://", "https://", "index-url", "trusted-host", "PASSWORD", "TOKEN"])
def test_it_names_no_mirror_and_no_secret(word: str) -> None:
    assert word not in DOCKERFILE.read_text().replace("https://github.com/portus-gateway/", "")


def test_it_sets_no_setting_of_the_gateway() -> None:
    settings = [instruction.arguments for instruction in final if instruction.name in ("ENV", "ARG")]
    assert "PORTUS_" not in " ".join(settings)
