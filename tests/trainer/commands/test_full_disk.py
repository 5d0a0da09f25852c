"""Where a disk fails in the midst of a write, the line names the output: write() itself names no file."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.full_disk import fail_at_all_sizes
from tests.trainer.commands.invoke import run
from trainer.data.token_formats import TokenFormat

Words = Callable[[Path, Path], list[object]]


def tokens(demo: Path, out: Path, *more: object) -> list[object]:
    return ["tokens", demo / "set", "--tokenizer", demo / "tokenizer", "--workers", 1, "--cache", out / "cache", *more]


COMMANDS: dict[str, Words] = {
    "make-tasks": lambda _, out: ["make-tasks", "sums", "--output", out / "tasks.jsonl"],
    "tokenizer": lambda demo, out: ["tokenizer", demo / "set", "--output", out / "tokenizer", "--vocab-size", 768],
    "name-tokens": lambda demo, out: ["name-tokens", demo / "tokenizer", "<|a|>", "--output", out / "named"],
    "tokens": lambda demo, out: tokens(demo, out),
    "report": lambda _, out: ["report", out / "run"],
    "export": lambda demo, out: ["export", demo / "run", "--output", out / "exported", "--overwrite"],
    "build": lambda demo, out: ["retrieve", "build", demo / "set", "--output", out / "db", "--tokenizer",
                                demo / "tokenizer", "--cache", out / "cache"],
    **{kind.value: lambda demo, out, kind=kind: tokens(demo, out, "--format", kind, "--output", out / kind,
                                                       "--sequence-length", 64) for kind in TokenFormat},
}  # fmt: skip


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_that_writes_names_its_file(name: str, demo: Path, tmp_path: Path) -> None:
    shutil.copytree(demo / "run", tmp_path / "run")
    words = COMMANDS[name](demo, tmp_path)
    failures = fail_at_all_sizes(lambda: run(*words))
    assert failures
    for failure in failures:
        assert str(tmp_path) in failure.message
        assert "File too large" in failure.message
        assert failure.exit_code == 4


LIMITED = """
import resource, sys
from pipeline.cli import main
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
main()
"""


def test_a_torn_tokenizer_is_no_tokenizer_and_the_same_command_goes_on(demo: Path, tmp_path: Path) -> None:
    out = tmp_path / "new"
    words = ["train", "tokenizer", str(demo / "set"), "--output", str(out), "--vocab-size", "768"]
    done = subprocess.run([sys.executable, "-c", LIMITED, *words], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 4, done.stderr
    assert re.fullmatch(rf"gristmill: \[Errno 27\] File too large: '{out}/tokenizer.*json'\n", done.stderr)
    assert not (out / "tokenizer.json").exists()
    (out / ".tokenizer_report.json.123.tmp").write_text("{")  # of one that was killed
    run(*words[1:])
    assert (out / "tokenizer.json").read_bytes() == (demo / "tokenizer" / "tokenizer.json").read_bytes()
    assert json.loads((out / "tokenizer_report.json").read_text())["all"]
