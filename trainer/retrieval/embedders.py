"""Frozen embeddings of token lists, of unit length: the inner product of two is their similarity.

hashed         TF-IDF of words and pairs of words (here tokens), hashed into buckets and projected by random signs
               (Achlioptas 2003): needs no model, and its inner products are those of TF-IDF within about 1 / sqrt(D)
run            hidden states of a decoder of ours before its head, averaged over the tokens
hugging_face   last hidden states of an encoder in a local folder (safetensors), averaged over its tokens
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import scipy.sparse
import torch
from numpy.typing import NDArray

from trainer.data.corpus import mix64
from trainer.data.tokenizer import Tokenizer, compare_tokenizers
from trainer.errors import UserError
from trainer.files import sha256_of_file
from trainer.training.checkpoint import find_checkpoint, read_state, read_texts, verify_checkpoint
from trainer.training.saved_model import load_decoder

BUCKETS = 1 << 16  # of hashed features; a chunk of 64 tokens has 127
SIGNS_SEED = 0x5349474E
PAIR_SEED = 0x50414952
ROWS = 64  # texts that a network reads at once

Vectors = NDArray[np.float32]
TokenList = Sequence[int] | NDArray[np.integer[Any]]


class EmbedderError(UserError):
    """An embedder that cannot be used: why, and what to do."""


class EmbedderKind(StrEnum):
    """The embeddings above."""

    HASHED = "hashed"
    RUN = "run"
    HUGGING_FACE = "hugging_face"


class Embedder(Protocol):
    """Embeds texts; the same text has the same embedding for ever."""

    @property
    def identity(self) -> str:
        """Changes where embeddings might: those of different identities cannot be compared."""

    @property
    def dimensions(self) -> int:
        """D, length of an embedding."""

    def embed(self, texts: Sequence[TokenList]) -> Vectors:
        """float32 [texts, D], of length 1 (0 for a text without tokens)."""


@dataclass(frozen=True)
class HashedEmbedder:
    """TF-IDF in buckets, projected; `rarity` is the inverse document frequency of every bucket [BUCKETS]."""

    rarity: NDArray[np.float32]
    dimensions: int = 256

    @property
    def identity(self) -> str:
        """The projection follows from its seed."""
        return f"hashed {self.dimensions} {float(self.rarity.sum()):.6g}"

    def embed(self, texts: Sequence[TokenList]) -> Vectors:
        """See `Embedder`. Counts enter as 1 + ln(count)."""
        counts = count_features(texts)
        counts.data = 1 + np.log(counts.data)
        weighted = counts.multiply(self.rarity[None, :]).tocsr().astype(np.float32)  # else all signs became fp64
        return to_unit_length(np.asarray(weighted @ project_signs(self.dimensions)))


@functools.cache
def project_signs(dimensions: int) -> Vectors:
    """[BUCKETS, D] of plus and minus 1 / sqrt(D)."""
    generator = np.random.Generator(np.random.PCG64(SIGNS_SEED))
    signs = generator.integers(0, 2, (BUCKETS, dimensions), dtype=np.int8)
    return (signs.astype(np.float32) * 2 - 1) / np.float32(dimensions**0.5)


def count_features(texts: Sequence[TokenList]) -> scipy.sparse.csr_matrix:
    """How often each bucket occurs in each text, [texts, BUCKETS]: tokens, and pairs of neighbors."""
    columns, lengths = [], []
    for text in texts:
        tokens = np.asarray(text, dtype=np.uint64)
        pairs = mix64(tokens[:-1], PAIR_SEED) ^ (tokens[1:] << np.uint64(1))
        columns.append(mix64(np.concatenate([tokens, pairs]), SIGNS_SEED) % np.uint64(BUCKETS))
        lengths.append(len(columns[-1]))
    flat = np.concatenate(columns).astype(np.int64) if columns else np.zeros(0, np.int64)
    rows = np.repeat(np.arange(len(texts)), lengths)
    ones = np.ones(len(flat), dtype=np.float64)
    return scipy.sparse.coo_matrix((ones, (rows, flat)), shape=(len(texts), BUCKETS)).tocsr()


def fit_rarity(blocks: Iterable[Sequence[TokenList]]) -> NDArray[np.float32]:
    """ln((1 + texts) / (1 + texts with the bucket)) + 1 of each bucket, over blocks of texts (as scikit-learn)."""
    found, total = np.zeros(BUCKETS), 0
    for texts in blocks:
        found += np.bincount(count_features(texts).indices, minlength=BUCKETS)
        total += len(texts)
    return (np.log((1 + total) / (1 + found)) + 1).astype(np.float32)


class RunEmbedder:
    """The mean hidden state of a decoder before its head."""

    def __init__(self, run: Path, tokenizer: Tokenizer, device: torch.device | str = "cpu") -> None:
        path = find_checkpoint(run)
        verify_checkpoint(path)
        if difference := compare_tokenizers(read_texts(path, ["tokenizer.json"])["tokenizer.json"], tokenizer):
            raise EmbedderError(f"{run}: the model has {difference}; embed with a model of the database's tokenizer")
        self.identity = f"run {read_state(path).model_digest}"
        self.model = load_decoder(path, device)
        self.dimensions = self.model.settings.hidden_size

    @torch.inference_mode()
    def embed(self, texts: Sequence[TokenList]) -> Vectors:
        """See `Embedder`; of a text longer than the context its beginning is read."""
        device, room = self.model.embedding.weight.device, self.model.settings.context_length
        found = [np.zeros((0, self.dimensions), np.float32)]
        for begin in range(0, len(texts), ROWS):
            rows = [np.asarray(text[:room], dtype=np.int64) for text in texts[begin : begin + ROWS]]
            width = max(max(map(len, rows)), 1)
            tokens = torch.zeros(len(rows), width, dtype=torch.long)
            ids = torch.full((len(rows), width), -1, dtype=torch.int32)
            for place, row in enumerate(rows):
                tokens[place, : len(row)] = torch.from_numpy(row)
                ids[place, : len(row)] = 0
            states, _ = self.model.hidden_states(tokens.to(device), document_ids=ids.to(device))
            found.append(_average(states, ids >= 0))
        return to_unit_length(np.concatenate(found))


class HuggingFaceEmbedder:
    """The mean last hidden state of an encoder in a local folder, which reads the decoded text."""

    def __init__(self, folder: Path, tokenizer: Tokenizer, device: torch.device | str = "cpu") -> None:
        try:
            from transformers import AutoModel, AutoTokenizer
        except ImportError:
            raise EmbedderError("a Hugging Face encoder needs `pip install transformers`") from None
        try:
            self.encode = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
            model = AutoModel.from_pretrained(
                folder, local_files_only=True, trust_remote_code=False, use_safetensors=True
            )
        except (OSError, ValueError, KeyError) as error:
            reason = " ".join(str(error).split())[:200]
            raise EmbedderError(f"{folder}: not an encoder of Hugging Face in safetensors ({reason})") from error
        hashes = "-".join(sha256_of_file(path)[:32] for path in sorted(folder.glob("*.safetensors")))
        self.identity = f"hugging_face {hashes}"
        self.model, self.tokenizer, self.device = model.to(device).eval(), tokenizer, device
        self.dimensions = int(model.config.hidden_size)

    @torch.inference_mode()
    def embed(self, texts: Sequence[TokenList]) -> Vectors:
        """See `Embedder`; of a text longer than the encoder's context its beginning is read."""
        limit = min(getattr(self.model.config, "max_position_embeddings", 512), 512)
        found = [np.zeros((0, self.dimensions), np.float32)]
        for begin in range(0, len(texts), ROWS):
            words = [self.tokenizer.decode(np.asarray(text)) for text in texts[begin : begin + ROWS]]
            given = self.encode(words, padding=True, truncation=True, max_length=limit, return_tensors="pt")
            given = given.to(self.device)
            states = self.model(**given).last_hidden_state
            found.append(_average(states, given["attention_mask"]))
        return to_unit_length(np.concatenate(found))


def _average(states: torch.Tensor, is_token: torch.Tensor) -> Vectors:
    """The mean state of the tokens of each row: states [B, S, D], is_token [B, S] -> [B, D]; 0 without tokens."""
    real = is_token.to(states)[..., None]
    mean: Vectors = ((states * real).sum(dim=1) / real.sum(dim=1).clamp(min=1)).float().cpu().numpy()
    return mean


def to_unit_length(vectors: Vectors) -> Vectors:
    """Rows of length 1; a row of zeros stays."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: Vectors = vectors / np.maximum(lengths, np.float32(1e-12))
    return unit
