"""The example of deploy/compose.yaml: its settings are settings, its services hold what they need and no more."""

import re
from pathlib import Path

import click
import pytest

from portus_gateway.settings import load
from tests.deploy import compose
from tests.deploy.compose import SECRETS, services
from tests.deploy.project import subcommand

OURS = [service for service in services().values() if service.node["image"] == "portus-gateway"]
every_service = pytest.mark.parametrize("service", services().values(), ids=lambda service: service.name)


@pytest.fixture
def gateway_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The gateway's variables, in force, with a password file that is there."""
    password = tmp_path / "password"
    password.write_text("of no account\n")
    variables = services()["gateway"].environment | {"PORTUS_PASSWORD_FILE": str(password)}
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return variables


def test_every_variable_of_the_gateway_is_a_setting(gateway_settings: dict[str, str]) -> None:
    load(variables=gateway_settings)


@pytest.mark.usefixtures("gateway_settings")
def test_the_gateway_takes_its_settings_and_deletes_nothing_unasked() -> None:
    settings = load()
    assert not settings.listen.is_loopback, "nobody outside the container would reach it"
    assert settings.allow_anonymous
    assert not settings.allow_delete


@pytest.mark.usefixtures("gateway_settings")
def test_the_gateway_has_time_to_drain() -> None:
    grace = services()["gateway"].node["stop_grace_period"]
    assert isinstance(grace, str)
    assert compose.seconds(grace) > load().drain_grace


def test_what_an_unauthenticated_gateway_serves_is_published_on_loopback_alone() -> None:
    published = {name: service.words("ports") for name, service in services().items() if service.node.get("ports")}
    assert published.keys() == {"gateway"}
    assert all(port.startswith("127.0.0.1:") for port in published["gateway"])


@pytest.mark.parametrize("service", OURS, ids=lambda service: service.name)
def test_the_commands_and_their_options_are_there(service: compose.Service) -> None:
    name, *arguments = service.words("command")
    command = subcommand(name)
    with click.Context(command, resilient_parsing=False) as context:
        command.make_parser(context).parse_args(arguments)


def test_all_agree_on_who_signs_tokens_for_whom_and_where() -> None:
    gateway, registry = services()["gateway"].environment, services()["registry"].environment
    issuing = " ".join(services()["token-service"].words("command"))
    realm = registry["REGISTRY_AUTH_TOKEN_REALM"]
    assert gateway["PORTUS_TOKEN_REALM"] == realm
    assert re.fullmatch(r"http://token-service:(\d+)/v2/token", realm)
    assert f"--service {registry['REGISTRY_AUTH_TOKEN_SERVICE']}" in issuing
    assert f"--issuer {registry['REGISTRY_AUTH_TOKEN_ISSUER']}" in issuing


@every_service
def test_a_service_can_do_no_more_than_it_needs(service: compose.Service) -> None:
    assert service.node["read_only"] is True
    assert service.node["cap_drop"] == ["ALL"]
    assert service.node["security_opt"] == ["no-new-privileges:true"]
    assert service.node.get("privileged") is None


@every_service
def test_a_service_sees_the_secrets_that_it_names_and_no_others(service: compose.Service) -> None:
    texts = [*service.environment.values(), *service.words("command"), *service.words("entrypoint")]
    named = set(re.findall(rf"{SECRETS}(\w+)", " ".join(texts)))
    assert named == service.secrets


@every_service
def test_an_image_is_of_a_known_version(service: compose.Service) -> None:
    image = service.node["image"]
    assert isinstance(image, str)
    assert "build" in service.node or re.search(r":v?\d+\.\d+\.\d+$", image), image


def test_secrets_stay_out_of_the_repository() -> None:
    assert all(path.parent == Path("secrets") for path in compose.secret_files().values())
    assert "/secrets/" in (compose.FOLDER / ".gitignore").read_text().splitlines()
