"""Batches of deletes in which each look at the tags is old at once."""

from functools import partial
from itertools import count
from types import SimpleNamespace

import pytest

from portus_gateway.operations import batch_deletion


@pytest.fixture
def old_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten seconds pass each time somebody asks for the time."""
    monkeypatch.setattr(batch_deletion, "time", SimpleNamespace(monotonic=partial(next, count(step=10))))
