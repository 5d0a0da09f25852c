from __future__ import annotations

import fcntl
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from tests.trainer.curated import write_dataset
from tests.trainer.data.conftest import ROWS
from trainer.data import verified_files
from trainer.data.corpus import PER_DOCUMENT
from trainer.data.curated_dataset import Dataset, DatasetError, open_dataset
from trainer.data.token_files import open_tokens
from trainer.data.tokenize_dataset import token_folder, tokenize_dataset
from trainer.data.tokenizer import Tokenizer, TokenizerSettings, train_tokenizer


def stored_files(store: Path) -> list[Path]:
    """What every run gets alike: not the memory of a machine, nor the index, which is made when first opened."""
    return [path for path in store.iterdir() if path.is_file() and not path.name.startswith(("verified-", "index"))]


def test_one_process_and_two_write_the_same_bytes(tmp_path: Path, dataset: Dataset, tokenizer: Tokenizer) -> None:
    one = tokenize_dataset(dataset, tokenizer, tmp_path / "one", 1, progress=False)
    two = tokenize_dataset(dataset, tokenizer, tmp_path / "two", 2, progress=False)
    assert {path.name: path.read_bytes() for path in stored_files(one)} == {
        path.name: path.read_bytes() for path in stored_files(two)
    }


def test_a_finished_part_is_kept_and_a_damaged_one_made_again(
    tmp_path: Path, dataset: Dataset, tokenizer: Tokenizer
) -> None:
    store = tokenize_dataset(dataset, tokenizer, tmp_path / "cache", 1, progress=False)
    before = {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in stored_files(store)}
    damaged = store / "part-00001.tokens"
    damaged.write_bytes(damaged.read_bytes()[:-2] + b"\0\0")
    with pytest.raises(DatasetError, match=r"part-00001.tokens: damaged or missing"):
        open_tokens(store, "web")
    tokenize_dataset(dataset, tokenizer, tmp_path / "cache", 1, progress=False)
    after = {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in stored_files(store)}
    assert {name: data for name, (data, _) in after.items()} == {name: data for name, (data, _) in before.items()}
    assert after["part-00000.tokens"] == before["part-00000.tokens"]
    assert after["part-00001.tokens"] != before["part-00001.tokens"]


def test_an_interrupted_run_is_resumed(tmp_path: Path, dataset: Dataset, tokenizer: Tokenizer) -> None:
    store = tokenize_dataset(dataset, tokenizer, tmp_path / "cache", 1, progress=False)
    whole = {path.name: path.read_bytes() for path in stored_files(store)}
    (store / "tokens.json").unlink()
    (store / "part-00002.json").unlink()
    (store / "part-00002.tokens").write_bytes(b"half")
    with pytest.raises(DatasetError, match="no finished tokens"):
        open_tokens(store, "web")
    tokenize_dataset(dataset, tokenizer, tmp_path / "cache", 1, progress=False)
    assert {path.name: path.read_bytes() for path in stored_files(store)} == whole


def test_without_hashes_files_of_the_right_size_are_kept(
    tmp_path: Path, dataset: Dataset, tokenizer: Tokenizer
) -> None:
    """A terabyte need not be read before each start; a finished store is only read, so its disk may be read-only."""
    store = tokenize_dataset(dataset, tokenizer, tmp_path / "cache", 1, progress=False)
    part, before = store / "part-00001.tokens", (store / "part-00001.tokens").read_bytes()
    times = {path.name: path.stat().st_mtime_ns for path in stored_files(store)}
    part.write_bytes(before[:-2] + b"\0\0")
    times[part.name] = part.stat().st_mtime_ns
    tokenize_dataset(dataset, tokenizer, tmp_path / "cache", 1, verify=False, progress=False)
    assert {path.name: path.stat().st_mtime_ns for path in stored_files(store)} == times
    tokenize_dataset(dataset, tokenizer, tmp_path / "cache", 1, progress=False)
    assert part.read_bytes() == before
    part.write_bytes(before[:-2])
    tokenize_dataset(dataset, tokenizer, tmp_path / "cache", 1, verify=False, progress=False)
    assert part.read_bytes() == before


def test_processes_that_start_together_take_turns(tmp_path: Path, dataset: Dataset, tokenizer: Tokenizer) -> None:
    """As the ranks of a run do: none may read, or write again, what another is writing."""
    store = token_folder(dataset, tokenizer, tmp_path / "cache")
    store.mkdir(parents=True)
    with (store / "lock").open("w") as other, ThreadPoolExecutor(1) as pool:
        fcntl.flock(other, fcntl.LOCK_EX)
        job = pool.submit(tokenize_dataset, dataset, tokenizer, tmp_path / "cache", 1, progress=False)
        with pytest.raises(TimeoutError):
            job.result(timeout=0.5)
        assert [path.name for path in stored_files(store)] == ["lock"]
        fcntl.flock(other, fcntl.LOCK_UN)
        assert job.result() == store


def test_another_tokenizer_or_dataset_has_its_own_tokens(
    tmp_path: Path, dataset: Dataset, tokenizer: Tokenizer
) -> None:
    other = train_tokenizer([values["text"] for values in ROWS], TokenizerSettings(vocab_size=768, min_count=60))
    second = open_dataset(str(write_dataset(tmp_path / "second", ROWS[:9], shards=1)))
    stores = [
        tokenize_dataset(dataset, tokenizer, tmp_path / "cache", 1, progress=False),
        tokenize_dataset(dataset, other, tmp_path / "cache", 1, progress=False),
        tokenize_dataset(second, tokenizer, tmp_path / "cache", 1, progress=False),
    ]
    assert len(set(stores)) == 3
    assert len({open_tokens(store, "web").corpus.fingerprint for store in stores}) == 3


def test_a_failure_in_a_worker_process_is_one_clear_line(
    tmp_path: Path, dataset: Dataset, tokenizer: Tokenizer
) -> None:
    Path(dataset.shards[1].path).write_bytes(b"damaged")
    with pytest.raises(DatasetError, match=r"part-00001.parquet: its SHA-256"):
        tokenize_dataset(dataset, tokenizer, tmp_path / "cache", 2, progress=False)


def test_files_are_hashed_once_on_a_machine(
    tmp_path: Path, dataset: Dataset, tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of ranks that start together one hashes; a later start hashes nothing, unless a file has changed."""
    store = tokenize_dataset(dataset, tokenizer, tmp_path / "cache", 1, progress=False)
    names: list[str] = []
    real = verified_files.sha256_of_file
    monkeypatch.setattr(verified_files, "sha256_of_file", lambda path: names.append(path.name) or real(path))
    monkeypatch.setattr(verified_files, "SETTLED", 0.0)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: tokenize_dataset(dataset, tokenizer, tmp_path / "cache", 1, progress=False), range(4)))
    assert sorted(names) == sorted(path.name for path in store.glob("part-*") if path.suffix != ".json")
    names.clear()
    path = store / "part-00001.tokens"
    before = path.stat()
    data = bytearray(path.read_bytes())
    data[0] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(DatasetError, match=r"part-00001\.tokens: damaged"):
        open_tokens(store, "web")
    assert names == ["part-00001.tokens"]
    tokenize_dataset(dataset, tokenizer, tmp_path / "cache", 1, progress=False)
    open_tokens(store, "web")


def test_the_index_is_mapped_and_follows_its_parts(tmp_path: Path, dataset: Dataset, tokenizer: Tokenizer) -> None:
    store = tokenize_dataset(dataset, tokenizer, tmp_path / "cache", 1, progress=False)
    first = open_tokens(store, "web").corpus
    for name in ("file", "start", "length", "weight", "key", "bytes", "domain"):
        assert not getattr(first, name).flags.owndata, name
        assert isinstance(getattr(first, name).base, np.memmap), name
    lengths = first.length.tolist()
    (store / "index" / "length.npy").write_bytes(b"damaged")
    again = open_tokens(store, "web").corpus
    assert again.length.tolist() == lengths
    assert again.fingerprint == first.fingerprint


def test_selections_are_mapped_too(tmp_path: Path, dataset: Dataset, tokenizer: Tokenizer) -> None:
    corpus = open_tokens(tokenize_dataset(dataset, tokenizer, tmp_path / "cache", 1, progress=False), "web").corpus
    keep = np.arange(len(corpus)) % 3 != 0
    chosen, expected = corpus.select(keep, tmp_path / "selections"), corpus.select(keep)
    assert chosen.fingerprint == expected.fingerprint
    for name in PER_DOCUMENT:
        assert getattr(chosen, name).tolist() == getattr(expected, name).tolist()
        assert isinstance(getattr(chosen, name).base, np.memmap), name
    assert [chosen.describe(n) for n in range(len(chosen))] == [expected.describe(n) for n in range(len(chosen))]
