"""Quick imports: a command should answer at once."""

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quick_imports() -> Iterator[None]:
    """Speeds up imports in the block.

    Imports make many objects and hardly any garbage, so collections only cost time: about a tenth of it.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def load_structlog_without_rich() -> None:
    """Imports structlog without rich, which it would use for tracebacks in colour. That takes a tenth of the start."""
    if "structlog" in sys.modules or "rich" in sys.modules:
        return
    # An import of a module that is None fails, and structlog does without.
    sys.modules["rich"] = None  # type: ignore[assignment]
    try:
        import structlog  # noqa: F401
    finally:
        del sys.modules["rich"]
