"""Completion in bash of words that contain `:` or `@`, such as names of images.

Bash splits words at these characters (COMP_WORDBREAKS), and replaces only the part after the last one. click does not
know this: for `manifest team/app:1` it would complete the word `1`.
"""

import os
from typing import Final

from click.shell_completion import BashComplete, CompletionItem, add_completion_class, split_arg_string

_BREAKS: Final = frozenset(":@")


class WholeWords(BashComplete):
    """Puts the parts of a word together, and suggests what comes after the part that bash keeps."""

    _kept = 0

    def get_completion_args(self) -> tuple[list[str], str]:
        """The whole words before the cursor, and the word at it."""
        parts = split_arg_string(os.environ["COMP_WORDS"])
        current = int(os.environ["COMP_CWORD"])
        words: list[str] = []
        joined = False
        for part in parts[1 : current + 1]:
            is_break = _BREAKS.issuperset(part)
            if words and (is_break or joined):
                words[-1] += part
            else:
                words.append(part)
            joined = is_break
        if current >= len(parts) and not joined:
            return words, ""
        *before, incomplete = words or [""]
        last = parts[current] if current < len(parts) else ""
        self._kept = len(incomplete) - (0 if _BREAKS.issuperset(last) else len(last))
        return before, incomplete

    def format_completion(self, item: "CompletionItem") -> str:
        """The part of the word that bash replaces."""
        return f"{item.type},{str(item.value)[self._kept :]}"


def install() -> None:
    """Replaces click's own completion for bash."""
    add_completion_class(WholeWords)
