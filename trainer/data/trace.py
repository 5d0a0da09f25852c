"""From a training step back to the pages: which documents were in its batch, with URL and WARC offset."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict

from trainer.data.batches import BatchSource
from trainer.data.corpus import DocumentRef
from trainer.data.mixture import SourceShare


def trace(source: BatchSource, steps: Sequence[int], rank: int = 0, world: int = 1) -> list[tuple[int, DocumentRef]]:
    """(step, document) for every document whose tokens a step reads, on one rank or (rank 0 of 1) on all."""
    return [(step, document) for step in steps for document in source.documents(step, rank, world)]


def as_lines(found: Sequence[tuple[int, DocumentRef]], *, as_json: bool = False) -> list[str]:
    """A line a document, for people (tab-separated) or for programs (JSON)."""
    if as_json:
        return [json.dumps({"step": step, **asdict(document)}, ensure_ascii=False) for step, document in found]
    columns = ("id", "source", "domain", "tokens", "url", "warc_file", "warc_offset")
    header = "\t".join(("step", *columns))
    return [header, *("\t".join([str(step), *(_cell(document, name) for name in columns)]) for step, document in found)]


def _cell(document: DocumentRef, name: str) -> str:
    """URLs come from the web: nothing in them may move the terminal's cursor."""
    return "".join(character if character.isprintable() else "?" for character in str(getattr(document, name)))


def mixture_table(lines: Sequence[SourceShare]) -> str:
    """Asked beside realized, a line a source."""
    width = max(len(line.name) for line in lines)
    rows = [
        f"{'source':<{width}} {'documents':>11} {'tokens':>15} {'asked':>8} {'realized':>9} "
        f"{'epochs':>7} {'most':>5} {'capped':>9}"
    ]
    rows += [
        f"{line.name:<{width}} {line.documents:>11,} {line.tokens:>15,} {line.target:>8.2%} {line.realized:>9.2%} "
        f"{line.repetitions:>7.2f} {line.most_repetitions:>5} {line.capped:>9,}"
        for line in lines
    ]
    short = [line.name for line in lines if line.capped and line.realized < 0.95 * line.target]
    if short:
        rows.append(f"max_repetitions holds {', '.join(short)} below the share asked: add data or accept the mixture")
    return "\n".join(rows)
