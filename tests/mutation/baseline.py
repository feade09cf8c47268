"""What the tests do with a module as it is."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from tests.mutation.executed_lines import ExecutedLines

# Where very many tests run a line, the mirrored file has to notice, or the quick ones among the others.
_MOST_SECONDS = 40.0
_MOST_SECONDS_IF_IT_MAY_SURVIVE = 5.0
# A change can make a loop endless. On a busy machine tests take some times as long as they took before.
_SECONDS_BESIDE = 6
# What a trial takes beside its tests.
_SECONDS_OF_A_TRIAL = 0.1


@dataclass(frozen=True, slots=True)
class Baseline:
    """Which test runs which lines, and how long it takes. Lines that run at import concern every test."""

    mirror: str
    at_import: frozenset[int]
    lines: Mapping[str, frozenset[int]]
    seconds: Mapping[str, float]
    repeats: Mapping[str, int]
    """How many tests before it are the same test with other parameters."""

    def runs_at_import(self, first: int, last: int) -> bool:
        return not self.at_import.isdisjoint(range(first, last + 1))

    def tests_of(
        self,
        first: int,
        last: int,
        kills: Mapping[str, int],
        killer: str | None = None,
        *,
        may_survive: bool,
    ) -> list[str]:
        """The tests that can notice a change of these lines, the most promising first.

        These are `killer`, which noticed it in an earlier run, and the tests that ran the lines. Those that noticed
        most other changes for their time (`kills`) come first, then each test with one set of parameters, then with the
        others; of these, the mirrored file and quick tests first. Last come all other tests of the mirrored file: what
        runs on threads that are not Python's own, such as the TLS handshakes of gRPC, was not seen.

        A mutant that `may_survive` has fewer: they only show that its entry may be out of date.
        """
        wanted = set(range(first, last + 1))
        always = self.runs_at_import(first, last)

        def rank(test: str) -> tuple[bool, bool, float, bool, bool, int, float]:
            return (
                test != killer,
                not (always or wanted & self.lines[test]),
                -kills.get(test, 0) / (self.seconds[test] + _SECONDS_OF_A_TRIAL),
                self.repeats[test] > 0,
                not self._is_mirrored(test),
                self.repeats[test],
                self.seconds[test],
            )

        most = _MOST_SECONDS_IF_IT_MAY_SURVIVE if may_survive else _MOST_SECONDS
        chosen: list[str] = []
        for test in sorted(self.lines, key=rank):
            was_seen = always or wanted & self.lines[test]
            if not was_seen and not self._is_mirrored(test) and test != killer:
                continue
            must_be_tried = was_seen and self._is_mirrored(test) and not may_survive
            if must_be_tried or not chosen or sum(map(self.seconds.__getitem__, [*chosen, test])) <= most:
                chosen.append(test)
        return chosen

    def _is_mirrored(self, test: str) -> bool:
        return test.startswith(f"{self.mirror}::")

    def time_for(self, tests: list[str]) -> float:
        """The seconds after which a trial with `tests` is ended."""
        return _SECONDS_BESIDE + 4 * sum(self.seconds[test] for test in tests)

    @classmethod
    def read(cls, mirror: str, path: Path) -> Self:
        at_import, lines, seconds = json.loads(path.read_text())
        ran_by = {test: frozenset(ran) for test, ran in lines.items()}
        return cls(mirror, frozenset(at_import), ran_by, seconds, _repeats(ran_by))


def _repeats(tests: Iterable[str]) -> dict[str, int]:
    seen: Counter[str] = Counter()
    repeats = {}
    for test in tests:
        function = test.partition("[")[0]
        repeats[test] = seen[function]
        seen[function] += 1
    return repeats


def write(executed: ExecutedLines, path: Path) -> None:
    lines = {test: sorted(ran) for test, ran in executed.lines.items()}
    path.write_text(json.dumps([sorted(executed.at_import), lines, executed.seconds]))
