"""The store of the index that the settings name: a part of the composition root."""

from collections.abc import Callable

from portus_gateway.index.sql_store import SqlStore
from portus_gateway.settings import POSTGRES_SCHEMES, InvalidSettings, Problem, Settings, store_path


def index_store(settings: Settings, index: str, *, keeps: bool) -> Callable[[], SqlStore]:
    """Makes the store that `index` names. `keeps`: this process keeps the index up to date.

    Raises `InvalidSettings` where the library for PostgreSQL is not installed.
    """
    registry = settings.registry_url
    # Each is loaded only where it is used.
    if index.startswith(POSTGRES_SCHEMES):
        try:
            from portus_gateway.index.postgres import PostgresStore
        except ModuleNotFoundError as error:
            if error.name != "asyncpg":
                raise
            raise InvalidSettings(
                [Problem("index", 'PostgreSQL needs asyncpg: pip install "portus-gateway[server,postgres]"')]
            ) from None
        return lambda: PostgresStore(index, registry, password_file=settings.index_password_file)
    from portus_gateway.index.sqlite import SqliteStore

    path = store_path(index)
    return lambda: SqliteStore(path, registry, keeps=keeps)
