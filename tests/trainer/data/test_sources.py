from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from tests.trainer.corpora import open_data
from tests.trainer.curated import pages, write_dataset
from trainer.data import sources
from trainer.data.curated_dataset import Dataset, DatasetError
from trainer.data.sources import DataSettings, open_held_out
from trainer.data.tokenize_dataset import tokenize_dataset
from trainer.data.tokenizer import Tokenizer, TokenizerSettings, train_tokenizer
from trainer.errors import UserError

ROWS = pages(300)


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train_tokenizer([values["text"] for values in ROWS], TokenizerSettings(vocab_size=768))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("data") / "set", ROWS)


def settings(root: Path, source: dict[str, object] | None = None, **more: object) -> DataSettings:
    values = {
        "sources": {"web": {"path": str(root), **(source or {})}},
        "cache": root.parent / "cache",
        "batch_size": 4,
    }
    return DataSettings.model_validate({**values, "sequence_length": 64, "workers": 1, **more})


def ids(reader: object, count: int) -> list[str]:
    corpus = getattr(reader, "corpus", reader)
    return [corpus.describe(index).id for index in range(count)]


def test_held_out_documents_are_never_trained_on(root: Path, tokenizer: Tokenizer) -> None:
    reader = open_data(settings(root, held_out=0.1), tokenizer)
    held_out = open_held_out(settings(root, held_out=0.1, seed=7), tokenizer, progress=False)
    trained, tested = set(ids(reader, len(reader.corpus))), set(ids(held_out, len(held_out)))
    assert not trained & tested
    assert len(trained) + len(tested) == 300
    assert 15 <= len(tested) <= 45
    seen = {document.id for step in range(100) for document in reader.documents(step)}
    assert not seen & tested


def test_held_out_documents_do_not_depend_on_the_mixture(root: Path, tokenizer: Tokenizer) -> None:
    """The same documents are held out from a mixture that holds only half of the data."""
    whole = open_held_out(settings(root, held_out=0.2), tokenizer, progress=False)
    half = open_held_out(settings(root, {"min_quality": 0.5}, held_out=0.2), tokenizer, progress=False)
    assert set(ids(half, len(half))) < set(ids(whole, len(whole)))


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ({"min_quality": 0.5}, lambda row: row["quality_score"] >= 0.5),
        ({"domains": ["travel"]}, lambda row: row["domain"] == "travel"),
        ({"languages": ["en"]}, lambda row: True),
        (
            {"domains": ["travel", "health"], "min_quality": 0.8},
            lambda row: row["domain"] != "software" and row["quality_score"] >= 0.8,
        ),
    ],
)
def test_a_source_may_be_a_part_of_a_dataset(
    root: Path, tokenizer: Tokenizer, source: dict[str, object], expected
) -> None:  # type: ignore[no-untyped-def]
    reader = open_data(settings(root, source, held_out=0), tokenizer)
    assert ids(reader, len(reader.corpus)) == [row["id"] for row in ROWS if expected(row)]


def test_a_source_that_selects_nothing_is_refused(root: Path, tokenizer: Tokenizer) -> None:
    with pytest.raises(DatasetError, match="source web: none of 300 documents passes"):
        open_data(settings(root, {"min_quality": 1.5}), tokenizer)
    with pytest.raises(DatasetError, match="source web: no document has language 'de'"):
        open_data(settings(root, {"languages": ["en", "de"]}), tokenizer)
    with pytest.raises(DatasetError, match="source web: no document has domain 'travl'; did you mean travel"):
        open_data(settings(root, {"domains": ["health", "travl"]}), tokenizer)
    with pytest.raises(DatasetError, match="none of 300 documents is held out"):
        open_held_out(settings(root, held_out=0), tokenizer, progress=False)
    with pytest.raises(UserError, match=r"no data source is given; name at least one under \[data.sources\]"):
        open_data(settings(root, sources={}), tokenizer)


def test_shares_of_sources_are_honored(root: Path, tokenizer: Tokenizer) -> None:
    shares = {
        "health": {"path": str(root), "domains": ["health"], "share": 0.7},
        "rest": {"path": str(root), "domains": ["travel", "software"]},
    }
    reader = open_data(settings(root, sources=shares, max_repetitions=None), tokenizer)
    lines = {line.name: line for line in reader.shares(400)}
    assert lines["health"].target == pytest.approx(0.7)
    assert lines["health"].realized == pytest.approx(0.7, abs=0.01)
    health = [reader.corpus.domains[code] == "health" for code in reader.corpus.domain]
    tokens = sum(reader.documents(step)[0].domain == "health" for step in range(400)) / 400
    assert np.mean(health) < 0.4 < tokens


def test_unweighted_sources_count_every_document_once(tmp_path: Path, tokenizer: Tokenizer) -> None:
    rows = pages(40, weights=(0.0, 3.0))
    root = write_dataset(tmp_path / "set", rows)
    weighted = open_data(settings(root), tokenizer).corpus
    plain = open_data(settings(root, {"weighted": False}), tokenizer).corpus
    assert set(weighted.weight) == {0.0, 3.0}
    assert set(plain.weight) == {1.0}


def test_misspelled_and_impossible_settings_are_refused(root: Path) -> None:
    with pytest.raises(ValidationError, match="sequnce"):
        settings(root, sequnce=5)
    for wrong in ({"share": 1.5}, {"share": -0.1}):
        with pytest.raises(ValidationError, match="share"):
            settings(root, wrong)


def test_a_dataset_of_several_sources_is_verified_once(
    root: Path, tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    verified: list[str] = []

    def count(dataset: Dataset, *arguments: Any, **options: Any) -> Path:
        verified.append(dataset.root)
        return tokenize_dataset(dataset, *arguments, **options)

    monkeypatch.setattr(sources, "tokenize_dataset", count)
    parts = {name: {"path": str(root), "domains": [name]} for name in ("health", "travel", "software")}
    assert len(open_data(settings(root, sources=parts, held_out=0), tokenizer).corpus) == 300
    assert verified == [str(root)]
