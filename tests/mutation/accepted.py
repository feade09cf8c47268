"""The mutants that may survive, each with its reason: `survivors.toml`."""

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from tests.mutation.mutants import Mutant


@dataclass(frozen=True, slots=True)
class Accepted:
    """The function and the change of each mutant that may survive, by module."""

    changes: dict[str, frozenset[tuple[str, str]]]
    sometimes: frozenset[tuple[str, str]]
    """Those that a test may notice on a busy machine, because it is about time."""

    @classmethod
    def read(cls, path: Path) -> Self:
        """Raises `ValueError` for an entry without a reason."""
        changes: dict[str, frozenset[tuple[str, str]]] = {}
        sometimes: set[tuple[str, str]] = set()
        for module, entries in tomllib.loads(path.read_text()).items():
            for entry in entries:
                if not entry["reason"].strip():
                    raise ValueError(f"{path.name}: {module}: {entry['function']}: there is no reason")
                if entry.get("sometimes"):
                    sometimes.update((entry["function"], change) for change in entry["changes"])
            changes[module] = frozenset((entry["function"], change) for entry in entries for change in entry["changes"])
        return cls(changes, frozenset(sometimes))

    def includes(self, module: str, mutant: Mutant) -> bool:
        return (mutant.function, mutant.change) in self.changes.get(module, ())

    def not_among(self, module: str, survivors: list[Mutant]) -> list[str]:
        """The entries of `module` that name none of `survivors`: they are out of date."""
        names = {(mutant.function, mutant.change) for mutant in survivors}
        outdated = self.changes.get(module, frozenset()) - names - self.sometimes
        return [f"{function}: {change}" for function, change in sorted(outdated)]
