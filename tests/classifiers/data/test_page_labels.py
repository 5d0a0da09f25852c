"""The labels of pages that were read: known labels, a locked split, and how far two readers agree."""

from __future__ import annotations

import csv
from collections import Counter
from hashlib import sha256
from pathlib import Path

import pytest

from classifiers.data.page_labels import (
    DOMAIN_LABELS,
    HIGHEST,
    NONE,
    PAGE_LABELS,
    PageLabel,
    check_splits,
    read_page_labels,
    read_text_labels,
)
from classifiers.data.page_text import TextRow
from classifiers.data.sampling import Split, split_of
from classifiers.domain_labels import KINDS, TOPICS

# SHA-256 over the sorted ids of the test split, locked on 2026-11-26 before any model was trained on the labels.
LOCKED_PAGES = 1_560
LOCKED = "922e735a9aa361081eff60181ef9a77e5142c0f55b51484ed95d869337294480"


def test_labels_are_complete_and_known() -> None:
    labels = read_page_labels()
    assert len(labels) > 4_600
    assert all(len(identity) == 40 for identity in labels)
    assert {label.domains["topic"] for label in labels.values() if "topic" in label.domains} == set(TOPICS)
    assert {label.domains["kind"] for label in labels.values() if "kind" in label.domains} == set(KINDS)
    assert sum("education" in label.scores for label in labels.values()) > 4_500


def test_the_test_split_is_the_one_that_was_locked() -> None:
    """A page that measured never trains: pages may be added to training alone, and none may change its split."""
    test = sorted(identity for identity, label in read_page_labels().items() if label.split == Split.TEST)
    assert len(test) == LOCKED_PAGES
    assert sha256("\n".join(test).encode()).hexdigest() == LOCKED
    assert 0.25 < len(test) / len(read_page_labels()) < 0.4


@pytest.mark.parametrize("locked", [False, True])
def test_a_page_must_have_the_split_of_its_domain(locked: bool) -> None:
    domains = {split_of(f"site{number}.info") == Split.TEST: f"site{number}.info" for number in range(20)}
    pages = [TextRow(f"{domain}/{number}", f"https://{domain}/{number}", "s", "", "") for domain in domains.values()
             for number in range(2)]  # fmt: skip
    true = {True: Split.TEST, False: Split.TRAIN}
    labels = {page.id: PageLabel(true[page.registered_domain == domains[True]], {}, {}, {}, {}) for page in pages}
    check_splits(pages, labels)
    added = f"{domains[locked]}/1"
    with pytest.raises(ValueError, match=f"{added} is labeled as {true[not locked]}, which is not the split of"):
        check_splits(pages, labels | {added: PageLabel(true[not locked], {}, {}, {}, {})})


def test_labels_of_texts_are_known_and_of_no_page(tmp_path: Path) -> None:
    labels = read_text_labels()
    assert {head: len(found) > 1_700 for head, found in labels.items()} == {"topic": True, "kind": True}
    assert labels["topic"].keys().isdisjoint(read_page_labels())
    assert labels["kind"].keys().isdisjoint(read_page_labels())
    assert Counter(labels["kind"].values())["listing"] == 198
    (tmp_path / "texts.csv").write_text("id,source,topic,kind\nabc,site,health,menu\n")
    with pytest.raises(ValueError, match="abc has the kind 'menu'"):
        read_text_labels(tmp_path / "texts.csv")


def test_two_readers_agree_as_far_as_the_readme_says() -> None:
    agreed: Counter[str] = Counter()
    read: Counter[str] = Counter()
    for label in read_page_labels().values():
        for name, second in label.second.items():
            if "education" in label.second or name in DOMAIN_LABELS:
                read[name] += 1
                agreed[name] += label.first.get(name, NONE) == second
    assert read["education"] == 320
    assert read["topic"] > 4_600
    assert {name: round(agreed[name] / read[name], 2) for name in (*HIGHEST, "topic", "kind")} == AGREEMENT


AGREEMENT = {"education": 0.85, "quality": 0.87, "topic": 0.86, "kind": 0.87}


def test_a_third_reader_settled_every_difference_and_nothing_else() -> None:
    with PAGE_LABELS.open(newline="", encoding="utf-8") as file:
        for row, head in ((row, head) for row in csv.DictReader(file) for head in DOMAIN_LABELS):
            differ = row[f"second_{head}"] not in ("", row[head] or NONE)
            assert bool(row[f"settled_{head}"]) == differ, row["id"]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"topic": "cooking"}, "abc has the topic 'cooking'"),
        ({"settled_kind": "menu"}, "abc has the settled_kind 'menu'"),
        ({"education": "6"}, "abc has the education '6', which is not 0 to 5"),
    ],
)
def test_an_unknown_label_is_refused(tmp_path: Path, changed: dict[str, str], message: str) -> None:
    with PAGE_LABELS.open(newline="", encoding="utf-8") as file:
        row = next(csv.DictReader(file)) | {"id": "abc"} | changed
    (tmp_path / "labels.csv").write_text(f"{','.join(row)}\n{','.join(row.values())}\n")
    with pytest.raises(ValueError, match=message):
        read_page_labels(tmp_path / "labels.csv")
