"""Imports between the folders of trainer point one way."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.test_architecture import modules_of

# Folder -> folders that it must not import.
ABOVE = ("tasks", "rollouts", "evaluation", "studies", "reports", "commands")
FORBIDDEN = {
    "losses": ("chat", "model", "data", "training", *ABOVE),
    "model": ("chat", "losses", "data", "training", *ABOVE),
    "data": ("chat", "losses", "model", "training", *ABOVE),
    "chat": ("losses", "model", "training", *ABOVE),
    "contamination": ("losses", "model", "training", *ABOVE),
    "training": ("chat", "losses", "data", "retrieval", *ABOVE),
    "retrieval": ABOVE,
    "rollouts": ("tasks", "evaluation", "studies", "reports", "commands"),
    "reports": ("tasks", "evaluation", "studies", "commands"),
    "tasks": ("evaluation", "studies", "commands"),
    "evaluation": ("studies", "commands"),
    "studies": ("commands",),
}


@pytest.mark.parametrize("folder", FORBIDDEN)
def test_a_folder_does_not_import_those_above(folder: str) -> None:
    def is_forbidden(module: str) -> bool:
        parts = module.split(".")
        return parts[0] == "trainer" and len(parts) > 1 and parts[1] in FORBIDDEN[folder]

    paths: list[Path] = sorted((ROOT / "trainer" / folder).rglob("*.py"))
    assert paths
    found = {path.name: sorted(filter(is_forbidden, modules_of(path))) for path in paths}
    assert {name: modules for name, modules in found.items() if modules} == {}
