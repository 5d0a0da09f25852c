"""No command of `classify` destroys a file that it did not write; each refuses in one line, with exit code 2."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from classifiers.artifacts import default_folder
from classifiers.cli import classify
from classifiers.errors import UserError
from classifiers.estimators.linear import LinearModel
from classifiers.evaluation import report
from classifiers.outputs import partial_file, partial_folder
from tests.classifiers.data.test_wikipedia_dump import dump_of
from tests.full_disk import fail_at_all_sizes

MODEL = default_folder("language") / "model.ftz"
Arguments = Callable[[Path, Path], tuple[object, ...]]


@pytest.fixture
def inputs(tmp_path: Path) -> Path:
    folder = tmp_path / "inputs"
    folder.mkdir()
    (folder / "dump.xml").write_bytes(dump_of(("A", "0", "<ref>http://a.example/</ref>")))
    (folder / "rows.jsonl").write_text('{"id": "1", "url": "http://a.example/", "text": "a text"}\n')
    (folder / "index.parquet").write_bytes(b"no index")
    (folder / "own.ftz").write_bytes(MODEL.read_bytes())
    return folder


def refusal(*arguments: object) -> str:
    result = CliRunner().invoke(classify, [str(argument) for argument in arguments])
    assert result.exit_code == 2, result.output
    line = result.output.strip()
    assert line.startswith("Error: ")
    assert "\n" not in line
    return line


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


FILES: dict[str, tuple[Arguments, str]] = {
    "references": (lambda given, out: ("references", given / "dump.xml", "--output", out), "dump.xml"),
    "locate": (
        lambda given, out: (
            "locate", given / "index.parquet", "--references", given / "rows.jsonl", "--output", out,
        ),
        "index.parquet",
    ),
    "sample": (
        lambda given, out: ("sample", given / "rows.jsonl", "--positives", given / "rows.jsonl", "--output", out),
        "rows.jsonl",
    ),
    "score": (lambda given, out: ("score", "quality", given / "rows.jsonl", "--output", out), "rows.jsonl"),
}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_an_output_file_is_neither_an_input_nor_one_that_exists(name: str, inputs: Path, tmp_path: Path) -> None:
    command, given = FILES[name]
    (tmp_path / "link.jsonl").symlink_to(inputs / given)
    os.link(inputs / given, tmp_path / "hard.jsonl")
    (tmp_path / "mine.jsonl").write_text("mine")
    before = contents(tmp_path)
    for out in (inputs / given, tmp_path / "link.jsonl", tmp_path / "hard.jsonl"):
        assert "is the input itself" in refusal(*command(inputs, out))
    assert "exists already" in refusal(*command(inputs, tmp_path / "mine.jsonl"))
    assert "no such folder" in refusal(*command(inputs, tmp_path / "none" / "x.jsonl"))
    assert "is a folder" in refusal(*command(inputs, tmp_path))
    assert contents(tmp_path) == before


def test_a_sample_is_not_written_into_the_folder_that_it_is_drawn_from(inputs: Path) -> None:
    before = contents(inputs)
    command = ("sample", inputs, "--positives", inputs / "rows.jsonl", "--output", inputs / "sample.jsonl")
    assert "lies in the input" in refusal(*command)
    assert contents(inputs) == before


FOLDERS: dict[str, Arguments] = {
    **{
        f"train {model}": lambda given, out, model=model: ("train", model, "--data", given, "--output", out)
        for model in ("quality", "domain", "harm", "extraction")
    },
    "evaluate": lambda given, out: ("evaluate", "--data", given, "--output", out),
    "pack": lambda given, out: ("pack", given / "own.ftz", "--license", "x", "--source", "y", "--output", out),
}


@pytest.mark.parametrize("name", FOLDERS)
@pytest.mark.parametrize("theirs", ["notes.txt", "README.md", "manifest.json", "numbers.json", "model.ftz"])
def test_a_folder_with_files_of_others_is_refused(name: str, theirs: str, inputs: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / theirs).write_text(json.dumps({"files": {theirs: "0"}, "name": "mine"}))
    before = contents(tmp_path)
    assert f"did not write ({theirs})" in refusal(*FOLDERS[name](inputs, out))
    assert "is a file" in refusal(*FOLDERS[name](inputs, out / theirs))
    assert contents(tmp_path) == before


def test_a_model_of_another_kind_is_not_replaced(inputs: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    pack = ("pack", inputs / "own.ftz", "--license", "x", "--source", "y", "--output", out)
    for _ in range(2):  # the second replaces the first
        assert CliRunner().invoke(classify, [str(word) for word in pack]).exit_code == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["inputs", "out"]
    before = contents(out)
    assert "did not write" in refusal("train", "quality", "--data", inputs, "--output", out)
    (out / "notes.txt").write_text("mine")
    assert "(notes.txt)" in refusal(*pack)
    assert contents(out) == {**before, "notes.txt": b"mine"}


def test_a_report_replaces_only_a_report(tmp_path: Path) -> None:
    assert report.written_files(tmp_path) == []
    (tmp_path / "numbers.json").write_text("[1]")
    assert report.written_files(tmp_path) == []
    (tmp_path / "numbers.json").write_text('{"quality": {}, "domain": {}, "harm": {}}')
    assert "report.md" in report.written_files(tmp_path)


def fail(folder: Path) -> None:
    (folder / "model.bin").write_text("new") if folder.is_dir() else folder.write_text("new")
    raise UserError("no")


def test_what_fails_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "old").write_text("old")
    with pytest.raises(UserError), partial_file(tmp_path / "old") as partial:
        fail(partial)
    with pytest.raises(UserError), partial_folder(tmp_path / "folder", "manifest.json") as folder:
        fail(folder)
    assert contents(tmp_path) == {"old": b"old"}
    assert [path.name for path in tmp_path.iterdir()] == ["old"]


def test_a_file_has_the_usual_rights(tmp_path: Path) -> None:
    with partial_file(tmp_path / "file") as partial:
        partial.write_text("new")
    (tmp_path / "usual").touch()
    assert (tmp_path / "file").stat().st_mode == (tmp_path / "usual").stat().st_mode


WRITERS: dict[str, Arguments] = {
    "references": lambda given, out: ("references", given / "dump.xml", "--output", out / "new.jsonl.gz"),
    **{end: lambda given, out, end=end: ("score", "language", given / "rows.jsonl", "--output", out / f"new.{end}")
       for end in ("jsonl", "jsonl.gz", "parquet")},
    "pack": lambda given, out: ("pack", given / "own.ftz", "--license", "MIT", "--source", "s", "--output", out / "m"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRITERS)
def test_a_disk_that_fails_in_the_midst_of_a_write_is_one_line_with_the_output(
    name: str, inputs: Path, tmp_path: Path
) -> None:
    words = [str(word) for word in WRITERS[name](inputs, tmp_path / "out")]
    (tmp_path / "out").mkdir()
    failures = fail_at_all_sizes(lambda: CliRunner().invoke(classify, words, catch_exceptions=False))
    assert failures
    for failure in failures:
        assert "File too large" in failure.message
        assert str(tmp_path / "out") in failure.message
        assert failure.exit_code == 4


def test_a_model_that_a_disk_refuses_is_one_line_with_its_folder(tmp_path: Path) -> None:
    model = LinearModel([f"word{number}" for number in range(3000)], np.zeros((3001, 3)), ["a", "b"])

    def write() -> None:
        with partial_folder(tmp_path / "model", "weights.npy") as folder:
            model.save(folder / "words.txt", folder / "weights.npy")

    for failure in fail_at_all_sizes(write):
        assert (failure.message, failure.exit_code) == (f"[Errno 27] File too large: '{tmp_path / 'model'}'", 4)
    assert np.load(tmp_path / "model" / "weights.npy").shape == (3001, 3)
