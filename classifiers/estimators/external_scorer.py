"""Scores by a model that was trained elsewhere: a fastText file, or a sequence classifier in Hugging Face's format.

Nothing is unpickled and no code of a model is run: weights are fastText's or safetensors.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from classifiers.errors import UserError, explain_disk
from classifiers.estimators.fasttext_model import PREFIX, load_fasttext
from classifiers.estimators.page_scorer import Signals

HUGGING_FACE_CONFIG = "config.json"


class TextScorer(Protocol):
    """A model that gives each text a score from 0 to 1."""

    def score(self, texts: Sequence[str], signals: Sequence[Signals] = ()) -> list[float]:
        """One score per text; models of others do not read the signals of the page."""


class FastTextScorer:
    """The probability of one label of a fastText model."""

    def __init__(self, path: Path, label: str | None) -> None:
        self._model = load_fasttext(path)
        labels = [name.removeprefix(PREFIX) for name in self._model.get_labels()]
        self._label = PREFIX + _choose_label(path, label, labels)

    def score(self, texts: Sequence[str], signals: Sequence[Signals] = ()) -> list[float]:
        """The label's probability; 0 for a text without words."""
        return [self._score_line(" ".join(text.split())) for text in texts]

    def _score_line(self, line: str) -> float:
        names, values = self._model.predict(line, k=-1)
        found = dict(zip(names, map(float, values), strict=True))
        score: float = found.get(self._label, 0.0)
        return round(min(max(score, 0.0), 1.0), 6)  # fastText's sums may be slightly above 1


class HuggingFaceScorer:
    """The probability of one label of a sequence classifier, or the scaled output of a model with one output.

    It runs on the CPU. Other machines may give scores that differ in the last digits, so they have four.
    """

    def __init__(self, folder: Path, label: str | None, max_tokens: int, output_range: tuple[float, float]) -> None:
        transformers = _import_transformers()
        try:
            with explain_disk(folder):
                self._tokenizer = transformers.AutoTokenizer.from_pretrained(str(folder), local_files_only=True)
                self._model = transformers.AutoModelForSequenceClassification.from_pretrained(
                    str(folder), local_files_only=True, use_safetensors=True
                )
        except (OSError, ValueError, KeyError, ImportError) as error:
            raise UserError(f"{folder} holds no sequence classifier that can be used ({str(error)[:200]})") from None
        self._model.eval().requires_grad_(False)
        self._low, self._high = output_range
        names = [str(self._model.config.id2label[number]) for number in range(self._model.config.num_labels)]
        self._column = 0 if len(names) == 1 else names.index(_choose_label(folder, label, names))
        positions = getattr(self._model.config, "max_position_embeddings", max_tokens)
        self._max_tokens = min(max_tokens, positions, self._tokenizer.model_max_length)

    def score(self, texts: Sequence[str], signals: Sequence[Signals] = ()) -> list[float]:
        """One score per text, of its first `max_tokens` tokens."""
        return [self._score_text(text) for text in texts]

    def _score_text(self, text: str) -> float:
        # A token has at least one character on average: what is cut here would not be read either.
        encoded = self._tokenizer(
            text[: 20 * self._max_tokens], truncation=True, max_length=self._max_tokens, return_tensors="pt"
        )
        logits = np.asarray(self._model(**encoded).logits[0].tolist())
        if len(logits) == 1:
            value = (float(logits[0]) - self._low) / (self._high - self._low)
            return round(min(max(value, 0.0), 1.0), 4)
        powers = np.exp(logits - logits.max())
        return round(float(powers[self._column] / powers.sum()), 4)


def _import_transformers() -> Any:
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    try:
        import transformers
    except ImportError:
        raise UserError(
            "a Hugging Face model needs the packages transformers and torch: pip install transformers torch"
        ) from None
    module: Any = transformers
    module.utils.logging.set_verbosity_error()
    module.utils.logging.disable_progress_bar()
    return module


def _choose_label(path: Path, label: str | None, labels: Sequence[str]) -> str:
    if label is not None and label.removeprefix(PREFIX) in labels:
        return label.removeprefix(PREFIX)
    shown = ", ".join(labels[:8]) + (", ..." if len(labels) > 8 else "")
    problem = "name the label of good text" if label is None else f"no label {label}"
    raise UserError(f"{path}: {problem} (--set score_quality.label=NAME); the model has {shown}")
