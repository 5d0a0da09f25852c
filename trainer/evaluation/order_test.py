"""The order test: has a model seen an evaluation set in the order in which it is published?

Under a model that was not trained on the file, every order of its examples is equally likely. A model that was trained
on it gives the published order a higher likelihood than a random one, even where no single example can be shown to be
memorized (Oren et al. 2023, "Proving Test Set Contamination in Black Box Language Models"). The examples are cut into
runs; in each the published order is compared with shuffles, and a one-sided t-test over the runs gives the p-value.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

import numpy as np
from scipy.stats import ttest_1samp

from trainer.errors import UserError
from trainer.evaluation.likelihood import Pair, Scorer
from trainer.evaluation.perplexity import split_windows


@dataclass(frozen=True, slots=True)
class OrderTest:
    """`p` is small where the likelihood of the published order is too high to be chance."""

    p: float
    advantage: float  # nats of a run's published order above the mean of its shuffles, mean over runs
    runs: int
    shuffles: int


def order_test(scorer: Scorer, examples: Sequence[str], runs: int = 15, shuffles: int = 10, seed: int = 0) -> OrderTest:
    """Tests examples in the order of their file. More runs raise the power, more shuffles lower the variance."""
    if runs < 2 or shuffles < 1 or len(examples) < 2 * runs:
        raise UserError(
            f"the order test needs at least 2 runs of 2 examples and 1 shuffle; there are {len(examples)} examples for "
            f"{runs} runs of {shuffles} shuffles"
        )
    random = Random(seed)
    orders: list[list[str]] = []
    for number in range(runs):
        run = list(examples[number * len(examples) // runs : (number + 1) * len(examples) // runs])
        orders.append(run)
        orders += [random.sample(run, len(run)) for _ in range(shuffles)]
    likelihoods = np.array(_score_orders(scorer, orders)).reshape(runs, 1 + shuffles)
    advantages = likelihoods[:, 0] - likelihoods[:, 1:].mean(axis=1)
    p = float(ttest_1samp(advantages, 0.0, alternative="greater").pvalue) if advantages.any() else 1.0
    return OrderTest(p, float(advantages.mean()), runs, shuffles)


def _score_orders(scorer: Scorer, orders: Sequence[Sequence[str]]) -> list[float]:
    """ln P of each order as one text; windows after the first keep half a context, across examples."""
    kept = max(1, scorer.context // 2)
    pairs: list[Pair] = []
    owners: list[int] = []
    for number, order in enumerate(orders):
        tokens = scorer.tokenizer.encode("\n\n".join(order))
        found = list(split_windows(tokens, scorer.tokenizer.separator, scorer.context, kept))
        pairs += found
        owners += [number] * len(found)
    sums = np.zeros(len(orders))
    np.add.at(sums, owners, [score.likelihood for score in scorer.scores(pairs)])
    return [float(value) for value in sums]
