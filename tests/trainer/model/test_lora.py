"""LoRA: nothing changes at first, merged equals unmerged, only adapters learn, PEFT computes the same."""

from __future__ import annotations

import pytest
import torch

from tests.trainer.model.small_models import SPARSE, TINY, tokens
from trainer.model.build import build_model
from trainer.model.decoder import Decoder
from trainer.model.lora import LoraSettings, adapters_off, is_adapter, merge_adapters
from trainer.model.model_settings import ModelSettings
from trainer.model.size import count_parameters
from trainer.model.weights import initialize_weights

LORA = LoraSettings(rank=3, alpha=6)


def build(settings: ModelSettings, seed: int = 0) -> Decoder:
    model = build_model(settings).to_empty(device="cpu")
    initialize_weights(model, seed)
    assert isinstance(model, Decoder)
    return model.eval()


def with_trained_adapters(settings: ModelSettings) -> Decoder:
    model = build(settings.model_copy(update={"lora": LORA}))
    generator = torch.Generator().manual_seed(1)
    for name, weight in model.named_parameters():
        if is_adapter(name):
            weight.data.normal_(0, 0.2, generator=generator)
    return model


@pytest.mark.parametrize("settings", [TINY, SPARSE])
def test_adapters_change_nothing_at_first_and_when_they_are_off(settings):
    plain, x = build(settings), tokens(2, 12)
    fresh, trained = build(settings.model_copy(update={"lora": LORA})), with_trained_adapters(settings)
    expected = plain(x).logits
    assert torch.equal(fresh(x).logits, expected)
    assert not torch.allclose(trained(x).logits, expected, atol=1e-3)
    with adapters_off(trained):
        assert torch.equal(trained(x).logits, expected)
    assert not torch.allclose(trained(x).logits, expected, atol=1e-3)


@pytest.mark.parametrize("settings", [TINY, SPARSE])
@pytest.mark.parametrize("order", [sorted, lambda pairs: sorted(pairs, reverse=True)])
def test_merged_equals_unmerged(settings, order):
    trained, merged, x = with_trained_adapters(settings), build(settings), tokens(2, 12)
    weights = dict(merge_adapters(order(list(trained.named_parameters())), LORA))
    assert weights.keys() == dict(merged.named_parameters()).keys()
    merged.load_state_dict({name: weight.detach() for name, weight in weights.items()})
    torch.testing.assert_close(merged(x).logits, trained(x).logits, rtol=1e-4, atol=1e-5)


def test_only_adapters_and_a_scalar_head_get_a_gradient():
    model = build(TINY.model_copy(update={"lora": LORA, "scalar_head": True})).train()
    model(tokens(2, 8)).values.sum().backward()
    learned = {name for name, weight in model.named_parameters() if weight.grad is not None}
    assert learned == {name for name in dict(model.named_parameters()) if is_adapter(name) or name == "head.weight"}
    assert len(learned) == 2 * 7 * 2 + 1


@pytest.mark.parametrize("changes", [{"lora": LORA}, {"scalar_head": True}, {"lora": LORA, "scalar_head": True}])
@pytest.mark.parametrize("settings", [TINY, SPARSE])
def test_the_count_of_weights_includes_them(settings, changes):
    changed = settings.model_copy(update=changes)
    assert count_parameters(changed) == sum(weight.numel() for weight in build(changed).parameters())
