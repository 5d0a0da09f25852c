"""One process at a time trains in a run's folder; the others end with one line that names it, and with code 5."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner

from pipeline.engines.failures import find_failure
from tests.conftest import ROOT
from tests.trainer import runs
from tests.trainer.ranks import run_ranks
from trainer.cli import train
from trainer.errors import LockedError
from trainer.files import LOCK_FILE

HOLD = """
import sys, time
from pathlib import Path
from trainer.files import lock_run
with lock_run(Path(sys.argv[1])):
    print(1, flush=True)
    time.sleep(999)
"""
SMALL = {"loop": {"steps": 2}}


@contextmanager
def held(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process trains in the folder; it is killed at the end."""
    command = [sys.executable, "-c", HOLD, str(folder)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "1\n"
        try:
            yield other
        finally:
            other.kill()


def test_a_second_process_is_refused_until_the_first_has_ended(tmp_path: Path) -> None:
    with held(tmp_path / "run") as other:
        with pytest.raises(LockedError) as caught:
            runs.run(tmp_path / "run", SMALL)
        owner = f"{socket.gethostname()} (process {other.pid})"
        line = f"{tmp_path / 'run'}: {owner} trains in it; wait until it is done, or name a new folder"
        assert find_failure(caught.value) == (line, 5)
        assert os.listdir(tmp_path / "run") == [LOCK_FILE]
    assert runs.run(tmp_path / "run", SMALL).steps == 2  # a killed process holds no lock
    assert f"(process {os.getpid()})" in (tmp_path / "run" / LOCK_FILE).read_text()


def test_commands_that_read_a_run_need_no_lock(tmp_path: Path) -> None:
    runs.run(tmp_path / "run", SMALL)
    with held(tmp_path / "run"):
        for words in (["report"], ["runs"]):
            done = CliRunner().invoke(train, [*words, str(tmp_path / "run")], catch_exceptions=False)
            assert done.exit_code == 0, done.output


RANK = """
import os, sys
from pathlib import Path
from tests.trainer import runs
from trainer.errors import LockedError
if os.environ["RANK"] == "1":
    from trainer.tasks import launch
    launch.lock_run = None  # not called
try:
    runs.run(Path(sys.argv[1]), {"loop": {"steps": 2}})
except LockedError:
    Path(sys.argv[2], os.environ["RANK"]).touch()
"""


def test_of_several_ranks_one_takes_the_lock_and_all_are_refused(tmp_path: Path) -> None:
    (tmp_path / "refused").mkdir()
    with held(tmp_path / "run"):
        run_ranks(2, RANK, tmp_path / "run", tmp_path / "refused")
    assert sorted(os.listdir(tmp_path / "refused")) == ["0", "1"]
    run_ranks(2, RANK, tmp_path / "run", tmp_path)
    assert (tmp_path / "run" / "checkpoints" / "step-00000002").is_dir()
