"""Text that no reader wants, made from real pages: what it consists of, and that the same pages give the same text."""

from __future__ import annotations

from collections import Counter

from classifiers.data.page_text import TextRow
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
    rows = [TextRow(str(i), f"https://site{i}.info/", "s", "", f"{TEXT} Page {i} ends here.") for i in range(20)]
    made = list(make_hard_negatives(rows))
    assert made == list(make_hard_negatives(rows))
    assert len({row.id for row in made}) == len(made) == 2 * 2 + 2
    assert {row.registered_domain for row in made} <= {row.registered_domain for row in rows}
