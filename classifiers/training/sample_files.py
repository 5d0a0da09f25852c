"""Draw labeled examples from files: documents of a run, cited URLs, and other text as further positives."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, replace
from hashlib import sha256
from pathlib import Path

from classifiers.data.cited_urls import Cited, Match
from classifiers.data.page_text import TextRow
from classifiers.data.sampling import Example, HashSample, Split, at_most_per_domain
from classifiers.data.tables import Row, read_batches, texts_of
from classifiers.errors import UserError
from classifiers.training.recipe_quality import MIN_CHARACTERS, PER_DOMAIN, QUALITY_LABELS, label_of, split_and_match

COLUMNS = ("id", "url", "title", "text", "source")


def text_rows(path: Path, source: str) -> Iterator[TextRow]:
    """Rows of any JSONL or Parquet file with a `text` column; other COLUMNS are read if present."""
    for batch in read_batches(path, COLUMNS):
        for row, text in zip(batch, texts_of(batch, path), strict=True):
            identity = str(row.get("id") or sha256(f"{row.get('url', '')}\n{text}".encode()).hexdigest()[:40])
            url, title = str(row.get("url") or ""), str(row.get("title") or "")
            yield TextRow(identity, url, str(row.get("source") or source), title, text)


def cited_urls(path: Path) -> Iterator[str]:
    """URLs from `gristmill classify references` (a `url` field), or from a plain text file with one URL per line."""
    if path.suffix == ".txt":
        with path.open(encoding="utf-8") as file:
            yield from (line.strip() for line in file if line.strip())
        return
    for batch in read_batches(path, ["url"]):
        for row in batch:
            if "url" not in row:
                raise UserError(f"{path}: a row has no `url`; give the output of `gristmill classify references`")
            yield str(row["url"])


def sample_examples(
    staged: Sequence[Path], references: Path | None, positives: Sequence[Path], weakest: Match, limit: int | None
) -> list[Example]:
    """Positives: cited staged documents and all rows of `positives`; negatives: staged documents that are not cited.

    About `limit` cited and `limit` other staged documents are drawn, by hash of id: in a crawl, one page in hundreds is
    cited.
    """
    cited = Cited.of(cited_urls(references) if references else ())
    samples = {label: HashSample(limit) for label in QUALITY_LABELS}
    for row in (row for path in staged for file in files_at(path) for row in text_rows(file, path.name)):
        label = label_of(row, cited, weakest)
        if label and len(row.text) >= MIN_CHARACTERS:
            samples[label].add(row)
    negatives, found = (list(at_most_per_domain(samples[label].rows(), PER_DOMAIN)) for label in QUALITY_LABELS)
    extra = [row for path in positives for row in text_rows(path, path.name) if len(row.text) >= MIN_CHARACTERS]
    if not found and not extra:
        raise UserError("no staged document is cited and no --positives file has rows: there are no positives")
    if not negatives:
        raise UserError("every staged document is cited or too short: give more staged documents as the crawl's sample")
    matches = {row.id: cited.match(row.url) for row in found}
    examples = split_and_match([*found, *extra], negatives)
    return [replace(example, match=matches.get(example.row.id) or "") for example in examples]


def files_at(path: Path) -> list[Path]:
    """The file, or all Parquet and JSON Lines files of a folder (such as the shards of a run)."""
    if not path.is_dir():
        return [path]
    found = sorted(file for pattern in ("*.parquet", "*.jsonl", "*.jsonl.gz") for file in path.glob(pattern))
    if not found:
        raise UserError(f"{path} holds no .parquet, .jsonl or .jsonl.gz file")
    return found


def to_rows(examples: Iterable[Example]) -> Iterator[Row]:
    """Examples as JSON Lines rows."""
    for example in examples:
        row = asdict(example.row)
        del row["boilerplate"], row["markup"]
        yield row | {
            "label": example.label, "split": str(example.split), "group": example.group, "match": example.match,
        }  # fmt: skip


def read_examples(path: Path) -> list[Example]:
    """Read examples written with `to_rows`; raises UserError for another file."""
    examples = []
    for batch in read_batches(path):
        for row in batch:
            try:
                text = TextRow(row["id"], row["url"], row["source"], row["title"], row["text"])
                examples.append(Example(text, row["label"], Split(row["split"]), row["group"], row["match"]))
            except (KeyError, ValueError) as error:
                raise UserError(f"{path} is not an output of `gristmill classify sample`: {error}") from None
    if {example.label for example in examples} - set(QUALITY_LABELS):
        raise UserError(f"{path} has other labels than {' and '.join(QUALITY_LABELS)}")
    return examples
