"""The layouts in which other trainers read tokens: Megatron-LM, OLMo-core, nanotron and MosaicML Streaming.

A writer takes documents one by one, each an array of ids that ends with the separator, and is closed at the end. All
integers are little-endian. `token_exports` chooses the documents.
"""

from __future__ import annotations

import gzip
import io
import json
import struct
from abc import ABC, abstractmethod
from array import array
from enum import StrEnum
from pathlib import Path
from typing import IO, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from trainer.data.corpus import Tokens

FILE_BYTES = 1 << 30  # of tokens in one file of olmo and nanotron
MEGATRON_TYPES = {"<u2": 8, "<i4": 4}  # the numbers that stand for them in an index
SHARD_BYTES = 1 << 26  # of one shard of mds, as MosaicML's writer has it


class TokenFormat(StrEnum):
    """The trainer that shall read the tokens."""

    MEGATRON = "megatron"  # NVIDIA Megatron-LM, NeMo: IndexedDataset
    OLMO = "olmo"  # allenai OLMo and OLMo-core: flat arrays as the dolma toolkit writes them
    NANOTRON = "nanotron"  # Hugging Face nanotron: .ds files of datatrove
    MDS = "mds"  # MosaicML Streaming, LLM Foundry: samples of equal length


class Writer(Protocol):
    """Writes documents in one format."""

    dtype: np.dtype[Any]  # of the stored ids

    def write(self, document: Tokens) -> None:
        """Append a document."""

    def close(self) -> None:
        """Write what stands behind the last document, and close the files."""


def build_writer(kind: TokenFormat, folder: Path, vocab_size: int, sequence_length: int) -> Writer:
    """The writer of a format into an empty folder. sequence_length: of the samples of mds."""
    small = np.dtype("<u2") if vocab_size <= 1 << 16 else np.dtype("<u4")
    match kind:
        case TokenFormat.MEGATRON:
            return MegatronWriter(folder, vocab_size)
        case TokenFormat.OLMO:
            return OlmoWriter(folder, small)
        case TokenFormat.NANOTRON:
            return NanotronWriter(folder, small)
        case TokenFormat.MDS:
            return MdsWriter(folder, small, sequence_length)


class MegatronWriter:
    """`tokens.bin`, `tokens.idx`: the prefix is FOLDER/tokens. A document is one sequence.

    Ids are uint16 below 65,500 ids and int32 above, which is what IndexedDataset chooses; it knows no uint32.
    """

    def __init__(self, folder: Path, vocab_size: int) -> None:
        self.dtype: np.dtype[Any] = np.dtype("<u2" if vocab_size < 65_500 else "<i4")
        self._index = folder / "tokens.idx"
        self._tokens = (folder / "tokens.bin").open("wb")
        self._lengths = array("i")

    def write(self, document: Tokens) -> None:
        """Append a document."""
        self._tokens.write(document.astype(self.dtype).tobytes())
        self._lengths.append(len(document))

    def close(self) -> None:
        """Write the index: magic, version, type, counts, then lengths, byte offsets and ends of documents."""
        self._tokens.close()
        lengths = np.array(self._lengths, dtype="<i4")
        starts = (np.cumsum(lengths, dtype="<i8") - lengths) * self.dtype.itemsize
        count = len(lengths)
        with self._index.open("wb") as file:
            file.write(b"MMIDIDX\x00\x00" + struct.pack("<QBQQ", 1, MEGATRON_TYPES[self.dtype.str], count, count + 1))
            for values in (lengths, starts.astype("<i8"), np.arange(count + 1, dtype="<i8")):
                file.write(values.tobytes())


class _PartWriter(ABC):
    """Flat ids in numbered parts of at most `file_bytes`; a document is never divided."""

    _tokens: IO[bytes]

    def __init__(self, folder: Path, dtype: np.dtype[Any], file_bytes: int = FILE_BYTES) -> None:
        self.dtype = dtype
        self._folder = folder
        self._limit = file_bytes // dtype.itemsize
        self._part = self._written = 0
        self._open()

    def write(self, document: Tokens) -> None:
        """Append a document; begin another file where this one is full."""
        if self._written and self._written + len(document) > self._limit:
            self.close()
            self._part, self._written = self._part + 1, 0
            self._open()
        self._tokens.write(document.astype(self.dtype).tobytes())
        self._note(self._written, self._written + len(document))
        self._written += len(document)

    @abstractmethod
    def _open(self) -> None:
        """Begin the files of this part."""

    @abstractmethod
    def _note(self, begin: int, end: int) -> None:
        """Remember where a document is."""

    @abstractmethod
    def close(self) -> None:
        """End the files of this part."""


class OlmoWriter(_PartWriter):
    """`part-00000.npy` ...: flat ids without a header, in spite of the name; `.csv.gz`: start and end of documents."""

    def _open(self) -> None:
        base = self._folder / f"part-{self._part:05d}"
        self._tokens = base.with_suffix(".npy").open("wb")
        packed = gzip.GzipFile(f"{base}.csv.gz", "wb", mtime=0)
        self._places = io.TextIOWrapper(packed, encoding="ascii", write_through=False)

    def _note(self, begin: int, end: int) -> None:
        self._places.write(f"{begin},{end}\n")

    def close(self) -> None:
        """Close the files."""
        self._tokens.close()
        self._places.close()


class NanotronWriter(_PartWriter):
    """`00000_tokens.ds` ...: flat ids; `.index`: the end of every document, uint64; `.metadata`: type and count."""

    def _open(self) -> None:
        self._path = self._folder / f"{self._part:05d}_tokens.ds"
        self._tokens = self._path.open("wb")
        self._ends = array("Q")

    def _note(self, begin: int, end: int) -> None:
        self._ends.append(end)

    def close(self) -> None:
        """Write the ends of the documents, and the type of the ids."""
        self._tokens.close()
        self._path.with_suffix(".ds.index").write_bytes(np.array(self._ends, dtype="<u8").tobytes())
        described = f"tokenizer.json|{self.dtype.itemsize}\n{self._written}\n{self._written / 1e9:.3f} GT"
        self._path.with_suffix(".ds.metadata").write_text(described, "utf-8")


class MdsWriter:
    """`index.json`, `shard.00000.mds` ...: samples of one column, `tokens`, each of `sequence_length` ids.

    Documents follow one another; the ids after the last whole sample are left out.
    """

    def __init__(
        self, folder: Path, dtype: np.dtype[Any], sequence_length: int, shard_bytes: int = SHARD_BYTES
    ) -> None:
        self.dtype = dtype
        self._folder = folder
        self._sample_bytes = sequence_length * dtype.itemsize
        self._config = {
            "column_encodings": [f"ndarray:{dtype.name}:{sequence_length}"],
            "column_names": ["tokens"],
            "column_sizes": [self._sample_bytes],
            "compression": None,
            "format": "mds",
            "hashes": [],
            "size_limit": shard_bytes,
            "version": 2,
        }
        self._per_shard = max(1, (shard_bytes - 1024) // (self._sample_bytes + 4))
        self._pending = bytearray()
        self._shards: list[dict[str, Any]] = []

    def write(self, document: Tokens) -> None:
        """Append a document; a shard is written when it is full."""
        self._pending += document.astype(self.dtype).tobytes()
        while len(self._pending) >= self._per_shard * self._sample_bytes:
            self._write_shard(self._per_shard)

    def close(self) -> None:
        """Write the last samples, and the index."""
        if samples := len(self._pending) // self._sample_bytes:
            self._write_shard(samples)
        index = {"shards": self._shards, "version": 2}
        (self._folder / "index.json").write_text(json.dumps(index, sort_keys=True), "utf-8")

    def _write_shard(self, samples: int) -> None:
        """Number of samples, their offsets in the file, the configuration as JSON, then the samples."""
        config = json.dumps(self._config, sort_keys=True).encode()
        first = 4 + 4 * (samples + 1) + len(config)
        offsets: NDArray[np.int64] = first + self._sample_bytes * np.arange(samples + 1)
        size = samples * self._sample_bytes
        path = self._folder / f"shard.{len(self._shards):05d}.mds"
        with path.open("wb") as file:
            file.write(struct.pack("<I", samples) + offsets.astype("<u4").tobytes() + config + self._pending[:size])
        del self._pending[:size]
        raw = {"basename": path.name, "bytes": path.stat().st_size, "hashes": {}}
        self._shards.append({**self._config, "raw_data": raw, "samples": samples, "zip_data": None})
