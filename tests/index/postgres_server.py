"""A PostgreSQL server of the tests' own, on a socket in a folder: nothing of the machine's is touched."""

import os
import pwd
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests import programs

# PostgreSQL does not run as root.
USER = "postgres"
WITH_PASSWORD = "portus_index"
"""The name of the user who needs a password, once a test has made it."""


@dataclass(frozen=True, slots=True)
class PostgresServer:
    """A server that runs. Clients connect over a socket in `folder`."""

    folder: Path

    def new_database(self) -> str:
        """The address of a new, empty database."""
        name = f"index_{secrets.token_hex(6)}"
        self.run("createdb", "--host", str(self.folder), "--template", "template0", name)
        return f"postgresql://{USER}@/{name}?host={self.folder}"

    def start(self) -> None:
        options = f"-c listen_addresses='' -c unix_socket_directories='{self.folder}' -c fsync=off"
        options += " -c max_connections=200"
        data, log = str(self.folder / "data"), str(self.folder / "log")
        _run("pg_ctl", "--pgdata", data, "--log", log, "--wait", "-o", options, "start")

    def stop(self) -> None:
        """Ends the server as a crash does. A second call does nothing."""
        if (self.folder / "data/postmaster.pid").exists():
            _run("pg_ctl", "--pgdata", str(self.folder / "data"), "--mode", "immediate", "stop")

    def run(self, program: str, *arguments: str) -> None:
        _run(program, *arguments)


def _run(program: str, *arguments: str) -> None:
    path = str(programs.postgresql() / program)
    as_user = [] if os.getuid() else ["runuser", "-u", USER, "--"]
    finished = subprocess.run([*as_user, path, *arguments], capture_output=True, text=True, cwd="/", check=False)
    assert finished.returncode == 0, finished.stderr


@contextmanager
def postgres_server() -> Iterator[PostgresServer]:
    folder = Path("/tmp") / f"portus-postgres-{secrets.token_hex(4)}"  # a socket's path is short
    folder.mkdir(mode=0o700)
    try:
        if not os.getuid():
            owner = pwd.getpwnam(USER)
            os.chown(folder, owner.pw_uid, owner.pw_gid)
        data = folder / "data"
        _run("initdb", "--pgdata", str(data), "--username", USER, "--auth", "trust", "--no-sync", "--encoding=UTF8")
        # Everybody is let in, but for one user who needs a password.
        access = data / "pg_hba.conf"
        access.write_text(f"local all {WITH_PASSWORD} scram-sha-256\n{access.read_text()}")
        server = PostgresServer(folder)
        server.start()
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder)
