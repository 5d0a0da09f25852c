"""The shipped quality model's recipe: cited pages against the crawl.

Positives: pages on a host that Wikipedia cites (or exactly cited pages: `--match exact`), Wikipedia's own prose, and
instruction answers, as DCLM found them to help. Negatives: a sample of the pages that are not cited, by hash of id, and
the boilerplate of pages: what extraction leaves when it fails. Only cited against uncited pages is tested; articles,
answers and their sites stay in training.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from classifiers import shared_data
from classifiers.corpus import TextRow
from classifiers.sampling import Example, Split, at_most_per_domain, match_lengths, sample_order, split_of, unit_hash
from classifiers.urls import host_of, normalise_url, registered_domain_of

LABELS = ("crawl", "cited")
MIN_CHARACTERS = 200  # of both classes alike
PER_DOMAIN = 20
BOILERPLATE_SHARE = 0.3  # of the pages whose boilerplate becomes a negative of its own
WEBKB_PER_DOMAIN = 60


class Match(StrEnum):
    EXACT = "exact"
    HOST = "host"  # weaker: a page nobody cited on a host that somebody did


@dataclass(frozen=True, slots=True)
class Cited:
    """What Wikipedia cites, by exact page, host and registered domain."""

    pages: frozenset[str]
    hosts: frozenset[str]
    domains: frozenset[str]

    @classmethod
    def of(cls, urls: Iterable[str]) -> Cited:
        urls = list(urls)
        hosts = {_host(url) for url in urls} - {""}
        return cls(frozenset(map(normalise_url, urls)), frozenset(hosts), frozenset(map(registered_domain_of, hosts)))

    def match(self, url: str) -> Match | None:
        if normalise_url(url) in self.pages:
            return Match.EXACT
        return Match.HOST if _host(url) in self.hosts else None


def _host(url: str) -> str:
    return host_of(url).removeprefix("www.")


def by_citation(rows: Iterable[TextRow], cited: Cited, weakest: Match) -> tuple[list[TextRow], list[TextRow]]:
    """(cited rows, rows of which not even the registered domain is cited); what lies between is in neither."""
    positives, negatives = [], []
    for row in rows:
        match = cited.match(row.url)
        if match == Match.EXACT or (match == Match.HOST and weakest == Match.HOST):
            positives.append(row)
        elif match is None and row.registered_domain not in cited.domains:
            negatives.append(row)
    return positives, negatives


def examples(data: Path, work: Path, weakest: Match = Match.HOST) -> list[Example]:
    """Every row of the shipped model with its label and split."""
    rows = [row for row in sample_order(shared_data.pages(data, work)) if len(row.text) >= MIN_CHARACTERS]
    cited = Cited.of(shared_data.lines_of(data / "wiki" / "ref_urls.txt.gz"))
    wikipedia = [row for row in rows if row.registered_domain == "wikipedia.org"]
    pages = at_most_per_domain((row for row in rows if row.registered_domain != "wikipedia.org"), PER_DOMAIN)
    positives, negatives = by_citation(pages, cited, weakest)
    helpers = [*wikipedia, *(row for row, _ in shared_data.articles(data, ("en",))), *shared_data.answers(data)]
    leftovers = [
        replace(row, id=f"{row.id}-boilerplate", text=row.boilerplate)
        for row in rows
        if len(row.boilerplate) >= MIN_CHARACTERS and unit_hash("boilerplate", row.id) < BOILERPLATE_SHARE
    ]
    chosen_positives, chosen_negatives = match_lengths(
        sample_order([*positives, *helpers]), sample_order([*negatives, *leftovers]), ratio=2.0
    )
    helper_ids = {row.id for row in helpers}
    return [
        Example(row, label, Split.TRAIN, row.id)
        if row.id in helper_ids
        else Example(row, label, split_of(row.registered_domain), row.registered_domain)
        for label, chosen in ((LABELS[1], chosen_positives), (LABELS[0], chosen_negatives))
        for row in chosen
    ]
