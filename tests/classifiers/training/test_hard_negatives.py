"""Text that no reader wants, made from real pages: what it consists of, and that the same pages give the same text."""

from __future__ import annotations

import re
from collections import Counter

from classifiers.data.page_text import TextRow
from classifiers.data.sampling import fold_of, split_of
from classifiers.training.hard_negatives import make_hard_negatives, make_keyword_text, make_list, make_teasers

TEXT = (
    "The lock keepers opened the gates of the canal at dawn. Barges waited below the lower gates for water. "
    "When the chamber was full, the keepers opened the upper gates and the barges left the lock."
)


def test_keyword_text_repeats_the_frequent_content_words() -> None:
    text = make_keyword_text(TEXT)
    counts = Counter(text.replace(",", " ").split())
    assert set(counts) <= set(TEXT.lower().replace(".", "").replace(",", "").split())
    assert counts["gates"] > 5
    assert "the" not in counts


def test_a_list_holds_the_beginning_of_each_sentence() -> None:
    assert make_list(TEXT).splitlines() == [
        "The Lock Keepers Opened",
        "Barges Waited Below The",
        "When The Chamber Was",
    ]


def test_teasers_are_beginnings_that_are_cut_off() -> None:
    lines = make_teasers([TEXT, TEXT]).split("\n\n")
    assert len(lines) == 2
    assert all(line.startswith("The lock keepers opened") and "..." in line for line in lines)


def test_made_rows_stay_on_their_sites_and_have_ids_of_their_own() -> None:
    rows = [TextRow(str(i), f"https://site{i}.info/", "s", "", f"{TEXT} Page {i} ends here.") for i in range(400)]
    made = list(make_hard_negatives(rows))
    assert made == list(make_hard_negatives(rows))
    assert len({row.id for row in made}) == len(made)
    assert {row.registered_domain for row in made} <= {row.registered_domain for row in rows}
    kinds = Counter(row.id.partition("-")[2] for row in made)
    assert kinds["keywords"] == kinds["list"] == 40
    assert 400 / 9 - 12 < kinds["teasers"] <= 400 / 9  # each of twelve parts may have a rest


def test_made_text_is_of_one_split_and_one_fold() -> None:
    """Each page begins with the name of its site, so that a made text says which pages it is made of."""
    rows = [TextRow(str(i), f"https://site{i}.info/", "s", "", f"site{i}.info says it. {TEXT}") for i in range(400)]
    made = [row for row in make_hard_negatives(rows) if row.id.endswith("-teasers")]
    assert len(made) > 30
    for row in made:
        sites = set(re.findall(r"site\d+\.info", row.text))
        assert len(sites) == 9
        assert {split_of(site) for site in sites} == {split_of(row.registered_domain)}
        assert {fold_of(site) for site in sites} == {fold_of(row.registered_domain)}
