"""Labelled examples from files: staged documents of a run, cited URLs, and any other text as positives or negatives."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path

from classifiers.corpus import TextRow
from classifiers.recipe_quality import LABELS, MIN_CHARACTERS, PER_DOMAIN, Cited, Match, by_citation, split_and_match
from classifiers.sampling import Example, Split, at_most_per_domain, sample_order, unit_hash
from classifiers.tables import Row, read_batches, texts_of

COLUMNS = ("id", "url", "title", "text", "source")


def text_rows(path: Path) -> Iterator[TextRow]:
    """Rows of any JSONL or Parquet file with a `text` column; the other COLUMNS are used where present."""
    for batch in read_batches(path, COLUMNS):
        for row, text in zip(batch, texts_of(batch, path), strict=True):
            identity = str(row.get("id") or sha256(f"{row.get('url', '')}\n{text}".encode()).hexdigest()[:40])
            url, title = str(row.get("url") or ""), str(row.get("title") or "")
            yield TextRow(identity, url, str(row.get("source") or path.name), title, text)


def cited_urls(path: Path) -> Iterator[str]:
    """URLs from `gristmill classify references` (a `url` field), or from a plain text file with one URL a line."""
    if path.suffix == ".txt":
        with path.open(encoding="utf-8") as file:
            yield from (line.strip() for line in file if line.strip())
        return
    for batch in read_batches(path, ["url"]):
        for row in batch:
            if "url" not in row:
                raise ValueError(f"{path}: a row has no `url`; give the output of `gristmill classify references`")
            yield str(row["url"])


def sample_examples(
    staged: Sequence[Path], references: Path | None, positives: Sequence[Path], weakest: Match, limit: int | None
) -> list[Example]:
    """Cited staged documents and every row of `positives` against a hash sample of the staged documents not cited."""
    rows = (row for path in staged for row in text_rows(path) if len(row.text) >= MIN_CHARACTERS)
    pages = list(at_most_per_domain(sample_order(_hash_share(rows, limit)), PER_DOMAIN))
    cited = Cited.of(cited_urls(references)) if references else Cited(frozenset(), frozenset(), frozenset())
    found, negatives = by_citation(pages, cited, weakest)
    given = [row for path in positives for row in text_rows(path) if len(row.text) >= MIN_CHARACTERS]
    if not found and not given:
        raise ValueError("no staged document is cited and no --positives file has rows: nothing to learn from")
    if not negatives:
        raise ValueError(
            "every staged document is cited or too short: give more staged documents as the crawl's sample"
        )
    return split_and_match([*found, *given], negatives)


def _hash_share(rows: Iterable[TextRow], limit: int | None) -> Iterator[TextRow]:
    """All rows, or about `limit` of them by hash of id, in bounded memory: the share halves when twice as many came."""
    if limit is None:
        yield from rows
        return
    share, kept = 1.0, {}
    for row in rows:
        place = unit_hash("sample", row.id)
        if place < share:
            kept[row.id] = (place, row)
        if len(kept) > 2 * limit:
            share /= 2
            kept = {identity: pair for identity, pair in kept.items() if pair[0] < share}
    yield from (row for _, row in kept.values())


def to_rows(examples: Iterable[Example]) -> Iterator[Row]:
    """Examples as JSON Lines rows."""
    for example in examples:
        row = asdict(example.row)
        row.pop("boilerplate")
        yield row | {"label": example.label, "split": str(example.split), "group": example.group}


def from_file(path: Path) -> list[Example]:
    """Examples that `to_rows` made."""
    examples = []
    for batch in read_batches(path):
        for row in batch:
            try:
                text = TextRow(row["id"], row["url"], row["source"], row["title"], row["text"])
                examples.append(Example(text, row["label"], Split(row["split"]), row["group"]))
            except (KeyError, ValueError) as error:
                raise ValueError(f"{path} is no output of `gristmill classify sample`: {error}") from None
    if {example.label for example in examples} - set(LABELS):
        raise ValueError(f"{path} has other labels than {' and '.join(LABELS)}")
    return examples
