"""The commands of `gristmill classify`, and what importing them loads."""

import json
import subprocess
import sys
from pathlib import Path

import click
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from classifiers.cli import classify
from classifiers.data.tables import read_batches
from classifiers.quality import load_quality_model
from pipeline.documents import Page
from pipeline.extraction.training_pages import TrainingPageExtractor
from pipeline.reading.inputs import resolve_inputs
from pipeline.reading.units import cut_units
from pipeline.stages.read_warc import ReadWarcSettings, read_unit
from tests.classifiers.data.test_wikipedia_citations import WIKITEXT
from tests.classifiers.data.test_wikipedia_dump import dump_of
from tests.pipeline.warcs import crawl


def run(*arguments: object, code: int = 0) -> str:
    result = CliRunner().invoke(classify, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.output
    return result.output


def rows_of(path: Path) -> list[dict[str, object]]:
    return [row for batch in read_batches(path) for row in batch]


def test_extracted_text_is_kept_in_the_cache_folder_by_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRISTMILL_CACHE", str(tmp_path))
    for name in ("train", "evaluate", "gate"):
        command = classify.commands[name]
        context = click.Context(command)
        assert [each.get_default(context, call=True) for each in command.params if each.name == "work"] == [
            tmp_path / "classify"
        ]
        assert "classify/ in GRISTMILL_CACHE" in " ".join(command.get_help(context).split())


def test_classifiers_import_neither_beam_nor_torch_nor_the_pipeline() -> None:
    probe = (
        "import pkgutil, importlib, sys, classifiers\n"
        "for module in pkgutil.walk_packages(classifiers.__path__, 'classifiers.'):\n"
        "    importlib.import_module(module.name)\n"
        "heavy = {'apache_beam', 'torch', 'pipeline', 'trainer', 'sklearn', 'matplotlib.pyplot'} & set(sys.modules)\n"
        "sys.exit(', '.join(sorted(heavy)) or 0)\n"
    )
    result = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("command", ["references", "locate", "sample", "train", "evaluate", "gate", "score", "pack"])
def test_every_command_has_a_help_text(command: str) -> None:
    assert len(run(command, "--help").splitlines()) > 5


@pytest.mark.parametrize("workers", [1, 2])
def test_references_writes_every_citation_and_its_speed(tmp_path: Path, workers: int) -> None:
    dump = tmp_path / "dump.xml"
    dump.write_bytes(dump_of(*((f"Article {i}", "0", WIKITEXT) for i in range(120)), ("Talk:A", "1", WIKITEXT)))
    output = run("references", dump, "--output", tmp_path / "refs.jsonl", "--workers", workers)
    rows = rows_of(tmp_path / "refs.jsonl")
    assert len(rows) == 1_200
    assert rows[0] == {
        "article": "Article 0", "url": "https://example.org/a?utm_source=x", "key": "example.org/a", "kind": "ref",
        "template": "cite web",
    }  # fmt: skip
    assert [row["article"] for row in rows[::10]] == [f"Article {i}" for i in range(120)]
    assert "120 articles, 1200 cited URLs" in output
    assert "MB/s" in output
    assert "hours" in output
    assert "5 articles, 50 cited" in run("references", dump, "--output", tmp_path / "few.jsonl.gz", "--limit", 5)


def test_references_of_something_else_fails_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "dump.xml").write_text("<html><p>not closed")
    output = run("references", tmp_path / "dump.xml", "--output", tmp_path / "refs.jsonl", code=2)
    assert "cannot be read as a MediaWiki XML dump" in output
    assert "Traceback" not in output
    assert not (tmp_path / "refs.jsonl").exists()


def test_cited_urls_of_a_dump_are_located_in_the_index_and_curated(tmp_path: Path) -> None:
    """What `references` finds in a dump, `locate` finds in the index, and `curate` reads by range and nothing else."""
    (tmp_path / "dump.xml").write_bytes(dump_of(("A", "0", "Said.<ref>{{cite web|url=http://example.com/3}}</ref>")))
    run("references", tmp_path / "dump.xml", "--output", tmp_path / "refs.jsonl")
    records = crawl(5)
    (tmp_path / "one.warc.gz").write_bytes(b"".join(records))
    starts = [sum(map(len, records[:at])) for at in range(len(records))]
    responses = range(1, len(records), 3)
    index = {
        "url": [f"https://www.example.com/{number}" for number in range(5)],
        "warc_filename": ["one.warc.gz"] * 5,
        "warc_record_offset": [starts[at] for at in responses],
        "warc_record_length": [len(records[at]) for at in responses],
    }
    pq.write_table(pa.table(index), tmp_path / "index.parquet")
    rows = tmp_path / "rows.parquet"
    run("locate", tmp_path / "index.parquet", "--references", tmp_path / "refs.jsonl", "--output", rows)
    assert rows_of(rows) == [
        {name: values[3] for name, values in index.items() if name != "url"}
        | {"url": "https://www.example.com/3", "match": "exact"}
    ]
    (read,) = [page for unit in cut_units(resolve_inputs([str(rows)])) for page in read_unit(unit, ReadWarcSettings())]
    assert isinstance(read, Page)
    assert read.url == "http://example.com/3"


@pytest.mark.parametrize(
    ("model", "columns"),
    [
        ("quality", {"quality_score": float}),
        ("education", {"education_score": float}),
        ("domain", {"domain": str, "domain_score": float, "kind": str, "kind_score": float}),
        ("language", {"language": str, "language_score": float}),
        ("harm", {"harm_score": float}),
    ],
)
def test_score_adds_its_columns_in_both_formats(tmp_path: Path, model: str, columns: dict[str, type]) -> None:
    rows = [
        {"url": f"https://a.example/{i}", "text": f"The {i} cats sat on the mat in the old house."} for i in range(5)
    ]
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "in.parquet")
    for source, target in (("in.jsonl", "out.parquet"), ("in.parquet", "out.jsonl")):
        assert "5 rows" in run("score", model, tmp_path / source, "--output", tmp_path / target)
        scored = rows_of(tmp_path / target)
        assert [{key: row[key] for key in ("url", "text")} for row in scored] == rows
        assert {name: type(scored[0][name]) for name in columns} == columns


def test_score_gives_the_scores_of_the_model(tmp_path: Path) -> None:
    text = "A long history of the town was written in 1901 by its clerk, and reprinted by the county."
    (tmp_path / "in.jsonl").write_text(json.dumps({"text": text}) + "\n")
    run("score", "quality", tmp_path / "in.jsonl", "--output", tmp_path / "out.jsonl")
    assert rows_of(tmp_path / "out.jsonl")[0]["quality_score"] == load_quality_model().score([text])[0]


def test_score_names_the_columns_of_a_file_without_text(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text('{"body": "x"}\n')
    output = run("score", "harm", tmp_path / "in.jsonl", "--output", tmp_path / "out.jsonl", code=2)
    assert "has no `text`; its columns are body" in output


def test_a_command_that_finds_no_row_fails_and_writes_nothing(tmp_path: Path) -> None:
    """Code 3 is that of a failed run in the README's table."""
    (tmp_path / "dump.xml").write_bytes(dump_of(("A", "0", "Nothing is cited.")))
    (tmp_path / "cited.txt").write_text("https://a.example/1\n")
    row = {"url": "https://b.example/1", "warc_filename": "1", "warc_record_offset": 1, "warc_record_length": 1}
    pq.write_table(pa.Table.from_pylist([row]), tmp_path / "index.parquet")
    (tmp_path / "empty.jsonl").write_text("\n")
    before, output = set(tmp_path.iterdir()), ("--output", tmp_path / "new.parquet")
    said = [
        run("references", tmp_path / "dump.xml", "--output", tmp_path / "new.jsonl", code=3),
        run("locate", tmp_path / "index.parquet", "--references", tmp_path / "cited.txt", *output, code=3),
        run("score", "harm", tmp_path / "empty.jsonl", *output, code=3),
    ]
    for line, name in zip(said, ("dump.xml", "index.parquet", "empty.jsonl"), strict=True):
        assert line.startswith(f"Error: {tmp_path / name}: "), line
        assert "was not written; " in line
        assert line.count("\n") == 1
    assert set(tmp_path.iterdir()) == before


def test_train_without_data_names_the_option(tmp_path: Path) -> None:
    output = run("train", "quality", "--data", tmp_path / "nowhere", "--output", tmp_path / "model", code=2)
    assert "name the folder of real pages with --data" in output
    train = ["train", "domain", "--data", str(tmp_path), "--output", str(tmp_path / "model")]
    result = CliRunner().invoke(classify, train, obj=TrainingPageExtractor)
    assert result.exit_code == 2
    assert "--data" in result.output


def test_sample_needs_positives(tmp_path: Path) -> None:
    (tmp_path / "staged.jsonl").write_text('{"text": "x"}\n')
    assert "training needs positives" in run(
        "sample", tmp_path / "staged.jsonl", "--output", tmp_path / "s.jsonl", code=2
    )
