"""The schemas of the stores: numbered SQL files, each applied once and never changed afterwards."""

from importlib.resources import files

from portus_gateway.index.errors import StoreUnusable


def migrations(dialect: str) -> list[list[str]]:
    """The statements of each migration, in order. The first one makes version 1 of the schema."""
    folder = files(__package__).joinpath(dialect)
    found = sorted((each for each in folder.iterdir() if each.name.endswith(".sql")), key=lambda each: each.name)
    return [_statements(each.read_text(encoding="utf-8")) for each in found]


def check_version(version: int, known: int) -> None:
    """Raises `StoreUnusable` for a schema of a newer gateway."""
    if version > known:
        raise StoreUnusable(
            f"the store has version {version} of the schema, and this gateway knows versions up to {known}: use the"
            " newer gateway again, or give this one a store of its own"
        )


def _statements(script: str) -> list[str]:
    lines = [line for line in script.splitlines() if not line.startswith("--")]
    return [statement.strip() for statement in "\n".join(lines).split(";\n") if statement.strip(" \n;")]
