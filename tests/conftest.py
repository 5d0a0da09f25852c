"""What many tests share: the command as users run it, and one curated mini-crawl per session."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

# Time says nothing here: speed is for benchmarks, and other work may share the machine. CI draws the same examples
# every time, so that it judges the change and not the dice; developers' runs search on.
settings.register_profile("gristmill", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("gristmill")

ROOT = Path(__file__).parent.parent
MINICRAWL = ROOT / "tests" / "minicrawl" / "warc"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--sample-slow", type=int, default=1, metavar="N", help="of files with slow proofs run one in N, by the commit"
    )
    parser.addoption(
        "--seed-seconds",
        type=float,
        default=12.0,
        metavar="S",
        help="CPU seconds for seeds of chaos, from the commit's on",
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the slow proofs of the files that another commit's sample has."""
    every = config.getoption("--sample-slow")
    if every == 1:
        return
    commit = read_commit()
    left_out = [
        item for item in items if item.get_closest_marker("slow") and draw_by_commit(commit, item.path.name, every)
    ]
    items[:] = [item for item in items if item not in set(left_out)]
    config.hook.pytest_deselected(items=left_out)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """The scheduler of `--dist loadfile`; None, which is xdist's own, for any other."""
    from tests.scheduler import FileScheduler

    return FileScheduler(config, log) if config.getoption("dist") == "loadfile" else None


def read_commit() -> str:
    """The commit that is tested; "" where the tests are in no repository."""
    try:
        return subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True).stdout.strip()
    except FileNotFoundError:  # no git
        return ""


def draw_by_commit(commit: str, name: str, below: int) -> int:
    """A number from 0 that is the same in every run of one commit."""
    return int(sha256(f"{commit} {name}".encode()).hexdigest(), 16) % below


Command = Callable[..., subprocess.CompletedProcess[str]]


def run_gristmill(*arguments: object, check: bool = True, **environment: str) -> subprocess.CompletedProcess[str]:
    """`gristmill ARGUMENTS` in a process of its own; with `check` a failure shows what it printed."""
    done = subprocess.run(
        [sys.executable, "-c", "from pipeline.cli import main; main()", *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, **environment},
        timeout=float(os.environ.get("GRISTMILL_TEST_SECONDS", "600")),  # more on a busy machine
    )
    if check and done.returncode:
        pytest.fail(f"gristmill {' '.join(map(str, arguments))} exited {done.returncode}:\n{done.stdout}{done.stderr}")
    return done


@pytest.fixture(scope="session")
def gristmill() -> Command:
    return run_gristmill


@pytest.fixture(scope="session")
def curated_minicrawl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output of one curation of the embedded mini-crawl; read it, never write to it."""
    output = tmp_path_factory.mktemp("minicrawl") / "out"
    run_gristmill("curate", MINICRAWL, "--output", output, "--workers", 2)
    return output


def restore_signals() -> None:
    """A background job or nohup ignores them, and a new process inherits that."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def ignore_hang_up() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
