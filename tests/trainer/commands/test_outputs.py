"""No command of `train` destroys a file that it did not write; each refuses in one line, with exit code 2."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.trainer.commands.invoke import run, run_options
from tests.trainer.curated import pages
from trainer.cli import train
from trainer.files import is_run
from trainer.studies.ladder import is_table, write_points

COMMANDS: dict[str, Callable[[Path, Path], tuple[object, ...]]] = {
    "pretrain": lambda demo, out: ("pretrain", "tiny", *run_options(demo), "--output", out),
    "anneal": lambda demo, out: ("anneal", demo / "run", "--set", "learning_rate=1e-3", "--output", out),
    "export": lambda demo, out: ("export", demo / "run", "--output", out),
    "export again": lambda demo, out: ("export", demo / "run", "--overwrite", "--output", out),
    "import": lambda demo, out: ("import", demo / "tokenizer", "--output", out),
    "tokenizer": lambda demo, out: ("tokenizer", demo / "set", "--output", out),
    "name-tokens": lambda demo, out: ("name-tokens", demo / "tokenizer", "<|name|>", "--output", out),
    "ladder": lambda demo, out: ("scaling", "ladder", "tiny", *run_options(demo), "--output", out),
    "dial": lambda demo, out: ("scaling", "dial", "tiny", *run_options(demo), "--output", out),
    "export's adapters": lambda demo, out: ("export", demo / "run", "--output", out / "new", "--adapters", out),
    "tokens --format": lambda demo, out: (
        "tokens", demo / "set", "--tokenizer", demo / "tokenizer", "--cache", demo / "cache",
        "--format", "olmo", "--output", out,
    ),
    "retrieve build": lambda demo, out: (
        "retrieve", "build", demo / "set", "--tokenizer", demo / "tokenizer", "--cache", demo / "cache",
        "--output", out,
    ),
    "ablate": lambda demo, out: ("ablate", "tiny", "--dataset", "a=x", "--dataset", "b=y", "--output", out),
}  # fmt: skip
# Files of others with the names of ours.
THEIRS = {
    "notes.txt": "mine",
    "run.json": "{}",
    "training.lock": "mine",
    "report.html": "mine",
    "metrics.jsonl": '{"step": 1}\n',
    "model.safetensors": "mine",
    "tokenizer.json": "{}",
    "tokenizer_report.json": '{"mine": 1}',
    "points.csv": "name,points\nme,3\n",
    "sweep.csv": "constant\nmine\n",
    "adapter_config.json": '{"peft_type": "LORA"}',
    "ablation.json": "[]",
    "config.json": "{}",
    "checkpoints/step-00000001/state.json": '{"step": 1}',
    "hidden-64/notes.txt": "mine",
    "a-0/notes.txt": "mine",
}


def refusal(*arguments: object) -> str:
    result = CliRunner().invoke(train, [str(argument) for argument in arguments])
    assert result.exit_code == 2, result.output
    line = result.output.strip()
    assert line.startswith("Error: ")
    assert "\n" not in line
    return line


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_folder_with_files_of_others_is_refused(name: str, demo: Path, tmp_path: Path) -> None:
    for theirs, text in THEIRS.items():
        path = tmp_path / theirs.replace("/", "-") / theirs
        path.parent.mkdir(parents=True)
        path.write_text(text)
        out = tmp_path / theirs.replace("/", "-")
        before = contents(tmp_path)
        assert "choose a new folder" in refusal(*COMMANDS[name](demo, out))
        assert contents(tmp_path) == before


FILE_COMMANDS: dict[str, Callable[[Path, Path], tuple[object, ...]]] = {
    "make-tasks": lambda demo, out: ("make-tasks", "sums", "--output", out),
    "make-conversations": lambda demo, out: ("make-conversations", demo / "set", "--output", out),
    "best-of-n": lambda demo, out: ("best-of-n", demo / "run", out.parent / "items.jsonl", "--output", out),
    "best-of-n's pairs": lambda demo, out: ("best-of-n", demo / "run", out.parent / "items.jsonl", "--pairs", out),
    "eval": lambda demo, out: ("eval", demo / "run", "--task", out.parent / "items.jsonl", "--output", out),
    "contamination": lambda demo, out: (
        "contamination", demo / "set", "--eval", out.parent / "items.jsonl", "--output", out
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FILE_COMMANDS)
def test_a_file_of_others_is_refused(name: str, demo: Path, tmp_path: Path) -> None:
    items = [{"prompt": "2+2=", "verify": {"kind": "number", "answer": "4"}}]
    (tmp_path / "items.jsonl").write_text("".join(json.dumps(item) + "\n" for item in items))
    (tmp_path / "notes.md").write_text("mine")
    before = contents(tmp_path)
    assert "exists already" in refusal(*FILE_COMMANDS[name](demo, tmp_path / "notes.md"))
    assert contents(tmp_path) == before


def test_prompts_are_never_replaced_by_their_answers_and_two_outputs_are_two_files(demo: Path, tmp_path: Path) -> None:
    prompts = tmp_path / "prompts.jsonl"
    run("make-tasks", "sums", "--count", 3, "--output", prompts)
    before = contents(tmp_path)
    for option in ("--output", "--pairs"):
        assert "is the input itself" in refusal("best-of-n", demo / "run", prompts, option, prompts)
    new = tmp_path / "new.jsonl"
    again = tmp_path / "." / "sub" / ".." / "new.jsonl"
    (tmp_path / "sub").mkdir()
    assert "is named twice" in refusal("best-of-n", demo / "run", prompts, "--output", new, "--pairs", again)
    assert "is named twice" in refusal("contamination", prompts, "--eval", prompts, "--output", new, "--clean", again)
    assert contents(tmp_path) == before


def test_an_input_is_never_the_output(demo: Path, tmp_path: Path) -> None:
    before = contents(demo / "run") | contents(demo / "tokenizer")
    assert "choose" in refusal(*COMMANDS["anneal"](demo, demo / "run"))
    for name in ("export", "export again", "tokenizer", "ladder", "ablate"):
        assert "choose a new folder" in refusal(*COMMANDS[name](demo, demo / "run"))
    for name in ("import", "name-tokens"):
        assert "choose a new folder" in refusal(*COMMANDS[name](demo, demo / "tokenizer"))
    assert contents(demo / "run") | contents(demo / "tokenizer") == before
    items = tmp_path / "items.jsonl"
    items.write_text("".join(json.dumps({"text": row["text"]}) + "\n" for row in pages(3)))
    text = items.read_text()
    for option in ("--output", "--clean"):
        assert "is the input itself" in refusal("contamination", items, "--eval", items, option, items)
    (tmp_path / "mine").write_text("mine")
    assert "exists already" in refusal("contamination", items, "--eval", items, "--output", tmp_path / "mine")
    assert "exists already" in refusal("eval", demo / "run", "--output", tmp_path / "mine")
    assert (items.read_text(), (tmp_path / "mine").read_text()) == (text, "mine")


def test_what_a_command_wrote_it_replaces(demo: Path, tmp_path: Path) -> None:
    shutil.copytree(demo / "run", tmp_path / "run")
    assert is_run(tmp_path / "run")
    (tmp_path / "run" / "run.json").unlink()
    assert is_run(tmp_path / "run")  # by its checkpoints
    run("export", demo / "run", "--output", tmp_path / "model")
    assert "--overwrite" in refusal("export", demo / "run", "--output", tmp_path / "model")
    run("export", demo / "run", "--overwrite", "--output", tmp_path / "model")
    write_points(tmp_path / "points.csv", [])
    assert is_table(tmp_path / "points.csv")
