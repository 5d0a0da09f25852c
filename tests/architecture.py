"""The modules of the three packages, for tests that walk all of them."""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType

from tests.conftest import ROOT

PACKAGES = ("pipeline", "classifiers", "trainer")


def module_names(package: str) -> list[str]:
    """The names of all modules of the package, without `__main__`."""
    found = pkgutil.walk_packages([str(ROOT / package)], f"{package}.")
    return [module.name for module in found if not module.name.endswith("__main__")]


def import_modules(package: str) -> list[ModuleType]:
    """All modules of the package."""
    return [importlib.import_module(name) for name in module_names(package)]
