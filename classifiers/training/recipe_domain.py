"""Training rows of the shipped domain model: hand-labeled pages, and weak labels for the others.

Rows: labeled pages (`page_labels.csv`); labeled front pages of sites and articles of Wikipedia (`text_labels.csv`);
words typical of a topic, a subtopic or a kind (`topic_words.txt`, `subtopic_words.txt`, `kind_words.txt`); unlabeled
pages by labeling functions, weighted by their agreement with the hand labels (weak_labels.py).
Everything is split by registered domain; the test rows are hand-labeled pages, and no other row is of a test domain.
"""

from __future__ import annotations

import csv
import gzip
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from classifiers.data import source_pages
from classifiers.data.page_labels import NONE, PageLabel, check_splits, read_page_labels, read_text_labels
from classifiers.data.page_text import TextRow, id_of
from classifiers.data.sampling import Split, at_most_per_domain, sample_order, split_of
from classifiers.data.source_pages import Sources
from classifiers.domain import HEADS, Item, words_for
from classifiers.estimators.features import style_counts, topic_parts
from classifiers.estimators.linear import Row
from classifiers.estimators.word_counts import sum_parts
from classifiers.training.weak_labels import (
    Evidence,
    Trust,
    decide,
    measure_trust,
    read_labels_of_collections,
    read_ut1,
    votes_on,
)
from classifiers.urls import host_of, registered_domain_of

TOPIC_WORDS = Path(__file__).parent / "topic_words.txt"
SUBTOPIC_WORDS = Path(__file__).parent / "subtopic_words.txt"
KIND_WORDS = Path(__file__).parent / "kind_words.txt"
WEAK_PER_DOMAIN = 10
SETTLED = {"topic": 0.7, "kind": 1.0}  # weight of the label of a page that readers disagreed on; theirs get the rest
WEIGHT = {
    "read": 1.0,
    "kind words": 1.0,
    "topic words": 0.25,
    "subtopic words": 0.25,
    "wikipedia": 0.3,
    "table": 1.0,
    "weak": 0.3,
    "articles": 0.1,
}
MIN_CHARACTERS = 100
WORD_ROWS = {"topic": 24, "subtopic": 5, "kind": 6}  # short rows over which a line of words is spread
TABLE_CHARACTERS = 4_000  # read of a web site's text

_TABLES = (
    ("website_classification.csv.gz", "website_url", "cleaned_website_text"),
    ("website_classification_ruthvik.csv.gz", "website_url", "cleaned_website_text"),
    ("yeshapan_websites_dataset.csv.gz", "url", "text"),
)


@dataclass(frozen=True, slots=True)
class DomainData:
    """Training and test data of both heads."""

    train: dict[str, list[Row]]  # head -> rows of other than labeled pages
    read: list[TextRow]  # labeled pages of training domains
    test: list[TextRow]
    labels: Mapping[str, PageLabel]  # by id
    trust: Mapping[tuple[str, str], Trust] = field(default_factory=dict)
    conflicts: Mapping[str, int] = field(default_factory=dict)  # head -> unlabeled pages left out
    counts: Mapping[str, int] = field(default_factory=dict)  # source of rows -> rows


def read_domain_data(sources: Sources) -> DomainData:
    """Read all rows from the folder of real pages."""
    data, labels = sources.data, read_page_labels()
    pages = sample_order(row for row in sources.pages() if len(row.text) >= MIN_CHARACTERS)
    read = [row for row in pages if row.id in labels]
    check_splits(read, labels)
    test = [row for row in read if labels[row.id].split == Split.TEST]
    known = [row for row in read if labels[row.id].split != Split.TEST]
    collections = read_labels_of_collections(source_pages.lines_of(data / "labels.jsonl.gz"))
    evidence = Evidence(read_ut1(data / "lists" / "ut1.tar.gz"), collections)
    trust = measure_trust(known, labels, evidence)
    unread = (r for r in pages if r.id not in labels and split_of(r.registered_domain) != Split.TEST)
    weak, conflicts = _weak_rows(list(at_most_per_domain(unread, WEAK_PER_DOMAIN)), evidence, trust)
    text_labels = read_text_labels()
    topics = text_labels["topic"]
    topic_rows = {
        "words": [*word_rows(TOPIC_WORDS, "topic"), *word_rows(SUBTOPIC_WORDS, "subtopic")],
        "wikipedia": list(_article_rows(data, topics)),
        "table": list(_table_rows(data, topics)),
    }
    counts = {"read": len(known), "test": len(test)} | {name: len(rows) for name, rows in topic_rows.items()}
    counts |= {f"weak {head}": len(rows) for head, rows in weak.items()}
    topic = [row for rows in topic_rows.values() for row in rows]
    kind = [*word_rows(KIND_WORDS, "kind"), *kind_rows_of_articles(data, text_labels["kind"])]
    train = {"topic": topic + weak["topic"], "kind": kind + weak["kind"]}
    return DomainData(train, known, test, labels, trust, conflicts, counts)


def item_of(page: TextRow) -> Item:
    """The page as the domain model reads it."""
    return Item(page.url, page.title, page.text, page.signals)


def read_rows(pages: Sequence[TextRow], labels: Mapping[str, PageLabel], head: str) -> list[list[Row]]:
    """Training rows of the pages, each of which has a label for this head: a row for each label that readers gave."""
    return [
        [Row(label, counts, WEIGHT["read"] * share) for label, share in _shares(labels[page.id], head).items()]
        for page in pages
        for counts in [sum_parts(words_for(head, item_of(page)))]
    ]


def _shares(label: PageLabel, head: str) -> dict[str, float]:
    """Label -> its share of a page. Where two readers differ, what they said is not all wrong."""
    settled = label.domains[head]
    others = sorted({label.first.get(head, NONE), label.second.get(head, NONE)} - {settled, NONE})
    if not others or SETTLED[head] == 1:
        return {settled: 1.0}
    return {settled: SETTLED[head]} | {other: (1 - SETTLED[head]) / len(others) for other in others}


def _weak_rows(
    pages: Sequence[TextRow], evidence: Evidence, trust: Mapping[tuple[str, str], Trust]
) -> tuple[dict[str, list[Row]], dict[str, int]]:
    rows: dict[str, list[Row]] = {head: [] for head in HEADS}
    conflicts: Counter[str] = Counter()
    for page in pages:
        decided, undecided = decide(votes_on(page, evidence), trust)
        conflicts.update(undecided)
        for head, label in decided.items():
            rows[head].append(
                Row(label, sum_parts(words_for(head, Item("", page.title, page.text, page.signals))), WEIGHT["weak"])
            )
    return rows, dict(conflicts)


def word_rows(path: Path, words_of: str) -> Iterator[Row]:
    """Rows of the words of a topic, a subtopic or a kind: WORD_ROWS short rows a line: few words decide each."""
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            continue
        label, _, text = line.partition(":")
        words = text.split()
        for number in range(WORD_ROWS[words_of]):
            text_of_row = " ".join(words[number :: WORD_ROWS[words_of]])
            counts = style_counts(text_of_row) if words_of == "kind" else sum_parts(topic_parts("", text_of_row))
            if counts:
                yield Row(label, counts, WEIGHT[f"{words_of} words"])


def kind_rows_of_articles(data: Path, kinds: Mapping[str, str]) -> Iterator[Row]:
    """Articles of Wikipedia: the kind as read (one in five is a list), encyclopedia where none was read."""
    for article in source_pages.articles(data, ("en", "it")):
        kind = kinds.get(article.id, "encyclopedia")
        yield Row(kind, sum_parts(words_for("kind", Item("", article.title, article.text))), WEIGHT["articles"])


def _article_rows(data: Path, topics: Mapping[str, str]) -> Iterator[Row]:
    for article in source_pages.articles(data):
        if topic := topics.get(article.id):
            yield Row(topic, sum_parts(topic_parts(article.title, article.text)), WEIGHT["wikipedia"])


def _table_rows(data: Path, topics: Mapping[str, str]) -> Iterator[Row]:
    """Front pages of labeled sites."""
    csv.field_size_limit(2**24)  # a site's whole text is one field
    for name, url, text in _TABLES:
        with gzip.open(data / "topics" / name, "rt", encoding="utf-8-sig", newline="") as file:
            for row in csv.DictReader(file):
                topic = topics.get(id_of(row[url].encode()))
                on_test = split_of(registered_domain_of(host_of(row[url]))) == Split.TEST
                if topic and row[text] and not on_test:
                    yield Row(topic, sum_parts(topic_parts("", row[text][:TABLE_CHARACTERS])), WEIGHT["table"])
