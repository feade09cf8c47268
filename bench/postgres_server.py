"""A PostgreSQL server of the bench's own, on a socket in a folder, with the settings of a new installation."""

import asyncio
import os
import pwd
import secrets
import shutil
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.child_process import finished

# PostgreSQL does not run as root.
_USER: Final = "postgres"


@dataclass(frozen=True, slots=True)
class PostgresServer:
    """A server that runs. Clients connect over a socket in `folder`. `pid` is its first process."""

    folder: Path
    pid: int

    async def new_database(self) -> str:
        """The address of a new, empty database."""
        name = f"index_{secrets.token_hex(6)}"
        await _run("createdb", "--host", str(self.folder), "--template", "template0", name)
        return f"postgresql://{_USER}@/{name}?host={self.folder}"


@asynccontextmanager
async def postgres_server(settings: Mapping[str, str] = {}) -> AsyncGenerator[PostgresServer, None]:
    """Starts a server with `settings` in place of its defaults. Raises `FileNotFoundError`, which says what to do."""
    # The path of a socket must be short.
    folder = Path("/var/tmp") / f"portus-bench-{secrets.token_hex(4)}"  # noqa: S108
    folder.mkdir(mode=0o700)
    try:
        if not os.getuid():
            owner = pwd.getpwnam(_USER)
            os.chown(folder, owner.pw_uid, owner.pw_gid)
        data = folder / "data"
        await _run("initdb", "--pgdata", str(data), "--username", _USER, "--auth", "trust", "--encoding", "UTF8")
        given = {"listen_addresses": "", "unix_socket_directories": str(folder), **settings}
        options = " ".join(f"-c {name}='{value}'" for name, value in given.items())
        await _run("pg_ctl", "--pgdata", str(data), "--log", str(folder / "log"), "--wait", "-o", options, "start")
        try:
            yield PostgresServer(folder, int((data / "postmaster.pid").read_text().split()[0]))
        finally:
            await _run("pg_ctl", "--pgdata", str(data), "--mode", "fast", "stop")
    finally:
        await asyncio.to_thread(shutil.rmtree, folder)


async def _run(program: str, *arguments: str) -> None:
    as_user = [] if os.getuid() else ["runuser", "-u", _USER, "--"]
    made = await finished([*as_user, str(_installed(program)), *arguments], folder=Path("/"))
    if made.returncode:
        raise RuntimeError(f"{program} failed:\n{made.stdout.decode()}{made.stderr.decode()}")


def _installed(program: str) -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{program}"))
    if not found:
        raise FileNotFoundError(f"PostgreSQL's {program} is missing: run bench/install")
    return found[-1]
