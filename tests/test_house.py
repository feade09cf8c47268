"""The order of the packages: each may import what stands to its right, and nothing else of ours.

cli → workers → app → telemetry → rpc → operations → {registry, index} → access → distribution → aio
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "server/portus_gateway"

# Leaves, which import nothing of ours, and which everybody may use.
LEAVES = frozenset({"__init__", "errors", "listen_address"})
# From the outside to the inside. Those of one row do not import one another.
ROWS = (
    ("__main__",),
    ("cli",),
    ("workers",),
    ("app",),
    ("access_control", "process"),
    ("reloading",),
    ("telemetry",),
    ("settings",),
    ("setting_types",),
    ("rpc",),
    ("operations",),
    ("registry", "index"),
    ("access",),
    ("distribution",),
    ("aio",),
)
RANKS = {name: rank for rank, row in enumerate(ROWS) for name in row}
# The registry in memory stands beside the house: `cli` starts it, and tests use it.
BESIDE = "devregistry"
MOST_AT_THE_TOP = 10


def part_of(module: str) -> str:
    """The package or top-level module that a dotted name such as `portus_gateway.rpc.status` belongs to."""
    return module.split(".")[1] if "." in module else "__init__"


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] == "portus_gateway")
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            if node.module == "portus_gateway":
                yield from (f"portus_gateway.{alias.name}" for alias in node.names)
            elif node.module.startswith("portus_gateway."):
                yield node.module


def parts() -> list[str]:
    return sorted({path.relative_to(PACKAGE).parts[0].removesuffix(".py") for path in PACKAGE.rglob("*.py")})


def imports_of(part: str) -> set[str]:
    folder = PACKAGE / part
    files = folder.rglob("*.py") if folder.is_dir() else [PACKAGE / f"{part}.py"]
    found = {part_of(module) for path in files for module in imported(path)}
    # `from portus_gateway import __version__` names what is in the package itself.
    return {name if name in {*parts(), *RANKS} else "__init__" for name in found} - {part}


def test_every_package_has_its_place() -> None:
    assert set(parts()) - LEAVES - {BESIDE} <= set(RANKS)


@pytest.mark.parametrize("part", [part for part in parts() if part not in LEAVES and part != BESIDE])
def test_imports_go_one_way(part: str) -> None:
    wrong = {
        other
        for other in imports_of(part) - LEAVES
        if (part != "cli" if other == BESIDE else RANKS[other] <= RANKS[part])
    }
    assert wrong == set(), f"{part} must not import {', '.join(sorted(wrong))}"


@pytest.mark.parametrize("leaf", sorted(LEAVES))
def test_leaves_import_nothing_of_ours(leaf: str) -> None:
    assert imports_of(leaf) == set()


def test_the_distribution_client_is_a_library_of_its_own() -> None:
    assert imports_of("distribution") <= {"aio", "errors"}


def test_the_registry_in_memory_knows_nothing_of_the_gateway() -> None:
    assert imports_of(BESIDE) <= LEAVES | {"aio"}


def test_the_top_is_small() -> None:
    assert len(list(PACKAGE.glob("*.py"))) <= MOST_AT_THE_TOP
