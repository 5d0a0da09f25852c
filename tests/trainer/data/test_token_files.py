from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.trainer.curated import row, write_dataset
from tests.trainer.data.conftest import ROWS
from trainer.data import token_files
from trainer.data.curated_dataset import Dataset, DatasetError, open_dataset
from trainer.data.token_files import open_tokens, token_type
from trainer.data.tokenize_dataset import tokenize_dataset
from trainer.data.tokenizer import Tokenizer


def test_every_document_is_found_again(tmp_path: Path, dataset: Dataset, tokenizer: Tokenizer) -> None:
    store = open_tokens(tokenize_dataset(dataset, tokenizer, tmp_path / "cache", 1, progress=False), "web")
    corpus = store.corpus
    assert len(corpus) == len(ROWS)
    for index, values in enumerate(ROWS):
        tokens = corpus.document(index)
        assert tokens[0] == tokenizer.separator
        assert tokenizer.decode(tokens[1:]) == values["text"]
        assert corpus.bytes[index] == len(values["text"].encode())
        assert corpus.weight[index] == values["weight"]
        assert corpus.domains[corpus.domain[index]] == values["domain"]
        assert store.quality[index] == values["quality_score"]
        found = corpus.describe(index)
        assert (found.id, found.url, found.warc_offset) == (values["id"], values["url"], values["warc_offset"])
        assert found.tokens == len(tokens)
    rows_of_shards = [corpus.describe(index).row for index in range(len(ROWS))]
    assert rows_of_shards == [*range(16), *range(17), *range(17)]
    assert corpus.files[0].dtype == np.uint16
    assert all(isinstance(file.base, np.memmap) for file in corpus.files)


def test_without_hashes_sizes_are_compared(tmp_path: Path, dataset: Dataset, tokenizer: Tokenizer) -> None:
    store = tokenize_dataset(dataset, tokenizer, tmp_path / "cache", 1, progress=False)
    (store / "part-00000.tokens").write_bytes(b"short")
    with pytest.raises(DatasetError, match=r"part-00000.tokens: not [\d,]+ bytes long"):
        open_tokens(store, "web", verify=False)


def test_ids_beyond_16_bits_are_kept(tmp_path: Path) -> None:
    assert token_type(65_536).itemsize == 2
    assert token_type(65_537).itemsize == 4


@pytest.mark.parametrize("weight", [-1.0, float("nan"), float("inf")])
def test_an_impossible_weight_is_refused(tmp_path: Path, tokenizer: Tokenizer, weight: float) -> None:
    root = write_dataset(tmp_path / "set", [row(0, "a b"), row(1, "c d", weight=weight)], 1)
    with pytest.raises(DatasetError, match=r"document \w{32} has weight (-1.0|nan|inf); a weight is 0 or more"):
        tokenize_dataset(open_dataset(str(root)), tokenizer, tmp_path / "cache", 1, progress=False)


def test_a_row_count_other_than_the_manifests_is_refused(tmp_path: Path, tokenizer: Tokenizer) -> None:
    root = write_dataset(tmp_path / "set", ROWS[:6], 1)
    manifest = json.loads((root / "manifest.json").read_text())
    manifest["shards"][0]["rows"] = 7
    (root / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(DatasetError, match="6 rows, the manifest says 7"):
        tokenize_dataset(open_dataset(str(root)), tokenizer, tmp_path / "cache", 1, progress=False)


def test_an_empty_text_is_a_separator(tmp_path: Path, tokenizer: Tokenizer) -> None:
    root = write_dataset(tmp_path / "set", [row(0, ""), row(1, "the")], 1)
    corpus = open_tokens(
        tokenize_dataset(open_dataset(str(root)), tokenizer, tmp_path / "c", 1, progress=False), "web"
    ).corpus
    assert corpus.document(0).tolist() == [tokenizer.separator]


def test_describing_a_document_reads_one_row_group(
    tmp_path: Path, dataset: Dataset, tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(token_files, "ROW_GROUP", 4)
    folder = tokenize_dataset(dataset, tokenizer, tmp_path / "small_groups", 1, progress=False)
    corpus = open_tokens(folder, "web").corpus
    sizes = []
    read = token_files.read_provenance
    monkeypatch.setattr(token_files, "read_provenance", lambda *place: sizes.append(len(read(*place))) or read(*place))
    assert [corpus.describe(index).id for index in range(len(ROWS))] == [values["id"] for values in ROWS]
    assert max(sizes) == 4
