"""Complete the choice of blocks to whole units: code, a table of data and a plain list are kept or left out as a whole.

A model chooses block by block, so a cell or an item here and there is missed or taken. Code between two blocks that are
taken is kept whatever the model says: lines of code look like scraps. What stands in hidden or navigational parts of a
unit is never added.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

from lxml.etree import _Element

from classifiers.extraction.blocks import TAG_NUMBER, PageBlocks
from pipeline.extraction.code_text import PREFORMATTED
from pipeline.extraction.layout_tables import holds_data

_PRE = frozenset(TAG_NUMBER[tag] for tag in PREFORMATTED)
_TABLE = TAG_NUMBER["table"]
_LISTS = frozenset(TAG_NUMBER[tag] for tag in ("ul", "ol", "dl"))
_HEADINGS = frozenset(TAG_NUMBER[f"h{level}"] for level in range(1, 7))
_NEVER_ADDED = frozenset(TAG_NUMBER[tag] for tag in ("nav", "button", "form", "dialog", "noscript", "template"))
_UNITS = _PRE | _LISTS | {_TABLE}
_BLOCKS_PER_ITEM = 1.5


def complete_units(blocks: PageBlocks, chosen: Sequence[bool], code_containers: frozenset[int]) -> list[bool]:
    """The choice with whole units. `code_containers`: numbers of elements that hold one block of code each."""
    taken = [bool(choice) for choice in chosen]
    units = [e for e, tag in enumerate(blocks.tags.tolist()) if tag in _UNITS or e in code_containers]
    if not units:
        return taken
    firsts, lasts, tags = blocks.firsts.tolist(), blocks.lasts.tolist(), blocks.tags.tolist()
    sizes = [len(text) for text in blocks.texts]
    all_before = [0, *accumulate(sizes)]
    taken_before = [0, *accumulate(size * choice for size, choice in zip(sizes, taken, strict=True))]
    code = {e for e in units if tags[e] in _PRE or e in code_containers}
    of_code = {block for e in code for block in range(firsts[e], lasts[e])}
    done = 0  # blocks before this one belong to a unit that is complete
    for element in units:
        first, last = firsts[element], lasts[element]
        kept, whole = taken_before[last] - taken_before[first], all_before[last] - all_before[first]
        if first < done or kept == whole:
            continue
        if element in code and _is_between_taken(blocks, taken, element, of_code):
            _add(blocks, taken, element, first, last)
            done = last
        elif kept == 0:
            continue
        elif tags[element] in _LISTS:
            if 2 * kept > whole and _is_plain_list(blocks, element, first, last):
                _add(blocks, taken, element, first, last)
                done = last
        elif element in code or tags[element] != _TABLE or holds_data(blocks.nodes[element]):
            if 2 * kept > whole:
                _add(blocks, taken, element, first, last)
            else:
                taken[first:last] = [False] * (last - first)
            done = last
    return taken


def _is_between_taken(blocks: PageBlocks, taken: Sequence[bool], unit: int, of_code: set[int]) -> bool:
    """Whether code is shown, and the blocks before and behind it are taken and in the same element as it."""
    before, behind = int(blocks.firsts[unit]) - 1, int(blocks.lasts[unit])
    while before in of_code:  # editors make a `pre` of each line
        before -= 1
    while behind in of_code:
        behind += 1
    if before < 0 or behind >= len(taken) or not (taken[before] and taken[behind]):
        return False
    element = unit
    while element >= 0 and not blocks.hidden[element] and int(blocks.tags[element]) not in _NEVER_ADDED:
        has_before, has_behind = blocks.firsts[element] <= before, blocks.lasts[element] > behind
        if has_before or has_behind:
            return bool(has_before and has_behind)  # else it is a part of its own beside the text
        element = int(blocks.parents[element])
    return False


def _is_plain_list(blocks: PageBlocks, element: int, first: int, last: int) -> bool:
    """Whether items are lines, and not posts or cards of several parts."""
    node: _Element = blocks.nodes[element]
    items = sum(1 for _ in node.iter("li", "dt", "dd"))
    if last - first > _BLOCKS_PER_ITEM * items:
        return False
    return not any(int(blocks.tags[e]) in _HEADINGS for e in blocks.elements[first:last])


def _add(blocks: PageBlocks, taken: list[bool], unit: int, first: int, last: int) -> None:
    parents, hidden, tags = blocks.parents, blocks.hidden, blocks.tags
    for block in range(first, last):
        if not taken[block]:
            element = int(blocks.elements[block])
            while element > unit and not hidden[element] and int(tags[element]) not in _NEVER_ADDED:
                element = int(parents[element])
            taken[block] = element <= unit
