"""Near duplicates of known similarity: precision and recall of a whole run of deduplication.

    python -m tests.benchmarks.near_duplicates [--texts 700]

Real texts from GRISTMILL_DATA (default ../shared/data), each with edited copies: words replaced or left out, passages
of other texts inserted, beginnings or ends cut. The reference is the exact Jaccard similarity of the sets of token
5-grams, by brute force over all pairs that share one. The run is a real one, with default settings, on Beam's local
runner.

    recall     of all pairs in a band of similarity: the share of which at least one is dropped
    precision  of all near duplicates dropped: the share whose similarity to the survivor is at least .60 (at the
               threshold of .70 the estimate is within .08)
    lost       documents dropped whose survivor is not kept: must be 0
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix

from pipeline.deduplication import minhash
from pipeline.deduplication.settings import DeduplicateSettings
from pipeline.deduplication.verdicts import Verdict
from pipeline.text import tokenize
from tests.benchmarks import data_folder
from tests.pipeline.deduplication.staging import document, run

COPIES = 4
BANDS = [(0.95, 1.01), (0.90, 0.95), (0.85, 0.90), (0.80, 0.85), (0.77, 0.80), (0.73, 0.77), (0.70, 0.73), (0.60, 0.70)]


def real_texts(count: int) -> list[list[str]]:
    """Tokens of hand-extracted main contents and of Wikipedia articles, 60 to 3,000 each."""
    texts = []
    for name, kind in (("gold.jsonl.gz", "full"), ("wiki/articles.jsonl.gz", None)):
        with gzip.open(data_folder() / name, "rt") as file:
            texts += [tokenize(row["text"])[:3000] for row in map(json.loads, file) if row.get("kind") == kind]
    texts = [words for words in texts if len(words) >= 60]
    random.Random(1).shuffle(texts)
    return texts[:count]


def edited(words: list[str], pool: list[str], r: random.Random) -> list[str]:
    """A copy with one kind of edit, at a rate that leaves a Jaccard similarity between about .4 and 1."""
    rate = r.uniform(0.0, 0.12)
    length, foreign = len(words), r.randrange(len(pool) - 3000)
    kind = r.randrange(4)
    if kind == 0:  # scattered
        changed = [r.choice(pool) if r.random() < rate / 2 else word for word in words]
        return [word for word in changed if r.random() >= rate / 2]
    passage = pool[foreign : foreign + int(length * rate * 2.5)]
    place = r.randrange(length)
    if kind == 1:  # a passage of another text inserted
        return words[:place] + passage + words[place:]
    if kind == 2:  # cut at one end
        return words[len(passage) :] if r.random() < 0.5 else words[: length - len(passage)]
    return words[:place] + passage + words[place + len(passage) :]  # a passage replaced


def true_pairs(texts: list[list[str]]) -> dict[tuple[int, int], float]:
    """Exact Jaccard similarity of all pairs that share a 5-gram."""
    size = minhash.SHINGLE
    numbers: dict[tuple[str, ...], int] = {}
    sets = [{numbers.setdefault(tuple(w[i : i + size]), len(numbers)) for i in range(len(w) - size + 1)} for w in texts]
    ends = np.cumsum([0, *map(len, sets)])
    places = np.concatenate([np.fromiter(s, np.int64, len(s)) for s in sets])
    matrix = csr_matrix((np.ones(len(places), np.int32), places, ends), (len(sets), len(numbers)))
    common = (matrix @ matrix.T).tocoo()
    lengths = np.diff(ends)
    return {
        (int(i), int(j)): n / (lengths[i] + lengths[j] - n)
        for i, j, n in zip(common.row, common.col, common.data, strict=True)
        if i < j
    }


def documents(texts: list[list[str]]) -> Iterator[Any]:
    r = random.Random(2)
    for number, words in enumerate(texts):
        yield document(str(number), " ".join(words), quality_score=r.random(), host=f"h{number}.org")


def report(texts: list[list[str]], verdicts: list[Verdict], ids: list[str]) -> None:
    """Prints the table."""
    pairs = true_pairs(texts)
    place = {one: number for number, one in enumerate(ids)}
    for low, high in [(0.80, 1.01), *BANDS]:
        inside = [pair for pair, value in pairs.items() if low <= value < high]
        found = sum(not (verdicts[i].kept and verdicts[j].kept) for i, j in inside)
        print(f"  J {low:.2f} - {min(high, 1):.2f}   {len(inside):6,} pairs   recall {found / max(len(inside), 1):.4f}")
    near = [(i, place[v.survivor]) for i, v in enumerate(verdicts) if v.reason == "near_duplicate" and v.survivor]
    values = np.array([pairs.get((min(pair), max(pair)), 0.0) for pair in near])
    for least in (0.5, 0.6, 0.65):
        print(f"  precision {np.mean(values >= least):.4f}   of {len(values):,} dropped, similarity at least {least}")
    lost = sum(not verdicts[place[v.survivor]].kept for v in verdicts if v.survivor)
    print(f"  lost      {lost}")


def main(count: int) -> None:
    """Edits copies, deduplicates, compares with the reference."""
    originals = real_texts(count)
    pool = [word for words in originals for word in words]
    r = random.Random(3)
    texts = [copy for words in originals for copy in (words, *(edited(words, pool, r) for _ in range(COPIES)))]
    texts = [words for words in texts if len(words) >= minhash.SHINGLE]
    made = list(documents(texts))
    # Whole documents only, no lines.
    settings = DeduplicateSettings(paragraphs=False, boilerplate=False, max_loss=1.0)
    start = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        verdicts, _ = run([made[::2], made[1::2]], Path(folder), settings)
    shape = f"{settings.bands} bands of {settings.rows} rows, threshold {settings.threshold}"
    print(f"near duplicates: {len(texts):,} texts, {shape}; {time.process_time() - start:.1f} CPU s with sketching")
    report(texts, [verdicts[one.id] for one in made], [one.id for one in made])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--texts", type=int, default=700)
    main(parser.parse_args().texts)
