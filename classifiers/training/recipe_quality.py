"""Training examples of the shipped quality and education models.

The quality model has two views of words. `cited` is the Wikipedia-reference idea: positives are pages on a host that
Wikipedia cites (or exactly cited pages: `--match exact`), Wikipedia's own prose, and instruction answers, which helped
DCLM; negatives are a sample of the uncited pages, by hash of id, the boilerplate of pages, and hard negatives made from
pages. `read` is what readers said (`page_labels.csv`), which is also the target of the layer that joins the views. The
education model has the readers' view alone. Pages of test domains measure and are in no training.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from classifiers.data import source_pages
from classifiers.data.cited_urls import Cited, Match
from classifiers.data.page_labels import HIGHEST, check_splits, read_page_labels
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
from classifiers.data.source_pages import Sources
from classifiers.training.hard_negatives import make_hard_negatives
from classifiers.training.train_page_scorer import Target

QUALITY_LABELS = ("crawl", "cited")  # of the view `cited`
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


def read_targets(sources: Sources, name: str) -> list[Target]:
    """The labeled pages with what readers said of `name` (education, quality), scaled to 0 to 1."""
    labels, pages = read_page_labels(), sources.pages()
    check_splits(pages, labels)
    found = ((row, labels[row.id]) for row in sample_order(pages) if row.id in labels)
    return [
        Target(row, label.scores[name] / HIGHEST[name], label.split, row.group, label.domains.get("kind", ""))
        for row, label in found
        if name in label.scores
    ]


def quality_views(
    sources: Sources, weakest: Match = Match.HOST, *, hard_negatives: bool = True
) -> dict[str, list[Target]]:
    """The rows of each view."""
    examples = quality_examples(sources, weakest, hard_negatives=hard_negatives)
    cited = [Target.of(example, QUALITY_LABELS[1]) for example in examples]
    return {"cited": cited, "read": read_targets(sources, "quality")}


def quality_examples(sources: Sources, weakest: Match = Match.HOST, *, hard_negatives: bool = True) -> list[Example]:
    """Every row of the view `cited` with its label and split."""
    data = sources.data
    rows = [row for row in sample_order(sources.pages()) if len(row.text) >= MIN_CHARACTERS]
    cited = Cited.of(source_pages.lines_of(data / "wiki" / "ref_urls.txt.gz"))
    wikipedia = [row for row in rows if row.registered_domain == "wikipedia.org"]
    pages = at_most_per_domain((row for row in rows if row.registered_domain != "wikipedia.org"), PER_DOMAIN)
    positives, negatives = split_by_citation(pages, cited, weakest)
    helper_rows = [*wikipedia, *source_pages.articles(data, ("en",)), *source_pages.answers(data)]
    boilerplate_rows = [
        replace(row, id=f"{row.id}-boilerplate", text=row.boilerplate)
        for row in rows
        if len(row.boilerplate) >= MIN_CHARACTERS and unit_hash("boilerplate", row.id) < BOILERPLATE_SHARE
    ]
    made = make_hard_negatives(rows) if hard_negatives else ()
    return split_and_match(positives, negatives, helper_rows, [*boilerplate_rows, *made])


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
    return [row for row in rows if split_of(row.group) == split]


def _match_classes(
    split: Split, positives: Sequence[TextRow], negatives: Sequence[TextRow], ratio: float
) -> list[Example]:
    """Both classes with the same histogram of lengths (at `ratio` 1), labeled."""
    classes = match_lengths(sample_order(positives), sample_order(negatives), ratio)
    return [
        Example(row, label, split, row.group)
        for label, rows in zip(reversed(QUALITY_LABELS), classes, strict=True)
        for row in rows
    ]
