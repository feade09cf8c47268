"""What is certain about a large JSON document without parsing it.

Anybody who may push can write one. To parse 4 MiB of it can take a second, in which no other call is served.
"""

from collections.abc import Iterable
from typing import Final

LARGE: Final = 64 * 1024
"""The size in bytes of a document that is not read. Real manifests and configurations are smaller."""


def may_be_object(raw: bytes) -> bool:
    """Whether `raw` may be a JSON object. If not, it is certainly none."""
    return raw.lstrip().startswith(b"{")


def may_have_member(raw: bytes, names: Iterable[str]) -> bool:
    """Whether a JSON object may have a member with one of these names in any case, at any depth.

    If not, it certainly has none. Escapes and characters that are not ASCII may stand for any name.
    """
    if not raw.isascii() or b"\\" in raw:
        return True
    lower_case = raw.lower()
    return any(name.encode() in lower_case for name in names)
