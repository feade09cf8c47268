"""Names that the registry lists as tags but that are not valid tags."""

from collections.abc import Sequence
from typing import Final

SHOWN: Final = 10


def line(names: Sequence[str], count: int) -> str:
    """The message about `count` such names. `names` are at least the first of them."""
    shown = ", ".join(names[:SHOWN])
    more = f" and {count - SHOWN} more; --output json shows all" if count > SHOWN else ""
    what = (
        "1 tag has an invalid name and was left out"
        if count == 1
        else f"{count} tags have invalid names and were left out"
    )
    return f"{what}: {shown}{more}"
