"""The command's manners: help without heavy imports, one line for people, tracebacks only for bugs."""

from __future__ import annotations

import subprocess
import sys

import pytest

from pipeline.cli import gristmill as command


def test_help_imports_neither_beam_nor_torch():
    code = (
        "import sys; from pipeline.cli import gristmill\n"
        "try: gristmill(['--help'])\n"
        "except SystemExit: pass\n"
        "print(sorted({'apache_beam', 'torch', 'pyarrow'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    assert "classify" in done.stdout
    assert "train" in done.stdout


@pytest.mark.parametrize("name", list(command.commands))
def test_every_command_explains_itself(name, gristmill):
    done = gristmill(name, "--help")
    assert len(done.stdout.splitlines()) > 5
    assert command.commands[name].help


def test_inputs_and_snapshot_are_one_choice(gristmill, tmp_path):
    for arguments in ([], ["a.warc.gz", "--snapshot", "CC-MAIN-2026-43"]):
        done = gristmill("curate", *arguments, "--output", tmp_path / "out", check=False)
        assert done.returncode == 2
        assert "either INPUTS or --snapshot" in done.stderr


def test_settings_print_with_their_meaning(gristmill):
    done = gristmill("settings", "--set", "prepare.unit_bytes=7")
    assert "unit_bytes = 7" in done.stdout
    assert "# compressed WARC bytes in one unit of work" in done.stdout
