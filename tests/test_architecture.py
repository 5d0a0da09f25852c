"""Imports point one way, extras suffice for what they promise, and every docstring's example is true."""

from __future__ import annotations

import ast
import doctest
import graphlib
import importlib
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

PACKAGES = ("pipeline", "classifiers", "trainer")
FORBIDDEN = {
    "classifiers": {"apache_beam", "pipeline", "trainer", "torch"},
    "trainer": {"apache_beam", "pipeline", "classifiers"},
    "pipeline": {"trainer", "torch"},
}


def imports_of(path: Path) -> set[str]:
    """Top-level packages that the file imports, anywhere in it."""
    return {name.split(".")[0] for name in modules_of(path)}


def modules_of(path: Path) -> set[str]:
    """Modules that the file imports, anywhere in it; for `from a import b` both a and a.b."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found |= {node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


@pytest.mark.parametrize("package", PACKAGES)
def test_no_import_points_the_wrong_way(package):
    wrong = {
        str(path.relative_to(ROOT)): sorted(imports_of(path) & FORBIDDEN[package])
        for path in (ROOT / package).rglob("*.py")
        if imports_of(path) & FORBIDDEN[package]
    }
    assert wrong == {}


@pytest.mark.parametrize("package", PACKAGES)
def test_no_two_modules_need_each_other(package):
    modules = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
        for path in (ROOT / package).rglob("*.py")
    }
    needs = {name: modules_of(path) & modules.keys() - {name} for name, path in modules.items()}
    graphlib.TopologicalSorter(needs).prepare()  # raises CycleError, which names the circle


@pytest.mark.parametrize("stage", sorted((ROOT / "pipeline" / "stages").glob("[a-z]*.py")), ids=lambda path: path.stem)
def test_a_page_stage_knows_nothing_of_beam(stage):
    assert "apache_beam" not in imports_of(stage)


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("pipeline.curate", ["torch", "trainer"]),
        ("trainer.cli", ["apache_beam", "pipeline", "trafilatura"]),
        ("classifiers.cli", ["apache_beam", "pipeline", "torch"]),
    ],
)
def test_what_another_extra_installs_is_not_needed(module, absent):
    code = f"import sys\nfor name in {absent}: sys.modules[name] = None\nimport {module}"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, capture_output=True)


def modules() -> list[str]:
    return [
        module.name
        for package in PACKAGES
        for module in pkgutil.walk_packages([str(ROOT / package)], f"{package}.")
        if not module.name.endswith("__main__")
    ]


@pytest.mark.parametrize("name", modules())
def test_examples_in_docstrings_are_true(name):
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def test_no_file_holds_two_ideas():
    long = {
        str(path.relative_to(ROOT)): lines
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
        if (lines := len(path.read_text(encoding="utf-8").splitlines())) > 500
    }
    assert long == {}
