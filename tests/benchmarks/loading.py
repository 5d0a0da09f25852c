"""What feeding a model costs: batches of the trainer beside a plain loop and Hugging Face datasets streaming.

    python -m tests.benchmarks.loading [--pages 2000] [--passes 3]
    python -m tests.benchmarks.loading --synthetic

All read the same Parquet shards of real text (GRISTMILL_DATA, default ../shared/data) and make packed int64 sequences
of equal length. The plain loop is pyarrow row groups, tiktoken with the same tokenizer, and a buffer. Hugging Face
streams the shards through `map` with the same tokenizer and groups texts as its own training script does. Both tokenize
in every pass; the trainer once, which is shown alone and spread over the passes. Figures are tokens per CPU-second, of
all threads and child processes.

--synthetic measures batches, and the documents of their tokens, of corpora of 20,000, 2 million and 10 million
documents, whose tokens and index are memory-mapped files: the time of a batch must not depend on the size. Beside them
two plain readers of the same map: as many pieces of documents at random places, found by the index, with document ids
and positions; and windows at random places as inputs and targets, as nanoGPT reads, without documents. In one run on a
machine busy with other work, November 2026, ours took 1.32, 1.29 and 1.37 times the CPU time of the pieces, and with
best fit 1.25, 1.30 and 1.29. The pieces are arrays concatenated, as one would write it; ours are bytes joined, which
takes half the time, and pays with it for finding the documents, the mask and the documents of tokens. A pass of
10 million documents begins in 3.3 s, with best fit in 13.3.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import tiktoken
import torch

from tests.benchmarks import data_folder
from trainer.data.batches import BatchSettings, BatchSource
from trainer.data.corpus import Corpus, DocumentRef, Tokens
from trainer.data.curated_dataset import open_dataset
from trainer.data.packing import Packing, Pieces
from trainer.data.token_files import open_tokens
from trainer.data.tokenize_dataset import tokenize_dataset
from trainer.data.tokenizer import Tokenizer, TokenizerSettings, train_tokenizer

ROWS, SEQUENCE = 32, 1024
SYNTHETIC = (20_000, 2_000_000, 10_000_000)  # documents
SCHEMA = pa.schema([("id", pa.string()), ("text", pa.string()), ("weight", pa.float64()), ("characters", pa.int64())])


def real_texts(count: int) -> list[str]:
    """Main texts of real pages and Wikipedia articles."""
    found: list[str] = []
    for name in ("gold.jsonl.gz", "wiki/articles.jsonl.gz"):
        with gzip.open(data_folder() / name, "rt", encoding="utf-8") as lines:
            rows = map(json.loads, lines)
            found += [row["text"] for row in rows if isinstance(row.get("text"), str) and len(row["text"]) > 500]
    return found[:count]


def write_shards(folder: Path, texts: list[str], shards: int = 4) -> None:
    """The texts as a dataset."""
    (folder / "shards").mkdir(parents=True)
    entries = []
    for number in range(shards):
        mine = texts[number::shards]
        ids = [hashlib.blake2b(text.encode(), digest_size=16).hexdigest() for text in mine]
        columns = [ids, mine, [1.0] * len(mine), [len(text) for text in mine]]
        path = folder / "shards" / f"part-{number:05d}.parquet"
        pq.write_table(pa.table(columns, schema=SCHEMA), path, compression="zstd", row_group_size=1024)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        entries.append({"path": f"shards/{path.name}", "rows": len(mine), "sha256": digest})
    (folder / "manifest.json").write_text(json.dumps({"content_hash": entries[0]["sha256"], "shards": entries}))


def plain_rows(folder: Path, encoding: tiktoken.Encoding, separator: int) -> Iterator[np.ndarray]:  # type: ignore[type-arg]
    """pyarrow and tiktoken."""
    buffer: list[int] = []
    for path in sorted((folder / "shards").glob("*.parquet")):
        for batch in pq.ParquetFile(path).iter_batches(columns=["text"]):
            for text in batch.column(0).to_pylist():
                buffer.append(separator)
                buffer += encoding.encode_ordinary(text)
                while len(buffer) >= ROWS * SEQUENCE:
                    yield np.array(buffer[: ROWS * SEQUENCE], dtype=np.int64).reshape(ROWS, SEQUENCE)
                    del buffer[: ROWS * SEQUENCE]


def hugging_face_rows(folder: Path, tokenizer: Path) -> Iterator[np.ndarray]:  # type: ignore[type-arg]
    """datasets streaming, transformers' fast tokenizer, texts grouped into rows."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    import datasets
    from transformers import PreTrainedTokenizerFast

    fast = PreTrainedTokenizerFast(tokenizer_file=str(tokenizer / "tokenizer.json"))

    def encode(rows: dict[str, list[str]]) -> dict[str, list[list[int]]]:
        return {"input_ids": fast(rows["text"], return_attention_mask=False)["input_ids"]}

    def group(rows: dict[str, list[list[int]]]) -> dict[str, list[list[int]]]:
        flat = [token for ids in rows["input_ids"] for token in ids]
        whole = len(flat) // SEQUENCE * SEQUENCE
        return {"input_ids": [flat[start : start + SEQUENCE] for start in range(0, whole, SEQUENCE)]}

    files = [str(path) for path in sorted((folder / "shards").glob("*.parquet"))]
    stream = datasets.load_dataset("parquet", data_files=files, split="train", streaming=True).select_columns(["text"])
    encoded = stream.map(encode, batched=True, remove_columns=["text"]).map(group, batched=True)
    for batch in encoded.with_format("numpy").iter(batch_size=ROWS):
        yield np.stack(batch["input_ids"])


def trainer_rows(source: BatchSource, steps: int) -> Iterator[np.ndarray]:  # type: ignore[type-arg]
    """Batches, with document ids and positions."""
    for step in range(steps):
        yield source.batch(step).inputs.numpy()


def map_synthetic_tokens(folder: Path, count: int = 100_000_000) -> Tokens:
    """Random tokens as a memory-mapped file."""
    path = folder / "tokens.bin"
    np.random.default_rng(0).integers(1, 16_384, count, dtype=np.uint16).tofile(path)
    mapped: Tokens = np.asarray(np.memmap(path, dtype=np.uint16, mode="r"))
    return mapped


def synthetic_corpus(file: Tokens, documents: int, folder: Path) -> Corpus:
    """A corpus of about 500 tokens a document, at random places of one token file; its index is memory-mapped."""
    generator = np.random.default_rng(0)
    zeros = np.zeros(documents, dtype=np.int32)
    index = {
        "file": zeros,
        "start": generator.integers(0, len(file) - 1000, documents),
        "length": generator.integers(100, 900, documents),
        "weight": generator.choice([0.25, 1.0, 2.5], documents),
        "key": np.arange(documents, dtype=np.uint64),
        "source": zeros,
        "bytes": np.full(documents, 2000),
        "domain": zeros,
    }
    for name, array in index.items():
        np.save(folder / f"{name}.npy", array)
    return Corpus(
        files=(file,),
        **{name: np.asarray(np.load(folder / f"{name}.npy", mmap_mode="r")) for name in index},
        names=("web",),
        domains=("",),
        describe=lambda index: DocumentRef(id=str(index)),
        fingerprint=str(documents),
    )


def read_windows(file: Tokens, generator: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Inputs and targets of 64 windows of a memory map."""
    starts = generator.integers(0, len(file) - 1025, 64)
    windows = np.stack([file[start : start + 1025] for start in starts]).astype(np.int64)
    return torch.from_numpy(windows[:, :-1].copy()), torch.from_numpy(windows[:, 1:].copy())


def read_pieces(corpus: Corpus, pieces: Pieces) -> list[torch.Tensor]:
    """Inputs, targets, document ids and positions of pieces of documents that are known before, and no more."""
    starts = corpus.start[pieces.document] + pieces.offset
    ends = starts + pieces.tokens
    places = zip(corpus.file[pieces.document].tolist(), starts.tolist(), ends.tolist(), strict=True)
    tokens = np.concatenate([corpus.files[file][start:end] for file, start, end in places])
    inputs, targets = tokens.astype(np.int64), np.empty(len(tokens), np.int64)
    targets[:-1], targets[-1] = tokens[1:], 0
    ids = np.repeat(np.arange(len(starts), dtype=np.int32), pieces.tokens)
    positions = np.arange(len(tokens)) - np.repeat(np.cumsum(pieces.tokens) - pieces.tokens, pieces.tokens)
    return [torch.from_numpy(array) for array in (inputs, targets, ids, positions)]


def median_costs(works: Sequence[Callable[[int], object]], steps: int = 60) -> list[float]:
    """CPU-ms of a step of each; they take turns, so that other load affects all alike."""
    times = np.zeros((steps, len(works)))
    for step in range(steps):
        for number, work in enumerate(works):
            start = time.process_time()
            work(1 + step)
            times[step, number] = time.process_time() - start
    return (1e3 * np.median(times, axis=0)).tolist()


def print_cost_by_size(file: Tokens, packing: Packing, folder: Path) -> None:
    """CPU time of what the loop calls in a step, on corpora of very different sizes."""
    settings = BatchSettings(batch_size=64, sequence_length=1024, packing=packing)
    generator = np.random.default_rng(1)
    for documents in SYNTHETIC:
        corpus = synthetic_corpus(file, documents, folder)
        begin = time.process_time()
        source = BatchSource(corpus, settings)
        opened = time.process_time()
        source.batch(0)
        first = time.process_time()
        later = [source.layout.pieces(source.sequences(100 + step)) for step in range(61)]  # other documents than ours
        works: list[Callable[[int], object]] = [
            lambda step, source=source: (source.batch(step), source.token_documents(step)),  # type: ignore[misc]
            lambda step, corpus=corpus, later=later: read_pieces(corpus, later[step]),  # type: ignore[misc]
            lambda _: read_windows(file, generator),
        ]
        cost, pieces, windows = median_costs(works)
        print(
            f"  {packing}, {documents:>12,} documents: {cost:6.2f} CPU-ms per {64 * 1024:,} tokens; "
            f"plain map: {pieces:.2f} as many pieces of documents, {windows:.2f} windows; "
            f"opened in {opened - begin:.2f} s, a pass begins in {first - opened:.2f} s"
        )


def timed(work: Callable[[], Iterator[np.ndarray]]) -> tuple[float, int]:  # type: ignore[type-arg]
    """(CPU-seconds of this process and its children, tokens)."""
    begin = os.times()
    tokens = sum(rows.size for rows in work())
    end = os.times()
    return sum(end[:4]) - sum(begin[:4]), tokens


def fast_encoding(tokenizer: Tokenizer) -> tiktoken.Encoding:
    """The tiktoken form that the trainer itself found equal."""
    if tokenizer._tiktoken is None:
        raise SystemExit("tiktoken's ids differ for this tokenizer: nothing to compare")
    return tokenizer._tiktoken


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pages", type=int, default=2000)
    parser.add_argument("--passes", type=int, default=3)
    parser.add_argument("--synthetic", action="store_true", help="batches of synthetic corpora of very different sizes")
    options = parser.parse_args()
    if options.synthetic:
        torch.set_num_threads(1)
        with tempfile.TemporaryDirectory() as name:
            file = map_synthetic_tokens(Path(name))
            for packing in Packing:
                print_cost_by_size(file, packing, Path(name))
        return
    texts = real_texts(options.pages)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_shards(folder / "set", texts)
        tokenizer = train_tokenizer(texts[:500], TokenizerSettings(vocab_size=16_384))
        tokenizer.save(folder / "tokenizer.json")
        begin = time.process_time()
        store = tokenize_dataset(open_dataset(str(folder / "set")), tokenizer, folder / "cache", 1, progress=False)
        once = time.process_time() - begin
        corpus = open_tokens(store, "web").corpus
        settings = BatchSettings(batch_size=ROWS, sequence_length=SEQUENCE, max_repetitions=None)
        steps = options.passes * corpus.tokens // (ROWS * SEQUENCE)
        source = BatchSource(corpus, settings)
        print(f"{len(corpus):,} real pages, {corpus.tokens:,} tokens; rows of {SEQUENCE}, {options.passes} passes")
        ours, tokens = timed(lambda: trainer_rows(source, steps))
        encoding = fast_encoding(tokenizer)
        plain, plain_tokens = timed(lambda: plain_rows(folder / "set", encoding, tokenizer.separator))
        theirs, their_tokens = timed(lambda: hugging_face_rows(folder / "set", folder))
    rates = {
        "trainer, tokens made before": tokens / ours,
        f"trainer, tokenizing spread over {options.passes} passes": tokens / (ours + once),
        "trainer, tokenizing alone": corpus.tokens / once,
        "plain loop: pyarrow + tiktoken": plain_tokens / plain,
        "Hugging Face datasets streaming": their_tokens / theirs,
    }
    for label, rate in rates.items():
        print(f"  {label:<44} {rate:12,.0f} tokens/CPU-s  {rate * plain / plain_tokens:7.2f} x plain loop")


if __name__ == "__main__":
    main()
