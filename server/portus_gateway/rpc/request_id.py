"""The request id, which a caller's error and the gateway's log have in common."""

import random
import re
from collections.abc import Iterable
from typing import Final

METADATA_KEY: Final = "x-request-id"

_VALID = re.compile(r"[\x21-\x7e]{1,128}")


def accepted(metadata: Iterable[tuple[str, str | bytes]]) -> str:
    """The id that the caller sent, if it has 1 to 128 visible ASCII characters; otherwise a new one."""
    for key, value in metadata:
        if key == METADATA_KEY:
            if isinstance(value, str) and _VALID.fullmatch(value):
                return value
            break
    # Not a secret: it only tells calls apart. The system's randomness takes much longer.
    return f"{random.getrandbits(128):032x}"
