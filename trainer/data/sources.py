"""The data sources of a run ([data] of its configuration): settings, tokenizing, selection and held-out documents."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from hashlib import sha256
from pathlib import Path

import numpy as np
import xxhash
from numpy.typing import NDArray
from pydantic import Field

from trainer.data.batches import BatchSettings, BatchSource
from trainer.data.corpus import Corpus, join_corpora, uniform
from trainer.data.curated_dataset import DatasetError, open_dataset
from trainer.data.token_files import TokenizedDataset, open_tokens
from trainer.data.tokenize_dataset import tokenize_dataset
from trainer.data.tokenizer import Tokenizer
from trainer.files import cache_folder
from trainer.settings import Settings, did_you_mean

SELECTIONS = "selections"  # folder in data.cache with the arrays of selected documents
HELD_OUT_SEED = 0x48454C44  # one for all runs: the same documents are held out whatever the run's seed


class SourceSettings(Settings):
    """One curated dataset of the mixture, or the part of it that passes the conditions."""

    path: str = Field(
        description="output of gristmill curate, or a folder of its snapshots (the latest is read); also s3://, gs://, https://"
    )
    share: float | None = Field(
        default=None, ge=0, le=1, description="share of the tokens read, 0 to 1; off = by the documents' weights"
    )
    min_quality: float | None = Field(
        default=None, description="lowest quality_score; documents without a score do not pass; off = all pass"
    )
    domains: tuple[str, ...] = Field(default=(), description="read only documents of these domains; empty = all")
    languages: tuple[str, ...] = Field(default=(), description="read only documents in these languages; empty = all")
    exclude: Path | None = Field(
        default=None, description="JSONL file of documents to leave out, their ids in `document`; off = none"
    )
    weighted: bool = Field(default=True, description="read documents by their weights; false = each once per pass")


class DataSettings(BatchSettings):
    """The mixture and how it is cut into batches."""

    sources: dict[str, SourceSettings] = Field(
        default_factory=dict, description="data sources of the mixture, one table each: [data.sources.NAME]"
    )
    cache: Path | None = Field(
        default=None, description="folder for token files, shared by runs; off = tokens/ in GRISTMILL_CACHE or ~/.cache"
    )
    held_out: float = Field(
        default=0.005, ge=0, lt=1, description="share of the documents held out of training for evaluation, 0 to 1"
    )
    verify: bool = Field(default=True, description="compare the token files' SHA-256 before a run; false = only sizes")
    workers: int = Field(default=0, ge=0, description="number of processes that tokenize; 0 = one per core")


def pin_snapshots(settings: DataSettings) -> DataSettings:
    """The settings with absolute paths, so that a run works from any directory.

    The path of monthly snapshots becomes the latest snapshot's folder.
    """
    sources = {name: _pin_source(source) for name, source in settings.sources.items()}
    return settings.model_copy(update={"sources": sources, "cache": settings.cache and settings.cache.absolute()})


def _pin_source(source: SourceSettings) -> SourceSettings:
    root = open_dataset(source.path).root
    path = root if "://" in root else str(Path(root).absolute())
    exclude = None if source.exclude is None else source.exclude.absolute()
    return source.model_copy(update={"path": path, "exclude": exclude})


def open_held_out(settings: DataSettings, tokenizer: Tokenizer, *, progress: bool = True) -> Corpus:
    """The documents to evaluate on; raises DatasetError when there are none."""
    corpus = load_corpus(settings, tokenizer, progress=progress)
    held_out = select_held_out(corpus, settings)
    if not len(held_out):
        raise DatasetError(
            f"none of {len(corpus)} documents is held out at data.held_out = {settings.held_out:g}; raise it"
        )
    return held_out


def build_training_batches(corpus: Corpus, settings: DataSettings) -> BatchSource:
    """Batches of all documents that are not held out, by the sources' shares."""
    shares = {name: source.share for name, source in settings.sources.items() if source.share is not None}
    trained = corpus.select(~is_held_out(corpus, settings.held_out), _selections(settings))
    return BatchSource(trained, settings, shares)


def _selections(settings: DataSettings) -> Path:
    return (settings.cache or cache_folder()) / SELECTIONS


def select_held_out(corpus: Corpus, settings: DataSettings) -> Corpus:
    """The held-out documents. They are selected by their ids, so no run on any mixture has trained on them."""
    return corpus.select(is_held_out(corpus, settings.held_out))


def load_corpus(settings: DataSettings, tokenizer: Tokenizer, *, progress: bool = True) -> Corpus:
    """The documents of all sources; a dataset that is not yet tokenized is tokenized first."""

    @cache  # several sources may be parts of one dataset
    def tokenize(path: str) -> Path:
        workers, verify = settings.workers, settings.verify
        return tokenize_dataset(
            open_dataset(path), tokenizer, settings.cache or cache_folder(), workers, verify=verify, progress=progress
        )

    corpora = []
    for name, source in settings.sources.items():
        tokenized = open_tokens(tokenize(source.path), name, verify=False)  # tokenize_dataset has verified them
        corpora.append(select_documents(tokenized, name, source, _selections(settings)))
    return join_corpora(corpora, _selections(settings))


def select_documents(
    tokenized: TokenizedDataset, name: str, source: SourceSettings, folder: Path | None = None
) -> Corpus:
    """The documents that pass a source's conditions; `folder` as in `Corpus.select`."""
    corpus = tokenized.corpus
    for kind, wanted, known in (
        ("domain", source.domains, corpus.domains),
        ("language", source.languages, tokenized.languages),
    ):
        for value in wanted:
            if value not in known:
                raise DatasetError(f"source {name}: no document has {kind} {value!r}{did_you_mean(value, known)}")
    keep = np.ones(len(corpus), dtype=np.bool_)
    if source.min_quality is not None:
        keep &= tokenized.quality >= source.min_quality
    if source.domains:
        keep &= np.isin(corpus.domains, source.domains)[corpus.domain]
    if source.languages:
        keep &= np.isin(tokenized.languages, source.languages)[tokenized.language]
    if source.exclude is not None:
        keep &= ~np.isin(corpus.key, read_excluded_keys(source.exclude))
    selected = corpus if keep.all() else corpus.select(keep, folder)
    if not len(selected):
        raise DatasetError(
            f"source {name}: none of {len(corpus)} documents passes its quality, domain and language conditions"
        )
    if source.weighted:
        return selected
    fingerprint = sha256(f"{selected.fingerprint} unweighted".encode()).hexdigest()  # arrays are stored under it
    return replace(selected, weight=np.ones(len(selected)), fingerprint=fingerprint)


def read_excluded_keys(path: Path) -> NDArray[np.uint64]:
    """Keys of the documents that a file names, such as `gristmill train contamination --output` writes."""
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
