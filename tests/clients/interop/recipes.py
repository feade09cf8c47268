"""The commands in a document and their output: reads, runs and rewrites them."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.clients.interop.programs import run

_FENCE = re.compile(r"(?<=^```console\n)(?P<body>.*?)(?=^```$)", re.MULTILINE | re.DOTALL)
_MARK = "=====8<====="


@dataclass(frozen=True, slots=True)
class Recipe:
    """A command (a line that begins with `$ `) and the output below it."""

    command: str
    output: str


def read(document: str) -> list[Recipe]:
    """All recipes, in their order."""
    recipes = []
    for body in _FENCE.findall(document):
        for command, output in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", body, re.MULTILINE):
            recipes.append(Recipe(command, output))
    return recipes


def write(document: str, recipes: list[Recipe]) -> str:
    """The document with these outputs below its commands."""
    outputs = iter(recipes)

    def block(match: re.Match[str]) -> str:
        commands = re.findall(r"^\$ (.*)\n", match["body"], re.MULTILINE)
        return "".join(f"$ {command}\n{next(outputs).output}" for command in commands)

    return _FENCE.sub(block, document)


def execute(
    recipes: list[Recipe], folder: Path, addresses: Mapping[str, str], variables: Mapping[str, str]
) -> list[Recipe]:
    """Runs the commands in one shell, in `folder`, and returns them with their output.

    `addresses` are the real addresses of those in the document.
    """
    script = "".join(f"{{ {recipe.command}\n}} 2>&1; echo '{_MARK}'\n" for recipe in recipes)
    for documented, real in addresses.items():
        script = script.replace(documented, real)
    outcome = run(["bash", "-c", script], variables, folder)
    text = outcome.output
    for documented, real in addresses.items():
        text = text.replace(real, documented)
    # Some outputs have no newline at the end.
    outputs = [part.removeprefix("\n") for part in text.split(_MARK)][:-1]
    return [
        Recipe(recipe.command, output if not output or output.endswith("\n") else output + "\n")
        for recipe, output in zip(recipes, outputs, strict=True)
    ]
