"""Units: elements built alike (tag and class) under one parent, such as posts, cards and rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from classifiers.extraction.page_sums import (
    BLOCKS,
    DIGITS,
    IMAGES,
    LINKED,
    PROSE,
    SENTENCES,
    SIZE,
    TIMES,
    Array,
    PageSums,
    share,
)

_REPEATED = 3  # elements that make a group of units


@dataclass(frozen=True, slots=True, eq=False)
class Units:
    """Elements grouped by parent and by how they are built."""

    group: Array  # of each element
    repeats: Array  # elements of each group
    sums: Array  # inside all elements of each group, groups x columns
    is_unit: Array  # of each element, with "no element"

    def add_features(self, page: PageSums, rows: dict[str, Any]) -> None:
        """Sums of elements built alike on the whole page, and of the innermost and the outermost unit of a block."""
        _add_path_features(page, rows)
        numbered = np.where(self.is_unit, np.arange(len(self.is_unit)), -1)
        nearest = page.fold(numbered, lambda below, above: np.where(below >= 0, below, above))[page.own]
        outermost = page.fold(numbered, lambda below, above: np.where(above >= 0, above, below))[page.own]
        self._add_unit_features("near", nearest, page, rows)
        self._add_unit_features("outer", outermost, page, rows)

    def _add_unit_features(self, name: str, unit: Array, page: PageSums, rows: dict[str, Any]) -> None:
        found, unit = unit >= 0, np.maximum(unit, 0)
        group = self.group[unit]
        count = np.where(found, self.repeats[group], 0)
        sums = self.sums[group] * found[:, None]
        size, own_size = sums[:, SIZE], page.inside[unit, SIZE] * found
        rows[f"{name}_count"] = count
        rows[f"{name}_words"] = share(size, count)
        rows[f"{name}_blocks"] = share(sums[:, BLOCKS], count)
        rows[f"{name}_images"] = share(sums[:, IMAGES], count)
        rows[f"{name}_sentences"] = share(sums[:, SENTENCES], count)
        rows[f"{name}_times"] = share(sums[:, TIMES], count)
        rows[f"{name}_digits"] = share(sums[:, DIGITS], size)
        rows[f"{name}_link_share"] = share(sums[:, LINKED], size)
        rows[f"{name}_prose_share"] = share(sums[:, PROSE], size)
        rows[f"{name}_page_share"] = share(size, page.size)
        rows[f"{name}_place"] = np.where(found, page.before - page.sums[page.blocks.firsts[unit], SIZE], -1)
        rows[f"{name}_own_words"] = own_size
        rows[f"{name}_own_link_share"] = share(page.inside[unit, LINKED] * found, own_size)

    def largest_group(self, page: PageSums) -> dict[str, float]:
        """The group of units with most text."""
        sizes = np.where(self.repeats >= _REPEATED, self.sums[:, SIZE], 0)
        group = int(sizes.argmax())
        size, count = int(sizes[group]), int(self.repeats[group])
        known = size > 0
        return {
            "page_group_page_share": size / page.size,
            "page_group_count": float(count * known),
            "page_group_link_share": float(self.sums[group, LINKED]) / max(size, 1) * known,
            "page_group_prose_share": float(self.sums[group, PROSE]) / max(size, 1) * known,
            "page_group_images": float(self.sums[group, IMAGES]) / count * known,
        }


def find_units(page: PageSums) -> Units:
    blocks = page.blocks
    key = page.parents[:-1] * (len(page.parents) + 1) + blocks.paths
    _, group, repeats = np.unique(key, return_inverse=True, return_counts=True)
    order = np.argsort(group, kind="stable")
    starts = np.concatenate(([0], np.cumsum(repeats)[:-1]))
    return Units(
        group=group,
        repeats=repeats,
        sums=np.add.reduceat(page.inside[:-1][order], starts, axis=0),
        is_unit=np.append(repeats[group] >= _REPEATED, False),
    )


def _add_path_features(page: PageSums, rows: dict[str, Any]) -> None:
    blocks = page.blocks
    paths = blocks.paths
    count = np.bincount(paths)
    order = np.argsort(paths, kind="stable")
    starts = np.concatenate(([0], np.cumsum(count)[:-1]))
    sums = np.add.reduceat(page.inside[:-1][order], starts, axis=0)
    path = paths[page.own]
    size = sums[path, SIZE]
    rows["path_count"] = count[path]
    rows["path_words"] = share(size, count[path])
    rows["path_page_share"] = share(size, page.size)
    rows["path_link_share"] = share(sums[path, LINKED], size)
    rows["path_prose_share"] = share(sums[path, PROSE], size)
    parent_path = paths[np.maximum(blocks.parents[page.own], 0)]
    rows["parent_path_count"] = count[parent_path]
    rows["parent_path_words"] = share(sums[parent_path, SIZE], count[parent_path])
