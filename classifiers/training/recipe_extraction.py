"""Training pages of the extraction model: their blocks, and how much of each block is main content.

Pages that measure never train: the measuring half of our own gold and the collections of `MEASURED` are left out with
all other pages of their registered domains.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

import numpy as np

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
from classifiers.extraction.blocks import TAIL, TEXT, PageBlocks, read_blocks
from classifiers.extraction.parse_html import encode_source, parse_html
from classifiers.training.block_labels import Floats, label_blocks, words_of

FOLDS = 5
MEASURED = ("daniel-waddle",)  # its gold lies in a GPL-3.0 repository: it measures, and never trains
SHARED = ("newspaper-family", "trafilatura")
# How much a page counts. Articles are solved by everybody: more of them at full weight cost the other types.
WEIGHT = {"wcxb": 1.0, "own": 1.0, "newspaper-family": 0.5, "trafilatura": 0.3}
LEAST_GOLD = 0.8  # share of a gold text that must be in the page's blocks: otherwise it is of another page
_SMOOTHING = 50  # words added to those of the gold text, so that blocks of short texts do not count for too much
_HEAVIEST = 3.0  # times the gold text that the words of a page count for at most
_SHORTEST_SNIPPET = 3  # characters


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
    return int(FOLDS * unit_hash("extraction", registered_domain))


def read_training_samples(data: Path) -> list[Sample]:
    """All pages that may train, in a fixed order."""
    labels = read_piece_labels()
    forbidden = measured_domains(data, labels)
    own = [row for row in labels if row.split == "train"]
    pages = chain(read_wcxb(data), read_own_gold(data, own), read_shared_gold(data, SHARED))
    taken = {row.id for row in labels}
    usable = (
        page
        for page in pages
        if page.registered_domain not in forbidden and (page.labels is not None or page.id not in taken)
    )
    return [sample for sample in map(make_sample, usable) if sample is not None and is_usable(sample)]


def measured_domains(data: Path, labels: Iterable[PieceLabels]) -> set[str]:
    """Registered domains that no training page may be on."""
    pages = [GoldPage(row.id, row.url, row.source, "") for row in labels if row.split == "measure"]
    return {page.registered_domain for page in chain(pages, read_shared_gold(data, MEASURED))}


def is_usable(sample: Sample) -> bool:
    return bool((sample.weights > 0).any())


def make_sample(page: GoldPage) -> Sample | None:
    """The labeled blocks; None if the page has none or if its gold text is not in it."""
    tree, too_deep = parse_html(encode_source(page.html))
    if tree is None or too_deep:
        return None
    blocks = read_blocks(tree)
    if not blocks.texts:
        return None
    words = np.array([len(words_of(text)) for text in blocks.texts], dtype=np.float32)
    if page.labels is not None:
        pieces = text_pieces(tree)
        check_pieces(page.labels, pieces)
        shares, known = label_by_pieces(blocks, page.labels, pieces)
    elif page.text:
        shares = label_blocks(blocks.texts, page.text)
        in_gold = len(words_of(page.text))
        known = np.full(len(words), float((shares * words).sum() >= LEAST_GOLD * in_gold), dtype=np.float32)
    else:
        shares, known = label_by_snippets(blocks.texts, page.wanted, page.unwanted)
    gold_words = float((shares * words * known).sum())
    weights = words * known / (gold_words + _SMOOTHING)
    weights *= WEIGHT.get(page.source, 1.0) * min(1.0, _HEAVIEST / max(float(weights.sum()), 1e-9))
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


def label_by_snippets(texts: Sequence[str], wanted: Sequence[str], unwanted: Sequence[str]) -> tuple[Floats, Floats]:
    """Blocks that hold a wanted or an unwanted snippet; nothing is known of the others."""
    shares = np.zeros(len(texts), dtype=np.float32)
    known = np.zeros(len(texts), dtype=np.float32)
    for snippets, value in ((unwanted, 0.0), (wanted, 1.0)):
        for snippet in (" ".join(snippet.split()) for snippet in snippets):
            if len(snippet) >= _SHORTEST_SNIPPET:
                found = [number for number, text in enumerate(texts) if snippet in text]
                if len(found) == 1:  # elsewhere the snippet may be meant
                    shares[found[0]], known[found[0]] = value, 1.0
    return shares, known


def by_fold(samples: Sequence[Sample], keep: Callable[[Sample], bool] = lambda _: True) -> Iterator[list[int]]:
    """The places of the samples of each fold."""
    for fold in range(FOLDS):
        yield [place for place, sample in enumerate(samples) if sample.fold == fold and keep(sample)]
