"""Chunks of curated documents with their embeddings, in a folder of arrays that are mapped into memory.

DB/database.json      format, dataset, sizes, embedder, and the SHA-256 of all other files
DB/tokenizer.json     of the tokens
DB/tokens.npy         [chunks, N], rows filled up with 0; chunks of a document follow each other
DB/length.npy offset.npy document.npy   [chunks]: tokens, first token in the document, number of the document
DB/key.npy url_key.npy   [documents]: hashes of id and URL; DB/documents.arrow has both
DB/embeddings.npy     float32 [chunks, D]
DB/rarity.npy         of the hashed embedder; DB/index.faiss of FAISS, if it was asked for
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.ipc
import torch
import xxhash
from numpy.typing import NDArray
from pydantic import Field
from tqdm import tqdm

from trainer.data.corpus import Corpus
from trainer.data.mapped_arrays import create_array, save_array
from trainer.data.tokenizer import TOKENIZER_FILE, Tokenizer, load_tokenizer
from trainer.data.verified_files import VerifiedFiles
from trainer.errors import UserError
from trainer.files import explain_writes, sha256_of_file, write_atomically
from trainer.retrieval.embedders import (
    Embedder,
    EmbedderKind,
    HashedEmbedder,
    HuggingFaceEmbedder,
    RunEmbedder,
    TokenList,
    Vectors,
    fit_rarity,
)
from trainer.retrieval.nearest import ExactSearcher, Searcher, build_faiss_index, open_faiss_index
from trainer.settings import Settings

FORMAT = 1
RECORD = "database.json"
EMBEDDED = 4096  # chunks that are embedded at once


class DatabaseError(UserError):
    """A chunk database that cannot be built or read: why, and what to do."""


class ChunkSettings(Settings):
    """How documents become chunks, and chunks vectors. Chunks of 64 tokens are RETRO's (Borgeaud et al. 2022)."""

    chunk_tokens: int = Field(default=64, ge=1, le=4096, description="tokens of a chunk; a document's last is shorter")
    held_out: float = Field(
        default=0.005, ge=0, lt=1, description="share of documents left out: those that runs hold out to evaluate"
    )
    embedder: EmbedderKind = Field(
        default=EmbedderKind.HASHED, description="hashed (needs no model), run or hugging_face"
    )
    model: Path | None = Field(default=None, description="folder of the run or of the Hugging Face encoder")
    dimensions: int = Field(default=256, ge=8, le=4096, description="length of a hashed embedding")
    faiss: bool = Field(default=False, description="build an index of FAISS as well (extra retrieval)")


class Passage(NamedTuple):
    """A chunk that was found, with its source."""

    chunk: int
    score: float  # inner product of the embeddings: 1 for equal ones
    document: str  # its id
    url: str
    offset: int  # first token in the document
    text: str


@dataclass(frozen=True)
class ChunkDatabase:
    """An open database; only what is looked at is read from disk."""

    folder: Path
    record: dict[str, Any]
    tokenizer: Tokenizer
    tokens: NDArray[np.unsignedinteger[Any]]  # [chunks, N]
    length: NDArray[np.int32]
    offset: NDArray[np.int64]
    document: NDArray[np.int64]
    key: NDArray[np.uint64]  # [documents], of their ids
    url_key: NDArray[np.uint64]  # [documents], of their URLs; 0 where there is none
    embeddings: Vectors  # [chunks, D]
    documents: pa.Table

    def __len__(self) -> int:
        return len(self.length)

    @property
    def chunk_tokens(self) -> int:
        """N, tokens of a full chunk."""
        return int(self.tokens.shape[1])

    @property
    def digest(self) -> str:
        """Changes with any chunk or embedding."""
        return str(self.record["sha256"]["embeddings.npy"])

    @cached_property
    def embedder(self) -> Embedder:
        """What embedded the chunks. Raises DatabaseError where its model has changed since."""
        settings = ChunkSettings.model_validate(self.record["settings"])
        rarity = np.load(self.folder / "rarity.npy") if settings.embedder is EmbedderKind.HASHED else None
        found = open_embedder(settings, self.tokenizer, rarity)
        if found.identity != self.record["embedder"]:
            raise DatabaseError(f"{self.folder}: {settings.model} is another model now; build the database again")
        return found

    @cached_property
    def searcher(self) -> Searcher:
        """FAISS's index where there is one, else the exact search."""
        path = self.folder / "index.faiss"
        return open_faiss_index(path) if "index.faiss" in self.record["sha256"] else ExactSearcher(self.embeddings)

    def chunk(self, number: int) -> NDArray[np.unsignedinteger[Any]]:
        """The tokens of a chunk."""
        tokens: NDArray[np.unsignedinteger[Any]] = self.tokens[number, : self.length[number]]
        return tokens

    def find(self, texts: Sequence[str], k: int, *, exact: bool = False) -> list[list[Passage]]:
        """The k nearest chunks of each text."""
        encoded = self.tokenizer.encode_many(texts)
        searcher = ExactSearcher(self.embeddings) if exact else self.searcher
        nearest = searcher.search(self.embedder.embed(encoded), k)
        return [
            [self._describe(int(number), float(score)) for number, score in zip(*row, strict=True) if number >= 0]
            for row in zip(nearest.numbers, nearest.scores, strict=True)
        ]

    def _describe(self, number: int, score: float) -> Passage:
        document = int(self.document[number])
        identifier, url = (str(self.documents.column(name)[document].as_py()) for name in ("id", "url"))
        text = self.tokenizer.decode(self.chunk(number))
        return Passage(number, score, identifier, url, int(self.offset[number]), text)


def open_embedder(settings: ChunkSettings, tokenizer: Tokenizer, rarity: NDArray[np.float32] | None) -> Embedder:
    """The embedder that the settings name, on the GPU if there is one."""
    if settings.embedder is EmbedderKind.HASHED:
        if rarity is None:
            raise ValueError("hashed embeddings need the rarity of their buckets")
        return HashedEmbedder(rarity, settings.dimensions)
    if settings.model is None:
        raise DatabaseError(f"embedder = {settings.embedder}: name its folder by model")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    kind = RunEmbedder if settings.embedder is EmbedderKind.RUN else HuggingFaceEmbedder
    return kind(settings.model, tokenizer, device)


def build_database(
    corpus: Corpus, tokenizer: Tokenizer, settings: ChunkSettings, out: Path, *, progress: bool = True
) -> ChunkDatabase:
    """Cut, embed and write all documents of a corpus; the folder appears when it is whole."""
    if settings.model is not None:
        settings = settings.model_copy(update={"model": settings.model.absolute()})
    counts = -(-(corpus.length - 1) // settings.chunk_tokens)  # without the separator
    if not counts.sum():
        raise DatabaseError("the dataset has no text to cut into chunks")
    temporary = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        tokenizer.save(temporary / TOKENIZER_FILE)
        _write_documents(corpus, temporary)
        tokens, length = _write_chunks(corpus, settings.chunk_tokens, counts, temporary)
        identity = _write_embeddings(tokens, length, tokenizer, settings, temporary, progress)
        record = {
            "format": FORMAT,
            "corpus": corpus.fingerprint,
            "chunks": len(length),
            "documents": len(corpus),
            "settings": settings.model_dump(mode="json"),
            "embedder": identity,
            "sha256": {path.name: sha256_of_file(path) for path in sorted(temporary.iterdir())},
        }
        write_atomically(temporary / RECORD, json.dumps(record, indent=1) + "\n")
        out.parent.mkdir(parents=True, exist_ok=True)
        if out.exists():
            out.rmdir()  # empty: the command has looked
        temporary.rename(out)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return open_database(out)


def _write_documents(corpus: Corpus, folder: Path) -> None:
    save_array(folder / "key.npy", np.asarray(corpus.key))
    urls = np.zeros(len(corpus), np.uint64)
    schema = pa.schema([("id", pa.string()), ("url", pa.string())])
    path = folder / "documents.arrow"
    with explain_writes(path), pa.ipc.new_file(path, schema) as file:
        for begin in range(0, len(corpus), 8192):
            references = [corpus.describe(number) for number in range(begin, min(begin + 8192, len(corpus)))]
            urls[begin : begin + len(references)] = [hash_url(reference.url) for reference in references]
            columns = [[reference.id for reference in references], [reference.url for reference in references]]
            file.write_batch(pa.record_batch(columns, schema=schema))
    save_array(folder / "url_key.npy", urls)


def hash_url(url: str) -> int:
    """Equal for addresses that differ only in scheme, `www.`, fragment or a slash at the end; 0 for none.

    Hosts are matched more widely than in the pipeline, whose definition needs the list of public suffixes: `www.gov.uk`
    is `gov.uk` here. Equal pages are only left out of the neighbors, so that no page finds itself.

    >>> hash_url("https://www.a.example/b/#c") == hash_url("http://a.example/b")
    True
    >>> hash_url("https://www.gov.uk/vat") == hash_url("https://gov.uk/vat")
    True
    """
    plain = url.partition("#")[0].partition("://")[2] or url.partition("#")[0]
    plain = plain.removeprefix("www.").rstrip("/")
    return xxhash.xxh3_64_intdigest(plain.encode()) if plain else 0


def _write_chunks(
    corpus: Corpus, size: int, counts: NDArray[np.int64], folder: Path
) -> tuple[NDArray[Any], NDArray[np.int32]]:
    document = np.repeat(np.arange(len(corpus)), counts)
    number = np.arange(len(document)) - np.repeat(np.cumsum(counts) - counts, counts)
    offset = number * size
    length = np.minimum(corpus.length[document] - 1 - offset, size).astype(np.int32)
    tokens = create_array(folder / "tokens.npy", corpus.files[0].dtype, (len(document), size))
    first = 0
    for index, count in enumerate(counts.tolist()):
        text = corpus.document(index)[1:]
        tokens[first : first + count].reshape(-1)[: len(text)] = text
        first += count
    tokens.flush()
    for name, array in (("length", length), ("offset", offset), ("document", document)):
        save_array(folder / f"{name}.npy", array)
    return tokens, length


def _write_embeddings(
    tokens: NDArray[Any],
    length: NDArray[np.int32],
    tokenizer: Tokenizer,
    settings: ChunkSettings,
    folder: Path,
    progress: bool,
) -> str:
    def blocks() -> Iterator[list[TokenList]]:
        for begin in range(0, len(tokens), EMBEDDED):
            part = zip(tokens[begin : begin + EMBEDDED], length[begin : begin + EMBEDDED], strict=True)
            yield [row[:count] for row, count in part]

    rarity = None
    if settings.embedder is EmbedderKind.HASHED:
        rarity = fit_rarity(blocks())
        save_array(folder / "rarity.npy", rarity)
    embedder = open_embedder(settings, tokenizer, rarity)
    shape = (len(tokens), embedder.dimensions)
    vectors = create_array(folder / "embeddings.npy", np.dtype(np.float32), shape)
    first = 0
    with tqdm(total=len(tokens), unit=" chunks", desc="embed", disable=None if progress else True) as bar:
        for texts in blocks():
            vectors[first : first + len(texts)] = embedder.embed(texts)
            first += len(texts)
            bar.update(len(texts))
    vectors.flush()
    if settings.faiss:
        build_faiss_index(vectors, folder / "index.faiss")
    return embedder.identity


def open_database(folder: Path) -> ChunkDatabase:
    """Open a database after comparing the hashes of its files. Raises DatabaseError for a damaged one."""
    try:
        record = json.loads((folder / RECORD).read_text("utf-8"))
        hashes = dict(record["sha256"])
        known = record["format"] == FORMAT
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DatabaseError(
            f"{folder}: not a chunk database ({type(error).__name__}); `gristmill train retrieve build` makes one"
        ) from error
    if not known:
        raise DatabaseError(f"{folder}: has format {record['format']}, and this version reads {FORMAT}; build it again")
    verified = VerifiedFiles(folder)
    for name, digest in hashes.items():
        if Path(name).name != name or not verified.holds(folder / name, digest):
            raise DatabaseError(f"{folder}/{name}: missing or damaged; build the database again")
    verified.save()
    arrays: dict[str, Any] = {
        name: np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False)
        for name in ("tokens", "length", "offset", "document", "key", "url_key", "embeddings")
    }
    with pa.memory_map(str(folder / "documents.arrow")) as file:
        documents = pa.ipc.open_file(file).read_all()
    return ChunkDatabase(folder, record, load_tokenizer(folder), documents=documents, **arrays)
