"""Connection profiles: what `[profiles.NAME]` of the user's configuration file says."""

import difflib
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Final, TypeAlias

MAX_TIMEOUT: Final = 86400

_FILES = frozenset({"ca_file", "certificate", "key", "token_file"})

# What TOML can hold, as far as it matters here.
Value: TypeAlias = object


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """How to reach one gateway. None is: the profile does not say. Files are absolute paths."""

    address: str | None = None
    timeout: float | None = None
    plaintext: bool | None = None
    ca_file: str | None = None
    certificate: str | None = None
    key: str | None = None
    token_file: str | None = None


def configuration_file() -> Path:
    """`portus-client/config.toml` in the folder that the XDG base directory specification names."""
    folder = Path(os.environ.get("XDG_CONFIG_HOME", ""))
    # The specification: a relative path is as if it were not set.
    return (folder if folder.is_absolute() else Path.home() / ".config") / "portus-client" / "config.toml"


def names() -> list[str]:
    """The profiles that there are. Raises `ValueError` where the file cannot be used."""
    return sorted(_profiles(configuration_file()))


def load(name: str) -> Profile:
    """Reads a profile. Raises `ValueError`, which names the file, where there is none or it has a mistake."""
    file = configuration_file()
    profiles = _profiles(file)
    if name not in profiles:
        there = f"it has: {', '.join(sorted(profiles))}" if profiles else "it has none"
        raise ValueError(f"{file} has no [profiles.{name}]; {there}")
    where = f"{file}: [profiles.{name}]"
    table = profiles[name]
    if not isinstance(table, dict):
        raise ValueError(f"{where} has to be a table")
    for key in sorted(table.keys() - _keys()):
        meant = difflib.get_close_matches(key, _keys(), 1)
        raise ValueError(f"{where} has {key!r}: {f'is {meant[0]} meant' if meant else f'there are {_listed()}'}")
    address, timeout, plaintext = table.get("address"), table.get("timeout"), table.get("plaintext")
    if address is not None and not isinstance(address, str):
        raise ValueError(f"{where}: address has to be a text")
    if plaintext is not None and not isinstance(plaintext, bool):
        raise ValueError(f"{where}: plaintext has to be true or false")
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
        raise ValueError(f"there is no {file}, where profiles are kept") from None
    except OSError as error:
        raise ValueError(f"{file}: {error.strerror}") from error
    except UnicodeDecodeError:
        raise ValueError(f"{file} is not UTF-8 text") from None
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{file} is not TOML: {error}") from None
    for key in sorted(document.keys() - {"profiles"}):
        raise ValueError(f"{file} has {key!r} at its top, where only [profiles.NAME] can stand")
    profiles: Value = document.get("profiles", {})
    if not isinstance(profiles, dict):
        raise ValueError(f"{file}: profiles has to be a table: [profiles.NAME]")
    return profiles


def _keys() -> list[str]:
    return [field.name for field in fields(Profile)]


def _listed() -> str:
    return ", ".join(_keys())


def _seconds(value: Value, where: str) -> float:
    # To Python, true is an int.
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= MAX_TIMEOUT:
        return float(value)
    raise ValueError(f"{where}: timeout has to be a number of seconds above 0, at most {MAX_TIMEOUT}")


def _path(value: Value, where: str, folder: Path) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError(f"{where} has to be the path of a file")
    return str(folder / Path(value).expanduser())
