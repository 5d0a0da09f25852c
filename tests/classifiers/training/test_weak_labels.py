"""Weak labels: votes of labeling functions, trust in them, and disagreement."""

import io
import tarfile
from pathlib import Path

from lxml.html import document_fromstring

from classifiers.data.page_labels import PageLabel
from classifiers.data.page_text import TextRow, markup_signs
from classifiers.data.sampling import Split
from classifiers.training.weak_labels import (
    UT1_CATEGORIES,
    Evidence,
    Trust,
    Vote,
    decide,
    measure_trust,
    read_labels_of_collections,
    read_ut1,
    votes_on,
)

RECIPE = TextRow("1", "https://food.example/rezepte/kuchen", "recipe-scrapers", "", "", "", "og website\nschema recipe")


def vote_tuples(row: TextRow, evidence: Evidence) -> set[tuple[str, str, str]]:
    return {(vote.source, vote.head, vote.label) for vote in votes_on(row, evidence)}


def test_every_labeling_function_votes() -> None:
    labels = ['{"sha1": "1", "topic": "food/recipes", "lang": "en-US"}', '{"sha1": "2", "page_type": "unheard of"}']
    evidence = Evidence({"food.example": ("cooking",)}, read_labels_of_collections(labels))
    assert vote_tuples(RECIPE, evidence) == {
        ("label topic food/recipes", "topic", "food_and_dining"),
        ("label topic food/recipes", "kind", "recipe"),
        ("markup schema recipe", "topic", "food_and_dining"),
        ("markup schema recipe", "kind", "recipe"),
        ("UT1 cooking", "topic", "food_and_dining"),
        ("path rezepte", "topic", "food_and_dining"),
        ("path rezepte", "kind", "recipe"),
    }
    assert vote_tuples(TextRow("2", "https://forum.org/x", "crawl", "", "", "", "schema thing"), evidence) == set()


def test_markup_signs_are_the_declarations_of_a_page() -> None:
    page = b"""<html><head><title>Cake</title><meta property="og:type" content="Article">
        <meta name="generator" content="phpBB 3.3 <b>"><script type="application/ld+json">{"@context": "x", "@graph":
        [{"@type" : "Recipe", "name": "Cake"}, {"@type": "Person"}, broken</script></head>
        <body itemscope itemtype="https://schema.org/QAPage"><p>Whisk the flour with the eggs and the sugar.</p>
        <p itemtype="">Then bake the cake for an hour until it is golden and firm.</p></body></html>"""
    found = markup_signs(document_fromstring(page))
    assert found.splitlines() == ["generator phpbb", "og article", "schema person", "schema qapage", "schema recipe"]
    plain = document_fromstring(b"<html><body><p>Whisk the flour with the eggs and the sugar.</p></body></html>")
    assert markup_signs(plain) == ""


def test_trust_is_agreement_with_the_hand_labels() -> None:
    rows = [TextRow(str(i), f"https://s{i}.example/sport/x", "crawl", "", "") for i in range(10)]
    topics = ["sports_and_fitness"] * 8 + ["health"] * 2
    read = {str(i): PageLabel(Split.TRAIN, {}, {"topic": topic}, {}, {}) for i, topic in enumerate(topics)}
    assert measure_trust(rows, read, Evidence({})) == {("path sport", "topic"): Trust(8, 10)}


def test_the_most_trusted_label_is_chosen_and_ties_are_left_out() -> None:
    trust = {("a", "topic"): Trust(90, 100), ("b", "topic"): Trust(65, 100), ("c", "topic"): Trust(90, 100)}
    one, other, rival = Vote("a", "topic", "games"), Vote("b", "topic", "health"), Vote("c", "topic", "software")
    assert decide([one, other], trust) == ({"topic": "games"}, [])
    assert decide([one, rival], trust) == ({}, ["topic"])
    assert decide([one, rival, Vote("b", "topic", "games")], trust)[1] == ["topic"]  # .62 log-odds are too little
    assert decide([Vote("stranger", "topic", "games")], trust) == ({}, [])
    assert decide([Vote("d", "topic", "games")], {("d", "topic"): Trust(2, 10)}) == ({}, [])


def test_ut1_lists_are_read_from_their_archive(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "ut1.tar.gz", "w:gz") as tar:
        for category in UT1_CATEGORIES:
            content = f"{category}.example\nboth.example\n".encode() if category in ("press", "sports") else b""
            entry = tarfile.TarInfo(f"ut1/{category}.domains.txt")
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    hosts = read_ut1(tmp_path / "ut1.tar.gz")
    assert hosts == {"press.example": ("press",), "sports.example": ("sports",), "both.example": ("press", "sports")}
