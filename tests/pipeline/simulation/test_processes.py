"""Real processes at the same time: runs into one output, readers while it is written, snapshots beside each other."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout, suppress
from io import StringIO
from pathlib import Path

import click
import pyarrow.dataset as ds
import pytest

from pipeline.cli import gristmill as cli
from pipeline.engines.failures import find_failure
from pipeline.errors import INTERNAL_ERROR, LockedError
from tests.conftest import ROOT, Command
from tests.pipeline.simulation.checks import BrokenPromiseError, check_complete, check_reader, content_of
from tests.pipeline.simulation.crawl import write_crawl
from tests.pipeline.simulation.scenarios import FIRST, OTHER, SECOND, remove

MAIN = [sys.executable, "-c", "from pipeline.cli import main; main()"]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def mirror(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mirror")
    write_crawl(folder, FIRST)
    write_crawl(folder, SECOND, first=2)
    return folder


def start(*arguments: object) -> subprocess.Popen[str]:
    command = [*MAIN, *(str(argument) for argument in arguments)]
    return subprocess.Popen(command, cwd=ROOT, text=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def read_until_they_end(processes: Sequence[subprocess.Popen[str]], read: Callable[[], None]) -> list[tuple[int, str]]:
    """Calls `read` again and again; returns the processes' exit codes and last lines."""
    while any(process.poll() is None for process in processes):
        read()
        time.sleep(0.3)
    read()
    ends = []
    for process in processes:
        printed = process.communicate()[1]
        assert "Traceback" not in printed
        ends.append((process.returncode, printed.strip().rpartition("\n")[2]))
    return ends


def check_now(out: Path) -> None:
    """As `check_reader`, while a run may take the manifest back: then the reader has to begin again."""
    before = _manifest(out)
    try:
        check_reader(out)
    except (BrokenPromiseError, OSError):
        if _manifest(out) == before:
            raise


def _manifest(out: Path) -> bytes:
    with suppress(FileNotFoundError):
        return (out / "manifest.json").read_bytes()
    return b""


def look(*arguments: object) -> int:
    """The exit code of a reading command in this process; an error is one line that a user can mend."""
    try:
        with redirect_stdout(StringIO()):
            cli.main([str(argument) for argument in arguments], standalone_mode=False)
    except click.ClickException as error:
        failure = find_failure(error)
        assert failure.exit_code != INTERNAL_ERROR
        assert "\n" not in failure.message
        return failure.exit_code
    except SystemExit as ended:  # `audit` has found faults
        return int(ended.code or 0)
    return 0


def test_two_runs_into_one_output_while_others_read_it(mirror: Path, tmp_path: Path, gristmill: Command) -> None:
    crawl, out = mirror / "crawl-data" / FIRST / "warc", tmp_path / "out"
    gristmill("curate", crawl, "--output", tmp_path / "alone")
    codes: dict[str, set[int]] = {"status": set(), "report": set(), "audit": set()}

    def read() -> None:
        check_now(out)
        for command, seen in codes.items():
            seen.add(look(command, out))

    ends = read_until_they_end([start("curate", crawl, "--output", out) for _ in range(2)], read)
    # Both succeed if the second begins when the first is done.
    assert sorted(code for code, _ in ends) in ([0, LockedError.exit_code], [0, 0])
    for code, line in ends:
        assert not code or ("held by" in line and str(out) in line)
    assert codes["status"] <= {0, 2}  # 2: there is no run yet
    assert codes["report"] <= {0, 2, LockedError.exit_code}
    assert codes["audit"] <= {0, 2}
    check_complete(out, content_of(tmp_path / "alone"))
    # And again while everything is published anew, with the report written meanwhile. An audit that the run overtakes
    # compares the old manifest with new files, and says so.
    codes["report"].clear()
    again = start("curate", crawl, "--output", out, "--overwrite", "--set", "publish.weights.max_repetition=2")
    ((code, line),) = read_until_they_end([again], read)
    assert codes["report"] <= {0, 2, LockedError.exit_code}  # 2: the manifest is taken back
    # The report may hold the lock when the run begins: then the run is refused and nothing has changed.
    assert code in (0, LockedError.exit_code), line
    if code:
        check_complete(out, content_of(tmp_path / "alone"))
    assert look("audit", out) == 0


def test_two_snapshots_at_once(mirror: Path, tmp_path: Path, gristmill: Command) -> None:
    options = ("--mirror", mirror, "--output", tmp_path / "base")
    for name in (FIRST, SECOND):
        gristmill("curate", "--snapshot", name, "--mirror", mirror, "--output", tmp_path / "one-by-one")

    def read() -> None:
        for name in (FIRST, SECOND):
            check_now(tmp_path / "base" / name)

    runs = [start("curate", "--snapshot", name, *options) for name in (FIRST, SECOND, SECOND)]
    codes = [code for code, _ in read_until_they_end(runs, read)]
    assert set(codes) <= {0, LockedError.exit_code}
    assert 0 in codes
    for name in (FIRST, SECOND):  # whoever was refused tries again
        gristmill("curate", "--snapshot", name, *options)
    for name in (FIRST, SECOND):
        assert look("audit", tmp_path / "base" / name) == 0
    assert content_of(tmp_path / "base" / FIRST) == content_of(tmp_path / "one-by-one" / FIRST)
    latest = (tmp_path / "base" / "latest.json").read_text()
    assert SECOND in latest
    assert content_of(tmp_path / "base" / SECOND) in latest


def test_a_removal_beside_a_run(mirror: Path, tmp_path: Path, gristmill: Command) -> None:
    crawl, out = mirror / "crawl-data" / FIRST / "warc", tmp_path / "out"
    gristmill("curate", crawl, "--output", out)
    run, removal = ("curate", crawl, "--output", out, "--overwrite", *OTHER), remove(str(out))
    ends = read_until_they_end([start(*run), start(*removal)], lambda: check_now(out))
    assert sorted(code for code, _ in ends) in ([0, LockedError.exit_code], [0, 0])
    for each in (run, removal):  # whoever was refused tries again
        gristmill(*each)
    assert look("audit", out) == 0
    assert removal[-1] not in ds.dataset(out / "shards").to_table(columns=["url"])["url"].to_pylist()
