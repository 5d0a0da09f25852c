"""Weak witnesses: what they say, how far they are trusted, and what happens when they disagree."""

import io
import tarfile
from pathlib import Path

from classifiers.corpus import TextRow
from classifiers.weak_labels import UT1_CATEGORIES, Trust, Vote, decide, measure_trust, read_ut1, votes_on

RECIPE = TextRow("1", "https://food.example/rezepte/kuchen", "recipe-scrapers", "", "")


def said(row: TextRow, ut1: dict[str, tuple[str, ...]]) -> set[tuple[str, str, str]]:
    return {(vote.witness, vote.head, vote.label) for vote in votes_on(row, ut1)}


def test_every_witness_speaks() -> None:
    ut1 = {"food.example": ("cooking",)}
    assert said(RECIPE, ut1) == {
        ("collection recipe-scrapers", "topic", "food_and_dining"),
        ("collection recipe-scrapers", "kind", "recipe"),
        ("UT1 cooking", "topic", "food_and_dining"),
        ("path rezepte", "topic", "food_and_dining"),
        ("path rezepte", "kind", "recipe"),
    }
    assert said(TextRow("2", "https://forum.org/x", "crawl", "", ""), {}) == set()


def test_trust_is_agreement_with_the_reader() -> None:
    rows = [TextRow(str(i), f"https://s{i}.example/sport/x", "crawl", "", "") for i in range(10)]
    read = {str(i): {"topic": "sports_and_fitness" if i < 8 else "health"} for i in range(10)}
    assert measure_trust(rows, read, {}) == {("path sport", "topic"): Trust(8, 10)}


def test_the_trusted_win_and_a_draw_is_left_out() -> None:
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
