"""What is disrupted on purpose, so that the checks know what cannot be expected meanwhile."""

from collections.abc import Iterator
from contextlib import contextmanager


class Disruptions:
    """Counts when a store or a gateway is disrupted, and when that ends."""

    def __init__(self) -> None:
        self.count = 0
        self._now = 0

    @contextmanager
    def one(self) -> Iterator[None]:
        """Something is disrupted while the block runs."""
        self.count += 1
        self._now += 1
        try:
            yield
        finally:
            self._now -= 1
            self.count += 1

    def none_since(self, count: int) -> bool:
        """Whether nothing was disrupted since `count` was this, and nothing is now."""
        return self._now == 0 and self.count == count
