from __future__ import annotations

from random import Random

import pytest
import torch
from scipy.stats import kstest
from torch import Tensor, nn

from tests.trainer.curated import WORDS
from trainer.data.tokenizer import Tokenizer, TokenizerSettings, train_tokenizer
from trainer.errors import UserError
from trainer.evaluation.likelihood import Scorer
from trainer.evaluation.order_test import order_test

RANDOM = Random(5)
VOCABULARY = sorted({word for words in WORDS.values() for word in words})
EXAMPLES = [" ".join(RANDOM.choices(VOCABULARY, k=4)) for _ in range(60)]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train_tokenizer(EXAMPLES, TokenizerSettings(vocab_size=704, sentinels=0))


class Windowed(nn.Module):
    """A small network over the last eight tokens: enough to learn what follows what."""

    def __init__(self, vocabulary: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, 24)
        self.layers = nn.Sequential(nn.Linear(8 * 24, 96), nn.ReLU(), nn.Linear(96, vocabulary))

    def forward(self, tokens: Tensor) -> Tensor:
        x = nn.functional.pad(self.embedding(tokens), (0, 0, 7, 0)).unfold(1, 8, 1)  # [B, S, 24, 8]
        return self.layers(x.flatten(2))


def train_scorer(tokenizer: Tokenizer, examples: list[str], shuffle: bool) -> Scorer:
    """A network trained on the examples in their order, or in another order at each step."""
    torch.manual_seed(0)
    random = Random(1)
    model = Windowed(tokenizer.vocab_size)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(60):
        order = random.sample(examples, len(examples)) if shuffle else examples
        tokens = torch.tensor([[tokenizer.separator, *tokenizer.encode("\n\n".join(order))]])
        loss = nn.functional.cross_entropy(model(tokens[:, :-1])[0], tokens[0, 1:])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return Scorer(model, tokenizer, 64)


def test_a_model_trained_on_the_file_is_detected(tokenizer: Tokenizer) -> None:
    found = order_test(train_scorer(tokenizer, EXAMPLES, shuffle=False), EXAMPLES, runs=10, shuffles=6)
    assert found.p < 1e-4
    assert found.advantage > 1


def test_a_model_trained_on_the_examples_in_other_orders_is_not_detected(tokenizer: Tokenizer) -> None:
    """It has learned every example, but no order of them."""
    found = order_test(train_scorer(tokenizer, EXAMPLES, shuffle=True), EXAMPLES, runs=10, shuffles=6)
    assert found.p > 0.01


def test_the_p_value_of_an_untrained_model_is_uniform(tokenizer: Tokenizer) -> None:
    torch.manual_seed(3)
    scorer = Scorer(Windowed(tokenizer.vocab_size), tokenizer, 64)
    values = [order_test(scorer, Random(n).sample(EXAMPLES, 60), runs=6, shuffles=3, seed=n).p for n in range(100)]
    assert kstest(values, "uniform").pvalue > 0.01


def test_too_few_examples_are_refused(tokenizer: Tokenizer) -> None:
    scorer = Scorer(Windowed(tokenizer.vocab_size), tokenizer, 64)
    with pytest.raises(UserError, match="3 examples for 2 runs"):
        order_test(scorer, EXAMPLES[:3], runs=2)
