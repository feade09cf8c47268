"""A pytest plugin that prints which tests are expected to pass over which kind of registry.

`python -m pytest tests/real --collect-only -q -p tests.real.outcomes` prints a line for each test and kind, as JSON.
"""

import json

import pytest

PREFIX = "outcome "


def pytest_collection_finish(session: pytest.Session) -> None:
    for item in session.items:
        if not isinstance(item, pytest.Function) or not hasattr(item, "callspec"):
            continue
        kind = getattr(item.callspec.params.get("kind"), "name", None)
        if kind is None:
            continue
        outcome = "–" if item.get_closest_marker("skip") else "yes"
        test = f"real/{item.path.name}::{item.originalname}"
        print(PREFIX + json.dumps([test, kind, outcome]))
