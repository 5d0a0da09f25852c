"""The order test: has a model seen an evaluation set in the order in which it is published?

Under a model that never met the file, every order of its examples is as likely as any other. A model that was trained
on the file gives its canonical order a higher likelihood than a random one, even where no example can be shown to be
known (Oren et al. 2023, "Proving Test Set Contamination in Black Box Language Models"). The examples are cut into
runs; in each the canonical order is compared with shuffles, and a one-sided t-test over the runs gives the p-value.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

import numpy as np
from scipy.stats import ttest_1samp

from trainer.evaluation.likelihood import Pair, Scorer
from trainer.evaluation.perplexity import windows


@dataclass(frozen=True, slots=True)
class OrderTest:
    """The outcome: `p` is small where the canonical order is too likely to be chance."""

    p: float
    advantage: float  # nats by which the canonical order of a run beats the mean of its shuffles, on average
    runs: int
    shuffles: int


def order_test(scorer: Scorer, examples: Sequence[str], runs: int = 15, shuffles: int = 10, seed: int = 0) -> OrderTest:
    """Tests a set of examples in the order of their file. More runs make it more sensitive, more shuffles steadier."""
    if runs < 2 or shuffles < 1 or len(examples) < 2 * runs:
        raise ValueError(
            f"the order test needs 2 runs or more of 2 examples or more; {len(examples)} examples, {runs} runs"
        )
    random = Random(seed)
    orders: list[list[str]] = []
    for number in range(runs):
        run = list(examples[number * len(examples) // runs : (number + 1) * len(examples) // runs])
        orders.append(run)
        orders += [random.sample(run, len(run)) for _ in range(shuffles)]
    likelihoods = np.array(_likelihoods(scorer, orders)).reshape(runs, 1 + shuffles)
    advantages = likelihoods[:, 0] - likelihoods[:, 1:].mean(axis=1)
    p = float(ttest_1samp(advantages, 0.0, alternative="greater").pvalue) if advantages.any() else 1.0
    return OrderTest(p, float(advantages.mean()), runs, shuffles)


def _likelihoods(scorer: Scorer, orders: Sequence[Sequence[str]]) -> list[float]:
    """ln P of each order as one text; all but the first window see half a context of past, across examples."""
    kept = max(1, scorer.context // 2)
    pairs: list[Pair] = []
    owners: list[int] = []
    for number, order in enumerate(orders):
        tokens = scorer.tokenizer.encode("\n\n".join(order))
        found = list(windows(tokens, scorer.tokenizer.separator, scorer.context, kept))
        pairs += found
        owners += [number] * len(found)
    sums = np.zeros(len(orders))
    np.add.at(sums, owners, [score.likelihood for score in scorer.scores(pairs)])
    return [float(value) for value in sums]
