"""Signals end the commands of `train` outside the training loop by one line."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable

import pytest

from tests.conftest import ROOT, ignore_hang_up, restore_signals

COMMANDS = """
import time
import click
from pipeline import cli
from trainer.cli import train

@train.command("wait")
@click.argument("seconds", type=float)
def wait(seconds):
    print("waits", flush=True)
    time.sleep(seconds)

cli.main()
"""


def start(*words: object, prepare: Callable[[], object], **pipes: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", COMMANDS, "train", *map(str, words)]
    return subprocess.Popen(command, cwd=ROOT, text=True, preexec_fn=prepare, **pipes)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_command_without_a_loop_ends_with_one_line(number: signal.Signals) -> None:
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    run = start("wait", 600, prepare=restore_signals, **pipes)
    assert run.stdout is not None
    assert run.stdout.readline() == "waits\n"
    run.send_signal(number)
    _, printed = run.communicate(timeout=60)
    assert (run.returncode, printed) == (128 + number, f"gristmill: stopped by {number.name}\n")


def test_nohup_keeps_a_command_from_being_stopped() -> None:
    run = start("wait", 1, prepare=ignore_hang_up, stdout=subprocess.PIPE)
    assert run.stdout is not None
    assert run.stdout.readline() == "waits\n"
    run.send_signal(signal.SIGHUP)
    assert run.wait(60) == 0
