"""token_exports: one pass in each format, read back by the reader of the project that it is for.

Megatron's and datatrove's readers are installed; nanotron reads by datatrove's. Those of OLMo-core and of MosaicML
Streaming ask for older versions of packages than ours and are kept apart (readers.txt): they run in a process of their
own, and the other tests read these files by the published layout (dolma's `.npy` and `.csv.gz`, MDS version 2).
"""

from __future__ import annotations

import gzip
import itertools
import json
import os
import struct
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datatrove.utils.dataset import DatatroveFolderDataset
from megatron.core.datasets.indexed_dataset import IndexedDataset

from tests.trainer.commands.invoke import run
from tests.trainer.curated import pages, write_dataset
from trainer.data.corpus import uniform
from trainer.data.curated_dataset import open_dataset
from trainer.data.token_exports import export_tokens
from trainer.data.token_files import open_tokens
from trainer.data.token_formats import MdsWriter, NanotronWriter, OlmoWriter, TokenFormat, build_writer
from trainer.data.tokenize_dataset import tokenize_dataset
from trainer.data.tokenizer import Tokenizer
from trainer.errors import UserError

READERS = Path(__file__).parents[3] / ".readers"  # `make readers`
READ_BY_THEM = """
import json, sys
from olmo_core.data import NumpyFSLDataset
from olmo_core.data.utils import get_document_indices
from streaming import StreamingDataset
olmo, mds, separator = sys.argv[1], sys.argv[2], int(sys.argv[3])
path = f"{olmo}/part-00000.npy"
windows = NumpyFSLDataset(
    path, sequence_length=8, pad_token_id=separator, eos_token_id=separator, vocab_size=1 << 16
)
windows.prepare()
samples = StreamingDataset(local=mds, batch_size=1, shuffle=False)
print(json.dumps({
    "places": get_document_indices(path),
    "windows": [windows[number]["input_ids"].tolist() for number in range(len(windows))],
    "samples": [sample["tokens"].tolist() for sample in samples],
}))
"""
ROWS = pages(60, weights=(1.0, 0.5, 2.0, 0.0, 1.25))
Documents = list[list[int]]


@pytest.fixture(scope="module")
def tokens(tokenizer: Tokenizer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exports")
    dataset = open_dataset(str(write_dataset(folder / "set", ROWS, shards=3)))
    return tokenize_dataset(dataset, tokenizer, folder / "cache", 1, progress=False)


def expected_documents(tokens: Path, tokenizer: Tokenizer, seed: int = 0) -> Counter[tuple[int, ...]]:
    """Each document as often as its weight w says: floor(w + u) for its hash u; encoded anew, the separator last."""
    corpus = open_tokens(tokens, "x").corpus
    times = np.floor([row["weight"] for row in ROWS] + uniform(corpus.key, seed)).astype(int)
    texts = [(*tokenizer.encode_many([row["text"]])[0], tokenizer.separator) for row in ROWS]
    return Counter({text: int(count) for text, count in zip(texts, times, strict=True) if count})


def read_megatron(folder: Path) -> Documents:
    dataset = IndexedDataset(str(folder / "tokens"))
    assert list(dataset.document_indices) == list(range(len(dataset) + 1))
    return [dataset[number].tolist() for number in range(len(dataset))]


def read_olmo(folder: Path, dtype: Any = np.uint16) -> Documents:
    """As olmo_core.data.utils does: memory-mapped ids, and the start and end of each document."""
    found = []
    for path in sorted(folder.glob("*.npy")):
        ids = np.memmap(path, dtype=dtype, mode="r")
        with gzip.open(path.with_suffix(".csv.gz"), "rt") as lines:
            places = [tuple(map(int, line.split(",")[:2])) for line in lines]
        assert [end for _, end in places] == (np.flatnonzero(ids == ids[-1]) + 1).tolist()  # and by the separator
        found += [ids[start:end].tolist() for start, end in places]
    return found


def read_nanotron(folder: Path) -> Documents:
    """As one window over each file; positions restart with each document."""
    found = []
    for path in sorted(folder.glob("*.ds")):
        size = int(path.with_suffix(".ds.metadata").read_text().split("\n")[0].rsplit("|")[1])
        length = path.stat().st_size // size
        [window] = DatatroveFolderDataset(
            str(folder), length - 1, filename_pattern=path.name, token_size=size, return_positions=True
        )
        starts = np.flatnonzero(window["positions"].numpy() == 0)
        found += [part.tolist() for part in np.split(window["input_ids"].numpy(), starts[1:])]
    return found


def read_mds(folder: Path) -> np.ndarray:
    """Samples of MDS version 2: a count, offsets, the configuration, and values of fixed size."""
    samples = []
    for shard in json.loads((folder / "index.json").read_text())["shards"]:
        data = (folder / shard["raw_data"]["basename"]).read_bytes()
        assert (shard["format"], shard["version"], len(data)) == ("mds", 2, shard["raw_data"]["bytes"])
        count = struct.unpack_from("<I", data)[0]
        offsets = np.frombuffer(data, "<u4", count + 1, 4)
        config = json.loads(data[4 + 4 * (count + 1) : offsets[0]])
        assert count == shard["samples"]
        assert config == {key: shard[key] for key in config}
        _, kind, length = config["column_encodings"][0].split(":")
        for start, end in itertools.pairwise(offsets):
            samples.append(np.frombuffer(data[start:end], kind))
            assert len(samples[-1]) == int(length)
    return np.stack(samples)


@pytest.mark.parametrize(
    ("kind", "read"),
    [(TokenFormat.MEGATRON, read_megatron), (TokenFormat.OLMO, read_olmo), (TokenFormat.NANOTRON, read_nanotron)],
)
def test_one_weighted_pass_arrives(tokens, tokenizer, tmp_path, kind, read):
    described = export_tokens(tokens, kind, tmp_path / "out", seed=3)
    found = read(tmp_path / "out")
    assert Counter(map(tuple, found)) == expected_documents(tokens, tokenizer, seed=3)
    assert described["documents"] == len(found)
    assert described["tokens"] == sum(map(len, found))
    assert described["type"] == "uint16"
    assert json.loads((tmp_path / "out" / "export.json").read_text()) == described


def test_samples_of_mds_hold_the_documents_in_turn(tokens, tokenizer, tmp_path):
    described = export_tokens(tokens, TokenFormat.MDS, tmp_path / "out", sequence_length=64)
    export_tokens(tokens, TokenFormat.MEGATRON, tmp_path / "same")
    whole = np.concatenate(read_megatron(tmp_path / "same"))
    samples = read_mds(tmp_path / "out")
    assert samples.shape == (len(whole) // 64, 64)
    assert samples.ravel().tolist() == whole[: samples.size].tolist()
    assert described["tokens"] == samples.size


@pytest.mark.skipif(not READERS.is_dir(), reason="the readers of OLMo-core and MosaicML are not here: make readers")
def test_olmo_core_and_mosaicml_read_what_megatron_reads(tokens, tokenizer, tmp_path):
    for kind in (TokenFormat.MEGATRON, TokenFormat.OLMO, TokenFormat.MDS):
        export_tokens(tokens, kind, tmp_path / kind, sequence_length=64)
    documents = read_megatron(tmp_path / "megatron")
    whole = np.concatenate(documents)
    command = [sys.executable, "-c", READ_BY_THEM, tmp_path / "olmo", tmp_path / "mds", str(tokenizer.separator)]
    environment = {**os.environ, "PYTHONPATH": str(READERS), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert [whole[start:end].tolist() for start, end in found["places"]] == documents
    for name, length in (("windows", 8), ("samples", 64)):
        rows = np.array(found[name])
        assert rows.shape == (len(whole) // length, length)
        assert rows.ravel().tolist() == whole[: rows.size].tolist()


@pytest.mark.parametrize(
    ("vocab_size", "megatron", "others"), [(65_499, "u2", "u2"), (65_536, "i4", "u2"), (65_537, "i4", "u4")]
)
def test_ids_have_the_smallest_type_that_the_reader_knows(tmp_path, vocab_size, megatron, others):
    ids = np.array([5, vocab_size - 1, 0], dtype=np.uint32)
    for kind in TokenFormat:
        folder = tmp_path / kind
        folder.mkdir()
        writer = build_writer(kind, folder, vocab_size, 3)
        writer.write(ids)
        writer.close()
        assert writer.dtype == (megatron if kind is TokenFormat.MEGATRON else others)
    assert read_megatron(tmp_path / "megatron") == [ids.tolist()]
    assert read_olmo(tmp_path / "olmo", others) == [ids.tolist()]
    assert read_nanotron(tmp_path / "nanotron") == [ids.tolist()]
    assert read_mds(tmp_path / "mds").tolist() == [ids.tolist()]


def test_documents_are_never_divided_between_files(tmp_path):
    documents = [np.array([*range(1, length), 0], dtype=np.uint16) for length in (5, 9, 2, 30, 4)]
    for kind, writer in (("olmo", OlmoWriter), ("nanotron", NanotronWriter)):
        (tmp_path / kind).mkdir()
        written = writer(tmp_path / kind, np.dtype("<u2"), file_bytes=24)
        for document in documents:
            written.write(document)
        written.close()
    expected = [document.tolist() for document in documents]
    assert read_olmo(tmp_path / "olmo") == expected
    assert read_nanotron(tmp_path / "nanotron") == expected
    assert len(list((tmp_path / "olmo").glob("*.npy"))) == 4
    (tmp_path / "mds").mkdir()
    mds = MdsWriter(tmp_path / "mds", np.dtype("<u2"), 4, shard_bytes=1024 + 60)
    for document in documents:
        mds.write(document)
    mds.close()
    assert read_mds(tmp_path / "mds").ravel().tolist() == np.concatenate(documents)[:48].tolist()
    assert len(list((tmp_path / "mds").glob("*.mds"))) == 3


def test_the_command_writes_a_new_folder_only(tokens, tmp_path):
    dataset, tokenizer = tokens.parents[1] / "set", tokens / "tokenizer.json"
    words = ["tokens", dataset, "--tokenizer", tokenizer, "--cache", tokens.parent, "--workers", 1]
    printed = run(*words, "--format", "megatron", "--output", tmp_path / "out")
    assert "tokens as uint16" in printed
    assert f"--data-path {tmp_path}/out/tokens" in printed
    assert {path.name for path in tmp_path.iterdir()} == {"out"}
    assert (tmp_path / "out" / "tokenizer.json").read_bytes() == tokenizer.read_bytes()
    with pytest.raises(UserError, match="holds files that this command did not write"):
        run(*words, "--format", "olmo", "--output", tmp_path / "out")
