from pathlib import Path
from typing import Final

import pytest
from hypothesis import HealthCheck, settings

# How fast an example runs says how busy the machine is, and nothing about the code.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")

_HERE: Final = Path(__file__).parent
# What takes longest begins first. Otherwise one processor would be left alone with it at the end.
_LONGEST_FIRST: Final = tuple(
    _HERE / name
    for name in (
        "clients/python/test_versions.py",
        "convergence",
        "real",
        "model",
        "e2e",
        "attack",
        "deploy",
        "conformance",
        "workers",
        "examples",
        "clients",
    )
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=_turn)


def _turn(item: pytest.Item) -> int:
    """When a test begins, beside others. Tests of one file stay together, in their order."""
    for turn, path in enumerate(_LONGEST_FIRST):
        if item.path.is_relative_to(path):
            return turn
    return len(_LONGEST_FIRST)
