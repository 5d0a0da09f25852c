"""Metrics of the extraction model on the measuring half of our own gold, whose registered domains never train.

Word F1 of the chosen blocks, before they are rendered: `tests.benchmarks.extraction` measures the text of the engine.
"""

from __future__ import annotations

from collections import defaultdict
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from classifiers.data.extraction_gold import PieceLabels, read_own_gold, read_piece_labels
from classifiers.errors import UserError
from classifiers.extraction.model import ExtractionModel
from classifiers.training.recipe_extraction import Sample, is_usable, make_sample

_LEAST = 10  # pages of a language that is listed


def evaluate_extraction(model: ExtractionModel, data: Path) -> dict[str, Any]:
    """Mean precision, recall and F1 of pages; F1 by page type and by language."""
    labels = [row for row in read_piece_labels() if row.split == "measure"]
    language = {row.id: row.language for row in labels}
    samples = [sample for page in read_own_gold(data, labels) if (sample := make_sample(page)) and is_usable(sample)]
    if not samples:
        raise UserError(f"{data} has none of the {len(labels)} pages that extraction is measured on")
    scores = np.array([score_choice(model, sample) for sample in samples])
    precision, recall, f1 = (round(float(value), 4) for value in scores.mean(axis=0))
    types, languages = defaultdict(list), defaultdict(list)
    for sample, score in zip(samples, scores[:, 2].tolist(), strict=True):
        types[sample.page_type].append(score)
        languages[language[sample.id]].append(score)
    return {
        "test_digest": digest_of_labels(labels),
        "test": {"f1": f1, "precision": precision, "recall": recall, "pages": len(samples)},
        "types": {name: round(float(np.mean(types[name])), 4) for name in sorted(types)},
        "languages": {
            name: round(float(np.mean(found)), 4) for name, found in sorted(languages.items()) if len(found) >= _LEAST
        },
    }


def score_choice(model: ExtractionModel, sample: Sample) -> tuple[float, float, float]:
    """Precision, recall and F1 of the words in the chosen blocks; undecided ones count neither for nor against."""
    chosen = model.find_main_content(sample.blocks, sample.url).choice.chosen
    wanted = float((sample.weights * sample.shares).sum())
    found = float(sample.weights[chosen].sum())
    common = float((sample.weights * sample.shares)[chosen].sum())
    if not wanted or not found:
        same = float(not wanted and not found)
        return same, same, same
    return common / found, common / wanted, 2 * common / (found + wanted)


def digest_of_labels(labels: list[PieceLabels]) -> str:
    """Of the pages and what is marked on them."""
    return sha256("".join(f"{row.id}\t{row.main}\t{row.either}\n" for row in labels).encode()).hexdigest()
