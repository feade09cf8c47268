"""Completion in the usual shells, loaded as in the README."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.clients.python.command_line import PATIENCE, environment
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


def suggestions(home: Path, *words: str) -> list[str]:
    """The response of the command to the shell: kinds and values alternate."""
    finished = subprocess.run(
        [sys.executable, "-m", "portus_client"],
        env=environment(
            _PORTUS_CLIENT_COMPLETE="bash_complete",
            COMP_WORDS=" ".join(("portus-client", *words)),
            COMP_CWORD=str(len(words)),
            XDG_CONFIG_HOME=str(home),
        ),
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
