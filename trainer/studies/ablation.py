"""Compare datasets by training the same small model on each, with equal tokens and several seeds.

All runs of a seed begin with the same weights; the order of the data differs with the seed. Models are evaluated in
bits per byte on texts that none has been trained on. Seeds alone make as much difference as many filters do, so the
result is the mean difference over seeds with its 90% interval, of each dataset to the first one.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from trainer.data.batches import BatchSource
from trainer.data.corpus import Corpus
from trainer.data.curated_dataset import DatasetError
from trainer.data.tokenizer import Tokenizer
from trainer.errors import UserError
from trainer.evaluation.likelihood import Scorer
from trainer.evaluation.perplexity import held_out_documents, measure_loss
from trainer.files import write_atomically
from trainer.studies.seed_interval import MeanInterval, mean_interval
from trainer.tasks.pretrain import pretrain
from trainer.tasks.pretrain_inputs import PretrainInputs, open_pretrain_inputs
from trainer.tasks.pretrain_settings import PretrainSettings, change_settings
from trainer.training.saved_model import load_decoder

Documents = Sequence[tuple[str, Sequence[int], int]]  # (group, tokens, bytes)


@dataclass(frozen=True, slots=True)
class Difference:
    """Bits per byte on one set of texts, second minus first: below 0 the second model or dataset is better."""

    texts: str
    first: tuple[float, ...]  # by seed
    second: tuple[float, ...]

    @property
    def mean(self) -> float:
        return self._over_seeds.mean

    @property
    def interval(self) -> tuple[float, float]:
        """90% interval of the mean, by Student's t over the seeds."""
        return self._over_seeds.low, self._over_seeds.high

    @property
    def _over_seeds(self) -> MeanInterval:
        return mean_interval(np.subtract(self.second, self.first).tolist())


def ablate(
    run_settings: PretrainSettings,
    datasets: Mapping[str, str],
    out: Path,
    seeds: int = 3,
    texts: Mapping[str, Path] | None = None,
    documents: int | None = 500,
    unweighted: Collection[str] = (),
    log: Callable[[str], None] = print,
) -> dict[str, list[Difference]]:
    """Train a model on each dataset with each seed; returns each other dataset's differences to the first one.

    datasets: name -> path, two or more; one path may have several names. texts: name -> JSONL file with `text` to
    evaluate on, besides the held-out documents of the datasets (held out by id, so a page held out of one is held out
    of the others). documents: at most this number of each set of texts. unweighted: names of datasets whose documents
    are read equally often.
    """
    if len(datasets) < 2:
        raise UserError("an ablation compares two datasets or more; give another --dataset")
    if unknown := sorted(set(unweighted) - set(datasets)):
        raise UserError(f"{unknown[0]} is not the name of a dataset; there are {', '.join(datasets)}")
    opened = {
        name: open_pretrain_inputs(_set_data(run_settings, path, name not in unweighted))
        for name, path in datasets.items()
    }
    tokenizer = next(iter(opened.values())).tokenizer
    evaluated = _collect_texts(opened, datasets, texts or {}, tokenizer, documents)
    scores: dict[str, dict[str, list[float]]] = {name: {text: [] for text in evaluated} for name in datasets}
    for seed in range(seeds):
        for name, run in opened.items():
            settings = change_settings(run.settings, [f"loop.seed={seed}", f"data.seed={seed}"])
            source = BatchSource(run.source.corpus, settings.data, run.shares)
            found = train_and_evaluate(settings, source, run.tokenizer, out / f"{name}-{seed}", evaluated)
            for text, value in found.items():
                scores[name][text].append(value)
            latest = ", ".join(f"{text} {value:.4f}" for text, value in found.items())
            log(f"{name}, seed {seed}: {latest} bits per byte")
    first, *others = datasets
    differences = {
        name: [Difference(text, tuple(scores[first][text]), tuple(scores[name][text])) for text in evaluated]
        for name in others
    }
    report = _build_report(datasets, unweighted, run_settings, differences)
    write_atomically(out / "ablation.json", json.dumps(report, indent=1) + "\n")
    return differences


def _set_data(run_settings: PretrainSettings, path: str, weighted: bool) -> PretrainSettings:
    return change_settings(
        run_settings, [f"data.sources={{data = {{path = {path!r}, weighted = {str(weighted).lower()}}}}}"]
    )


def _collect_texts(
    opened: Mapping[str, PretrainInputs],
    datasets: Mapping[str, str],
    texts: Mapping[str, Path],
    tokenizer: Tokenizer,
    limit: int | None,
) -> dict[str, Documents]:
    """The documents held out of each path, under its first name, and the texts."""
    name_of = {path: name for name, path in reversed(list(datasets.items()))}
    found = {
        f"held out of {name}": _all_documents(run.validation.corpus, limit)
        for name, run in opened.items()
        if run.validation is not None and name_of[datasets[name]] == name
    }
    found |= {name: list(read_texts(path, tokenizer))[:limit] for name, path in texts.items()}
    if not found:
        raise DatasetError("there is no text to evaluate on: raise data.held_out or give --texts")
    return found


def _all_documents(corpus: Corpus, limit: int | None) -> Documents:
    return [("all", tokens, size) for _, tokens, size in held_out_documents(corpus, limit)]


def read_texts(path: Path, tokenizer: Tokenizer) -> Iterator[tuple[str, Sequence[int], int]]:
    """Group, tokens and bytes of each text of a JSONL file."""
    try:
        texts = [json.loads(line)["text"] for line in path.read_text(encoding="utf-8").split("\n") if line.strip()]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DatasetError(f'{path}: not JSONL rows of {{"text": ...}} ({error})') from error
    for text, tokens in zip(texts, tokenizer.encode_many(texts), strict=True):
        yield "all", tokens, len(text.encode())


def train_and_evaluate(
    settings: PretrainSettings,
    source: BatchSource,
    tokenizer: Tokenizer,
    out: Path,
    evaluated: Mapping[str, Documents],
) -> dict[str, float]:
    """Bits per byte of each set of texts under a model trained on the batches; a finished run is kept."""
    pretrain(settings, source, out, tokenizer=tokenizer, log=lambda _: None)
    model = load_decoder(out)
    scorer = Scorer(lambda tokens: model(tokens).logits, tokenizer, settings.data.sequence_length)
    with torch.inference_mode():
        return {name: measure_loss(scorer, documents)[""].bits_per_byte for name, documents in evaluated.items()}


def _build_report(
    datasets: Mapping[str, str],
    unweighted: Collection[str],
    run_settings: PretrainSettings,
    differences: Mapping[str, Sequence[Difference]],
) -> dict[str, Any]:
    """The content of ablation.json."""
    return {
        "datasets": dict(datasets),
        "unweighted": sorted(unweighted),
        "settings": run_settings.model_dump(mode="json"),
        "bits_per_byte": {
            name: {item.texts: _describe_difference(item) for item in found} for name, found in differences.items()
        },
    }


def _describe_difference(item: Difference) -> dict[str, Any]:
    interval = [value if math.isfinite(value) else None for value in item.interval]
    return {"first": item.first, "second": item.second, "difference": item.mean, "interval": interval}


def format_ablation(datasets: Mapping[str, str], differences: Mapping[str, Sequence[Difference]]) -> str:
    """The report for a terminal: a table for each dataset beside the first."""
    first = next(iter(datasets))
    lines = []
    for second, found in differences.items():
        lines.append(f"{'bits per byte':<28}{first[:14]:>15}{second[:14]:>15}{'difference':>13}   90% interval")
        for item in found:
            low, high = item.interval
            verdict = f"{second} is better" if high < 0 else f"{first} is better" if low > 0 else "no difference shown"
            lines.append(
                f"{item.texts[:27]:<28}{np.mean(item.first):>15.4f}{np.mean(item.second):>15.4f}{item.mean:>+13.4f}"
                f"   {low:+.4f} to {high:+.4f}: {verdict}"
            )
    return "\n".join(lines)
