"""Weak supervision: labels for pages without a hand label, from several labeling functions.

Each labeling function votes for a topic or a kind by something other than the text: the metadata of the collection,
the host's categories in UT1, words in the URL's path, declarations in the markup. Its weight is the log-odds of its
precision on the hand-labeled pages; a page is left out if the votes disagree without a clear winner. None of this
evidence is an input of the rows that it labels: they are without their URL.
"""

from __future__ import annotations

import json
import math
import re
import tarfile
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from classifiers.data.page_labels import PageLabel
from classifiers.data.page_text import TextRow
from classifiers.urls import host_of, registered_domain_of, strip_www

MIN_AGREEMENTS = 5  # hand-labeled pages on which a labeling function must have voted before it counts
MIN_PRECISION = 0.6
MARGIN = 0.7  # log-odds by which the best label must exceed the second

# Metadata of the pages' collections, from `labels.jsonl.gz`. WebKB's classes (student, faculty, ...) are left out: they
# did not separate personal pages from others, and macro-F1 of kinds of unseen domains fell by .03.
_BY_LABEL = {
    "topic education/university": {"topic": "education_and_jobs", "kind": "academic"},
    "topic food/recipes": {"topic": "food_and_dining", "kind": "recipe"},
    "topic news": {"kind": "news"},
    "topic business": {"kind": "organization"},
    "topic reference/wikipedia": {"kind": "encyclopedia"},
    "page_type listing": {"kind": "listing"},
}
LABEL_FIELDS = ("topic", "page_type")
# Declarations in the markup, see `page_text.markup_signs`. `og article` is left out: blogs declare it, too.
_BY_MARKUP = {
    "generator discourse": {"kind": "forum"},
    "generator discuz!": {"kind": "forum"},
    "generator mediawiki": {"kind": "encyclopedia"},
    "generator phpbb": {"kind": "forum"},
    "generator sphinx": {"kind": "code_and_documentation"},
    "generator vbulletin": {"kind": "forum"},
    "generator woocommerce": {"kind": "shop"},
    "generator xenforo": {"kind": "forum"},
    "og blog": {"kind": "blog"},
    "og book": {"kind": "books_and_literature"},
    "og product": {"kind": "shop"},
    "schema blogposting": {"kind": "blog"},
    "schema book": {"kind": "books_and_literature"},
    "schema discussionforumposting": {"kind": "forum"},
    "schema localbusiness": {"kind": "organization"},
    "schema medicalwebpage": {"topic": "health"},
    "schema movie": {"topic": "entertainment"},
    "schema newsarticle": {"kind": "news"},
    "schema product": {"kind": "shop"},
    "schema qapage": {"kind": "forum"},
    "schema recipe": {"topic": "food_and_dining", "kind": "recipe"},
    "schema scholarlyarticle": {"kind": "academic"},
    "schema sportsevent": {"topic": "sports_and_fitness"},
    "schema techarticle": {"kind": "code_and_documentation"},
    "schema videogame": {"topic": "games"},
}
_BY_UT1 = {
    "sports": {"topic": "sports_and_fitness"},
    "games": {"topic": "games"},
    "financial": {"topic": "finance_and_business"},
    "bank": {"topic": "finance_and_business", "kind": "organization"},
    "cooking": {"topic": "food_and_dining"},
    "celebrity": {"topic": "entertainment"},
    "audio-video": {"topic": "entertainment"},
    "manga": {"topic": "entertainment"},
    "jobsearch": {"topic": "education_and_jobs"},
    "associations_religieuses": {"topic": "religion"},
    "mixed_adult": {"topic": "adult"},
    "lingerie": {"topic": "fashion_and_beauty"},
    "press": {"kind": "news"},
    "shopping": {"kind": "shop"},
    "blog": {"kind": "blog"},
    "forums": {"kind": "forum"},
}
UT1_CATEGORIES = tuple(sorted(_BY_UT1))
_PATH_WORDS = {
    "sport sports fussball deportes futbol sporty": {"topic": "sports_and_fitness"},
    "health gesundheit salud sante zdrowie": {"topic": "health"},
    "politics politik politica politique polityka polityczne": {"topic": "politics"},
    "recipe recipes rezept rezepte receita receitas receta recetas przepis przepisy tarif opskrift": {
        "topic": "food_and_dining",
        "kind": "recipe",
    },
    "travel reise reisen viajes voyage turismo": {"topic": "travel_and_tourism"},
    "business finance economia wirtschaft gospodarka economie": {"topic": "finance_and_business"},
    "entertainment movies kino espectaculos": {"topic": "entertainment"},
    "games gaming": {"topic": "games"},
    "beauty fashion mode moda": {"topic": "fashion_and_beauty"},
    "books literatur": {"topic": "literature"},
    "forum forums viewtopic threads": {"kind": "forum"},
    "blog blogs": {"kind": "blog"},
    "shop product produkt products": {"kind": "shop"},
    "wiki": {"kind": "encyclopedia"},
    "news nachrichten noticias article artikel": {"kind": "news"},
    "impressum privacy datenschutz terms": {"kind": "legal"},
}
_BY_PATH_WORD = {word: votes for words, votes in _PATH_WORDS.items() for word in words.split()}


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known about pages besides their text."""

    ut1: Mapping[str, tuple[str, ...]]  # host or registered domain -> categories
    labels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # id of a page -> keys of _BY_LABEL


@dataclass(frozen=True, slots=True)
class Vote:
    """The vote of one labeling function on one page."""

    source: str  # the labeling function, such as "UT1 press"
    head: str  # topic or kind
    label: str


@dataclass(frozen=True, slots=True)
class Trust:
    """Agreement of a labeling function with the hand labels."""

    right: int
    checked: int

    @property
    def precision(self) -> float:
        return (self.right + 1) / (self.checked + 2)


def read_ut1(archive: Path) -> dict[str, tuple[str, ...]]:
    """Host or registered domain -> the UT1 categories used here that list it."""
    hosts: dict[str, tuple[str, ...]] = {}
    with tarfile.open(archive) as tar:
        for category in UT1_CATEGORIES:
            file = tar.extractfile(f"ut1/{category}.domains.txt")
            for line in file or ():
                host = line.decode("utf-8", "replace").strip().lower()
                hosts[host] = (*hosts.get(host, ()), category)
    return hosts


def read_labels_of_collections(lines: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Id of a page (SHA-1) -> its labels in `labels.jsonl.gz`, as "field value"."""
    rows = map(json.loads, lines)
    return {row["sha1"]: tuple(f"{name} {row[name]}" for name in LABEL_FIELDS if row.get(name)) for row in rows}


def votes_on(row: TextRow, evidence: Evidence) -> list[Vote]:
    """All votes on a page."""
    host = host_of(row.url)
    found = [("label " + label, _BY_LABEL[label]) for label in evidence.labels.get(row.id, ()) if label in _BY_LABEL]
    listed = evidence.ut1.get(strip_www(host)) or evidence.ut1.get(registered_domain_of(host), ())
    found += [("UT1 " + category, _BY_UT1[category]) for category in listed]
    path = sorted(set(re.split(r"[^a-z]+", urlsplit(row.url).path.lower())))
    found += [("path " + word, _BY_PATH_WORD[word]) for word in path if word in _BY_PATH_WORD]
    found += [("markup " + sign, _BY_MARKUP[sign]) for sign in row.markup.splitlines() if sign in _BY_MARKUP]
    return [Vote(source, head, label) for source, votes in found for head, label in votes.items()]


def measure_trust(
    rows: Iterable[TextRow], read: Mapping[str, PageLabel], evidence: Evidence
) -> dict[tuple[str, str], Trust]:
    """(labeling function, head) -> agreement with the labels of pages that were read."""
    right: Counter[tuple[str, str]] = Counter()
    checked: Counter[tuple[str, str]] = Counter()
    for row in rows:
        for vote in votes_on(row, evidence):
            truth = read[row.id].domains.get(vote.head) if row.id in read else None
            if truth:
                checked[vote.source, vote.head] += 1
                right[vote.source, vote.head] += vote.label == truth
    return {key: Trust(right[key], checked[key]) for key in sorted(checked)}


def decide(votes: Iterable[Vote], trust: Mapping[tuple[str, str], Trust]) -> tuple[dict[str, str], list[str]]:
    """(head -> label, heads on which the votes disagree without a clear winner)."""
    weight: dict[str, Counter[str]] = defaultdict(Counter)
    for vote in votes:
        known = trust.get((vote.source, vote.head), Trust(0, 0))
        if known.checked >= MIN_AGREEMENTS and known.precision >= MIN_PRECISION:
            weight[vote.head][vote.label] += math.log(known.precision / (1 - known.precision))  # type: ignore[assignment]
    decided, conflicts = {}, []
    for head, labels in weight.items():
        ranked = sorted(labels.items(), key=lambda item: (-item[1], item[0]))
        if len(ranked) > 1 and ranked[0][1] - ranked[1][1] < MARGIN:
            conflicts.append(head)
        else:
            decided[head] = ranked[0][0]
    return decided, conflicts
