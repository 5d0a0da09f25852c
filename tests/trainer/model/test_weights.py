"""weights: initial weights are a function of the seed and the name."""

from __future__ import annotations

import pytest
import torch

from tests.trainer.model.small_models import TINY
from tests.trainer.runs import build_decoder
from trainer.model.decoder import Decoder
from trainer.model.weights import initialize_weights


def test_initial_weights_depend_on_the_seed_and_the_name_alone():
    deep = TINY.model_copy(update={"layers": 4})
    one, same, other = build_decoder(TINY, 3), build_decoder(TINY, 3), build_decoder(TINY, 4)
    for a, b, c in zip(one.parameters(), same.parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b)
        assert a.ndim < 2 or not torch.equal(a, c)
    assert torch.equal(build_decoder(deep, 3).blocks[0].attention.q.weight, one.blocks[0].attention.q.weight)
    assert one.blocks[0].feed_forward.gate.weight.std().item() == pytest.approx(0.02, rel=0.05)
    assert one.blocks[0].feed_forward.down.weight.std().item() == pytest.approx(
        0.02 / 2, rel=0.05
    )  # sqrt(2 * 2 layers)


def test_weights_can_be_made_on_the_meta_device_first():
    with torch.device("meta"):
        model = Decoder(TINY)
    model.to_empty(device="cpu")
    initialize_weights(model, 3)
    for a, b in zip(model.parameters(), build_decoder(TINY, 3).parameters(), strict=True):
        assert torch.equal(a, b)
