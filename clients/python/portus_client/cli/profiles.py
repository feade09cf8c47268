"""Connection profiles: the tables `[profiles.NAME]` in the user's configuration file."""

import difflib
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Final, TypeAlias

MAX_TIMEOUT: Final = 86400

_FILES = frozenset({"ca_file", "certificate", "key", "token_file"})

# The values of TOML have no narrower common type here.
Value: TypeAlias = object


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """The connection to one gateway. None means not set. File names are absolute."""

    address: str | None = None
    timeout: float | None = None
    plaintext: bool | None = None
    ca_file: str | None = None
    certificate: str | None = None
    key: str | None = None
    token_file: str | None = None


def configuration_file() -> Path:
    """`portus-client/config.toml` in the folder of the XDG base directory specification."""
    folder = Path(os.environ.get("XDG_CONFIG_HOME", ""))
    # The specification says to ignore a relative path.
    return (folder if folder.is_absolute() else Path.home() / ".config") / "portus-client" / "config.toml"


def names() -> list[str]:
    """The names of all profiles. Raises `ValueError` if the file cannot be used."""
    return sorted(_profiles(configuration_file()))


def load(name: str) -> Profile:
    """Reads a profile. Raises `ValueError` with the file's name if the profile is missing or invalid."""
    file = configuration_file()
    profiles = _profiles(file)
    if name not in profiles:
        available = f"it has {', '.join(sorted(profiles))}" if profiles else "it has no profiles"
        raise ValueError(f"{file} has no [profiles.{name}]; {available}")
    where = f"{file}: [profiles.{name}]"
    table = profiles[name]
    if not isinstance(table, dict):
        raise ValueError(f"{where} must be a table")
    for key in sorted(table.keys() - _keys()):
        similar = difflib.get_close_matches(key, _keys(), 1)
        hint = f"did you mean {similar[0]}?" if similar else f"the keys are {', '.join(_keys())}"
        raise ValueError(f"{where} has an unknown key {key!r}: {hint}")
    address, timeout, plaintext = table.get("address"), table.get("timeout"), table.get("plaintext")
    if address is not None and not isinstance(address, str):
        raise ValueError(f"{where}: address must be a string")
    if plaintext is not None and not isinstance(plaintext, bool):
        raise ValueError(f"{where}: plaintext must be true or false")
    return Profile(
        address=address,
        timeout=None if timeout is None else _seconds(timeout, where),
        plaintext=plaintext,
        **{key: _path(table[key], f"{where}: {key}", file.parent) for key in _FILES & table.keys()},
    )


def _profiles(file: Path) -> Mapping[str, Value]:
    try:
        document = tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(f"the configuration file {file} does not exist") from None
    except OSError as error:
        raise ValueError(f"{file}: {error.strerror}") from error
    except UnicodeDecodeError:
        raise ValueError(f"{file} is not UTF-8 text") from None
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{file} is not valid TOML: {error}") from None
    for key in sorted(document.keys() - {"profiles"}):
        raise ValueError(f"{file} has an unknown key {key!r}: only tables [profiles.NAME] are allowed")
    profiles: Value = document.get("profiles", {})
    if not isinstance(profiles, dict):
        raise ValueError(f"{file}: profiles must be tables: [profiles.NAME]")
    return profiles


def _keys() -> list[str]:
    return [field.name for field in fields(Profile)]


def _seconds(value: Value, where: str) -> float:
    # In Python, a bool is an int.
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= MAX_TIMEOUT:
        return float(value)
    raise ValueError(f"{where}: timeout must be a number of seconds above 0 and at most {MAX_TIMEOUT}")


def _path(value: Value, where: str, folder: Path) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError(f"{where} must be the name of a file")
    return str(folder / Path(value).expanduser())
