"""decoder: packing, accounting, initial weights, recomputation, compilation."""

from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError
from torch._dynamo.testing import CompileCounter
from torch.utils.flop_counter import FlopCounterMode

from tests.trainer.runs import build_decoder
from trainer.model.cache import KeyValueCache
from trainer.model.decoder import Decoder
from trainer.model.experts import ExpertSettings
from trainer.model.rotary import RopeSettings
from trainer.model.settings import ModelSettings
from trainer.model.size import count_flops_per_token, count_parameters
from trainer.model.weights import initialize_weights

TINY = ModelSettings(vocab_size=100, hidden_size=32, layers=2, heads=4, kv_heads=2, context_length=64)
SPARSE = TINY.model_copy(update={"experts": ExpertSettings(num_experts=4, every=2, capacity_factor=None)})


def tokens(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(0, 100, shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("settings", [TINY, SPARSE], ids=["dense", "sparse"])
def test_packed_documents_equal_separate_ones(settings):
    model = build_decoder(settings, seed=1)
    lengths = [5, 1, 17, 9]
    documents = [tokens(1, length, seed=length) for length in lengths]
    ids = torch.repeat_interleave(torch.arange(4), torch.tensor(lengths))[None].int()
    positions = torch.cat([torch.arange(length) for length in lengths])[None]
    packed = model(torch.cat(documents, dim=1), positions=positions, document_ids=ids).logits
    separate = torch.cat([model(document).logits for document in documents], dim=1)
    torch.testing.assert_close(packed, separate, rtol=1e-5, atol=1e-5)
    unmasked = model(torch.cat(documents, dim=1)).logits
    assert (unmasked - separate).abs().max() > 1e-3  # the mask is what made them equal


def test_packed_gradients_equal_separate_ones():
    model = build_decoder(TINY, seed=1)
    first, second = tokens(1, 9, seed=1), tokens(1, 13, seed=2)
    whole = torch.cat((first[:, :-1], second[:, :-1]), dim=1)
    ids = torch.tensor([[0] * 8 + [1] * 12])
    positions = torch.cat((torch.arange(8), torch.arange(12)))[None]
    targets = torch.cat((first[:, 1:], second[:, 1:]), dim=1)
    packed = model(whole, targets, positions=positions, document_ids=ids).loss
    separate = sum(model(document[:, :-1], document[:, 1:]).loss for document in (first, second))
    grads = [torch.autograd.grad(loss, list(model.parameters())) for loss in (packed, separate)]
    torch.testing.assert_close(grads[0], grads[1], rtol=1e-4, atol=1e-5)


def test_nothing_is_seen_of_the_future():
    model = build_decoder(TINY, seed=1)
    before = tokens(1, 20)
    after = before.clone()
    after[0, 12] = (after[0, 12] + 1) % 100
    first, second = model(before).logits, model(after).logits
    torch.testing.assert_close(first[0, :12], second[0, :12])
    assert (first[0, 12:] - second[0, 12:]).abs().amax(dim=1).min() > 1e-6


def test_a_prefix_sees_its_own_future():
    model = build_decoder(TINY, seed=1)
    before = tokens(1, 20)
    after = before.clone()
    after[0, 8] = (after[0, 8] + 1) % 100
    ids, prefix = torch.zeros(1, 20, dtype=torch.int32), torch.tensor([10])
    first, second = (model(x, document_ids=ids, prefix=prefix).logits for x in (before, after))
    assert (first[0] - second[0]).abs().amax(dim=1).min() > 1e-7  # token 0 too sees token 8


@pytest.mark.parametrize("settings", [TINY, SPARSE], ids=["dense", "sparse"])
def test_cached_steps_equal_one_pass(settings):
    model = build_decoder(settings, seed=2).eval()
    row = tokens(2, 24)
    whole = model(row).logits
    cache = KeyValueCache(settings, 2, 24, model.embedding.weight)
    parts = [model(row[:, a:b], cache=cache).logits for a, b in ((0, 7), (7, 8), (8, 20), (20, 24))]
    torch.testing.assert_close(torch.cat(parts, dim=1), whole, rtol=1e-5, atol=1e-5)
    with pytest.raises(ValueError, match="holds 24"):
        model(row[:, :1], cache=cache)


@pytest.mark.parametrize(
    "settings",
    [
        TINY,
        SPARSE,
        TINY.model_copy(update={"tie_embeddings": False, "kv_heads": 4}),
        TINY.model_copy(update={"head_dim": 16, "ffn_hidden_size": 50}),
    ],
)
def test_parameters_are_counted_right(settings):
    model = build_decoder(settings)
    assert count_parameters(settings) == sum(weight.numel() for weight in model.parameters())
    if settings.experts:
        idle = 2 * 3 * settings.hidden_size * settings.intermediate_size  # two of four experts, in one block
        assert count_parameters(settings, active=True) == count_parameters(settings) - idle


def test_flops_equal_those_that_torch_counts():
    settings = TINY.model_copy(update={"tie_embeddings": False, "kv_heads": 4})
    model = build_decoder(settings)
    ids = tokens(2, 65)
    with FlopCounterMode(display=False) as counter:
        model(ids[:, :-1], ids[:, 1:]).loss.backward()
    norms = (2 * settings.layers + 1) * settings.hidden_size  # have weights, but no products
    linear = 6 * (count_parameters(settings) - settings.padded_vocab_size * settings.hidden_size - norms) * 2 * 64
    assert counter.get_total_flops() == linear  # torch does not count the CPU's attention kernel
    causal = 12 * settings.layers * settings.heads * settings.dim_per_head * 2 * (64 * 65 // 2)
    assert count_flops_per_token(settings, 64) * 128 == linear + causal + 6 * norms * 128


def test_initial_weights_depend_on_the_seed_and_the_name_alone():
    deep = TINY.model_copy(update={"layers": 4})
    one, same, other = build_decoder(TINY, 3), build_decoder(TINY, 3), build_decoder(TINY, 4)
    for a, b, c in zip(one.parameters(), same.parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b)
        assert a.ndim < 2 or not torch.equal(a, c)
    assert torch.equal(build_decoder(deep, 3).blocks[0].attention.qkv.weight, one.blocks[0].attention.qkv.weight)
    assert one.blocks[0].feed_forward.gate_up.weight.std().item() == pytest.approx(0.02, rel=0.05)
    assert one.blocks[0].feed_forward.down.weight.std().item() == pytest.approx(
        0.02 / 2, rel=0.05
    )  # sqrt(2 * 2 layers)


def test_first_loss_is_that_of_guessing():
    model = build_decoder(TINY.model_copy(update={"vocab_size": 128}))
    ids = tokens(4, 33)
    loss = model(ids[:, :-1], ids[:, 1:]).loss / ids[:, 1:].numel()
    assert loss.item() == pytest.approx(torch.log(torch.tensor(128.0)).item(), rel=0.02)


def test_recomputed_gradients_are_the_same():
    ids = tokens(2, 33)
    grads = []
    for again in (False, True):
        model = build_decoder(SPARSE, seed=5)
        model.recompute = again
        model(ids[:, :-1], ids[:, 1:]).loss.backward()
        grads.append([weight.grad for weight in model.parameters()])
    torch.testing.assert_close(grads[0], grads[1], rtol=0, atol=0)


def test_compiled_blocks_give_the_same_loss():
    """The blocks can be captured as a graph; what a backend makes of it is torch's affair (inductor takes a minute)."""
    ids, documents = tokens(2, 33), torch.tensor([[0] * 16 + [1] * 16, [0] * 32])
    model = build_decoder(TINY, seed=5)
    plain = model(ids[:, :-1], ids[:, 1:], document_ids=documents).loss
    for block in model.blocks:
        block.compile(backend="aot_eager")
    compiled = model(ids[:, :-1], ids[:, 1:], document_ids=documents).loss
    torch.testing.assert_close(compiled, plain, rtol=1e-5, atol=1e-4)
    compiled.backward()


def test_other_documents_are_not_compiled_anew():
    torch._dynamo.reset()
    model, counter = build_decoder(TINY, seed=5), CompileCounter()
    for block in model.blocks:
        block.compile(backend=counter)
    compiled = []
    for first in (3, 8, 13, 21):
        documents = torch.tensor([[0] * first + [1] * (32 - first), [0] * (first + 1) + list(range(1, 32 - first))])
        model(tokens(2, 32), tokens(2, 32), document_ids=documents).loss.backward()
        compiled.append(counter.frame_count)
    assert compiled == [compiled[0]] * 4
    assert compiled[0] > 1


def test_weights_can_be_made_on_the_meta_device_first():
    with torch.device("meta"):
        model = Decoder(TINY)
    model.to_empty(device="cpu")
    initialize_weights(model, 3, TINY.init_std, TINY.layers)
    for a, b in zip(model.parameters(), build_decoder(TINY, 3).parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize(
    ("values", "fault"),
    [
        ({"hidden_size": 30, "heads": 4}, "no multiple of model.heads"),
        ({"heads": 4, "kv_heads": 3}, "no multiple of model.kv_heads"),
        ({"hidden_size": 12, "heads": 4}, "pairs"),
        ({"experts": ExpertSettings(num_experts=2, top_k=3)}, "top_k"),
        ({"layers": 2, "experts": ExpertSettings(every=3)}, "no sparse block"),
        ({"encoder_layers": 2, "kv_heads": 2}, "encoder-decoder"),
        ({"encoder_layers": 2, "rope": RopeSettings(theta=5e5)}, "encoder-decoder"),
        ({"widht": 32}, "widht"),
    ],
)
def test_impossible_shapes_are_refused(values, fault):
    with pytest.raises(ValidationError, match=fault):
        ModelSettings(**{"hidden_size": 32, "heads": 4, **values})
