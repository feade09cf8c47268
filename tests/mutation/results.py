"""The last run of each module: `results.toml`. What is unchanged since then, with its tests, is passed over."""

import hashlib
import tomllib
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self


@dataclass(frozen=True, slots=True)
class Result:
    """How many mutants there were, and what became of them. Nothing was left to mend."""

    mutants: int
    killed: int
    timed_out: int
    listed: int
    """Those that `survivors.toml` names."""
    of: str
    """The `fingerprint` of what was tried."""


@dataclass(frozen=True, slots=True)
class Results:
    path: Path
    by_module: dict[str, Result]

    @classmethod
    def read(cls, path: Path) -> Self:
        tables = tomllib.loads(path.read_text())
        return cls(path, {module: Result(**table) for module, table in tables.items()})

    def is_known(self, module: str, fingerprint: str) -> bool:
        found = self.by_module.get(module)
        return found is not None and found.of == fingerprint

    def note(self, module: str, result: Result) -> None:
        self._read_again()
        self.by_module[module] = result
        self.write()

    def forget(self, module: str) -> None:
        self._read_again()
        if self.by_module.pop(module, None) is not None:
            self.write()

    def _read_again(self) -> None:
        # Another run, of other modules, may have written meanwhile.
        self.by_module.clear()
        self.by_module.update(self.read(self.path).by_module)

    def write(self) -> None:
        head = self.path.read_text().partition("\n\n")[0].rstrip()
        lines = [f'"{module}" = {_table(result)}' for module, result in sorted(self.by_module.items())]
        self.path.write_text("\n".join([head, "", *lines, ""]))


def fingerprint(files: Iterable[Path], accepted: Iterable[tuple[str, str]]) -> str:
    """Says whether one of these files has changed, or which mutants may survive."""
    content = hashlib.sha256()
    for file in files:
        content.update(hashlib.sha256(file.read_bytes()).digest())
    content.update(repr(sorted(accepted)).encode())
    return content.hexdigest()[:16]


def _table(result: Result) -> str:
    fields = (
        f'{name} = "{value}"' if isinstance(value, str) else f"{name} = {value}"
        for name, value in asdict(result).items()
    )
    return f"{{ {', '.join(fields)} }}"
