"""Addresses of stores: `sqlite:///var/lib/portus/index.db`, `postgresql://user@host/database`."""

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from portus_gateway.index.sql_store import SqlStore

_POSTGRES_SCHEMES: Final = ("postgresql://", "postgres://")


def is_postgres(address: str) -> bool:
    """Whether the address is that of a PostgreSQL database."""
    return address.startswith(_POSTGRES_SCHEMES)


def has_postgres_library() -> bool:
    return find_spec("asyncpg") is not None


def sqlite_path(address: str) -> Path:
    """The file of a SQLite store. Raises `ValueError` if the address names none."""
    path = address.removeprefix("sqlite://")
    if path == address or not path.startswith("/") or path.endswith("/"):
        raise ValueError(
            "must be sqlite:// and the absolute path of a file, such as sqlite:///var/lib/portus/index.db, or"
            " postgresql://user@host/database"
        )
    return Path(path)


def store_at(address: str, registry: str, *, password_file: Path | None, keeps: bool) -> "Callable[[], SqlStore]":
    """Makes the store of the index of `registry`. `keeps`: this process keeps the index up to date."""
    # Each is loaded only where it is used.
    if is_postgres(address):
        from portus_gateway.index.postgres import PostgresStore

        return lambda: PostgresStore(address, registry, password_file=password_file)
    from portus_gateway.index.sqlite import SqliteStore

    path = sqlite_path(address)
    return lambda: SqliteStore(path, registry, keeps=keeps)
