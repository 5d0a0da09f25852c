"""`gristmill train serve` as users run it: two runs at one address, until Ctrl-C."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import urllib3

from tests.conftest import ROOT, restore_signals
from tests.trainer.commands.invoke import run
from trainer.errors import UserError


def test_two_runs_are_served_until_ctrl_c(demo: Path, tmp_path: Path) -> None:
    shutil.copytree(demo / "run", tmp_path / "run")  # of the same name
    run("retrieve", "build", demo / "set", "--output", tmp_path / "chunks", "--tokenizer", demo / "run",
        "--cache", demo / "cache", "--set", "chunk_tokens=8", "--set", "dimensions=64")  # fmt: skip
    code = "from pipeline.cli import main; main()"
    command = [sys.executable, "-u", "-c", code, "train", "serve", str(tmp_path / "run"), str(demo / "run")]
    with subprocess.Popen(
        [*command, "--port", "0", "--retrieve", str(tmp_path / "chunks"), "--passages", "2"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=restore_signals,
    ) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            names = [str(tmp_path / "run"), str(demo / "run")]
            assert line.startswith(f"{names[0]}, {names[1]}: http://127.0.0.1:"), line
            address = line.split(": ")[1].split(" ")[0]
            found = urllib3.request("GET", f"{address}v1/models").json()
            assert [row["id"] for row in found["data"]] == names
            ask = {"model": names[1], "messages": [{"role": "user", "content": "3+4="}], "max_tokens": 4}
            answer = urllib3.request("POST", f"{address}v1/chat/completions", json=ask)
            assert answer.json()["choices"][0]["message"]["role"] == "assistant"
            assert len(answer.json()["sources"]) == 2
            with pytest.raises(UserError, match="choose another with --port"):
                run("serve", demo / "run", "--port", address.rstrip("/").rpartition(":")[2])
        finally:
            os.kill(process.pid, signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors  # ended by its user, as asked
    assert "Traceback" not in errors


def test_what_cannot_be_served_is_one_line(demo: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be compared with itself"):
        run("serve", demo / "run", demo / "run")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="empty"):
        run("serve", tmp_path / "empty")
    with pytest.raises(UserError, match="empty: not a chunk database"):
        run("serve", demo / "run", "--retrieve", tmp_path / "empty")
