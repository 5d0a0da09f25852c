"""The best container of a page, the part of it that a block is in ("limb"), and the list around a block.

A list between paragraphs is main content and boxes below the text are not, whatever they are called: what tells them
apart is what stands before and after them.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from classifiers.extraction.blocks import BLOCK_TAGS, TAG_NUMBER
from classifiers.extraction.characters import WORD
from classifiers.extraction.page_sums import BLOCKS, HEADINGS, IS_HEADING, LINKED, PROSE, SIZE, PageSums, share

_IS_LIST = np.isin(np.arange(len(BLOCK_TAGS)), [TAG_NUMBER[tag] for tag in ("ul", "ol", "dl", "menu")])
LIST_FEATURES = (
    "list_words", "list_blocks", "list_link_share", "list_prose_share", "list_place", "list_lead_size",
    "list_lead_ends", "list_lead_heading", "list_lead_beside", "list_lead_link_share", "list_lead_prose",
    "list_next_size", "list_next_heading", "list_next_beside", "list_next_prose",
)  # fmt: skip
LIMB_FEATURES = (
    "limb_words", "limb_blocks", "limb_link_share", "limb_prose_share", "limb_headings", "limb_place", "limb_tag",
    "limb_count", "limb_prose_before", "limb_prose_after",
)  # fmt: skip

Rows = dict[str, Any]


def find_best_container(page: PageSums) -> int:
    """The element with most prose in its children, as readability would choose it."""
    own, parents, inside = page.own, page.parents, page.inside
    worth = page.prose * (20 * (1 + page.counts.commas) + np.minimum(page.counts.size // WORD, 60))
    points = np.zeros(len(parents), dtype=np.int64)
    np.add.at(points, parents[own], 2 * worth)
    np.add.at(points, parents[parents[own]], worth)
    points[-1] = 0
    return int(share(points * (inside[:, SIZE] - inside[:, LINKED]), inside[:, SIZE]).argmax())


def add_list_features(page: PageSums, rows: Rows) -> None:
    """The outermost list around a block, and the blocks before and after that list."""
    blocks, own = page.blocks, page.own
    is_list = _IS_LIST[page.tags]
    is_list[-1] = False
    numbered = np.where(is_list, np.arange(len(is_list)), -1)
    element = page.fold(numbered, lambda below, above: np.where(above >= 0, above, below))[own]
    found, element = element >= 0, np.maximum(element, 0)
    inside = page.inside[element] * found[:, None]
    first, last = blocks.firsts[element].astype(np.int64), blocks.lasts[element].astype(np.int64)
    rows["list_words"] = inside[:, SIZE]
    rows["list_blocks"] = inside[:, BLOCKS]
    rows["list_link_share"] = share(inside[:, LINKED], inside[:, SIZE])
    rows["list_prose_share"] = share(inside[:, PROSE], inside[:, SIZE])
    rows["list_place"] = np.where(found, page.numbers - first, -1)
    is_heading = IS_HEADING[page.tags[own]]
    around = page.parents[element]
    for name, place, is_there in (("lead", first - 1, first > 0), ("next", last, last < len(own))):
        is_there = is_there & found
        place = np.where(is_there, place, 0)
        rows[f"list_{name}_size"] = np.where(is_there, page.counts.size[place], 0)
        rows[f"list_{name}_ends"] = np.where(is_there, page.counts.last[place], 0)
        rows[f"list_{name}_heading"] = is_there & is_heading[place]
        rows[f"list_{name}_beside"] = is_there & ((page.parents[own[place]] == around) | (own[place] == around))
        rows[f"list_{name}_link_share"] = np.where(is_there, page.link_share[place], -1)
        rows[f"list_{name}_prose"] = is_there & page.prose[place]


def add_limb_features(page: PageSums, best: int, rows: Rows) -> None:
    """The child of the best container that a block is in, and the prose of the container before and after it."""
    blocks, own = page.blocks, page.own
    is_limb = page.parents == best
    is_limb[-1] = False
    numbered = np.where(is_limb, np.arange(len(is_limb)), -1)
    element = page.fold(numbered, lambda below, above: np.where(below >= 0, below, above))[own]
    found, element = element >= 0, np.maximum(element, 0)
    inside = page.inside[element] * found[:, None]
    start, end = page.range_of(best)
    rows["limb_words"] = inside[:, SIZE]
    rows["limb_blocks"] = inside[:, BLOCKS]
    rows["limb_headings"] = inside[:, HEADINGS]
    rows["limb_link_share"] = np.where(found, share(inside[:, LINKED], inside[:, SIZE]), -1)
    rows["limb_prose_share"] = np.where(found, share(inside[:, PROSE], inside[:, SIZE]), -1)
    rows["limb_place"] = np.where(found, page.numbers - blocks.firsts[element], -1)
    rows["limb_tag"] = np.where(found, page.tags[element], -1)
    rows["limb_count"] = np.where(found, is_limb.sum(), -1)
    prose = page.sums[:, PROSE]
    rows["limb_prose_before"] = np.where(found, prose[blocks.firsts[element]] - prose[start], -1)
    rows["limb_prose_after"] = np.where(found, prose[end] - prose[blocks.lasts[element]], -1)
