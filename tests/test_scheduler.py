"""The scheduler of test processes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

FILE = """
import os, pytest
@pytest.mark.parametrize("number", range(4))
def test_a(number):
    if {dies} and number == {number}:
        os._exit(3)
"""


@pytest.mark.parametrize("number", [1, 2, 3])
def test_all_other_tests_run_when_a_process_dies(tmp_path: Path, number: int) -> None:
    """Also when one test is left of the file, and when none is."""
    (tmp_path / "conftest.py").write_text("from tests.conftest import pytest_xdist_make_scheduler\n")
    for name in "abcd":
        (tmp_path / f"test_{name}.py").write_text(FILE.format(dies=name == "d", number=number))
    command = [sys.executable, "-m", "pytest", str(tmp_path), "-q", "-n", "2", "--dist", "loadfile", "-c", "/dev/null"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.stdout.splitlines()[-1].startswith("1 failed, 15 passed")
    assert f"test_d.py::test_a[{number}]" in done.stdout
