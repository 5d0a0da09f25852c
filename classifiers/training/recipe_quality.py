"""Training examples of the shipped quality model: cited pages against uncited pages of the crawl.

Positives: pages on a host that Wikipedia cites (or exactly cited pages: `--match exact`), Wikipedia's own prose, and
instruction answers, which helped DCLM. Negatives: a sample of the uncited pages, by hash of id, and the boilerplate of
pages (the text that a failed extraction returns). Validation and test have cited and uncited pages only; articles,
answers and their sites are in training only.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from classifiers.data import source_pages
from classifiers.data.cited_urls import Cited, Match
from classifiers.data.page_text import TextRow
from classifiers.data.sampling import (
    Example,
    Split,
    at_most_per_domain,
    match_lengths,
    sample_order,
    split_of,
    unit_hash,
)

QUALITY_LABELS = ("crawl", "cited")
MIN_CHARACTERS = 200  # of both classes
PER_DOMAIN = 20
TRAINING_RATIO = 2.0  # most rows of one class per row of the other in a length bin; fastText gains more from rows
BOILERPLATE_SHARE = 0.3  # of the pages whose boilerplate becomes a negative


def label_of(row: TextRow, cited: Cited, weakest: Match) -> str | None:
    """`cited`; `crawl` if not even the registered domain is cited; None for other pages, which are not used."""
    match = cited.match(row.url)
    if match == Match.EXACT or (match == Match.HOST and weakest == Match.HOST):
        return QUALITY_LABELS[1]
    return QUALITY_LABELS[0] if match is None and row.registered_domain not in cited.domains else None


def split_by_citation(rows: Iterable[TextRow], cited: Cited, weakest: Match) -> tuple[list[TextRow], list[TextRow]]:
    """(cited rows, rows of the crawl); rows without a label are in neither."""
    labeled = [(label_of(row, cited, weakest), row) for row in rows]
    positives, negatives = ([row for label, row in labeled if label == wanted] for wanted in reversed(QUALITY_LABELS))
    return positives, negatives


def quality_examples(data: Path, work: Path, weakest: Match = Match.HOST) -> list[Example]:
    """Every row of the shipped model with its label and split."""
    rows = [row for row in sample_order(source_pages.pages(data, work)) if len(row.text) >= MIN_CHARACTERS]
    cited = Cited.of(source_pages.lines_of(data / "wiki" / "ref_urls.txt.gz"))
    wikipedia = [row for row in rows if row.registered_domain == "wikipedia.org"]
    pages = at_most_per_domain((row for row in rows if row.registered_domain != "wikipedia.org"), PER_DOMAIN)
    positives, negatives = split_by_citation(pages, cited, weakest)
    helper_rows = [*wikipedia, *(row for row, _ in source_pages.articles(data, ("en",))), *source_pages.answers(data)]
    boilerplate_rows = [
        replace(row, id=f"{row.id}-boilerplate", text=row.boilerplate)
        for row in rows
        if len(row.boilerplate) >= MIN_CHARACTERS and unit_hash("boilerplate", row.id) < BOILERPLATE_SHARE
    ]
    return split_and_match(positives, negatives, helper_rows, boilerplate_rows)


def split_and_match(
    positives: Sequence[TextRow],
    negatives: Sequence[TextRow],
    more_positives: Sequence[TextRow] = (),
    more_negatives: Sequence[TextRow] = (),
) -> list[Example]:
    """Examples split by registered domain and matched in length within each split; further rows only train.

    Further rows whose registered domain is that of a page in validation or test are left out.
    """
    tested = {row.registered_domain for row in (*positives, *negatives)} - {""}
    helper_rows = [row for row in more_positives if row.registered_domain not in tested] + _of(
        Split.TRAIN, [row for row in more_positives if row.registered_domain in tested]
    )
    classes = {split: (_of(split, positives), _of(split, negatives)) for split in Split}
    found = _match_classes(
        Split.TRAIN,
        [*classes[Split.TRAIN][0], *helper_rows],
        [*classes[Split.TRAIN][1], *_of(Split.TRAIN, more_negatives)],
        TRAINING_RATIO,
    )
    for split in (Split.VALIDATION, Split.TEST):
        found += _match_classes(split, *classes[split], 1.0)
    return found


def _of(split: Split, rows: Sequence[TextRow]) -> list[TextRow]:
    # A text without a URL is treated as its own site.
    return [row for row in rows if split_of(row.registered_domain or row.id) == split]


def _match_classes(
    split: Split, positives: Sequence[TextRow], negatives: Sequence[TextRow], ratio: float
) -> list[Example]:
    """Both classes with the same histogram of lengths (at `ratio` 1), labeled."""
    classes = match_lengths(sample_order(positives), sample_order(negatives), ratio)
    return [
        Example(row, label, split, row.registered_domain or row.id)
        for label, rows in zip(reversed(QUALITY_LABELS), classes, strict=True)
        for row in rows
    ]
