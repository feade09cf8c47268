"""Names that were suggested a short time ago, in the user's cache folder."""

import hashlib
import json
import os
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

# Seconds.
_LIFETIME: Final = 30.0


def load(key: str) -> list[str] | None:
    """The names that were stored under `key` within the last 30 seconds. None if there are none."""
    file = _file(key)
    try:
        if not 0 <= time.time() - file.stat().st_mtime < _LIFETIME:
            return None
        names = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        return None
    return names


def store(key: str, names: list[str]) -> None:
    """Stores the names, and removes those that are too old. Raises `OSError` if the folder cannot be written."""
    file = _file(key)
    # Others must not read which repositories there are.
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    for old in file.parent.glob("*.json"):
        with suppress(OSError):
            if time.time() - old.stat().st_mtime >= _LIFETIME:
                old.unlink()
    with tempfile.NamedTemporaryFile("w", dir=file.parent, suffix=".new", delete=False, encoding="utf-8") as new:
        json.dump(names, new)
    # Another completion at the same time reads either file, never half of one.
    Path(new.name).replace(file)


def _file(key: str) -> Path:
    folder = Path(os.environ.get("XDG_CACHE_HOME", ""))
    # The XDG base directory specification says to ignore a relative path.
    caches = folder if folder.is_absolute() else Path.home() / ".cache"
    return caches / "portus-client" / "completion" / f"{hashlib.sha256(key.encode()).hexdigest()}.json"
