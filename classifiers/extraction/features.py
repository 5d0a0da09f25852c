"""Features of the text blocks of a page: counts, flags, and ratios that are one division each.

No words of the text are among them, so a model works in languages that it was not trained on. Nothing is rounded by a
library function (no logarithm, mean or exponential): a page has the same features on every machine. The trees that read
them ask for thresholds only, so counts need no scaling. The cost is linear in blocks and elements.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from classifiers.extraction.blocks import TAG_NUMBER, PageBlocks
from classifiers.extraction.characters import STOP
from classifiers.extraction.containers import (
    LIMB_FEATURES,
    LIST_FEATURES,
    add_limb_features,
    add_list_features,
    find_best_container,
)
from classifiers.extraction.names import GROUPS, NameWeights
from classifiers.extraction.page_hints import page_hints
from classifiers.extraction.page_sums import (
    BLOCKS,
    DIGITS,
    HEADINGS,
    IMAGES,
    IS_HEADING,
    LINKED,
    LINKS,
    PROSE,
    SENTENCES,
    SIZE,
    TIMES,
    Array,
    PageSums,
    share,
    sum_page,
)
from classifiers.extraction.repetition import Units, find_units

FEATURE_VERSION = 2  # to be raised when a feature changes its meaning

_ANCESTORS = 6  # levels above a block whose sums are features
_NOWHERE = -1_000_000  # a distance to what the page does not have
_TAGS = (
    "main", "article", "aside", "nav", "header", "footer", "ul", "ol", "dl", "table", "form", "figure", "section",
    "button", "p",
)  # fmt: skip
_HEADING_BITS = sum(1 << TAG_NUMBER[f"h{level}"] for level in range(1, 7))
_NEAR_GROUPS = (
    "comment", "navigation", "footer", "consent", "review", "related", "meta", "author", "form", "card", "price",
)  # fmt: skip
_ABOVE_GROUPS = (
    "folded", "consent", "contents", "post", "comment", "related", "author", "form", "sidebar", "card", "review",
    "content", "thread", "search",
)  # fmt: skip
_PAGE_GROUPS = (
    "thread", "details", "label", "author", "meta", "slides", "card", "price", "navigation", "comment", "review",
    "folded", "post", "advertisement", "footer", "share", "form", "search",
)  # fmt: skip
_COUNTED_TAGS = ("article", "pre", "table", "form", "button", "li")
_GROUP_BIT = {name: number for number, name in enumerate(GROUPS)}
_NEAR_NAMES = [f"near_{name}" for name in _NEAR_GROUPS]
_NEAR_BITS = np.array([_GROUP_BIT[name] for name in _NEAR_GROUPS])[:, None]
_BELOW_NAMES = [f"below_{name}" for name in _ABOVE_GROUPS]
_ABOVE_BITS = np.array([_GROUP_BIT[name] for name in _ABOVE_GROUPS])[:, None]
_TAG_NAMES = [f"in_{tag}" for tag in _TAGS]
_TAG_BITS = np.array([TAG_NUMBER[tag] for tag in _TAGS])[:, None]
_TITLE_PARTS = re.compile(r"\s[|\-–—:»·]\s")
_TITLE_CHARACTERS = 300  # of a block that is compared with the title
# Blocks before and after whose values are features of a block.
_NEIGHBORS = {
    "path_score": (-2, -1, 1, 2),
    "tag": (-2, -1, 1, 2),
    "link_share": (-1, 1),
    "size": (-1, 1),
    "path": (-1, 1),
    "copies": (-1,),
    "depth": (-2, -1, 1, 2),
}

Floats = NDArray[np.float32]
Rows = dict[str, Any]


def block_features(blocks: PageBlocks, url: str, names: NameWeights) -> tuple[Floats, Floats, NDArray[np.int64]]:
    """The features of the blocks (`FEATURES` x blocks) and of the page (`PAGE_FEATURES`), and the blocks' sizes."""
    if not blocks.texts:
        return (
            np.zeros((len(FEATURES), 0), dtype=np.float32),
            np.zeros(len(PAGE_FEATURES), dtype=np.float32),
            np.zeros(0, dtype=np.int64),
        )
    rows, page = compute_features(blocks, url, names)
    matrix = np.empty((len(FEATURES), len(blocks.texts)), dtype=np.float32)
    for place, name in enumerate(FEATURES):
        matrix[place] = rows[name] if name in rows else page[name]
    return matrix, np.array([page[name] for name in PAGE_FEATURES], dtype=np.float32), rows["size"]


def compute_features(blocks: PageBlocks, url: str, names: NameWeights) -> tuple[Rows, dict[str, float]]:
    """All features of the blocks by name, and of the page."""
    page = sum_page(blocks)
    units = find_units(page)
    rows: Rows = {}
    path_score, above_groups = _name_features(page, names, rows)
    likeness = _text_features(page, rows)
    above_tags = _tag_features(page, rows)
    _position_features(page, rows)
    _ancestor_features(page, rows)
    units.add_features(page, rows)
    best = find_best_container(page)
    best_share = _container_features(page, best, rows)
    add_list_features(page, rows)
    add_limb_features(page, best, rows)
    _heading_features(page, path_score, likeness, rows)
    _neighbor_features(page, rows)
    return rows, _page_features(page, url, units, above_tags, above_groups, best_share)


def _text_features(page: PageSums, rows: Rows) -> Array:
    blocks, counts = page.blocks, page.counts
    likeness = _likeness_to_title(blocks, counts.length)
    rows["length"] = counts.length
    rows["size"] = counts.size
    rows["characters_a_word"] = share(counts.length, counts.size)
    rows["link_share"] = page.link_share
    rows["copies"] = blocks.copies
    rows["sentences"] = counts.sentences
    rows["commas_a_word"] = share(counts.commas, counts.size)
    rows["capitals_a_word"] = share(counts.capitals, counts.size)
    rows["symbol_share"] = share(counts.symbols, counts.length)
    rows["digit_share"] = share(counts.digits, counts.length)
    rows["ends_sentence"] = counts.last == STOP
    return likeness


def _likeness_to_title(blocks: PageBlocks, length: Array) -> Array:
    """1 for the title of the page, less for a part of it or for what holds a part."""
    likeness = np.zeros(len(blocks.texts))
    title = blocks.head.title.lower()
    parts = [part for part in _TITLE_PARTS.split(title) if len(part) >= 8]
    if len(title) >= 8:
        for number in np.flatnonzero((length >= 6) & (length <= _TITLE_CHARACTERS)).tolist():
            text = blocks.texts[number].lower()
            if text in title:
                likeness[number] = len(text) / len(title)
            elif any(part in text for part in parts):
                likeness[number] = min(len(title), len(text)) / len(text)
    return likeness


def _position_features(page: PageSums, rows: Rows) -> None:
    numbers = page.numbers
    rows["position"] = share(page.before, page.size)
    rows["words_before"] = page.before
    rows["words_after"] = page.size - page.before
    rows["block_number"] = numbers
    rows["blocks_after"] = len(numbers) - numbers
    rows["share_of_page"] = share(page.counts.size, page.size)
    rows["prose_before"] = share(page.sums[:-1, PROSE], page.sums[-1, PROSE])
    rows["depth"] = page.blocks.depths[page.own]


def _name_features(page: PageSums, names: NameWeights, rows: Rows) -> tuple[Array, Array]:
    """The summed weights of the names around each block, and their groups as bits."""
    own, parents = page.own, page.parents
    score, groups = (np.append(column, 0) for column in names.of(page.blocks.names))
    inline_score, inline_groups = names.of(page.blocks.inline_names)
    path_score = page.fold(score, np.add)[own]
    rows["path_score"] = path_score
    rows["path_lowest"] = page.fold(score, np.minimum)[own]
    rows["path_highest"] = page.fold(score, np.maximum)[own]
    rows["name_score"] = score[own]
    rows["parent_score"] = score[parents[own]]
    rows["grandparent_score"] = score[parents[parents[own]]]
    rows["inline_score"] = inline_score
    near = groups | groups[parents]
    near_block = (near | near[parents[parents]])[own] | inline_groups
    above = page.fold(groups, np.bitwise_or)[own]
    rows.update(zip(_NEAR_NAMES, near_block >> _NEAR_BITS & 1, strict=True))
    rows.update(zip(_BELOW_NAMES, above >> _ABOVE_BITS & 1, strict=True))
    return path_score, above


def _tag_features(page: PageSums, rows: Rows) -> Array:
    """The tags around each block as bits."""
    own, parents, tags = page.own, page.parents, page.tags
    bits = np.left_shift(np.int64(1), tags.astype(np.int64))
    bits[-1] = 0
    above = page.fold(bits, np.bitwise_or)[own]
    rows.update(zip(_TAG_NAMES, above >> _TAG_BITS & 1, strict=True))
    rows["in_heading"] = (above & _HEADING_BITS) > 0
    rows["tag"] = tags[own]
    rows["parent_tag"] = tags[parents[own]]
    rows["grandparent_tag"] = tags[parents[parents[own]]]
    rows["hidden"] = page.fold(np.append(page.blocks.hidden, 0), np.bitwise_or)[own]
    return above


def _ancestor_features(page: PageSums, rows: Rows) -> None:
    above = page.own
    for level in range(_ANCESTORS):
        inside = page.inside[above]
        size = inside[:, SIZE]
        rows[f"up{level}_words"] = size
        rows[f"up{level}_link_share"] = share(inside[:, LINKED], size)
        rows[f"up{level}_prose_share"] = share(inside[:, PROSE], size)
        rows[f"up{level}_links"] = share(inside[:, LINKS], size)
        rows[f"up{level}_images"] = inside[:, IMAGES]
        rows[f"up{level}_headings"] = inside[:, HEADINGS]
        above = page.parents[above]
    inside = page.inside[page.parents[page.own]]
    rows["up1_digits"] = share(inside[:, DIGITS], inside[:, SIZE])


def _container_features(page: PageSums, best: int, rows: Rows) -> float:
    """Where a block is to the best container; the container's share of the page."""
    parents = page.parents
    first, last = page.range_of(best)
    rows["in_best"] = inside = (page.numbers >= first) & (page.numbers < last)
    prose = np.flatnonzero(page.prose & inside)
    rows["from_last_prose"] = page.before - (page.before[prose[-1]] if len(prose) else 0)
    rows["from_best"] = np.maximum(page.sums[first, SIZE] - page.before, page.before - page.sums[last, SIZE]).clip(0)
    best_share = float(page.sums[last, SIZE] - page.sums[first, SIZE]) / page.size
    first, last = page.range_of(int(parents[parents[best]]))
    rows["in_best_grandparent"] = (page.numbers >= first) & (page.numbers < last)
    return best_share


def _heading_features(page: PageSums, path_score: Array, likeness: Array, rows: Rows) -> None:
    """The heading before each block, and the section from it to the next one."""
    numbers, before, count = page.numbers, page.before, len(page.own)
    tags = page.tags[page.own]
    is_heading = IS_HEADING[tags]
    last = np.maximum.accumulate(np.where(is_heading, numbers, -1))
    previous = np.concatenate(([-1], last[:-1]))
    following = np.minimum.accumulate(np.where(is_heading, numbers, count)[::-1])[::-1]
    following = np.concatenate((following[1:], [count]))
    found, place = previous >= 0, np.maximum(previous, 0)
    rows["heading_level"] = np.where(found, tags[place] - TAG_NUMBER["h1"] + 1, 0)
    rows["heading_distance"] = np.where(found, before - before[place], -1)
    rows["heading_blocks"] = np.where(found, numbers - place, -1)
    rows["heading_path_score"] = np.where(found, path_score[place], 0)
    rows["heading_link_share"] = np.where(found, page.link_share[place], -1)
    section = page.sums[following] - page.sums[place]
    rows["section_words"] = section[:, SIZE]
    rows["section_blocks"] = section[:, BLOCKS]
    rows["section_link_share"] = share(section[:, LINKED], section[:, SIZE])
    rows["section_prose_share"] = share(section[:, PROSE], section[:, SIZE])
    firsts = np.flatnonzero(tags == TAG_NUMBER["h1"])
    rows["after_h1"] = np.sign(numbers - firsts[0]) if len(firsts) else -2
    rows["from_h1"] = before - before[firsts[0]] if len(firsts) else _NOWHERE
    title = int(likeness.argmax())
    rows["from_title"] = before - before[title] if likeness[title] > 0.4 else _NOWHERE


def _neighbor_features(page: PageSums, rows: Rows) -> None:
    count, numbers = len(page.own), page.numbers
    path = rows["path"] = page.blocks.paths[page.own]
    for name, shifts in _NEIGHBORS.items():
        padded = np.full(count + 4, -1, dtype=rows[name].dtype)
        padded[2:-2] = rows[name]
        for shift in shifts:
            rows[f"{name}{shift:+d}"] = padded[2 + shift : 2 + shift + count]
    rows["same_path-1"], rows["same_path+1"] = rows["path-1"] == path, rows["path+1"] == path
    for width in (4, 12):
        around = page.sums[np.minimum(numbers + width + 1, count)] - page.sums[np.maximum(numbers - width, 0)]
        rows[f"window{width}_words"] = around[:, SIZE]
        rows[f"window{width}_link_share"] = share(around[:, LINKED], around[:, SIZE])
        rows[f"window{width}_prose_share"] = share(around[:, PROSE], around[:, SIZE])


def _page_features(
    page: PageSums, url: str, units: Units, above_tags: Array, above_groups: Array, best_share: float
) -> dict[str, float]:
    blocks, total, sizes = page.blocks, page.sums[-1], page.counts.size
    in_main = (above_tags >> TAG_NUMBER["main"] | above_tags >> TAG_NUMBER["article"]) & 1
    bits = np.array([_GROUP_BIT[name] for name in _PAGE_GROUPS])[:, None]
    named = (above_groups >> bits & 1) @ sizes
    tag_counts = np.bincount(blocks.tags, minlength=max(TAG_NUMBER.values()) + 1)
    return {
        "page_words": float(total[SIZE]),
        "page_blocks": float(len(sizes)),
        "page_sentences": float(total[SENTENCES]),
        "page_images": float(total[IMAGES]),
        "page_times": float(total[TIMES]),
        "page_headings": float(total[HEADINGS]),
        "page_link_share": float(total[LINKED]) / page.size,
        "page_prose_share": float(total[PROSE]) / page.size,
        "page_main_share": float((sizes * in_main).sum()) / page.size,
        "page_best_share": best_share,
        "page_longest": float(sizes.max()),
        "page_median": float(np.sort(sizes)[len(sizes) // 2]),
        **units.largest_group(page),
        **{f"page_{name}_tags": float(tag_counts[TAG_NUMBER[name]]) for name in _COUNTED_TAGS},
        **{f"page_{name}_share": float(value) / page.size for name, value in zip(_PAGE_GROUPS, named, strict=True)},
        **{f"page_{name}": float(value) for name, value in page_hints(url, blocks.head).items()},
    }


# In the order of the model's columns.
FEATURES = (
    *LIST_FEATURES, *LIMB_FEATURES,
    "path_score", "path_lowest", "path_highest", "name_score", "parent_score", "grandparent_score", "inline_score",
    "near_comment", "near_navigation", "near_footer", "near_consent", "near_review", "near_related", "near_meta",
    "near_author", "near_form", "near_card", "near_price", "below_comment", "below_related", "below_author",
    "below_form", "below_sidebar", "below_card", "below_review", "below_content", "below_thread", "below_search",
    "below_folded", "below_consent", "below_contents", "below_post", "length", "size", "characters_a_word",
    "link_share", "copies", "sentences", "commas_a_word", "capitals_a_word", "symbol_share", "digit_share",
    "ends_sentence", "in_main", "in_article", "in_aside", "in_nav", "in_header", "in_footer", "in_ul", "in_ol",
    "in_dl", "in_table", "in_form", "in_figure", "in_section", "in_button", "in_p", "in_heading", "tag",
    "parent_tag", "grandparent_tag", "hidden", "position", "words_before", "words_after", "block_number",
    "blocks_after", "share_of_page", "prose_before", "depth", "up0_words", "up0_link_share", "up0_prose_share",
    "up0_links", "up0_images", "up0_headings", "up1_words", "up1_digits", "up1_link_share", "up1_prose_share",
    "up1_links", "up1_images", "up1_headings", "up2_words", "up2_link_share", "up2_prose_share", "up2_links",
    "up2_images", "up2_headings", "up3_words", "up3_link_share", "up3_prose_share", "up3_links", "up3_images",
    "up3_headings", "up4_words", "up4_link_share", "up4_prose_share", "up4_links", "up4_images", "up4_headings",
    "up5_words", "up5_link_share", "up5_prose_share", "up5_links", "up5_images", "up5_headings", "path_count",
    "path_words", "path_page_share", "path_link_share", "path_prose_share", "parent_path_count",
    "parent_path_words", "near_count", "near_times", "near_digits", "outer_times", "outer_digits", "near_words",
    "near_blocks", "near_images", "near_sentences", "near_link_share", "near_prose_share", "near_page_share",
    "near_place", "near_own_words", "near_own_link_share", "outer_count", "outer_words", "outer_blocks",
    "outer_images", "outer_sentences", "outer_link_share", "outer_prose_share", "outer_page_share", "outer_place",
    "outer_own_words", "outer_own_link_share", "in_best", "from_best", "from_last_prose", "in_best_grandparent",
    "heading_level", "heading_distance", "heading_blocks", "heading_path_score", "heading_link_share",
    "section_words", "section_blocks", "section_link_share", "section_prose_share", "after_h1", "from_h1",
    "from_title", "path_score-2", "path_score-1", "path_score+1", "path_score+2", "tag-2", "tag-1", "tag+1",
    "tag+2", "link_share-1", "link_share+1", "size-1", "size+1", "same_path-1", "same_path+1", "copies-1",
    "depth-2", "depth-1", "depth+1", "depth+2", "window4_link_share", "window4_prose_share", "window12_words",
    "window12_link_share", "page_words", "page_blocks", "page_sentences", "page_images", "page_headings",
    "page_link_share", "page_prose_share", "page_main_share", "page_best_share", "page_longest", "page_median",
    "page_group_page_share", "page_group_count", "page_group_link_share", "page_group_prose_share",
    "page_group_images", "page_article_tags", "page_pre_tags", "page_form_tags", "page_button_tags", "page_li_tags",
    "page_thread_share", "page_details_share", "page_label_share", "page_author_share", "page_meta_share",
    "page_slides_share", "page_card_share", "page_price_share", "page_navigation_share", "page_comment_share",
    "page_review_share", "page_folded_share", "page_post_share", "page_advertisement_share", "page_footer_share",
    "page_form_share", "page_search_share", "page_address_forum", "page_address_article", "page_address_depth",
    "page_address_hyphens", "page_address_digits", "page_schema_product", "page_schema_article",
    "page_schema_forum", "page_schema_collection", "page_has_structured",
)  # fmt: skip
PAGE_FEATURES = (
    "page_words", "page_blocks", "page_sentences", "page_images", "page_times", "page_headings", "page_link_share",
    "page_prose_share", "page_main_share", "page_best_share", "page_longest", "page_median",
    "page_group_page_share", "page_group_count", "page_group_link_share", "page_group_prose_share",
    "page_group_images", "page_article_tags", "page_pre_tags", "page_table_tags", "page_form_tags",
    "page_button_tags", "page_li_tags", "page_thread_share", "page_details_share", "page_label_share",
    "page_author_share", "page_meta_share", "page_slides_share", "page_card_share", "page_price_share",
    "page_navigation_share", "page_comment_share", "page_review_share", "page_folded_share", "page_post_share",
    "page_advertisement_share", "page_footer_share", "page_share_share", "page_form_share", "page_search_share",
    "page_address_forum", "page_address_product", "page_address_collection", "page_address_documentation",
    "page_address_article", "page_address_depth", "page_address_hyphens", "page_address_digits",
    "page_address_query", "page_schema_product", "page_schema_article", "page_schema_forum",
    "page_schema_collection", "page_schema_service", "page_og_product", "page_og_article", "page_has_structured",
)  # fmt: skip
