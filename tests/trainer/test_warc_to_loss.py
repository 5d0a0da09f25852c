"""End to end: WARC files -> curated shards -> tokenizer -> falling loss, and back from a step to the WARC."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from click.testing import CliRunner
from warcio.archiveiterator import ArchiveIterator

from pipeline.cli import gristmill
from trainer.training.metrics import read_metrics

WARCS = Path(__file__).parents[1] / "minicrawl" / "warc"
FAST = [
    "model.hidden_size=32",
    "model.layers=1",
    "model.heads=2",
    "model.kv_heads=1",
    "model.context_length=64",
    "data.batch_size=8",
]
FAST += [
    "data.sequence_length=64",
    "loop.steps=60",
    "loop.threads=1",
    "loop.precision=float32",
    "schedule.warmup_steps=3",
]
SET = [word for change in FAST for word in ("--set", change)]


def gristmill_run(*arguments: object) -> str:
    result = CliRunner().invoke(gristmill, [str(argument) for argument in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_from_warc_to_loss_and_back(tmp_path: Path, curated_minicrawl: Path) -> None:
    gristmill_run("train", "tokenizer", curated_minicrawl, "--output", tmp_path / "tokenizer", "--vocab-size", 1024)
    data = ["--data", curated_minicrawl, "--tokenizer", tmp_path / "tokenizer"]
    data += ["--set", f"data.cache={tmp_path}/tokens", *SET]
    gristmill_run("train", "pretrain", "tiny", *data, "--output", tmp_path / "run")

    losses = [row["loss"] for row in read_metrics(tmp_path / "run")]
    assert losses[0] == pytest.approx(math.log(1024), abs=0.5)  # an untrained model guesses uniformly
    assert losses[-1] < losses[0] - 1

    (tmp_path / "lines").write_text(gristmill_run("train", "trace", tmp_path / "run", "--step", 7, "--json"))
    traced = [json.loads(line) for line in (tmp_path / "lines").read_text().splitlines()]
    checked = 0
    for page in traced:
        if not page["warc_file"].endswith(".warc.gz"):
            continue
        with (WARCS / page["warc_file"]).open("rb") as file:
            file.seek(page["warc_offset"])
            checked += 1
            record = next(iter(ArchiveIterator(file)))
            assert record.rec_headers.get_header("WARC-Target-URI") == page["url"]
    assert checked > 3
