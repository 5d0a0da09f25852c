"""MinHash signatures compared with datasketch's bulk method: equal values, and the ratio of their speeds.

    python -m tests.benchmarks.minhash [--texts 400]

Hand-extracted texts from GRISTMILL_DATA (default ../shared/data). Both compute signatures from lists of tokens.
datasketch is timed with its default hash function (SHA-1) and with a faster one (xxh32). The values are compared with
our shingle hash given to datasketch.
"""

from __future__ import annotations

import argparse
import gzip
import json
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from datasketch import MinHash
from xxhash import xxh32_intdigest

from pipeline.deduplication import minhash
from pipeline.deduplication.settings import DeduplicateSettings
from pipeline.text import tokenize
from tests.benchmarks import data_folder

REPETITIONS = 3


def token_lists(count: int) -> list[list[str]]:
    """Tokens of main contents extracted by hand, long enough for a shingle."""
    with gzip.open(data_folder() / "gold.jsonl.gz", "rt") as file:
        rows = [row for row in map(json.loads, file) if row["kind"] == "full"]
    lists = [tokenize(row["text"]) for row in rows]
    return [words for words in lists if len(words) >= minhash.SHINGLE][:count]


def shingles(words: list[str]) -> list[bytes]:
    """The byte strings that datasketch hashes."""
    size = minhash.SHINGLE
    return [" ".join(words[i : i + size]).encode() for i in range(len(words) - size + 1)]


def measure(work: Callable[[], Any]) -> tuple[float, Any]:
    """Smallest CPU time of a few repetitions, and the result."""
    seconds = []
    for _ in range(REPETITIONS):
        start = time.process_time()
        result = work()
        seconds.append(time.process_time() - start)
    return min(seconds), result


def main(count: int) -> None:
    """Prints pages per second and the ratios."""
    lists, rows = token_lists(count), DeduplicateSettings().signature_rows
    ours, signatures = measure(lambda: [minhash.signature(minhash.shingle_hashes(words), rows) for words in lists])
    default, _ = measure(lambda: MinHash.bulk([shingles(words) for words in lists], num_perm=rows))
    quick, _ = measure(
        lambda: MinHash.bulk([shingles(words) for words in lists], num_perm=rows, hashfunc=xxh32_intdigest)
    )
    peers = MinHash.bulk([shingles(words) for words in lists], num_perm=rows, hashfunc=minhash.shingle_hash)
    equal = all(np.array_equal(a, b.hashvalues) for a, b in zip(signatures, peers, strict=True))
    words = sum(map(len, lists))
    print(f"MinHash, {rows} rows, {len(lists)} texts, {words:,} words; values equal to datasketch's: {equal}")
    print(f"  ours                            {len(lists) / ours:6,.0f} texts/s")
    for name, seconds in (("its own SHA-1", default), ("xxh32", quick)):
        print(f"  datasketch bulk, {name:14} {len(lists) / seconds:6,.0f} texts/s   {seconds / ours:.1f} times slower")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--texts", type=int, default=400)
    main(parser.parse_args().texts)
