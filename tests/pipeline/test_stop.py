"""Signals stop a run at once in every phase: one line, the exit code, no child left, resumed by the same command."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.conftest import MINICRAWL, ROOT, Command, ignore_hang_up, restore_signals

SMALL = ("--set", "prepare.unit_bytes=40000", "--set", "publish.shard_bytes=20000")
MAIN = [sys.executable, "-c", "from pipeline.cli import main; main()"]
PHASES = ["prepare: ", "deduplicate: ", "count words: ", "publish: "]


def start(output: Path, *flags: str, prepare: Callable[[], None] = restore_signals) -> subprocess.Popen[str]:
    command = [*MAIN, "curate", str(MINICRAWL), "--output", str(output), "--workers", "2", *SMALL, *flags]
    return subprocess.Popen(
        command, cwd=ROOT, text=True, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, preexec_fn=prepare
    )


def wait_for_phase(run: subprocess.Popen[str], phase: str) -> list[psutil.Process]:
    """The page processes that exist when the phase has begun."""
    assert run.stderr is not None
    for line in run.stderr:
        if phase in line:
            break
    else:
        pytest.fail(f"the run ended before {phase}")
    while phase == PHASES[0] and len(psutil.Process(run.pid).children()) < 2:
        time.sleep(0.05)
    return psutil.Process(run.pid).children(recursive=True)


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One output, stopped in each phase in turn."""
    return tmp_path_factory.mktemp("stopped") / "out"


def stops() -> Iterator[tuple[str, signal.Signals]]:
    yield PHASES[0], signal.SIGTERM
    yield PHASES[0], signal.SIGHUP
    yield from ((phase, signal.SIGINT) for phase in PHASES)


@pytest.mark.parametrize(("phase", "number"), list(stops()))
def test_a_signal_stops_the_run_at_once(output: Path, phase: str, number: signal.Signals) -> None:
    run = start(output)
    children = wait_for_phase(run, phase)
    run.send_signal(number)
    _, printed = run.communicate(timeout=30)
    assert run.returncode == 128 + number
    name = "interrupted" if number == signal.SIGINT else f"stopped by {number.name}"
    assert printed.splitlines()[-1] == f"gristmill: {name}; resume with the same command"
    assert "Traceback" not in printed
    assert psutil.wait_procs(children, timeout=30)[1] == []
    assert not (output / "manifest.json").exists()
    assert not (output / "run.lock").exists()


TELL = """
import json, os, psutil, sys, time
def files():
    return {path: os.stat(path).st_mtime_ns for folder, _, names in os.walk(sys.argv[1]) for path in
            (os.path.join(folder, name) for name in names)}
told, before = json.load(sys.stdin), files()
time.sleep(2)
beside = [each for each in psutil.Process(os.getppid()).children() if each.pid != os.getpid()]
alive = [each.status() for each in beside if each.status() != psutil.STATUS_ZOMBIE]
with open(sys.argv[2], "w") as file:
    json.dump({**told, "changed": before != files(), "alive": alive}, file)
"""


def teller(tmp_path: Path) -> tuple[str, ...]:
    """A slow command that stores in told.json what it gets, whether the run changed its output meanwhile, and the
    run's other processes that are alive."""
    told = shlex.join([sys.executable, "-c", TELL, str(tmp_path / "out"), str(tmp_path / "told.json")])
    return "--notify-command", told


@pytest.mark.parametrize(("number", "says"), [(signal.SIGTERM, "stopped by SIGTERM"), (signal.SIGINT, "interrupted")])
def test_a_stopped_run_tells_its_exit_code_and_leaves_no_lease(
    tmp_path: Path, number: signal.Signals, says: str
) -> None:
    run = start(tmp_path / "out", *teller(tmp_path))
    wait_for_phase(run, PHASES[0])
    run.send_signal(number)
    _, printed = run.communicate(timeout=30)
    assert run.returncode == 128 + number
    assert printed.splitlines()[-1] == f"gristmill: {says}; resume with the same command"
    assert json.loads((tmp_path / "told.json").read_text()) == {
        "event": "failed",
        "output": str(tmp_path / "out"),
        "message": f"{says}; resume with the same command",
        "exit_code": 128 + number,
        "changed": False,
        "alive": [],
    }
    assert not (tmp_path / "out/run.lock").exists()


def run_code(code: str) -> tuple[int, str, str]:
    """The exit code of a process that runs it, and what it prints to both streams."""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout, done.stderr


def test_a_cleanup_that_never_ends_delays_the_others_only() -> None:
    code = (
        "import threading\n"
        "from pipeline.stop import cleanup_at_stop, stop_process\n"
        "forever = threading.Event()\n"
        "with cleanup_at_stop(lambda *_: forever.wait(), 0.1), cleanup_at_stop(lambda *_: 1 / 0):\n"
        "    with cleanup_at_stop(lambda *why: print(why, flush=True)):\n"
        "        stop_process('enough', 9)\n"
    )
    assert run_code(code) == (9, "('enough', 9)\n", "gristmill: enough\n")


def test_the_metrics_of_a_stopped_run_say_that_it_failed(tmp_path: Path) -> None:
    path = tmp_path / "run.prom"
    run = start(tmp_path / "out", "--metrics-file", str(path))
    wait_for_phase(run, PHASES[0])
    assert 'gristmill_state{state="running"} 1' in path.read_text()
    run.send_signal(signal.SIGTERM)
    run.communicate(timeout=30)
    assert 'gristmill_state{state="running"} 0' in path.read_text()
    assert 'gristmill_state{state="failed"} 1' in path.read_text()


def test_the_stopped_run_resumes_to_the_same_bytes(output: Path, tmp_path: Path, gristmill: Command) -> None:
    gristmill("curate", MINICRAWL, "--output", output, *SMALL)
    gristmill("curate", MINICRAWL, "--output", tmp_path / "whole", *SMALL)
    assert (output / "manifest.json").read_bytes() == (tmp_path / "whole/manifest.json").read_bytes()
    names = [
        sorted(str(path.relative_to(folder)) for path in folder.rglob("*")) for folder in (output, tmp_path / "whole")
    ]
    assert names[0] == names[1]


def test_children_end_when_the_run_is_killed(tmp_path: Path) -> None:
    run = start(tmp_path / "out")
    children = wait_for_phase(run, PHASES[0])
    run.kill()
    run.communicate()
    assert psutil.wait_procs(children, timeout=30)[1] == []


def test_ignored_signals_stay_ignored(tmp_path: Path) -> None:
    run = start(tmp_path / "out", prepare=ignore_hang_up)
    wait_for_phase(run, PHASES[0])
    run.send_signal(signal.SIGHUP)
    run.send_signal(signal.SIGTERM)
    assert "SIGTERM" in run.communicate(timeout=30)[1]
    assert run.returncode == 143


def test_a_second_run_into_the_same_output_is_refused(tmp_path: Path, gristmill: Command) -> None:
    run = start(tmp_path / "out")
    wait_for_phase(run, PHASES[0])
    run.send_signal(signal.SIGSTOP)  # or it would be done before the others have started
    for flags in ((), ("--overwrite", "--set", "publish.shard_bytes=7")):
        done = gristmill("curate", MINICRAWL, "--output", tmp_path / "out", *SMALL, *flags, check=False)
        assert done.returncode == 5
        assert f"(process {run.pid})" in done.stderr.splitlines()[-1]
    assert gristmill("report", tmp_path / "out", check=False).returncode == 2
    run.send_signal(signal.SIGCONT)
    run.send_signal(signal.SIGINT)
    run.communicate()


def test_a_run_whose_output_another_process_took_over_stops(tmp_path: Path) -> None:
    code = "import pipeline.curate, pipeline.storage.lease as lease, functools\n"
    code += "pipeline.curate.hold_lease = functools.partial(lease.hold_lease, lease_seconds=1.0)\n"
    code += MAIN[-1]
    command = [
        sys.executable,
        "-c",
        code,
        "curate",
        str(MINICRAWL),
        "--output",
        str(tmp_path / "out"),
        *SMALL,
        *teller(tmp_path),
    ]
    run = subprocess.Popen(command, cwd=ROOT, text=True, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL)
    wait_for_phase(run, PHASES[0])
    other = json.dumps({"host": "there", "pid": 1, "token": "t", "expires": time.time() + 99})
    (tmp_path / "other.lock").write_text(other)
    os.replace(tmp_path / "other.lock", tmp_path / "out/run.lock")
    _, printed = run.communicate(timeout=60)
    assert run.returncode == 5
    assert "there (process 1) took the output over; stopped" in printed.splitlines()[-1]
    assert json.loads((tmp_path / "out/run.lock").read_text())["token"] == "t"
    told = json.loads((tmp_path / "told.json").read_text())
    assert (told["event"], told["exit_code"], told["changed"], told["alive"]) == ("failed", 5, False, [])
    assert "there (process 1) took the output over" in told["message"]


def test_what_fails_without_the_killed_children_does_not_end_the_process() -> None:
    code = (
        "import os, subprocess, sys, threading, time\n"
        "from unittest.mock import patch\n"
        "from pipeline import cli, stop\n"
        "def lose_child():\n"
        "    with stop.cleanup_at_stop(lambda *_: (time.sleep(1), print('cleaned', flush=True))):\n"
        "        child = subprocess.Popen(['sleep', '60'])\n"
        "        threading.Thread(target=stop.stop_process, args=('enough', 9)).start()\n"
        "        child.wait()\n"
        "    raise OSError('no child')\n"
        "with patch.object(cli.gristmill, 'main', lambda **_: lose_child()):\n"
        "    cli.main()\n"
    )
    assert run_code(code) == (9, "cleaned\n", "gristmill: enough\n")
