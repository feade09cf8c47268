"""Reads JSON documents of an unknown shape."""

import json

from portus_gateway.devregistry.errors import Json


def parse_object(content: bytes) -> dict[str, Json]:
    """The JSON object. Raises `ValueError` for anything else."""
    document: Json = json.loads(content)
    if not isinstance(document, dict):
        raise ValueError("not a JSON object")
    return document


def text_of(value: Json) -> str:
    """The string; empty for anything else."""
    return value if isinstance(value, str) else ""


def object_of(value: Json) -> dict[str, Json]:
    """The object; empty for anything else."""
    return value if isinstance(value, dict) else {}


def objects_of(value: Json) -> list[dict[str, Json]]:
    """The objects in a list; none for anything else."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
