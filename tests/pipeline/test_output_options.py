"""Optional output of `gristmill curate`: JSONL beside the shards, texts of dropped pages, token counts."""

from __future__ import annotations

import gzip
import hashlib
import json
from pathlib import Path

import datasets
import pyarrow.dataset as ds
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from pipeline.pii.addresses import find_emails
from tests.conftest import MINICRAWL, Command

OPTIONS = ("--set", "publish.jsonl=gzip", "--set", "prepare.drop_text=true", "--set", "publish.shard_bytes=100000")


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory) -> Path:
    """A byte-level BPE with a separator that its post-processor puts before a text."""
    engine = Tokenizer(models.BPE())
    engine.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=300, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), special_tokens=["<s>"]
    )
    engine.train_from_iterator(["the river and the sea and the hills"] * 5, trainer)
    engine.post_processor = processors.TemplateProcessing("<s> $A", special_tokens=[("<s>", engine.token_to_id("<s>"))])
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    engine.save(str(path))
    return path


@pytest.fixture(scope="module")
def output(tmp_path_factory, tokenizer, gristmill) -> Path:
    folder = tmp_path_factory.mktemp("options") / "out"
    gristmill(
        "curate", MINICRAWL, "--output", folder, "--workers", 2, *OPTIONS, "--set", f"publish.tokenizer={tokenizer}"
    )
    return folder


def test_the_lines_of_jsonl_are_the_rows_of_the_shards(output):
    shards = sorted((output / "shards").iterdir())
    assert len(shards) > 1
    for shard in shards:
        text = gzip.decompress((output / "jsonl" / f"{shard.stem}.jsonl.gz").read_bytes()).decode()
        lines = [json.loads(line) for line in text.splitlines()]
        rows = ds.dataset(shard).to_table().to_pylist()
        for row in rows:  # lists as text
            row.update({name: " ".join(map(str, row[name])) for name in ("opt_outs", "removed_lines")})
        assert lines == rows
    assert len(list((output / "jsonl").iterdir())) == len(shards)


def test_another_library_reads_the_jsonl(output, tmp_path):
    files = sorted(map(str, (output / "jsonl").iterdir()))
    loaded = datasets.load_dataset("json", data_files=files, split="train", cache_dir=str(tmp_path))
    shards = ds.dataset(output / "shards").to_table(columns=["id", "text", "weight"])
    assert loaded.select_columns(["id", "text", "weight"]).to_list() == shards.to_pylist()


def test_the_audit_checks_the_jsonl(output, gristmill: Command):
    gristmill("audit", output)
    file = next((output / "jsonl").iterdir())
    content = file.read_bytes()
    file.write_bytes(content[:-1])
    done = gristmill("audit", output, check=False)
    file.write_bytes(content)
    assert done.returncode == 3
    assert f"jsonl/{file.name} has other bytes than in the manifest" in done.stdout


def test_drops_have_the_texts_that_were_extracted(output, curated_minicrawl):
    drops = ds.dataset(output / "drops").to_table().to_pylist()
    with_text = {row["stage"] for row in drops if row["text"]}
    without = {row["stage"] for row in drops if not row["text"]}
    assert {"identify_language", "scrub_pii", "filter_heuristics", "deduplicate"} == with_text
    assert with_text.isdisjoint(without)
    assert {"read_warc", "block_urls", "quick_look"} <= without
    for row in drops:
        if row["text"]:
            start = row["excerpt"].removesuffix("…").removesuffix("...").split()
            assert row["text"].split()[: len(start) - 1] == start[:-1]
            assert not list(find_emails(row["text"]))
    usual = ds.dataset(curated_minicrawl / "drops").to_table(columns=["text"])
    assert usual["text"].null_count == usual.num_rows > 0


def test_options_change_no_shard(output, curated_minicrawl):
    ids = [set(ds.dataset(folder / "shards").to_table()["id"].to_pylist()) for folder in (output, curated_minicrawl)]
    assert ids[0] == ids[1]


def test_tokens_are_those_of_another_reader_of_the_tokenizer(output, tokenizer):
    other = PreTrainedTokenizerFast(tokenizer_file=str(tokenizer))
    rows = ds.dataset(output / "shards").to_table(columns=["text", "tokens"]).to_pylist()
    assert [row["tokens"] for row in rows] == [len(other.encode(row["text"], add_special_tokens=False)) for row in rows]
    total = sum(row["tokens"] for row in rows)
    assert json.loads((output / "report.json").read_text())["tokens"] == total
    assert f"{total:,} tokens" in (output / "README.md").read_text()
    manifest = json.loads((output / "manifest.json").read_text())
    digest = hashlib.sha256(tokenizer.read_bytes()).hexdigest()
    assert digest in manifest["files"].values()


def test_without_a_tokenizer_there_are_no_tokens(curated_minicrawl):
    assert set(ds.dataset(curated_minicrawl / "shards").to_table()["tokens"].to_pylist()) == {None}
    assert json.loads((curated_minicrawl / "report.json").read_text())["tokens"] is None
