"""The templates of `--format`: `{tag} {digest:.19}`."""

import re
import string
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, Self

from portus_client.cli import exact_json
from portus_client.cli.exact_json import ExactJson, Number, Object
from portus_client.cli.terminal import printable

# What stands for a field that a result does not have.
_NONE: Final = "-"
# A name, and then names after dots or in brackets. A name in brackets can contain dots.
_PATH: Final = re.compile(r"([a-zA-Z_][\w-]*)((?:\.[\w-]+|\[[^\[\]]+\])*)", re.ASCII)
_STEP: Final = re.compile(r"\.([\w-]+)|\[([^\[\]]+)\]", re.ASCII)
# Alignment with a fill character, width, and maximum length. Three digits, so that no line fills the memory.
_SPECIFICATION: Final = re.compile(r"(?:.?[<>^])?(?:[1-9]\d{0,2})?(?:\.\d{1,3})?")
_ESCAPES: Final = {r"\t": "\t", r"\n": "\n", r"\\": "\\"}


@dataclass(frozen=True, slots=True)
class _Field:
    """A field, and how it is laid out."""

    path: tuple[str, ...]
    specification: str


@dataclass(slots=True)
class Template:
    """A template. It notes which fields results had, for a message about one that no result has."""

    parts: tuple[str | _Field, ...]
    known: dict[str, None] = field(default_factory=dict)
    """The names of the fields that results had."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Reads a template. Raises `ValueError` with what is wrong."""
        parts: list[str | _Field] = []
        try:
            pieces = list(string.Formatter().parse(re.sub(r"\\[tn\\]", lambda found: _ESCAPES[found[0]], text)))
        except ValueError as error:
            raise ValueError(f"{error}: write {{{{ and }}}} for braces that are no field") from None
        for literal, name, specification, conversion in pieces:
            if literal:
                parts.append(literal)
            if name is None:
                continue
            found = _PATH.fullmatch(name)
            if found is None:
                raise ValueError(
                    f"{{{name}}} is not a field: write a name such as {{digest}}, {{platform.os}} or {{tags[0]}}"
                )
            if conversion is not None or not _SPECIFICATION.fullmatch(specification or ""):
                raise ValueError(
                    f"{{{name}}} can be followed by an alignment, a width and a length only: {{{name}:<20.12}}"
                )
            steps = (dotted or bracketed for dotted, bracketed in _STEP.findall(found[2]))
            parts.append(_Field((found[1], *steps), specification or ""))
        if not any(isinstance(part, _Field) for part in parts):
            raise ValueError(
                f"{text!r} has no field: write a name in braces, such as {{digest}}; for JSON, give --output json"
            )
        return cls(tuple(parts))

    def line(self, result: Object) -> str:
        """The text for one result. A field that it does not have, or that is null, is `-`."""
        self.known.update(dict.fromkeys(name for name, _ in result.members))
        return "".join(
            part if isinstance(part, str) else format(_text(_value(result, part.path)), part.specification)
            for part in self.parts
        )

    def unknown(self) -> Iterator[str]:
        """The names of fields that no result had. Nothing, if there was no result."""
        if self.known:
            named = dict.fromkeys(part.path[0] for part in self.parts if isinstance(part, _Field))
            yield from (name for name in named if name not in self.known)


def _value(result: ExactJson, path: tuple[str, ...]) -> ExactJson:
    value = result
    for step in path:
        if isinstance(value, Object):
            # JSON allows a key twice. Programs that read it take the last one.
            value = dict(value.members).get(step)
        elif isinstance(value, list) and step.isdecimal() and len(step) < 10 and int(step) < len(value):
            value = value[int(step)]
        else:
            return None
    return value


def _text(value: ExactJson) -> str:
    match value:
        case None:
            return _NONE
        case str():
            return printable(value)
        case Number(text):
            return text
        case list() if all(isinstance(item, str | Number) for item in value):
            return " ".join(map(_text, value)) or _NONE
        case _:
            # Objects and truth values.
            return printable(exact_json.compact(value))
