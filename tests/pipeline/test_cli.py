"""The command line: help without heavy imports, exit codes, one line for user errors, tracebacks for internal ones."""

from __future__ import annotations

import errno
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from pipeline import errors
from pipeline.cli import gristmill as command
from tests.conftest import MINICRAWL, ROOT


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
def test_every_command_has_a_help_text(name, gristmill):
    done = gristmill(name, "--help")
    assert len(done.stdout.splitlines()) > 5
    assert command.commands[name].help


def test_a_command_called_by_other_code_leaves_its_signals_alone():
    """Only `main` owns the process: tests, notebooks and the trainer's loop have handlers of their own."""
    before = {number: signal.getsignal(number) for number in errors.STOPPED}
    threads = threading.active_count()
    with pytest.raises(SystemExit):
        command(["settings"])
    assert {number: signal.getsignal(number) for number in errors.STOPPED} == before
    assert signal.set_wakeup_fd(-1) == -1
    assert threading.active_count() == threads


def test_inputs_and_snapshot_exclude_each_other(gristmill, tmp_path):
    for arguments in ([], ["a.warc.gz", "--snapshot", "CC-MAIN-2026-43"]):
        done = gristmill("curate", *arguments, "--output", tmp_path / "out", check=False)
        assert done.returncode == 2
        assert "either INPUTS or --snapshot" in done.stderr


def test_settings_are_printed_with_their_descriptions(gristmill):
    done = gristmill("settings", "--set", "prepare.unit_bytes=7")
    assert "unit_bytes = 7" in done.stdout
    assert "# most bytes of input files, as stored, in one unit of work" in done.stdout


def walk(group: click.Group, path: str = "") -> Iterator[tuple[str, click.Command]]:
    """Every command of the group and of the groups in it, by its path."""
    with click.Context(group) as context:
        for name in group.list_commands(context):
            found = group.get_command(context, name)
            assert found is not None
            yield f"{path} {name}".strip(), found
            if isinstance(found, click.Group):
                yield from walk(found, f"{path} {name}".strip())


COMMANDS = dict(walk(command))


@pytest.mark.parametrize("name", COMMANDS)
def test_the_summary_of_a_command_fits_its_line(name: str) -> None:
    summary = COMMANDS[name].get_short_help_str(45)  # click's own limit for the narrowest terminal
    assert summary
    assert not summary.endswith("...")


@pytest.mark.parametrize("name", type(command).other_groups)  # type: ignore[attr-defined]
def test_groups_of_other_packages_have_the_summary_that_is_shown_without_importing_them(name: str) -> None:
    assert COMMANDS[name].get_short_help_str(45) == type(command).other_groups[name][2]  # type: ignore[attr-defined]


PLAN_RUN = "import pipeline.curate, pipeline.cli, pipeline.errors, pipeline.ledger\ndef fail(*_, **__): raise {}\n"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        ("pipeline.errors.UserError('why')", 2),
        ("pipeline.errors.MissingFileError('why')", 2),
        ("pipeline.ledger.LedgerError('why')", 3),
        ("pipeline.errors.FileError('why')", 4),
        ("PermissionError('why')", 7),
        ("OSError(5, 'why')", 4),
        ("OSError(28, 'why')", 6),
        ("OSError(30, 'why')", 7),
        ("pipeline.errors.LockedError('why')", 5),
        ("KeyboardInterrupt", 130),
    ],
)
def test_a_users_error_ends_with_one_line_and_its_exit_code(error: str, code: int, tmp_path: Path) -> None:
    done = curate_that_fails(error, tmp_path)
    assert done.returncode == code
    (line,) = filter(None, done.stderr.splitlines())
    assert line.startswith("gristmill: ")
    assert line.endswith("interrupted; resume with the same command" if code == 130 else "why")


@pytest.mark.parametrize("error", ["ValueError('zip() argument 2 is shorter')", "KeyError('x')", "AssertionError"])
def test_an_internal_error_ends_with_a_traceback(error: str, tmp_path: Path) -> None:
    done = curate_that_fails(error, tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("Traceback")
    assert error.partition("(")[0] in done.stderr.splitlines()[-1]


def curate_that_fails(error: str, output: Path) -> subprocess.CompletedProcess[str]:
    """`gristmill curate` whose plan_run raises `error`."""
    code = PLAN_RUN.format(error) + "pipeline.curate.plan_run = fail\npipeline.cli.main()"
    command = [sys.executable, "-c", code, "curate", str(MINICRAWL), "--output", str(output / "out")]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=100)


FAILING_DISK = """
import os, sys
from pipeline import cli, effects
class Disk:  # every write into the output fails
    def perform(self, effect, subject, action, torn=None):
        if effect == "write" and subject.startswith({folder!r}):
            raise OSError({number}, os.strerror({number}), subject)
        return action()
with effects.simulate(Disk()):
    cli.main()
"""


@pytest.mark.parametrize(
    ("number", "code", "message"),
    [
        (errno.EIO, 4, "cannot write it (Input/output error)"),
        (errno.ENOSPC, 6, "the disk is full"),
        (errno.EROFS, 7, "the disk is mounted read-only"),
    ],
)
def test_a_failing_disk_ends_a_run_with_the_code_of_its_error(
    number: int, code: int, message: str, tmp_path: Path
) -> None:
    program = FAILING_DISK.format(folder=str(tmp_path), number=number)
    warc = MINICRAWL / "minicrawl-00005.warc.wet.gz"
    command = [sys.executable, "-c", program, "curate", str(warc), "--output", str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=100)
    assert done.returncode == code, done.stderr
    line = done.stderr.splitlines()[-1]
    assert line.startswith(f"gristmill: {tmp_path}")
    assert message in line


def test_the_readme_has_the_exit_codes_of_the_classes() -> None:
    rows = re.findall(r"^\| (\d+(?:, \d+)*) \| .* \| (.*)\|$", (ROOT / "README.md").read_text(), flags=re.MULTILINE)
    documented = {name: int(codes) for codes, names in rows for name in re.findall(r"`(\w+)`", names)}
    classes = {kind.__name__: kind.exit_code for kind in vars(errors).values() if isinstance(kind, type)}
    assert documented == classes
    known = {0, errors.INTERNAL_ERROR, *errors.STOPPED.values(), *classes.values()}
    assert {int(code) for codes, _ in rows for code in codes.split(", ")} == known
    assert all(re.search(rf"^    {codes}\b", str(errors.__doc__), flags=re.MULTILINE) for codes, _ in rows)
