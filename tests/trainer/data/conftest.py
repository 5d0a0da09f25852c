"""A small curated dataset and a tokenizer trained on it, for the tests of token files."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.trainer.curated import pages, write_dataset
from trainer.data.curated_dataset import Dataset, open_dataset
from trainer.data.tokenizer import Tokenizer, TokenizerSettings, train_tokenizer

ROWS = pages(50, weights=(1.0, 0.5, 2.0))


@pytest.fixture(scope="package")
def tokenizer() -> Tokenizer:
    return train_tokenizer([values["text"] for values in ROWS], TokenizerSettings(vocab_size=768))


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    return open_dataset(str(write_dataset(tmp_path / "set", ROWS, shards=3)))
