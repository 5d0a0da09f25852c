"""[data] of a configuration: which datasets are mixed, by which shares, and what is held out for evaluation."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import xxhash
from numpy.typing import NDArray
from pydantic import Field

from trainer.data.batches import BatchSettings, BatchSource
from trainer.data.corpus import Corpus, joined, uniform
from trainer.data.dataset import DatasetError, open_dataset
from trainer.data.token_files import tokenize
from trainer.data.token_store import Store, open_store
from trainer.data.tokenizer import Tokenizer
from trainer.settings import Settings

HELD_OUT_SEED = 0x48454C44  # the same documents are held out whatever the run's own seed


class SourceSettings(Settings):
    """One dataset of the mixture, or the part of it that passes the conditions."""

    path: str = Field(
        description="output of gristmill curate, or of its snapshots (the latest): a folder, s3://, gs:// or https://"
    )
    share: float | None = Field(
        default=None, ge=0, le=1, description="of the tokens read; by weight where it is left out"
    )
    min_quality: float | None = Field(default=None, description="of quality_score; documents without one do not pass")
    domains: tuple[str, ...] = Field(default=(), description="only these domains; all where empty")
    languages: tuple[str, ...] = Field(default=(), description="only these languages; all where empty")
    exclude: Path | None = Field(default=None, description="JSONL rows whose `document` ids are left out")
    weighted: bool = Field(default=True, description="honor the shards' weight; else every document counts once")


class DataSettings(BatchSettings):
    """The mixture and how it is cut into batches."""

    sources: dict[str, SourceSettings] = Field(default_factory=dict)
    cache: Path = Path("tokens")
    held_out: float = Field(default=0.005, ge=0, lt=1, description="share of the documents that no run trains on")
    verify: bool = Field(default=True, description="compare the token files' hashes before a run, else sizes")
    workers: int = Field(default=0, ge=0, description="processes that tokenize; 0 = all cores")


def pinned(settings: DataSettings) -> DataSettings:
    """The same with every source's path that of the dataset itself, where it was a pointer to the latest snapshot."""
    sources = {
        name: source.model_copy(update={"path": open_dataset(source.path).root})
        for name, source in settings.sources.items()
    }
    return settings.model_copy(update={"sources": sources})


def open_data(settings: DataSettings, tokenizer: Tokenizer, *, progress: bool = True) -> BatchSource:
    """The batches to train on. Tokenizes what is not yet in the cache."""
    return training(load_corpus(settings, tokenizer, progress=progress), settings)


def open_held_out(settings: DataSettings, tokenizer: Tokenizer, *, progress: bool = True) -> Corpus:
    """The documents to evaluate on; refuses when there is none."""
    corpus = load_corpus(settings, tokenizer, progress=progress)
    chosen = held_out(corpus, settings)
    if not len(chosen):
        raise DatasetError(
            f"none of {len(corpus)} documents is held out at data.held_out = {settings.held_out:g}; raise it"
        )
    return chosen


def training(corpus: Corpus, settings: DataSettings) -> BatchSource:
    """Batches of everything but the held-out documents, by the sources' shares."""
    shares = {name: source.share for name, source in settings.sources.items() if source.share is not None}
    return BatchSource(corpus.select(~is_held_out(corpus, settings.held_out)), settings, shares)


def held_out(corpus: Corpus, settings: DataSettings) -> Corpus:
    """The other documents. They are chosen by their ids, so no run over any mixture has seen them."""
    return corpus.select(is_held_out(corpus, settings.held_out))


def load_corpus(settings: DataSettings, tokenizer: Tokenizer, *, progress: bool = True) -> Corpus:
    """All sources' documents, tokenized where they are not yet."""
    corpora = []
    for name, source in settings.sources.items():
        dataset = open_dataset(source.path)
        store = tokenize(
            dataset, tokenizer, settings.cache, settings.workers, verify=settings.verify, progress=progress
        )
        corpora.append(chosen(open_store(store, name, verify=False), name, source))  # compared a moment ago
    return joined(corpora)


def chosen(store: Store, name: str, source: SourceSettings) -> Corpus:
    """The documents of a store that pass a source's conditions."""
    keep = np.ones(len(store.corpus), dtype=np.bool_)
    if source.min_quality is not None:
        keep &= store.quality >= source.min_quality
    if source.domains:
        keep &= np.isin(np.array(store.corpus.domains)[store.corpus.domain], source.domains)
    if source.languages:
        keep &= np.isin(store.language, source.languages)
    if source.exclude is not None:
        keep &= ~np.isin(store.corpus.key, excluded_keys(source.exclude))
    corpus = store.corpus if keep.all() else store.corpus.select(keep)
    if not len(corpus):
        raise DatasetError(
            f"source {name}: none of {len(store.corpus)} documents passes its quality, domain and language conditions"
        )
    return corpus if source.weighted else replace(corpus, weight=np.ones(len(corpus)))


def excluded_keys(path: Path) -> NDArray[np.uint64]:
    """Keys of the documents that a file names, such as `gristmill train contamination` writes."""
    try:
        ids = [json.loads(line)["document"] for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DatasetError(
            f'{path}: not a list of documents to leave out (rows of {{"document": id}}): {error}'
        ) from error
    return np.array([xxhash.xxh3_64_intdigest(identifier.encode()) for identifier in ids], dtype=np.uint64)


def is_held_out(corpus: Corpus, share: float) -> NDArray[np.bool_]:
    """True for documents that no run trains on."""
    return uniform(corpus.key, HELD_OUT_SEED) < share
