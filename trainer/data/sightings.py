"""From documents to the steps that read them, and the checkpoints that hold what was learned from them.

Every step of the run is looked at, as `trace` looks at one, whatever the packing: about a millisecond for 64 sequences.
For a run whose dataset has lost documents since, the token store that it was trained on is found by its fingerprint:
`removal` leaves lengths and keys in it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import islice, product
from pathlib import Path

import numpy as np
import xxhash

from trainer.data.batches import BatchSource
from trainer.data.corpus import join_corpora
from trainer.data.curated_dataset import open_dataset
from trainer.data.sources import DataSettings, build_training_batches, select_documents
from trainer.data.token_files import FORMAT, open_tokens
from trainer.data.tokenize_dataset import token_folder
from trainer.data.tokenizer import Tokenizer
from trainer.errors import UserError
from trainer.files import cache_folder

_COMBINATIONS = 256  # of stores that are tried for a run of several sources


def find_steps(source: BatchSource, ids: Sequence[str], steps: int) -> dict[str, list[int]]:
    """The steps below `steps` that read each document; a document that the corpus does not have is left out."""
    keys = {xxhash.xxh3_64_intdigest(identifier.encode()): identifier for identifier in ids}
    documents = np.flatnonzero(np.isin(source.corpus.key, np.array(sorted(keys), np.uint64)))
    names = {int(document): keys[int(source.corpus.key[document])] for document in documents}
    found: dict[str, list[int]] = {name: [] for name in sorted(names.values())}
    for step in range(steps if names else 0):
        read = np.unique(source.token_documents(step))
        for document in read[np.isin(read, documents)].tolist():
            found[names[document]].append(step)
    return found


def open_trained_data(settings: DataSettings, tokenizer: Tokenizer, fingerprint: str, run: str) -> BatchSource:
    """The batches that a run has read, from the stores of its sources as they are or as they were before a removal."""
    cache = settings.cache or cache_folder()
    stores = [_stores_of(source.path, tokenizer, cache) for source in settings.sources.values()]
    for folders in islice(product(*stores), _COMBINATIONS):
        corpora = [
            select_documents(open_tokens(folder, name, verify=False), name, source)
            for folder, (name, source) in zip(folders, settings.sources.items(), strict=True)
        ]
        batches = build_training_batches(join_corpora(corpora), settings)
        if batches.fingerprint == fingerprint:
            return batches
    raise UserError(
        f"{run}: no token store in {cache} is the one that it was trained on; name its folder: --set data.cache=FOLDER"
    )


def _stores_of(path: str, tokenizer: Tokenizer, cache: Path) -> list[Path]:
    """The store of a dataset as it is, if there is one, then all others of the tokenizer."""
    now = token_folder(open_dataset(path), tokenizer, cache)
    others = sorted(store.parent for store in cache.glob(f"*-{tokenizer.sha256[:16]}-{FORMAT}/tokens.json"))
    return [folder for folder in dict.fromkeys([now, *others]) if (folder / "tokens.json").exists()]


def read_ids(named: Sequence[str]) -> list[str]:
    """Document ids: given as such, in the receipt of `gristmill remove`, or in a file with one a line."""
    found: list[str] = []
    for name in named:
        path = Path(name)
        if not path.is_file():
            found.append(name)
            continue
        text = path.read_text("utf-8")
        found += _ids_of_receipt(text) if text.lstrip().startswith("{") else text.split()
    wrong = next((name for name in found if len(name) != 32 or not set(name) <= set("0123456789abcdef")), None)
    if wrong is not None:
        raise UserError(f"--documents {wrong[:60]}: neither a file nor a document id of 32 hexadecimal digits")
    return sorted(set(found))


def _ids_of_receipt(text: str) -> list[str]:
    try:
        return [str(identifier) for identifier in json.loads(text)["documents"]]
    except (ValueError, KeyError, TypeError):
        raise UserError("--documents: the file is no receipt of `gristmill remove`") from None


def format_sightings(run: str, steps: dict[str, list[int]], checkpoints: Sequence[int], *, as_json: bool) -> list[str]:
    """One line a document: the steps that read it, and the checkpoints written after the first of them."""
    lines = []
    for document, seen in steps.items():
        saved = [step for step in checkpoints if seen and step > seen[0]]
        if as_json:
            lines.append(json.dumps({"run": run, "document": document, "steps": seen, "checkpoints": saved}))
        else:
            lines.append("\t".join([run, document, _join(seen) or "never read", _join(saved) or "none"]))
    return lines if as_json else ["\t".join(("run", "document", "steps", "checkpoints")), *lines]


def _join(numbers: Sequence[int]) -> str:
    return ",".join(map(str, numbers))
