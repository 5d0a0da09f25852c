"""Pages become training samples: what is known of each block, and which pages may train."""

from __future__ import annotations

import numpy as np
import pytest

from classifiers.data.extraction_gold import GoldPage, PieceLabels, check_pieces, read_piece_labels, text_pieces
from classifiers.errors import UserError
from classifiers.extraction.parse_html import encode_source, parse_html
from classifiers.training.recipe_extraction import fold_of, is_usable, make_sample
from classifiers.urls import host_of, registered_domain_of

HTML = (
    "<html><head><title>Mill</title></head><body><nav>Home <a href=/>News</a></nav><h1>The mill</h1>"
    "<p>By <b>Ann</b></p><p>The wheel turns and <i>turns</i> again.</p><footer>Imprint</footer></body></html>"
)
# 0 Mill, 1 Home, 2 News, 3 The mill, 4 By, 5 Ann, 6 The wheel turns and, 7 turns, 8 again., 9 Imprint
LABELS = PieceLabels(
    id="x", url="https://mill.example/", source="own", language="en", split="train", page_type="article", pieces=10,
    digest="4b2b42a5a9fb", main=((3, 3), (6, 8)), either=((4, 5),),
)  # fmt: skip


def test_pieces_are_all_texts_in_document_order() -> None:
    tree, _ = parse_html(encode_source(HTML))
    assert tree is not None
    assert [text.strip() for _, _, text in text_pieces(tree)] == [
        "Mill", "Home", "News", "The mill", "By", "Ann", "The wheel turns and", "turns", "again.", "Imprint",
    ]  # fmt: skip


def test_piece_labels_become_shares_and_undecided_blocks_count_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("classifiers.training.recipe_extraction.check_pieces", lambda *_: None)
    sample = make_sample(GoldPage("x", LABELS.url, "own", HTML, "article", labels=LABELS))
    assert sample is not None
    assert sample.blocks.texts == ["Home News", "The mill", "By Ann", "The wheel turns and turns again.", "Imprint"]
    assert sample.shares.tolist() == [0, 1, 0, 1, 0]
    assert (sample.weights > 0).tolist() == [True, True, False, True, True]
    assert sample.blocks.nodes == []


def test_labels_of_a_page_that_has_changed_are_refused() -> None:
    tree, _ = parse_html(encode_source(HTML.replace("Ann", "Eve")))
    assert tree is not None
    with pytest.raises(UserError, match=r"page x \(https://mill.example/\) has 10 text pieces with digest"):
        check_pieces(LABELS, text_pieces(tree))


def test_a_gold_text_of_another_page_says_nothing() -> None:
    for text in ("A story about a lighthouse that nobody on this page tells", ""):
        sample = make_sample(GoldPage("x", "https://mill.example/", "wcxb", HTML, "article", text))
        assert sample is not None
        assert not is_usable(sample)


def test_own_gold_is_whole() -> None:
    rows = read_piece_labels()
    assert len({row.id for row in rows}) == len(rows) > 800
    domains: dict[str, set[str]] = {}
    for row in rows:
        domains.setdefault(registered_domain_of(host_of(row.url)), set()).add(row.split)
        for first, last in (*row.main, *row.either):
            assert 0 <= first <= last < row.pieces
    assert {name for name, splits in domains.items() if len(splits) > 1} == set()  # no domain trains and measures
    assert {row.split for row in rows} == {"train", "measure"}
    assert len({row.language for row in rows}) >= 20


def test_folds_are_by_domain_and_about_equal() -> None:
    counts = np.bincount([fold_of(f"site{number}.example") for number in range(2000)])
    assert len(counts) == 5
    assert counts.min() > 340
