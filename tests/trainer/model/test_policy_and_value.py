"""policy_and_value: what goes by the kind of a weight treats the two decoders as it treats each alone."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from tests.trainer.model.small_models import SPARSE, TINY
from trainer.model.build import blocks_of
from trainer.model.decoder import Decoder
from trainer.model.policy_and_value import PolicyAndValue
from trainer.model.weights import initialize_weights
from trainer.training.optimizer import OptimizerSettings, build_optimizer

VALUE = SPARSE.model_copy(update={"layers": 4, "init_std": 0.1, "scalar_head": True})
MUON, ADAMW = ("momentum", 0.1), ("betas", 0.1)


def groups(model: nn.Module, settings: OptimizerSettings) -> dict[str, tuple[str, float]]:
    """The algorithm, by a setting that only it has, and the weight decay of every weight."""
    names = {id(weight): name for name, weight in model.named_parameters()}
    return {
        names[id(weight)]: ("momentum" if "momentum" in group else "betas", group["weight_decay"])
        for group in build_optimizer(model, settings).param_groups
        for weight in group["params"]
    }


@pytest.mark.parametrize("decay_embedding", [False, True])
@pytest.mark.parametrize("algorithm", ["adamw", "muon"])
def test_every_weight_has_the_optimizer_and_the_decay_that_it_has_in_its_own_decoder(algorithm, decay_embedding):
    values: dict[str, Any] = {"algorithm": algorithm, "decay_embedding": decay_embedding, "weight_decay": 0.1}
    settings = OptimizerSettings.model_validate(values)
    found = groups(PolicyAndValue(TINY, Decoder(VALUE)), settings)
    value = {f"value_model.{name}": group for name, group in groups(Decoder(VALUE), settings).items()}
    assert found == groups(Decoder(TINY), settings) | value
    assert found["value_model.embedding.weight"] == ("betas", 0.1 if decay_embedding else 0.0)
    assert found["value_model.blocks.1.feed_forward.router.weight"] == ADAMW
    matrix = MUON if algorithm == "muon" else ADAMW
    assert found["value_model.blocks.3.feed_forward.down"] == found["blocks.0.attention.q.weight"] == matrix


def test_the_blocks_are_those_of_both():
    model = PolicyAndValue(TINY, Decoder(VALUE))
    assert blocks_of(model) == [*model.blocks, *model.value_model.blocks]


def test_initial_weights_have_the_deviation_of_their_own_decoder():
    model = PolicyAndValue(TINY, Decoder(VALUE))
    initialize_weights(model, 0)
    for decoder, deviation, layers in ((model, 0.02, 2), (model.value_model, 0.1, 4)):
        attention = decoder.blocks[0].attention
        assert attention.q.weight.std().item() == pytest.approx(deviation, rel=0.1)
        assert attention.out.weight.std().item() == pytest.approx(deviation / (2 * layers) ** 0.5, rel=0.1)
    assert not torch.equal(model.embedding.weight * 5, model.value_model.embedding.weight)  # drawn apart
