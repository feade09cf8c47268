"""Connection profiles: what they set, what overrides them, and the messages for their mistakes."""

from collections.abc import Callable
from pathlib import Path

import grpc
import pytest

from tests.clients.python.certificates import Authority
from tests.clients.python.command_line import Finished, run
from tests.clients.python.gateway import Gateway

NOBODY = "127.0.0.1:1"

Configured = Callable[..., Finished]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "portus-client"
    folder.mkdir()
    return folder


@pytest.fixture
def with_profiles(folder: Path) -> Configured:
    """Runs the command with a configuration file, and no address in the environment."""

    def start(text: str, *arguments: str, **variables: str) -> Finished:
        (folder / "config.toml").write_text(text)
        return run(None, *arguments, XDG_CONFIG_HOME=str(folder.parent), **variables)

    return start


def test_a_profile_sets_the_address(gateway: Gateway, with_profiles: Configured) -> None:
    text = f'[profiles.test]\naddress = "{gateway.address}"\ntimeout = 7\n'

    assert with_profiles(text, "--profile", "test", "ping").status == 0
    assert 0 < gateway.time_given < 10
    assert with_profiles(text, "ping", "--profile", "test").status == 0
    assert with_profiles(text, "ping", PORTUS_GATEWAY_PROFILE="test").status == 0


def test_the_default_folder_is_in_the_home_folder(gateway: Gateway, tmp_path: Path) -> None:
    folder = tmp_path / ".config/portus-client"
    folder.mkdir(parents=True)
    (folder / "config.toml").write_text(f'[profiles.test]\naddress = "{gateway.address}"\n')

    for ignored in ("", "relative"):
        assert run(None, "--profile", "test", "ping", HOME=str(tmp_path), XDG_CONFIG_HOME=ignored).status == 0


def test_flags_override_the_environment_and_it_overrides_the_profile(
    gateway: Gateway, with_profiles: Configured
) -> None:
    text = f'[profiles.test]\naddress = "{NOBODY}"\n[profiles.other]\naddress = "{gateway.address}"\n'

    assert with_profiles(text, "--profile", "test", "ping").status == 5
    assert with_profiles(text, "--profile", "test", "ping", PORTUS_GATEWAY_ADDRESS=gateway.address).status == 0
    assert (
        with_profiles(
            text, "--profile", "test", "ping", "--address", gateway.address, PORTUS_GATEWAY_ADDRESS=NOBODY
        ).status
        == 0
    )
    assert with_profiles(text, "ping", "--profile", "other", PORTUS_GATEWAY_PROFILE="test").status == 0


def test_relative_file_names_begin_at_the_configuration(folder: Path, with_profiles: Configured) -> None:
    authority = Authority()
    server = authority.issue("127.0.0.1")
    (folder / "ca.pem").write_bytes(authority.pem)
    authority.issue("localhost").write(folder, "client")
    (folder / "token").write_text("s3cret\n")
    credentials = grpc.ssl_server_credentials(
        [(server.key, server.certificate)], root_certificates=authority.pem, require_client_auth=True
    )

    with Gateway(credentials) as gateway:
        finished = with_profiles(
            f'[profiles.test]\naddress = "{gateway.address}"\nca_file = "ca.pem"\n'
            f'certificate = "client.pem"\nkey = "{folder}/client.key"\ntoken_file = "~/portus-client/token"\n',
            *("--profile", "test", "ping"),
            HOME=str(folder.parent),
        )

    assert (finished.status, finished.errors) == (0, "")
    assert gateway.metadata["authorization"] == "Bearer s3cret"


def test_a_token_of_a_profile_is_sent_only_to_its_gateway(
    gateway: Gateway, folder: Path, with_profiles: Configured
) -> None:
    (folder / "token").write_text("s3cret")
    (folder / "other").write_text("0ther")
    text = f'[profiles.test]\naddress = "{NOBODY}"\ntoken_file = "token"\n'

    for elsewhere in (
        with_profiles(text, "--profile", "test", "ping", "--address", gateway.address),
        with_profiles(text, "--profile", "test", "ping", PORTUS_GATEWAY_ADDRESS=gateway.address),
    ):
        assert elsewhere.status == 2
        assert f"the token of profile test is for {NOBODY}, not for {gateway.address}" in elsewhere.errors
        assert elsewhere.errors.count("\n") == 1
    assert gateway.requests == []

    own = ("--address", gateway.address, "--token-file", str(folder / "other"))
    assert with_profiles(text, "--profile", "test", "ping", *own).status == 0
    assert gateway.metadata["authorization"] == "Bearer 0ther"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[profiles.prod]\n[profiles.dev]\n", "has no [profiles.test]; it has dev, prod"),
        ("", "has no [profiles.test]; it has no profiles"),
        ("[profiles.test", "is not valid TOML: "),
        ("[profiles]\ntest = 1\n", "[profiles.test] must be a table"),
        ("profiles = 1\n", "profiles must be tables"),
        ('address = "a:1"\n', "has an unknown key 'address': only tables [profiles.NAME] are allowed"),
        ('[profiles.test]\nadress = "a:1"\n', "[profiles.test] has an unknown key 'adress': did you mean address?"),
        ('[profiles.test]\ntoken = "s3cret"\n', "[profiles.test] has an unknown key 'token': did you mean token_file?"),
        (
            "[profiles.test]\nzzz = 1\n",
            "the keys are address, timeout, plaintext, ca_file, certificate, key, token_file",
        ),
        ("[profiles.test]\naddress = 1\n", "address must be a string"),
        ('[profiles.test]\nplaintext = "yes"\n', "plaintext must be true or false"),
        ("[profiles.test]\nca_file = 1\n", "ca_file must be the name of a file"),
        ('[profiles.test]\ntimeout = "5"\n', "timeout must be a number of seconds above 0"),
        ("[profiles.test]\ntimeout = 0\n", "timeout must be a number of seconds above 0"),
        ("[profiles.test]\ntimeout = nan\n", "timeout must be a number of seconds above 0"),
        ("[profiles.test]\ntimeout = true\n", "timeout must be a number of seconds above 0"),
        ('[profiles.test]\naddress = "http://a"\n', "is not a gateway address"),
        (
            '[profiles.test]\naddress = "127.0.0.1:1"\ntoken_file = "gone"\n',
            "gone cannot be read: No such file or directory",
        ),
    ],
)
def test_an_invalid_profile_is_reported_in_one_line(with_profiles: Configured, text: str, said: str) -> None:
    finished = with_profiles(text, "--profile", "test", "ping")

    assert finished.status == 2
    assert said in finished.errors
    assert finished.errors.count("\n") == 1
    assert "s3cret" not in finished.errors


def test_a_missing_or_unreadable_configuration_is_reported(folder: Path) -> None:
    missing = run(None, "--profile", "test", "ping", XDG_CONFIG_HOME=str(folder.parent))
    (folder / "config.toml").mkdir()
    unreadable = run(None, "--profile", "test", "ping", XDG_CONFIG_HOME=str(folder.parent))
    (folder / "config.toml").rmdir()
    (folder / "config.toml").write_bytes(b"\xff")
    no_text = run(None, "--profile", "test", "ping", XDG_CONFIG_HOME=str(folder.parent))

    assert missing.errors.startswith(
        f"portus-client: profile test: the configuration file {folder}/config.toml does not exist"
    )
    assert f"{folder}/config.toml: Is a directory" in unreadable.errors
    assert "is not UTF-8 text" in no_text.errors
    assert {missing.status, unreadable.status, no_text.status} == {2}


def test_without_a_profile_the_file_does_not_matter(gateway: Gateway, with_profiles: Configured) -> None:
    assert with_profiles("not TOML", "ping", "--address", gateway.address).status == 0
