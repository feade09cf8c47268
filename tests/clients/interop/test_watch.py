"""The programs of the READMEs that watch: over a real registry with pushes, while the gateway is killed and drained."""

import hashlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.clients.interop import readmes, real_registry
from tests.clients.interop.background import running
from tests.clients.interop.programs import JAVA_CLASSES, ROOT, run, search_path
from tests.clients.interop.scenario_output import APP, OLD
from tests.e2e.gateway_process import GatewayProcess, gateway_process

TOKEN = "open-sesame"
# In seconds, on a busy machine.
PATIENCE = 60.0


@dataclass
class Watcher:
    """A running program, and the lines that it has printed."""

    language: str
    process: "subprocess.Popen[str]"
    lines: list[str] = field(default_factory=list)
    _grown: threading.Condition = field(default_factory=threading.Condition)

    def read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._grown:
                self.lines.append(line.strip())
                self._grown.notify_all()

    def until(self, wanted: str, *, times: int = 1) -> None:
        """Waits until the line has come so often."""
        with self._grown:
            if not self._grown.wait_for(lambda: self.lines.count(wanted) >= times, PATIENCE):
                pytest.fail(f"{self.language}: no {wanted!r} in {self.lines}; {self.process.poll()}")


@pytest.fixture
def commands(tmp_path: Path) -> Iterator[Callable[[str], dict[str, list[str]]]]:
    """Makes the program of each language for the gateway at an address."""
    script = readmes.node_program(f"watch-{os.getpid()}")

    def make(address: str) -> dict[str, list[str]]:
        (watching,) = (part for part in readmes.parts("python", address) if "client.watch(" in part)
        (tmp_path / "watch.py").write_text(watching)
        get, *_, watching = readmes.parts("go", address)
        (tmp_path / "main.go").write_text(readmes.go(get, [watching], ["os"]))
        built = run(["go", "build", "-o", str(tmp_path / "watch"), str(tmp_path / "main.go")], {}, ROOT / "clients/go")
        assert built.code == 0, built
        get, *_, watching = readmes.parts("typescript", address)
        script.write_text(readmes.typescript(get, [watching]))
        get, *_, watching = readmes.parts("java", address)
        (tmp_path / "Example.java").write_text(readmes.java(get, [watching]))
        built = run(["javac", "-cp", JAVA_CLASSES, "-d", str(tmp_path), str(tmp_path / "Example.java")], {})
        assert built.code == 0, built
        return {
            "python": [sys.executable, "-u", str(tmp_path / "watch.py")],
            "go": [str(tmp_path / "watch")],
            "typescript": ["node", str(script)],
            "java": ["java", "-XX:TieredStopAtLevel=1", "-cp", f"{JAVA_CLASSES}:{tmp_path}", "Example"],
        }

    yield make
    script.unlink(missing_ok=True)


@contextmanager
def watchers(commands: dict[str, list[str]], folder: Path) -> Iterator[list[Watcher]]:
    """Runs the programs, each in a folder of its own for its cursor."""
    with ExitStack() as stack:
        started = []
        for language, command in commands.items():
            own = folder / language
            own.mkdir(exist_ok=True)
            process = stack.enter_context(
                subprocess.Popen(
                    command, cwd=own, stdout=subprocess.PIPE, text=True, env={**os.environ, "PATH": search_path()}
                )
            )
            stack.callback(process.kill)
            watcher = Watcher(language, process)
            threading.Thread(target=watcher.read, daemon=True).start()
            started.append(watcher)
        yield started


def free_ports(number: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(number)]
        return [listener.getsockname()[1] for listener in sockets]


@contextmanager
def serving(variables: dict[str, str], address: str) -> Iterator[GatewayProcess]:
    with running(gateway_process("serve", "--listen", address, **variables)) as gateway:
        yield gateway


def ends(gateway: GatewayProcess, how: signal.Signals) -> None:
    """Ends the gateway and waits until it has ended."""
    gateway.signal(how)
    while gateway.process.returncode is None:
        time.sleep(0.01)  # its own loop waits for it


def test_watches_of_all_languages_go_on_over_kills_and_drains(
    commands: Callable[[str], dict[str, list[str]]], tmp_path: Path
) -> None:
    port, receiver = free_ports(2)
    address = f"127.0.0.1:{port}"
    made = commands(address)
    tokens = tmp_path / "tokens"
    tokens.write_text(f"registry sha256:{hashlib.sha256(TOKEN.encode()).hexdigest()}\n")
    with real_registry.serving(tmp_path, notifies=f"http://127.0.0.1:{receiver}/notifications", token=TOKEN) as url:
        variables = {
            "PORTUS_REGISTRY_URL": url,
            "PORTUS_REGISTRY_ANONYMOUS": "true",
            "PORTUS_INDEX": f"sqlite://{tmp_path}/index.db",
            "PORTUS_NOTIFICATIONS_LISTEN": f"127.0.0.1:{receiver}",
            "PORTUS_NOTIFICATIONS_TOKEN_FILE": str(tokens),
        }

        def pushed(tag: str, watching: list[Watcher]) -> None:
            real_registry.push(url, "team/app", OLD, tag)
            for watcher in watching:
                watcher.until(f"TAG_CREATED team/app {tag}")

        real_registry.push(url, "team/app", APP, "latest")
        real_registry.push(url, "other/app", APP, "latest")
        with ExitStack() as programs, ExitStack() as stack:
            with serving(variables, address) as gateway:
                watching = programs.enter_context(watchers(made, tmp_path))
                for watcher in watching:
                    watcher.until("TAG_CREATED team/app latest")
                pushed("while-all-is-well", watching)
                ends(gateway, signal.SIGKILL)
            real_registry.push(url, "team/app", OLD, "while-it-was-killed")
            with serving(variables, address) as gateway:
                for watcher in watching:
                    watcher.until("TAG_CREATED team/app while-it-was-killed")
                pushed("after-the-kill", watching)
                ends(gateway, signal.SIGTERM)
            gateway = stack.enter_context(serving(variables, address))
            pushed("after-the-drain", watching)
            for watcher in watching:
                events = [line for line in watcher.lines if line.startswith("TAG_")]
                names = ("latest", "while-all-is-well", "while-it-was-killed", "after-the-kill", "after-the-drain")
                # Every change, in order, once; and none of the other repository.
                assert events == [f"TAG_CREATED team/app {name}" for name in names], watcher
                assert "list again" not in watcher.lines
            programs.close()
            # A program that starts again goes on at the cursor that it has stored.
            real_registry.push(url, "team/app", OLD, "while-nobody-watched")
            watching = programs.enter_context(watchers(made, tmp_path))
            for watcher in watching:
                watcher.until("TAG_CREATED team/app while-nobody-watched")
                *repeated, new = [line for line in watcher.lines if line.startswith("TAG_")]
                assert new == "TAG_CREATED team/app while-nobody-watched", watcher
                # The program may have been killed after it had printed an event and before it had stored the cursor.
                assert repeated in ([], ["TAG_CREATED team/app after-the-drain"]), watcher
            ends(gateway, signal.SIGKILL)
            for file in tmp_path.glob("index.db*"):
                file.unlink()
            # Its index is a new one, which does not know the cursors.
            stack.enter_context(serving(variables, address))
            for watcher in watching:
                watcher.until("list again")
                watcher.until("TAG_CREATED team/app latest")
