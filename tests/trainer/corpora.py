"""Corpora and batches in memory, for tests."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

import numpy as np

from trainer.data.batches import BatchSource
from trainer.data.corpus import Corpus, DocumentRef
from trainer.data.sources import DataSettings, build_training_batches, load_corpus
from trainer.data.tokenizer import Tokenizer


def build_corpus(
    documents: Sequence[Sequence[int]], weights: Sequence[float] | None = None, separator: int = 0, name: str = "memory"
) -> Corpus:
    """A corpus of token lists, each with the separator put in front."""
    rows = [[separator, *document] for document in documents]
    length = np.array([len(row) for row in rows], dtype=np.int64)
    flat = np.array([token for row in rows for token in row], dtype=np.uint32)
    count = len(rows)
    return Corpus(
        files=(flat,),
        file=np.zeros(count, dtype=np.int32),
        start=np.cumsum(length) - length,
        length=length,
        weight=np.ones(count) if weights is None else np.asarray(weights, dtype=np.float64),
        key=np.arange(count, dtype=np.uint64),
        source=np.zeros(count, dtype=np.int32),
        names=(name,),
        bytes=length - 1,
        domain=np.zeros(count, dtype=np.int32),
        domains=("",),
        describe=lambda index: DocumentRef(id=str(index), source=name, row=index, tokens=int(length[index])),
        fingerprint=sha256(flat.tobytes() + length.tobytes()).hexdigest(),
    )


def open_data(settings: DataSettings, tokenizer: Tokenizer) -> BatchSource:
    """The batches to train on, as a run opens them."""
    return build_training_batches(load_corpus(settings, tokenizer, progress=False), settings)
