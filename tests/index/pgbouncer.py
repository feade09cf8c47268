"""A PgBouncer of the tests' own in front of a PostgreSQL server of theirs: transactions share few sessions."""

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
from tests.index.postgres_server import USER, PostgresServer

SESSIONS = 3
"""How many sessions with PostgreSQL all clients of a database share."""

# Clients get another session for each transaction, and not the one that they had before.
_SETTINGS = """\
[databases]
* = host={server} user={user}

[pgbouncer]
listen_addr =
unix_socket_dir = {folder}
listen_port = 5432
auth_type = any
pool_mode = transaction
default_pool_size = {sessions}
server_round_robin = 1
server_idle_timeout = 1
max_client_conn = 200
log_connections = 0
log_disconnections = 0
log_stats = 0
logfile = {folder}/log
"""


@dataclass(frozen=True, slots=True)
class PgBouncer:
    """A pooler that runs. Clients connect over a socket in `folder`."""

    folder: Path
    server: PostgresServer

    def new_database(self) -> str:
        """The address of a new, empty database."""
        return self.server.new_database().replace(str(self.server.folder), str(self.folder))


@contextmanager
def pgbouncer(server: PostgresServer) -> Iterator[PgBouncer]:
    program = programs.pgbouncer()
    folder = Path("/tmp") / f"portus-pgbouncer-{secrets.token_hex(4)}"  # a socket's path is short
    folder.mkdir(mode=0o700)
    try:
        settings = folder / "pgbouncer.ini"
        settings.write_text(_SETTINGS.format(server=server.folder, folder=folder, user=USER, sessions=SESSIONS))
        as_user: list[str] = []
        if not os.getuid():
            # PgBouncer does not run as root.
            owner = pwd.getpwnam(USER)
            os.chown(folder, owner.pw_uid, owner.pw_gid)
            as_user = ["setpriv", f"--reuid={owner.pw_uid}", f"--regid={owner.pw_gid}", "--clear-groups", "--"]
        with subprocess.Popen(
            [*as_user, str(program), str(settings)],
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            cwd="/",
            text=True,
        ) as running:
            try:
                assert running.stderr is not None
                # It writes to its log and to standard error once it takes connections.
                started = ""
                for line in running.stderr:
                    started += line
                    if "process up" in line:
                        break
                else:
                    raise AssertionError(started)
                yield PgBouncer(folder, server)
            finally:
                running.terminate()
    finally:
        shutil.rmtree(folder)
