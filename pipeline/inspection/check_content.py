"""Checks of single rows: word counts, remaining personal data, weights."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from pipeline.inspection.check import Check, Problems
from pipeline.publishing.weights import QUALITY_STEPS, Cell, WeightSettings, cell_of, weight_table
from pipeline.stages import scrub_pii
from pipeline.text import EXCERPT_CHARACTERS, count_words

_CUT = EXCERPT_CHARACTERS - 60  # an excerpt longer than this may have been cut inside a number of several groups
_WEIGHTS = 4  # different weights of a cell that are kept for the message


class CountCheck:
    """The columns `words` and `characters` agree with the text."""

    def __init__(self) -> None:
        self._words = 0
        self._problems = Problems()

    def add_kept(self, row: Mapping[str, Any]) -> None:
        self._words += row["words"]
        if row["words"] != count_words(row["text"]) or row["characters"] != len(row["text"]):
            self._problems.add(f"{row['id']}: words or characters do not agree with the text")
        if not row["text"].strip():
            self._problems.add(f"{row['id']}: no text")

    def add_dropped(self, row: Mapping[str, Any]) -> None:
        """Dropped pages have no counts."""

    def result(self) -> Check:
        return self._problems.check("counts", f"{self._words:,} words, counted again from the texts")


class PersonalDataCheck:
    """scrub_pii finds no personal data in titles, excerpts, details, and texts of kept or dropped documents."""

    def __init__(self, settings: scrub_pii.ScrubPiiSettings) -> None:
        self._settings = settings
        self._texts = 0
        self._problems = Problems()

    def add_kept(self, row: Mapping[str, Any]) -> None:
        self._scan(row, "title")
        self._scan(row, "text")

    def add_dropped(self, row: Mapping[str, Any]) -> None:
        self._scan(row, "excerpt")
        self._scan(row, "text")
        self._scan(row, "detail")

    def _scan(self, row: Mapping[str, Any], column: str) -> None:
        text = row[column] or ""
        self._texts += bool(text)
        for span in scrub_pii.find(text, self._settings, row["language"] or ""):
            was_cut = column == "excerpt" and len(text) >= _CUT and span.end == len(text)
            if not was_cut:
                self._problems.add(f"{row['id']}: {span.kind} in its {column} at character {span.start}")

    def result(self) -> Check:
        return self._problems.check("personal data", f"none in {self._texts:,} texts, titles and excerpts")


class WeightCheck:
    """Every weight is between 0 and the cap, and is the one computed for its domain and quality score."""

    def __init__(self, settings: WeightSettings, removed: Mapping[Cell, int]) -> None:
        self._settings = settings
        self._words: Counter[Cell] = Counter(removed)  # with these words, too, the weights were computed
        self._weights: dict[Cell, list[float]] = defaultdict(list)

    def add_kept(self, row: Mapping[str, Any]) -> None:
        cell = cell_of(row)
        self._words[cell] += row["words"]
        weights = self._weights[cell]
        if row["weight"] not in weights and len(weights) < _WEIGHTS:
            weights.append(row["weight"])

    def add_dropped(self, row: Mapping[str, Any]) -> None:
        """Dropped pages have no weight."""

    def result(self) -> Check:
        weights = [weight for cell in self._weights.values() for weight in cell]
        problems = Problems(self._find_invalid(weights))
        if not problems:
            problems = Problems(self._find_deviations())
        cap = self._settings.max_repetition
        span = f"{min(weights):g} to {max(weights):g}" if weights and not problems else "none"
        return problems.check("weights", f"{span}, cap {cap:g}, as computed from the target shares")

    def _find_invalid(self, weights: list[float]) -> Iterator[str]:
        for weight in weights:
            if weight is None or not math.isfinite(weight) or weight < 0:
                yield f"a weight of {weight}"
            elif weight > self._settings.max_repetition:
                yield f"weight {weight} is above the cap {self._settings.max_repetition}"

    def _find_deviations(self) -> Iterator[str]:
        table = weight_table(self._words, self._settings)
        for cell, weights in sorted(self._weights.items()):
            (domain, quality, education), expected = cell, table.get(cell)
            for weight in sorted(weights):
                if weight != expected:
                    scores = f"{quality / QUALITY_STEPS:.2f} and {education / 10:.1f}"
                    yield f"{domain} at {scores}: expected weight {expected}, found {weight}"
