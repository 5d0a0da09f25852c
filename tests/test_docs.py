"""README, CONTRIBUTING and the packages' docstrings name files that exist, and the README's tree shows every folder."""

from __future__ import annotations

import ast
import re

import pytest

from pipeline.cli import gristmill as group
from tests.conftest import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```\w*\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
TREE = next(block for block in BLOCKS if "├─ cli.py" in block)
PLACEHOLDER = re.compile(r"NAME|FAMILY|FOLDER|OUT/")


def tree_paths() -> list[str]:
    """Paths of the README's tree, folders with a slash at their end."""
    paths, package = [], ""
    for line in TREE.splitlines():
        name = re.match(r"(?:[├└]─ )?([\w./-]+)", line)[1]
        if line[0] in "├└":
            paths.append(package + name)
        else:
            package = name
            paths.append(name)
    return paths


def test_the_tree_names_what_exists():
    assert [path for path in tree_paths() if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("package", ["pipeline", "classifiers", "trainer"])
def test_the_tree_shows_every_folder_of_a_package(package):
    folders = {f"{package}/{path.name}/" for path in (ROOT / package).iterdir() if path.is_dir()}
    folders -= {f"{package}/__pycache__/"}
    assert folders - set(tree_paths()) == set()


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md", "deploy/README.md", "classifiers/README.md"])
def test_a_document_names_files_that_exist(document):
    text = (ROOT / document).read_text(encoding="utf-8")
    named = re.findall(r"`((?:pipeline|classifiers|trainer|deploy|tests|\.ci)/[\w./-]*)`", text)
    assert [path for path in named if not PLACEHOLDER.search(path) and not (ROOT / path).exists()] == []


def promises() -> list[tuple[str, list[str]]]:
    """The rows of the README's table of promises, each with what holds it."""
    table = README.partition("## Promises, and what holds them")[2].partition("\n\n")[2].partition("\n\n")[0]
    rows = [line.strip("| ").split(" | ") for line in table.splitlines()[2:]]
    return [(promise, re.findall(r"`([^`]+)`", holds)) for promise, holds in rows]


def exists(named: str) -> bool:
    """Whether there is such a test, target of `make` or command."""
    kind, _, rest = named.partition(" ")
    if kind == "make":
        return bool(re.search(rf"^{re.escape(rest)}:", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    if kind == "gristmill":
        return rest in group.commands
    path, _, name = named.partition("::")
    functions = (node.name for node in ast.parse((ROOT / path).read_text(encoding="utf-8")).body
                 if isinstance(node, ast.FunctionDef))  # fmt: skip
    return any(each == name if name else each.startswith("test_") for each in functions)


@pytest.mark.parametrize("row", promises(), ids=lambda row: row[0][:40])
def test_each_promise_names_tests_that_exist(row):
    promise, holds = row
    assert any(named.startswith("tests/") for named in holds), f"no test holds: {promise}"
    assert [named for named in holds if not exists(named)] == []


def test_a_test_that_does_not_exist_is_noticed():
    assert len(promises()) > 15
    assert not any(map(exists, ("make nothing", "gristmill nothing", "tests/test_docs.py::test_nothing")))


def packages() -> list[str]:
    found = (path for name in ("pipeline", "classifiers", "trainer") for path in (ROOT / name).rglob("__init__.py"))
    return sorted(str(path.relative_to(ROOT)) for path in found)


@pytest.mark.parametrize("name", packages())
def test_a_package_names_its_modules_and_nothing_else(name):
    init = ROOT / name
    text = ast.get_docstring(ast.parse(init.read_text(encoding="utf-8"))) or ""
    words = set(re.findall(r"\w+", text))
    assert {path.stem for path in init.parent.glob("*.py")} - words - {"__init__"} == set()
    named = re.findall(r"\b((?:\w+/)*\w+\.py)\b", text)
    assert [path for path in named if not any((folder / path).exists() for folder in (init.parent, ROOT))] == []
