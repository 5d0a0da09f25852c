"""Tokenize a curated dataset once, shards in parallel; every later run maps the token files and starts at once.

The folder is named by the dataset's content hash and the tokenizer's SHA-256, so tokens of another dataset or tokenizer
are never mixed up. A finished part is kept; one whose files have changed since is written again. Of processes that need
the same tokens at the same time, one writes them and the others wait.
"""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, replace
from functools import lru_cache
from pathlib import Path

from tqdm import tqdm

from trainer.data.curated_dataset import Dataset, DatasetError, Shard
from trainer.data.mapped_arrays import take_lock
from trainer.data.token_files import (
    FORMAT,
    Part,
    blanked,
    is_finished,
    part_files,
    read_record,
    read_summary,
    token_type,
    write_part,
    write_summary,
)
from trainer.data.tokenizer import TOKENIZER_FILE, Tokenizer, load_tokenizer
from trainer.data.verified_files import VerifiedFiles
from trainer.files import write_atomically


def token_folder(dataset: Dataset, tokenizer: Tokenizer, cache: Path) -> Path:
    """The folder of a dataset's tokens."""
    return cache / f"{dataset.content_hash[:16]}-{tokenizer.sha256[:16]}-{FORMAT}"


def tokenize_dataset(
    dataset: Dataset,
    tokenizer: Tokenizer,
    cache: Path,
    workers: int = 0,
    *,
    verify: bool = True,
    progress: bool = True,
) -> Path:
    """Writes the missing token files of a dataset, shards in parallel (0 workers = all cores); returns their folder.

    verify: compare the hashes of existing files, not only their sizes.
    """
    folder, itemsize = token_folder(dataset, tokenizer, cache), token_type(tokenizer.vocab_size).itemsize
    if (folder / "tokens.json").exists():
        if blanked(read_summary(folder)):
            raise DatasetError(
                f"{folder}: documents of {dataset.root} were removed from this store; train on the dataset without"
                " them (`gristmill remove`), or delete the store"
            )
        with take_lock(
            folder / "lock"
        ):  # the ranks of a run start together: one hashes the files, the others find that
            missing = _find_missing(folder, dataset, itemsize, verify)
        if not missing:
            return folder
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DatasetError(f"{folder}: cannot be made ({error.strerror}); name another folder by data.cache") from error
    with take_lock(folder / "lock") as failure:  # one writes, the others wait and find it
        if failure is not None:
            raise DatasetError(f"{folder}: cannot be written; name another folder by data.cache") from failure
        tokenizer.save(folder / TOKENIZER_FILE)
        _link_parts(folder, dataset, tokenizer, itemsize)
        _write_parts(
            folder,
            dataset,
            _find_missing(folder, dataset, itemsize, verify),
            workers or len(os.sched_getaffinity(0)),
            progress,
        )
        write_summary(folder, dataset, tokenizer)
    return folder


def _find_missing(folder: Path, dataset: Dataset, itemsize: int, verify: bool) -> list[int]:
    """The shards whose part is not finished."""
    verified = VerifiedFiles(folder) if verify else None
    shards = enumerate(dataset.shards)
    missing = [number for number, shard in shards if not is_finished(folder, number, shard, itemsize, verified)]
    if verified is not None:
        verified.save()
    return missing


def _link_parts(folder: Path, dataset: Dataset, tokenizer: Tokenizer, itemsize: int) -> None:
    """Links parts of equal shards from the stores of other datasets: `gristmill remove` changes few shards of many."""
    found: dict[str, tuple[Path, int]] = {}
    for store in sorted(folder.parent.glob(f"*-{tokenizer.sha256[:16]}-{FORMAT}")):
        if store != folder and (store / "tokens.json").exists():
            summary = read_summary(store)
            intact = set(range(len(summary["parts"]))) - blanked(summary)
            found |= {summary["parts"][number].shard_sha256: (store, number) for number in intact}
    for number, shard in enumerate(dataset.shards):
        if shard.sha256 in found and not is_finished(folder, number, shard, itemsize, None):
            store, other = found[shard.sha256]
            source, target = part_files(store, other), part_files(folder, number)
            record = replace(read_record(store, other), shard=shard.name)
            for old, new in ((source.tokens, target.tokens), (source.index, target.index)):
                new.unlink(missing_ok=True)
                with contextlib.suppress(OSError):  # another disk: the part is tokenized
                    new.hardlink_to(old)
            if target.tokens.exists() and target.index.exists():
                write_atomically(target.record, json.dumps(asdict(record), indent=1) + "\n")


def _write_parts(folder: Path, dataset: Dataset, numbers: list[int], workers: int, progress: bool) -> None:
    with tqdm(total=dataset.rows, unit=" documents", desc="tokenize", disable=None if progress else True) as bar:
        bar.update(dataset.rows - sum(dataset.shards[number].rows for number in numbers))
        for part in _run_workers(folder, dataset, numbers, workers):
            bar.update(part.documents)


def _run_workers(folder: Path, dataset: Dataset, numbers: list[int], workers: int) -> Iterator[Part]:
    """Each shard in a process of its own; with more workers than shards, they encode on several threads."""
    processes = max(1, min(workers, len(numbers)))
    threads = max(1, workers // processes)
    if processes == 1:
        yield from (_tokenize_shard(folder, number, dataset.shards[number], threads) for number in numbers)
        return
    with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn")) as pool:
        jobs = [pool.submit(_tokenize_shard, folder, number, dataset.shards[number], threads) for number in numbers]
        try:
            yield from (job.result() for job in as_completed(jobs))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _tokenize_shard(folder: Path, number: int, shard: Shard, threads: int) -> Part:
    return write_part(folder, number, shard, _load_once(folder), threads)


@lru_cache(maxsize=1)
def _load_once(folder: Path) -> Tokenizer:
    """The folder's tokenizer, loaded once per process."""
    return load_tokenizer(folder)
