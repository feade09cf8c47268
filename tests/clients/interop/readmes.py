"""The programs in the READMEs of the clients."""

import re
from collections.abc import Sequence
from pathlib import Path

from tests.clients.interop.programs import PROGRAMS, ROOT

DOCUMENTED = "127.0.0.1:50051"
_FENCES = {"go": "go", "typescript": "ts", "java": "java", "python": "python"}


def readme(language: str, address: str) -> str:
    """The README, with the address of the running gateway."""
    next(program for program in PROGRAMS if program.language == language).require()
    document = (ROOT / "clients" / language / "README.md").read_text(encoding="utf-8")
    assert DOCUMENTED in document
    return document.replace(DOCUMENTED, address)


def parts(language: str, address: str) -> list[str]:
    """The program that prints a manifest, and its continuations: about the image, with a delete, with a watch.

    In Python, each is a program of its own.
    """
    fence = _FENCES[language]
    return re.findall(rf"^```{fence}\n(.*?)^```$", readme(language, address), re.MULTILINE | re.DOTALL)


def go(get: str, continuations: Sequence[str], packages: Sequence[str]) -> str:
    """One program of all parts. `packages` are to be imported in addition."""
    imports = "".join(f'\t"{package}"\n' for package in sorted({"context", *packages}))
    return "".join((get.replace('\t"context"\n', imports).removesuffix("}\n"), *continuations, "}\n"))


def typescript(get: str, continuations: Sequence[str]) -> str:
    """One program of all parts."""
    closing = "client.close();\n"
    return "".join((get.removesuffix(closing), *continuations, closing))


def java(get: str, continuations: Sequence[str]) -> str:
    """One program of all parts."""
    imports = "".join(re.findall("^import .*\n", "".join(continuations), re.MULTILINE))
    statements = "".join(re.sub("^import .*\n", "", part, flags=re.MULTILINE) for part in continuations)
    closing = "    }\n  }\n}\n"
    main = "main(String[] arguments)"
    assert main in get
    return imports + get.replace(main, f"{main} throws IOException").removesuffix(closing) + statements + closing


def node_program(name: str) -> Path:
    """A file from which Node finds the package by its name, which it does in the package's own folder."""
    return ROOT / f"clients/typescript/dist/readme-{name}.mjs"
