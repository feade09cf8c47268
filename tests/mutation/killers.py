"""Which test noticed each mutant of a module. A later run tries that test first."""

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from tests.mutation.mutants import Mutant


@dataclass(frozen=True, slots=True)
class Killers:
    """The tests by mutant, in `folder`. A trial, in its own process, leaves its test there in a file."""

    folder: Path
    tests: dict[str, str]
    kills: Counter[str]
    """How many mutants each test noticed, in this run or the one before."""

    @classmethod
    def read(cls, folder: Path) -> "Killers":
        """Those of earlier runs."""
        file = _file(folder)
        tests: dict[str, str] = json.loads(file.read_text()) if file.exists() else {}
        return cls(folder, tests, Counter(tests.values()))

    def of(self, mutant: Mutant) -> str | None:
        return self.tests.get(_name(mutant))

    def note_in_trial(self, test: str) -> None:
        self._noted.write_text(test)

    def note(self, mutant: Mutant) -> None:
        """Notes the test that the trial of the mutant has left. There is none if the process was ended."""
        before = self.tests.pop(_name(mutant), None)
        if before is not None:
            self.kills[before] -= 1
        if self._noted.exists():
            test = self._noted.read_text()
            self._noted.unlink()
            self.tests[_name(mutant)] = test
            self.kills[test] += 1

    def write(self) -> None:
        _file(self.folder).write_text(json.dumps(self.tests, indent=1))

    @property
    def _noted(self) -> Path:
        return self.folder / "killer"


def _file(folder: Path) -> Path:
    return folder / "killers.json"


def _name(mutant: Mutant) -> str:
    return f"{mutant.function}: {mutant.change}"
