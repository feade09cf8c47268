"""The request id: what a caller's error and our log have in common."""

import random
import re
from collections.abc import Iterable
from contextvars import ContextVar
from typing import Final

METADATA_KEY: Final = "x-request-id"

# The id of the call that is being served; empty outside of calls.
current: ContextVar[str] = ContextVar("request_id", default="")

_SANE = re.compile(r"[\x21-\x7e]{1,128}")


def accepted(metadata: Iterable[tuple[str, str | bytes]]) -> str:
    """The id that the caller sent, if it is 1 to 128 visible ASCII characters; else a new one."""
    for key, value in metadata:
        if key == METADATA_KEY:
            if isinstance(value, str) and _SANE.fullmatch(value):
                return value
            break
    # It tells calls apart, and is no secret: the system's own randomness takes far longer.
    return f"{random.getrandbits(128):032x}"
