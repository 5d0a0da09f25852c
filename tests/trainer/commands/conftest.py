from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.trainer.commands.invoke import run, run_options
from tests.trainer.curated import pages, write_dataset


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a dataset, a tokenizer and a trained run."""
    folder = tmp_path_factory.mktemp("cli")
    rows = pages(200)
    write_dataset(folder / "set", rows)
    printed = run("tokenizer", folder / "set", "--output", folder / "tokenizer", "--vocab-size", 768)
    assert "encoded by tiktoken (equal ids)" in printed
    assert json.loads((folder / "tokenizer" / "tokenizer_report.json").read_text())["all"]["documents"] > 0
    printed = run(
        "tokens", folder / "set", "--tokenizer", folder / "tokenizer", "--cache", folder / "cache", "--workers", 1
    )
    assert "200 documents" in printed
    printed = run("pretrain", "tiny", *run_options(folder), "--output", folder / "run")
    assert "realized" in printed
    assert "step 12," in printed
    return folder
