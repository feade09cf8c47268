"""The documents name only what exists: links, files, tests, settings and make targets."""

import ast
import re
import subprocess
from functools import cache
from pathlib import Path

import pytest

from portus_gateway.access.rpcs import ALL
from portus_gateway.settings import Settings, variable_of

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted(
    line for line in subprocess.check_output(["git", "ls-files", "*.md"], cwd=ROOT, text=True).splitlines()
)
# A path such as `rpc/status.py` is relative to one of these, or to the folder of its document.
FOLDERS = (ROOT, ROOT / "server/portus_gateway", ROOT / "tests")
FENCED = re.compile(r"^ *```.*?^ *```", re.MULTILINE | re.DOTALL)
PATH_OF_SOURCE = re.compile(r"(?:[\w.-]+/)*[\w-]+\.(?:py|md|proto|yaml|svg|png)(?:::\w+)?|(?:[\w.-]+/)+")

every_document = pytest.mark.parametrize("document", DOCUMENTS)


@cache
def text_of(document: str) -> str:
    return (ROOT / document).read_text()


@cache
def anchors_in(path: Path) -> set[str]:
    """The anchors of a document's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", FENCED.sub("", path.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}


@cache
def functions_in(path: Path) -> set[str]:
    tree = ast.parse(path.read_text())
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def inline_code(document: str) -> list[str]:
    return re.findall(r"`([^`\n]+)`", FENCED.sub("", text_of(document)))


def exists(document: str, named: str) -> bool:
    file, _, function = named.partition("::")
    for folder in ((ROOT / document).parent, *FOLDERS):
        if (folder / file).exists():
            return not function or function in functions_in(folder / file)
    return False


def test_there_are_documents() -> None:
    assert {"README.md", "docs/security.md"} <= set(DOCUMENTS)


@every_document
def test_every_link_leads_to_a_file_and_a_heading(document: str) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", FENCED.sub("", text_of(document))):
        if re.match(r"https?://", link):
            continue
        file, _, anchor = link.partition("#")
        target = (ROOT / document).parent / file if file else ROOT / document
        assert target.exists(), link
        assert not anchor or anchor in anchors_in(target), link


@every_document
def test_every_named_file_and_test_exists(document: str) -> None:
    named = [code for code in inline_code(document) if PATH_OF_SOURCE.fullmatch(code)]
    assert [path for path in named if not exists(document, path)] == []


@pytest.mark.parametrize("document", [document for document in DOCUMENTS if not document.startswith("clients/")])
def test_every_named_variable_is_a_setting(document: str) -> None:
    # The Python client's own variables begin with PORTUS_GATEWAY_.
    named = set(re.findall(r"\bPORTUS_(?!GATEWAY_)[A-Z_]*[A-Z]\b", text_of(document)))
    assert named - {variable_of(name) for name in Settings.model_fields} == set()


@every_document
def test_every_named_make_target_exists(document: str) -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    code = [*inline_code(document), *"\n".join(FENCED.findall(text_of(document))).splitlines()]
    named = {target for line in code for target in re.findall(r"^\W*make ([a-z-]+)", line)}
    assert named - targets == set()


def test_the_design_says_where_each_rpc_is() -> None:
    table = text_of("docs/design.md").partition("### Where an RPC is")[2].partition("## ")[0]
    rows = re.findall(r"^\| ([A-Z]\w+(?:, \w+)*) \|", table, re.MULTILINE)
    assert sorted(rpc for row in rows for rpc in row.split(", ") if rpc != "RPC") == sorted(ALL)
