"""Training pages of the extraction model: their blocks, and how much of each block is main content.

The measuring half of our own gold never trains, nor does any other page of its registered domains. The gold texts of
the collection daniel-waddle lie in a GPL-3.0 repository: they measure only.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from classifiers.data.extraction_gold import (
    GoldPage,
    PieceLabels,
    check_pieces,
    read_own_gold,
    read_piece_labels,
    read_shared_gold,
    read_wcxb,
    text_pieces,
)
from classifiers.data.sampling import unit_hash
from classifiers.extraction.blocks import TAG_NUMBER, TAIL, TEXT, PageBlocks, read_blocks
from classifiers.extraction.parse_html import encode_source, parse_html
from classifiers.training.block_labels import Floats, label_blocks, words_of
from classifiers.training.rare_markup import RareMarkup

FOLDS = 5
SHARED = ("newspaper-family",)
# How much a page counts. Articles are solved by everybody, and half of the pages: at full weight they cost other types.
WEIGHT = {"wcxb": 1.0, "own": 2.0, "newspaper-family": 0.5}
ARTICLE_WEIGHT = 0.7  # times that of their source, of articles with a gold text
LEAST_GOLD = 0.8  # share of a gold text that must be in the page's blocks: otherwise it is of another page
RARE_WEIGHT = 8.0  # of blocks in rare markup, which are few and short
_SMOOTHING = 50  # words added to those of the gold text, so that blocks of short texts do not count for too much
_HEAVIEST = 3.0  # times the gold text that the words of a page count for at most


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """A page to train or measure on. Its blocks have no nodes."""

    id: str
    url: str
    source: str
    page_type: str
    registered_domain: str
    blocks: PageBlocks
    shares: Floats  # of each block that is main content
    weights: Floats  # of each block: what it counts for in the page's F1; 0 where nothing is known

    @property
    def fold(self) -> int:
        return fold_of(self.registered_domain)


def fold_of(registered_domain: str) -> int:
    """The fold of all pages of a registered domain."""
    if not registered_domain:
        raise ValueError("a page without its registered domain could be in any fold")
    return int(FOLDS * unit_hash("extraction", registered_domain))


def read_training_samples(data: Path) -> list[Sample]:
    """All pages that may train, in a fixed order."""
    labels = read_piece_labels()
    forbidden = measured_domains(labels)
    own = [row for row in labels if row.split == "train"]
    pages = chain(read_wcxb(data), read_own_gold(data, own), read_shared_gold(data, SHARED))
    taken = {row.id for row in labels}
    usable = (
        page
        for page in pages
        if page.registered_domain not in forbidden and (page.labels is not None or page.id not in taken)
    )
    rare = RareMarkup()
    samples = (make_sample(page, rare if page.page_type == "article" else None) for page in usable)
    return [sample for sample in samples if sample is not None and is_usable(sample)]


def measured_domains(labels: Iterable[PieceLabels]) -> set[str]:
    """Registered domains that no training page may be on."""
    pages = (GoldPage(row.id, row.url, row.source, "") for row in labels if row.split == "measure")
    return {page.registered_domain for page in pages}


def is_usable(sample: Sample) -> bool:
    return bool((sample.weights > 0).any())


def make_sample(page: GoldPage, rare: RareMarkup | None = None) -> Sample | None:
    """The labeled blocks, after `rare` changed the page; None if it has none."""
    tree, too_deep = parse_html(encode_source(page.html))
    if tree is None or too_deep:
        return None
    blocks = read_blocks(tree)
    if not blocks.texts:
        return None
    is_rare: NDArray[np.bool_] | bool = False
    if page.labels is not None:
        pieces = text_pieces(tree)
        check_pieces(page.labels, pieces)
        shares, known = label_by_pieces(blocks, page.labels, pieces)
    else:
        shares = label_blocks(blocks.texts, page.text)
        if rare is not None and rare.change(page.id, tree, blocks, shares.tolist()):
            before = set(blocks.texts)
            blocks = read_blocks(tree)
            shares = label_blocks(blocks.texts, page.text)
            is_button = blocks.tags[blocks.elements] == TAG_NUMBER["button"]
            is_rare = np.array([text not in before for text in blocks.texts]) | is_button
        known = np.full(len(shares), float(_is_in_page(page.text, blocks.texts, shares)), dtype=np.float32)
    words = np.array([len(words_of(text)) for text in blocks.texts], dtype=np.float32)
    gold_words = float((shares * words * known).sum())
    weights = words * known * np.where(is_rare, RARE_WEIGHT, 1.0) / (gold_words + _SMOOTHING)
    weight = WEIGHT.get(page.source, 1.0) * (ARTICLE_WEIGHT if page.text and page.page_type == "article" else 1.0)
    weights *= weight * min(1.0, _HEAVIEST / max(float(weights.sum()), 1e-9))
    return Sample(
        id=page.id,
        url=page.url,
        source=page.source,
        page_type=page.page_type,
        registered_domain=page.registered_domain,
        blocks=replace(blocks, nodes=[], piece_nodes=[]),
        shares=shares,
        weights=weights.astype(np.float32),
    )


def label_by_pieces(
    blocks: PageBlocks, labels: PieceLabels, pieces: Sequence[tuple[object, bool, str]]
) -> tuple[Floats, Floats]:
    """The share of each block's characters that is main content, and the share that is known (not `either`)."""
    kind = np.zeros(len(pieces), dtype=np.int64)  # 0 other, 1 main, 2 either
    for number, runs in ((1, labels.main), (2, labels.either)):
        for first, last in runs:
            kind[first : last + 1] = number
    place = {(id(node), TAIL if is_tail else TEXT): number for number, (node, is_tail, _) in enumerate(pieces)}
    characters = np.zeros((len(blocks.texts), 3), dtype=np.float32)
    for block, (start, end) in enumerate(zip(blocks.first_pieces[:-1], blocks.first_pieces[1:], strict=True)):
        for piece in range(start, end):
            key = id(blocks.piece_nodes[piece]), blocks.piece_kinds[piece]
            if key in place:
                characters[block, kind[place[key]]] += len(pieces[place[key]][2].strip())
    decided = characters[:, 0] + characters[:, 1]
    return characters[:, 1] / np.maximum(decided, 1), decided / np.maximum(characters.sum(axis=1), 1)


def _is_in_page(gold: str, texts: Sequence[str], shares: Floats) -> bool:
    """Whether the gold text is in the page: otherwise it is of another page, or comes by a script."""
    words = np.array([len(words_of(text)) for text in texts])
    return bool(gold.strip()) and float((shares * words).sum()) >= LEAST_GOLD * len(words_of(gold))
