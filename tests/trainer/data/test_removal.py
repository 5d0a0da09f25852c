"""Removed documents: their tokens are gone from the stores, and the steps that read them are still known."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import xxhash
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from tests.trainer.corpora import build_corpus
from tests.trainer.data.conftest import ROWS
from tests.trainer.data.test_batches import documents
from trainer.data import removal, tokenize_dataset
from trainer.data.batches import BatchSettings, BatchSource, Segment
from trainer.data.curated_dataset import Dataset, DatasetError, open_dataset
from trainer.data.removal import remove_documents
from trainer.data.sightings import find_steps, read_ids
from trainer.data.token_files import open_tokens, part_files
from trainer.data.tokenizer import Tokenizer
from trainer.errors import UserError


@hypothesis_settings(max_examples=30)
@given(
    count=st.integers(3, 40),
    seed=st.integers(0, 5),
    length=st.integers(4, 40),
    batch=st.integers(1, 5),
    steps=st.integers(0, 12),
    later=st.integers(1, 5),
)
def test_the_steps_of_a_document_are_those_whose_batches_have_it(
    count: int, seed: int, length: int, batch: int, steps: int, later: int
) -> None:
    weights = [0.5 + (number % 4) * 0.7 for number in range(count)]
    corpus = build_corpus(documents(count, seed), weights)
    keys = np.array([xxhash.xxh3_64_intdigest(str(number).encode()) for number in range(count)], np.uint64)
    settings = BatchSettings(batch_size=batch, sequence_length=length, seed=seed, max_repetitions=None)
    reader = BatchSource(replace(corpus, key=keys), settings).with_segments(
        [Segment(0, 0, batch), Segment(4, 4 * batch, later)]
    )
    ids = [reader.corpus.describe(number).id for number in range(count)]
    expected: dict[str, list[int]] = {name: [] for name in ids}
    for step in range(steps):
        for document in reader.documents(step):
            expected[document.id].append(step)
    assert find_steps(reader, [*ids, "0" * 32], steps) == dict(sorted(expected.items()))


def test_tokens_and_origin_of_a_removed_document_are_gone_and_nothing_else(
    tmp_path: Path, dataset: Dataset, tokenizer: Tokenizer
) -> None:
    store = tokenize_dataset.tokenize_dataset(dataset, tokenizer, tmp_path / "cache", 1, progress=False)
    before = open_tokens(store, "web").corpus
    gone = [13, 27, 44]
    ids = [before.describe(number).id for number in gone]
    old = [before.document(number).copy() for number in range(len(before))]
    assert remove_documents(tmp_path / "cache", ids) == [{"folder": str(store), "documents": 3}]
    after = open_tokens(store, "web").corpus
    assert after.fingerprint == before.fingerprint
    for number in range(len(before)):
        if number in gone:
            assert set(after.document(number).tolist()) == {after.separator}
            assert len(after.document(number)) == len(old[number])
            assert (after.describe(number).url, after.describe(number).warc_file) == ("", "")
        else:
            assert np.array_equal(after.document(number), old[number])
            assert after.describe(number) == before.describe(number)
    urls = {ROWS[number]["url"].encode() for number in gone}
    for path in store.rglob("*"):
        assert not path.is_file() or not any(url in path.read_bytes() for url in urls)


def test_a_blanked_store_is_not_trained_on_and_equal_parts_are_linked(
    tmp_path: Path, dataset: Dataset, tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "cache"
    store = tokenize_dataset.tokenize_dataset(dataset, tokenizer, cache, 1, progress=False)
    first = open_tokens(store, "web").corpus.describe(0).id
    remove_documents(cache, [first])
    with pytest.raises(DatasetError, match=r"documents of .* were removed from this store"):
        tokenize_dataset.tokenize_dataset(dataset, tokenizer, cache, 1, progress=False)
    written = rewrite_first_shard(Path(dataset.root))
    tokenized: list[int] = []
    write = tokenize_dataset.write_part
    monkeypatch.setattr(tokenize_dataset, "write_part", lambda *given: tokenized.append(given[1]) or write(*given))
    new = tokenize_dataset.tokenize_dataset(open_dataset(str(written)), tokenizer, cache, 1, progress=False)
    assert tokenized == [0]
    assert open_tokens(new, "web").corpus.describe(0).id == ROWS[1]["id"]
    assert part_files(new, 1).tokens.samefile(part_files(store, 1).tokens)


def rewrite_first_shard(root: Path) -> Path:
    """The dataset without its first document: as `gristmill remove` leaves it, the other shards are the same files."""
    manifest = json.loads((root / "manifest.json").read_text())
    shard = pq.read_table(root / manifest["shards"][0]["path"]).slice(1)
    pq.write_table(shard, root / "shards" / "part-00003.parquet")
    digest = hashlib.sha256((root / "shards" / "part-00003.parquet").read_bytes()).hexdigest()
    manifest["shards"][0] = {"path": "shards/part-00003.parquet", "rows": shard.num_rows, "sha256": digest}
    manifest["content_hash"] = "f" * 64
    (root / "manifest.json").write_text(json.dumps(manifest))
    return root


def test_killed_at_any_file_the_same_call_ends_in_the_same_state(
    tmp_path: Path, dataset: Dataset, tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = tokenize_dataset.tokenize_dataset(dataset, tokenizer, tmp_path / "cache", 1, progress=False)
    corpus = open_tokens(store, "web").corpus
    ids = [corpus.describe(number).id for number in (1, 20, 40)]
    start = {path.name: path.read_bytes() for path in store.iterdir() if path.is_file()}

    def state() -> dict[str, bytes]:
        names = (name for name in start if "verified" not in name)
        return {name: (store / name).read_bytes() for name in names}

    remove_documents(tmp_path / "cache", ids)
    expected = state()
    put, write = removal._replace, removal.write_atomically
    for last in range(10):
        for name, data in start.items():
            (store / name).write_bytes(data)
        calls = iter(range(100))

        def killed(*given: object, calls: object = calls, last: int = last, action: object = put) -> None:
            if next(calls) == last:  # type: ignore[call-overload]
                raise KeyboardInterrupt
            action(*given)  # type: ignore[operator]

        monkeypatch.setattr(removal, "_replace", lambda *given: killed(*given))
        monkeypatch.setattr(removal, "write_atomically", lambda *given: killed(*given, action=write))
        with pytest.raises(KeyboardInterrupt):
            remove_documents(tmp_path / "cache", ids)
        monkeypatch.setattr(removal, "_replace", put)
        monkeypatch.setattr(removal, "write_atomically", write)
        remove_documents(tmp_path / "cache", ids)
        assert state() == expected, last


@pytest.mark.parametrize("content", ["{}", "[" * 5000, None])
def test_a_damaged_record_is_named(tmp_path: Path, dataset: Dataset, tokenizer: Tokenizer, content: str | None) -> None:
    store = tokenize_dataset.tokenize_dataset(dataset, tokenizer, tmp_path / "cache", 1, progress=False)
    record = part_files(store, 0).record
    record.write_text(content) if content is not None else record.unlink()
    with pytest.raises(DatasetError, match=f"{record}: damaged or missing"):
        remove_documents(tmp_path / "cache", ["a" * 32])


def test_ids_are_read_from_receipts_files_and_the_command_line(tmp_path: Path) -> None:
    (tmp_path / "receipt.json").write_text(json.dumps({"documents": ["a" * 32]}))
    (tmp_path / "ids.txt").write_text("b" * 32 + "\n" + "c" * 32 + "\n")
    named = [str(tmp_path / "receipt.json"), str(tmp_path / "ids.txt"), "d" * 32]
    assert read_ids(named) == [letter * 32 for letter in "abcd"]
    with pytest.raises(UserError, match="neither a file nor a document id"):
        read_ids(["nothing"])
    (tmp_path / "receipt.json").write_text("{}")
    with pytest.raises(UserError, match="no receipt"):
        read_ids([str(tmp_path / "receipt.json")])
