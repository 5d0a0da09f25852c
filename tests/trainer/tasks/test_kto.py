"""KTO: neither micro-batches nor batches of the validation change what is computed, and weights balance both kinds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from tests.trainer.tasks.test_meshes import DENSE, FakeStart, text
from trainer.chat.chat_template import EncodedAnswer
from trainer.chat.pair_batches import PairSettings
from trainer.chat.rated_batches import RatedBatches
from trainer.model.decoder import Decoder
from trainer.tasks.kto import KtoTask, balance_weights
from trainer.tasks.preference import PreferenceLossSettings, PreferenceSettings
from trainer.training.distributed import World
from trainer.training.step import Replica

WORLD = World(0, 1, torch.device("cpu"))


def answers(count: int) -> tuple[EncodedAnswer, ...]:
    """To a prompt each, every third one good."""
    generator = np.random.default_rng(1)
    prompts = [generator.integers(4, 12, generator.integers(2, 6)).tolist() for _ in range(count)]
    return tuple(EncodedAnswer(text(generator, prompt), number % 3 == 0) for number, prompt in enumerate(prompts))


def build(items: tuple[EncodedAnswer, ...], batch_size: int = 6, **loop: Any) -> KtoTask:
    settings = PreferenceSettings.model_validate({"model": DENSE, "preference": {"beta": 0.5}, "loop": loop})
    batches, start = RatedBatches(items, PairSettings(batch_size=batch_size)), FakeStart(DENSE)
    return KtoTask(settings, start, batches, held_out=batches)  # type: ignore[arg-type]


def policy(task: KtoTask) -> Replica:
    """The start after a change that makes every answer likelier, so that there is a drift."""
    model = Decoder(DENSE)
    FakeStart(DENSE).fill(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.3)
    for _ in range(5):
        optimizer.zero_grad()
        inputs = task.batches.batch(0)
        names = ("tokens", "targets", "weights", "positions", "document_ids")
        (model(**{name: inputs[name] for name in names}).loss / inputs["weights"].sum()).backward()
        optimizer.step()
    model.zero_grad()
    return Replica(model, WORLD, bf16=False)


def step(task: KtoTask) -> tuple[dict[str, Any], list[torch.Tensor]]:
    """The numbers of a step, and its gradients."""
    replica = policy(task)
    found = task.add_gradient(task.prepare(0, WORLD), replica)
    gradients = [weight.grad for weight in replica.module.parameters() if weight.grad is not None]
    return {"loss": found.loss, "tokens": found.tokens, **found.numbers}, gradients


@pytest.mark.parametrize("size", [1, 2, 4])
def test_micro_batches_change_neither_losses_nor_gradients(size):
    items = answers(6)
    whole, divided = step(build(items)), step(build(items, micro_batch_size=size))
    assert whole[0]["drift"] > 0.1
    assert whole[0]["tokens"] == sum(int(item.text.learned.sum()) for item in items)  # without mismatched ones
    assert divided[0] == pytest.approx(whole[0], rel=1e-5)
    for found, expected in zip(divided[1], whole[1], strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)


def test_the_validation_does_not_depend_on_its_batches():
    items = answers(7)
    replica = policy(build(items))
    whole = build(items, batch_size=7).validate(replica)
    assert whole is not None
    assert whole["drift"] > 0.1
    for size in (2, 3):  # the last batch is one answer
        assert build(items, batch_size=size).validate(replica) == pytest.approx(whole, rel=1e-5)


def test_rewards_are_means_of_their_kind():
    numbers, _ = step(build(answers(6)))
    assert numbers["desirable"] == pytest.approx(1 / 3)
    assert numbers["margin"] == pytest.approx(numbers["reward_desirable"] - numbers["reward_undesirable"])
    bad, _ = step(build(answers(6)[1:3], batch_size=2))
    assert bad["desirable"] == 0
    assert not {"reward_desirable", "margin"} & bad.keys()


def test_equal_answers_measure_no_drift():
    numbers, _ = step(build(answers(1), batch_size=2))
    assert numbers["drift"] == 0


@pytest.mark.parametrize(
    ("counts", "given", "expected"),
    [
        ((10, 10), {}, (1, 1)),
        ((30, 10), {}, (1, 3)),
        ((10, 30), {}, (3, 1)),
        ((30, 10), {"desirable_weight": 2.0}, (2, 6)),
        ((30, 10), {"undesirable_weight": 1.0}, (1 / 3, 1)),
        ((30, 10), {"desirable_weight": 1.5, "undesirable_weight": 0.5}, (1.5, 0.5)),
        ((30, 0), {}, (1, 1)),
        ((0, 30), {"undesirable_weight": 2.0}, (2, 2)),
    ],
)
def test_weights_that_are_not_set_balance_both_kinds(counts, given, expected):
    assert balance_weights(PreferenceLossSettings(**given), *counts) == pytest.approx(expected)


def test_the_weights_are_those_of_what_is_trained_on():
    task = build(answers(6))
    assert task.weights == (2, 1)
    assert task.describe() == ("6 answers to train on, 6 held out; 2 desirable of weight 2, 4 undesirable of weight 1")
