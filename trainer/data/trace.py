"""From a training step back to the pages: which documents were in its batch, with URL and WARC offset."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict

from trainer.data.batches import BatchSource
from trainer.data.corpus import DocumentRef
from trainer.errors import UserError


def trace_steps(
    source: BatchSource, steps: Sequence[int], rank: int = 0, world: int = 1
) -> list[tuple[int, DocumentRef]]:
    """(step, document) for every document whose tokens a step reads, on one rank or (rank 0 of 1) on all."""
    return [(step, document) for step in steps for document in source.documents(step, rank, world)]


def check_unchanged(source: BatchSource, fingerprint: str, run: str) -> None:
    """Raises UserError where the data of a run is no longer what its checkpoint has read."""
    if source.fingerprint != fingerprint:
        raise UserError(f"{run}: its data has changed since it trained; restore it, or name a copy by --data")


def format_trace(found: Sequence[tuple[int, DocumentRef]], *, as_json: bool = False) -> list[str]:
    """One line per document: JSON, or a tab-separated table with a header."""
    if as_json:
        return [json.dumps({"step": step, **asdict(document)}, ensure_ascii=False) for step, document in found]
    columns = ("id", "source", "domain", "tokens", "url", "warc_file", "warc_offset")
    header = "\t".join(("step", *columns))
    return [header, *("\t".join([str(step), *(_cell(document, name) for name in columns)]) for step, document in found)]


def _cell(document: DocumentRef, name: str) -> str:
    """A value without control characters: URLs come from the web and must not move the terminal's cursor."""
    return "".join(character if character.isprintable() else "?" for character in str(getattr(document, name)))
