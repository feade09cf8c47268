"""The `Link` field: where a listing goes on (RFC 8288)."""

import re
from collections.abc import Iterable

_SEPARATORS = re.compile(r"[ \t,]*")
_TARGET = re.compile(r"<([^<>]*)>")
_PARAMETER = re.compile(
    r"""[ \t]*;[ \t]*
        (?P<name>[!#$%&'*+\-.^_`|~0-9A-Za-z]*)
        (?:[ \t]*=[ \t]*(?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<plain>[^\s,;"]*)))?""",
    re.VERBOSE | re.DOTALL,
)


def next_target(fields: Iterable[str]) -> str | None:
    """The target of the first link whose relation types include `next`, as it was written; None without one.

    What cannot be read as a link ends the reading of its field, as RFC 8288 (appendix B) has it.
    """
    for field in fields:
        at = 0
        while True:
            at = _end(_SEPARATORS, field, at)
            target = _TARGET.match(field, at)
            if target is None:
                break
            at = target.end()
            relation: str | None = None
            while parameter := _PARAMETER.match(field, at):
                at = parameter.end()
                if relation is None and parameter["name"].lower() == "rel":
                    relation = parameter["quoted"] if parameter["quoted"] is not None else parameter["plain"]
            if relation is not None and "next" in relation.lower().split():
                return target.group(1).strip()
    return None


def _end(pattern: re.Pattern[str], text: str, at: int) -> int:
    match = pattern.match(text, at)
    return match.end() if match else at
