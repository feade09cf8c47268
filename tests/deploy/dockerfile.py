"""The Dockerfile, read."""

import json
import re
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Instruction:
    name: str
    arguments: str

    def words(self) -> list[str]:
        """The arguments in exec form: a JSON list."""
        words = json.loads(self.arguments)
        assert isinstance(words, list)
        return [str(word) for word in words]


def stages(path: Path) -> list[list[Instruction]]:
    """The instructions of each stage, from its FROM on."""
    text = re.sub(r"^\s*#.*\n", "", path.read_text(), flags=re.MULTILINE)
    found: list[list[Instruction]] = []
    for line in re.sub(r"\\\n\s*", "", text).splitlines():
        if not line.strip():
            continue
        name, _, arguments = line.partition(" ")
        if name == "FROM":
            found.append([])
        if found:
            found[-1].append(Instruction(name, arguments.strip()))
    return found


def last(stage: list[Instruction], name: str) -> Instruction:
    """The instruction that counts, where a later one replaces an earlier one."""
    return [instruction for instruction in stage if instruction.name == name][-1]
