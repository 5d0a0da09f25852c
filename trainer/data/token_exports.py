"""One pass over a dataset's tokens in the format of another trainer: documents in shuffled order, repeated by weight.

    FOLDER/...              files of the format, see token_formats
           tokenizer.json   the tokenizer
           export.json      dataset, format, type of the ids, documents, tokens

Other trainers read every document equally often, so the weights become repetitions: weight 2.5 is written two or three
times, as the trainer here reads it in its first pass with the same seed. A document ends with the separator.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from trainer.data.mixture import Mixture
from trainer.data.token_files import open_tokens, read_summary
from trainer.data.token_formats import TokenFormat, build_writer
from trainer.data.tokenizer import TOKENIZER_FILE, load_tokenizer
from trainer.errors import UserError
from trainer.files import explain_writes, flush_to_disk, write_atomically

READERS = {  # what tells the trainer of a format where the tokens are
    TokenFormat.MEGATRON: "--data-path {0}/tokens",
    TokenFormat.OLMO: "paths {0}/part-*.npy, {type}, end of document {separator}",
    TokenFormat.NANOTRON: "dataset_folder {0}, {type}",
    TokenFormat.MDS: "StreamingDataset(local='{0}'), column tokens",
}


def export_tokens(
    tokens: Path, kind: TokenFormat, output: Path, seed: int = 0, sequence_length: int = 2048
) -> dict[str, Any]:
    """Write one pass over the token files of a folder; returns what export.json says.

    output: a new or empty folder; it appears when it is complete. sequence_length: of the samples of mds.
    """
    if output.exists() and any(output.iterdir()):
        raise UserError(f"{output}: is not empty; choose a new folder")
    tokenizer, summary = load_tokenizer(tokens), read_summary(tokens)
    corpus = open_tokens(tokens, "export").corpus
    order = Mixture(corpus, seed=seed).read_pass(0).order
    temporary = output.with_name(f".{output.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    with explain_writes(output):
        writer = build_writer(kind, temporary, tokenizer.vocab_size, sequence_length)
        for index in order.tolist():
            writer.write(np.roll(corpus.document(index), -1))  # from the start of the document to its end
        writer.close()
    tokenizer.save(temporary / TOKENIZER_FILE)
    described = {
        "format": kind.value,
        "dataset": summary["dataset"],
        "content_hash": summary["content_hash"],
        "tokenizer_sha256": tokenizer.sha256,
        "separator": tokenizer.separator,
        "type": writer.dtype.name,
        "seed": seed,
        "documents": len(order),
        "different_documents": len(np.unique(order)),
        "tokens": int(corpus.length[order].sum()),
    }
    if kind is TokenFormat.MDS:
        described["sequence_length"] = sequence_length
        described["tokens"] -= described["tokens"] % sequence_length  # whole samples
    for path in temporary.iterdir():
        flush_to_disk(path)
    write_atomically(temporary / "export.json", json.dumps(described, indent=1) + "\n")
    if output.exists():
        output.rmdir()
    temporary.rename(output)
    return described


def describe_export(output: Path, described: dict[str, Any]) -> str:
    """What was written, and how the other trainer finds it, for a terminal."""
    return (
        f"{output}: {described['tokens']:,} tokens as {described['type']}; {described['documents']:,} documents, "
        f"{described['different_documents']:,} different ones\n"
        f"read by: {READERS[TokenFormat(described['format'])].format(output, **described)}"
    )
