"""Completion in the usual shells, loaded as in the README."""

import os
import pty
import select
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path

import grpc
import pytest

from tests.clients.python.command_line import PATIENCE, environment
from tests.clients.python.gateway import Gateway, status
from tests.programs import required

README = (Path(__file__).parents[3] / "clients/python/README.md").read_text(encoding="utf-8")

# The documented line that loads the script, and a command that lists the completions of `portus-client ma`.
SHELLS = {
    "bash": (
        'eval "$(_PORTUS_CLIENT_COMPLETE=bash_source portus-client)"',
        'COMP_WORDS=(portus-client ma) COMP_CWORD=1; _portus_client_completion portus-client; echo "${COMPREPLY[@]}"',
    ),
    "zsh": (
        'eval "$(_PORTUS_CLIENT_COMPLETE=zsh_source portus-client)"',
        # The widgets of zsh run only in its line editor. This is the list from which the script makes the menu.
        """[[ $_comps[portus-client] == _portus_client_completion ]] || exit 1
        COMP_WORDS="portus-client ma" COMP_CWORD=1 _PORTUS_CLIENT_COMPLETE=zsh_complete portus-client""",
    ),
    "fish": (
        "_PORTUS_CLIENT_COMPLETE=fish_source portus-client | source",
        'complete -C "portus-client ma"',
    ),
}


def complete(shell: str, script: str, home: Path) -> list[str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    preparation = "autoload -Uz compinit && compinit -u -D\n" if shell == "zsh" else ""
    finished = subprocess.run(
        [shell, "-c", preparation + script],
        env=environment(PATH=path, HOME=str(home), XDG_CONFIG_HOME=str(home / ".config")),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert (finished.returncode, finished.stderr) == (0, ""), finished
    return finished.stdout.split()


@pytest.mark.parametrize("shell", SHELLS)
def test_commands_are_completed(shell: str, tmp_path: Path) -> None:
    load, ask = SHELLS[shell]
    assert load in README
    required(shell, f"apt-get install {shell}")

    assert "manifest" in complete(shell, f"{load}\n{ask}", tmp_path)


def suggestions(home: Path, *words: str, **variables: str) -> list[str]:
    """What is suggested for the last of the words."""
    settings = {
        "_PORTUS_CLIENT_COMPLETE": "bash_complete",
        "COMP_WORDS": " ".join(("portus-client", *words)),
        "COMP_CWORD": str(len(words)),
        "XDG_CONFIG_HOME": str(home),
        "XDG_CACHE_HOME": str(home / "cache"),
    }
    finished = subprocess.run(
        [sys.executable, "-m", "portus_client"],
        env=environment(**settings, **variables),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=True,
    )
    assert finished.stderr == ""
    return [line.partition(",")[2] for line in finished.stdout.splitlines() if line]


def test_options_and_choices_are_completed(tmp_path: Path) -> None:
    assert suggestions(tmp_path, "tags", "--di") == ["--digests"]
    assert suggestions(tmp_path, "--output", "j") == ["json"]


def test_profiles_are_completed(tmp_path: Path) -> None:
    (tmp_path / "portus-client").mkdir()
    (tmp_path / "portus-client/config.toml").write_text("[profiles.prod]\n[profiles.preview]\n[profiles.dev]\n")

    assert suggestions(tmp_path, "--profile", "pr") == ["preview", "prod"]
    assert suggestions(tmp_path, "ping", "--profile", "d") == ["dev"]


def test_where_there_are_no_profiles_none_are_suggested(tmp_path: Path) -> None:
    assert suggestions(tmp_path, "--profile", "") == []


NAMES = [
    ["manifest"],
    ["config"],
    ["digest"],
    ["resolve"],
    ["delete"],
    ["batch", "team/worker"],
    ["tags"],
    ["catalog", "--prefix"],
    ["watch", "--prefix"],
    ["tag", "rm"],
    ["referrers"],
    ["blob"],
]


@pytest.mark.parametrize("command", NAMES, ids=" ".join)
def test_repositories_are_completed_from_the_gateway(gateway: Gateway, tmp_path: Path, command: list[str]) -> None:
    gateway.repositories |= {"team/api": (), "evil name\n": ()}
    address = {"PORTUS_GATEWAY_ADDRESS": gateway.address}

    assert suggestions(tmp_path, *command, "team/a", **address) == ["team/api", "team/app"]
    assert suggestions(tmp_path, *command, "nothing", **address) == []
    assert suggestions(tmp_path, *command, "e", **address) == ["empty"]


def test_tags_are_completed_from_the_gateway(gateway: Gateway, tmp_path: Path) -> None:
    address = {"PORTUS_GATEWAY_ADDRESS": gateway.address}

    # Bash splits words at `:` and replaces only what is after it.
    assert suggestions(tmp_path, "manifest", "team/app", ":", "l", **address) == ["latest"]
    assert suggestions(tmp_path, "manifest", "team/app", ":", **address) == ["1.0", "latest", "multi"]
    assert suggestions(tmp_path, "manifest", "host", ":", "5000/team/app", ":", "m", **address) == ["multi"]
    # Other shells do not.
    assert suggestions(tmp_path, "manifest", "team/app:l", **address) == ["team/app:latest"]
    assert suggestions(tmp_path, "manifest", "host:5000/te", **address) == ["host:5000/team/app"]
    assert suggestions(tmp_path, "delete", "team/app:1.0", "sha256:1", "manifests", "--expect", "l", **address) == [
        "latest"
    ]


def test_the_address_can_be_anywhere_on_the_line(gateway: Gateway, tmp_path: Path) -> None:
    host, port = gateway.address.split(":")

    assert suggestions(tmp_path, "--address", host, ":", port, "tags", "team/") == ["team/app"]
    assert suggestions(tmp_path, "tags", "--address", gateway.address, "team/") == ["team/app"]
    (tmp_path / "portus-client").mkdir()
    (tmp_path / "portus-client/config.toml").write_text(f'[profiles.dev]\naddress = "{gateway.address}"\n')
    assert suggestions(tmp_path, "--profile", "dev", "tags", "team/") == ["team/app"]


def test_suggestions_are_cached_for_a_short_time_and_for_their_owner_alone(gateway: Gateway, tmp_path: Path) -> None:
    address = {"PORTUS_GATEWAY_ADDRESS": gateway.address}
    for _ in range(2):
        assert suggestions(tmp_path, "tags", "team/", **address) == ["team/app"]
    assert gateway.called("StreamCatalog") == 1

    (cached,) = (tmp_path / "cache/portus-client/completion").iterdir()
    assert stat.S_IMODE(cached.stat().st_mode) == 0o600
    assert stat.S_IMODE(cached.parent.stat().st_mode) == 0o700
    long_ago = time.time() - 60
    os.utime(cached, (long_ago, long_ago))
    assert suggestions(tmp_path, "tags", "m", **address) == ["many"]
    assert not cached.exists()
    assert suggestions(tmp_path, "tags", "team/", **address) == ["team/app"]
    assert gateway.called("StreamCatalog") == 3


def test_another_gateway_has_other_suggestions(gateway: Gateway, tmp_path: Path) -> None:
    with Gateway() as other:
        other.repositories = {"team/other": ()}
        assert suggestions(tmp_path, "tags", "team/", PORTUS_GATEWAY_ADDRESS=gateway.address) == ["team/app"]
        assert suggestions(tmp_path, "tags", "team/", PORTUS_GATEWAY_ADDRESS=other.address) == ["team/other"]


def test_a_broken_cache_or_a_folder_that_cannot_be_written_does_not_matter(gateway: Gateway, tmp_path: Path) -> None:
    address = {"PORTUS_GATEWAY_ADDRESS": gateway.address}
    assert suggestions(tmp_path, "tags", "team/", **address) == ["team/app"]
    (cached,) = (tmp_path / "cache/portus-client/completion").iterdir()
    cached.write_text("{")
    assert suggestions(tmp_path, "tags", "team/", **address) == ["team/app"]
    file = tmp_path / "file"
    file.touch()
    assert suggestions(file, "tags", "team/", **address) == ["team/app"]


def test_completion_is_silent_and_ends_soon_whatever_fails(gateway: Gateway, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        began = time.monotonic()
        assert suggestions(tmp_path, "tags", "team/", PORTUS_GATEWAY_ADDRESS=f"127.0.0.1:{port}") == []
        # The bound is 2 seconds; the rest is for the start of Python on a busy machine.
        assert time.monotonic() - began < 15
    assert suggestions(tmp_path, "tags", "team/", PORTUS_GATEWAY_ADDRESS=f"127.0.0.1:{port}") == []
    token = ("--token-file", "/nonexistent")
    assert suggestions(tmp_path, *token, "tags", "te", PORTUS_GATEWAY_ADDRESS=gateway.address) == []
    assert suggestions(tmp_path, "--profile", "none", "tags", "te") == []
    gateway.failures["ListTags"] = [status(grpc.StatusCode.PERMISSION_DENIED, "no", "POLICY_DENIED")]
    assert suggestions(tmp_path, "manifest", "team/app:", PORTUS_GATEWAY_ADDRESS=gateway.address) == []


def test_what_came_before_an_error_is_suggested_and_not_cached(gateway: Gateway, tmp_path: Path) -> None:
    # The gateway sends its repositories before it fails.
    gateway.failures["StreamCatalog"] = [status(grpc.StatusCode.INTERNAL, "the registry failed", "UPSTREAM_ERROR")]
    for _ in range(2):
        assert suggestions(tmp_path, "tags", "team/", PORTUS_GATEWAY_ADDRESS=gateway.address) == ["team/app"]
    assert gateway.called("StreamCatalog") == 2


@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        ("portus-client manifest team/a\t", "portus-client manifest team/app "),
        ("portus-client manifest team/app:l\t", "portus-client manifest team/app:latest "),
        ("portus-client manifest team/app:mu\t", "portus-client manifest team/app:multi "),
        ("portus-client --address ADDRESS tags team/a\t", "portus-client --address ADDRESS tags team/app "),
    ],
)
def test_tab_completes_in_bash(gateway: Gateway, tmp_path: Path, typed: str, completed: str) -> None:
    required("bash", "apt-get install bash")
    load, _ = SHELLS["bash"]
    home = tmp_path / "home"
    home.mkdir()
    (home / ".bashrc").write_text(f"PS1='> '\nbind 'set enable-bracketed-paste off'\n{load}\n")
    ours, theirs = pty.openpty()
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    shell = subprocess.Popen(
        ["bash", "--rcfile", str(home / ".bashrc"), "-i"],
        env=environment(PATH=path, HOME=str(home), PORTUS_GATEWAY_ADDRESS=gateway.address, TERM="dumb"),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    try:
        read_until(ours, "> ")
        os.write(ours, typed.replace("ADDRESS", gateway.address).encode())
        read_until(ours, completed.replace("ADDRESS", gateway.address))
    finally:
        shell.kill()
        shell.wait()
        os.close(ours)


def read_until(terminal: int, text: str) -> None:
    """Reads from the terminal until `text` is shown."""
    deadline = time.monotonic() + PATIENCE
    shown = ""
    while text not in shown:
        readable, _, _ = select.select([terminal], [], [], max(0.0, deadline - time.monotonic()))
        assert readable, f"{text!r} is not shown: {shown!r}"
        shown += os.read(terminal, 65536).decode(errors="replace")
