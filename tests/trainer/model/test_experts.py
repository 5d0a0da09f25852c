"""experts: one expert equals dense, losses equal a loop over tokens, capacity drops the right tokens."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from tests.trainer.runs import build_decoder
from trainer.data.batches import Batch
from trainer.model.decoder import FeedForward
from trainer.model.encoder_decoder import EncoderDecoder
from trainer.model.experts import (
    ExpertSettings,
    SparseFeedForward,
    choose_experts,
    dispatch,
    expert_capacity,
    find_real_tokens,
    grouped_matmul,
)
from trainer.model.model_settings import ModelSettings
from trainer.model.weights import initialize_weights
from trainer.tasks.denoising import PADDING, ObjectiveSettings, denoising_inputs

WIDTH, HIDDEN = 16, 24


def sparse_layer(seed: int = 0, identical: bool = False, **values: object) -> SparseFeedForward:
    settings = ExpertSettings(**{"num_experts": 4, "top_k": 2, "capacity_factor": None, **values})
    layer = SparseFeedForward(WIDTH, HIDDEN, settings)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in layer.parameters():
            weight.normal_(0, 0.3, generator=generator)
        if identical:
            layer.gate_up.copy_(layer.gate_up[:1].expand_as(layer.gate_up))
            layer.down.copy_(layer.down[:1].expand_as(layer.down))
    return layer


def dense_like(layer: SparseFeedForward) -> FeedForward:
    dense = FeedForward(WIDTH, HIDDEN)
    with torch.no_grad():
        gate, up = layer.gate_up[0].T.chunk(2)
        dense.gate.weight.copy_(gate)
        dense.up.weight.copy_(up)
        dense.down.weight.copy_(layer.down[0].T)
    return dense


def tokens(rows: int = 3, length: int = 7) -> torch.Tensor:
    return torch.randn(rows, length, WIDTH, generator=torch.Generator().manual_seed(9))


@pytest.mark.parametrize(
    "values", [{"num_experts": 1, "top_k": 1}, {"num_experts": 4, "top_k": 2}, {"num_experts": 4, "top_k": 4}]
)
def test_one_expert_or_identical_experts_equal_dense(values):
    layer = sparse_layer(identical=True, **values)
    x = tokens().requires_grad_()
    out, _ = layer(x)
    expected = dense_like(layer)(x)
    torch.testing.assert_close(out, expected, rtol=1e-6, atol=1e-6)
    found = torch.autograd.grad(out.square().sum(), x)
    torch.testing.assert_close(found, torch.autograd.grad(expected.square().sum(), x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("top_k", [1, 2, 3])
def test_output_equals_a_loop_over_tokens(top_k):
    layer = sparse_layer(top_k=top_k)
    x = tokens()
    out, routing = layer(x)
    counts = torch.zeros(4)
    for b in range(3):
        for s in range(7):
            probabilities = (layer.router.weight @ x[b, s]).softmax(0)
            best = probabilities.argsort(descending=True)[:top_k]
            total = probabilities[best].sum() if top_k > 1 else torch.ones(())  # Switch: the probability itself
            expected = torch.zeros(WIDTH)
            for e in best:
                gate, up = (x[b, s] @ layer.gate_up[e]).chunk(2)
                expected = expected + probabilities[e] / total * ((F.silu(gate) * up) @ layer.down[e])
                counts[e] += 1
            torch.testing.assert_close(out[b, s], expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(routing.load, counts / counts.sum())
    assert routing.dropped == 0


@pytest.mark.parametrize("top_k", [1, 2])
def test_losses_equal_a_loop_over_tokens(top_k):
    settings = ExpertSettings(num_experts=5, top_k=top_k)
    logits = torch.randn(40, 5, generator=torch.Generator().manual_seed(3)) * 2
    routing = choose_experts(logits, settings).routing
    chosen, expected, z = [0.0] * 5, [0.0] * 5, 0.0
    for row in logits.tolist():
        mass = sum(math.exp(value) for value in row)
        z += math.log(mass) ** 2 / len(logits)
        for expert in sorted(range(5), key=lambda e: -row[e])[:top_k]:
            chosen[expert] += 1 / (len(logits) * top_k)
        for expert in range(5):
            expected[expert] += math.exp(row[expert]) / mass / len(logits)
    balance = 5 * sum(f * p for f, p in zip(chosen, expected, strict=True))
    assert routing.balance.item() == pytest.approx(balance, abs=1e-6)
    assert routing.z.item() == pytest.approx(z, rel=1e-6)


def test_balance_is_one_at_a_uniform_router_and_more_where_it_collapses():
    settings = ExpertSettings(num_experts=4, top_k=1)
    uniform = choose_experts(torch.zeros(64, 4), settings).routing
    assert uniform.balance.item() == pytest.approx(1.0, abs=1e-6)
    collapsed = choose_experts(torch.tensor([[9.0, 0, 0, 0]]).expand(64, 4), settings).routing
    assert collapsed.balance.item() == pytest.approx(4.0, rel=1e-2)
    loss = uniform.loss(ExpertSettings(num_experts=4, router_aux_loss_coef=0.5, router_z_loss_coef=0.25))
    assert loss.item() == pytest.approx(0.5 * 1.0 + 0.25 * math.log(4) ** 2, rel=1e-6)


def test_capacity_drops_second_choices_first_and_then_late_tokens():
    experts = torch.tensor([[0, 1], [0, 1], [1, 0], [0, 1]])  # four tokens, first and second choices
    plan = dispatch(experts, 2, capacity=3)
    # Expert 0: first choices of tokens 0, 1, 3, then the second of token 2. Expert 1: token 2, then seconds of 0, 1, 3.
    assert plan.counts.tolist() == [3, 3]
    assert plan.assignments.tolist() == [0, 1, 3, 2, 4, 5]
    assert dispatch(experts, 2, None).counts.tolist() == [4, 4]


def test_a_token_over_capacity_is_left_to_the_residual():
    layer = sparse_layer(num_experts=2, top_k=1, capacity_factor=1.0)
    with torch.no_grad():
        layer.router.weight.zero_()
        layer.router.weight[0] = 1.0
    x = tokens(1, 6).abs()  # all of them prefer expert 0, which has 3 places
    assert expert_capacity(6, layer.settings, training=True) == 3
    out, routing = layer(x)
    assert routing.dropped.item() == pytest.approx(0.5)
    assert routing.load.tolist() == [1.0, 0.0]
    assert (out[0, 3:] == 0).all()
    assert (out[0, :3] != 0).any(dim=1).all()
    everything, routing = layer.eval()(x)
    assert routing.dropped == 0
    assert (everything[0] != 0).any(dim=1).all()


def test_router_stays_in_fp32_under_autocast():
    layer = sparse_layer()
    with torch.autocast("cpu", torch.bfloat16):
        choice = layer.router(tokens().flatten(0, 1).bfloat16())
        out, _ = layer(tokens().bfloat16())
    assert choice.gates.dtype is torch.float32
    assert choice.routing.z.dtype is torch.float32
    assert out.dtype is torch.bfloat16


def test_expert_dropout_acts_in_training_only():
    layer = sparse_layer(dropout=0.5)
    x = tokens()
    torch.manual_seed(0)
    assert not torch.equal(layer(x)[0], layer(x)[0])
    layer.eval()
    assert torch.equal(layer(x)[0], layer(x)[0])


def test_the_router_learns_through_its_gates():
    for values in ({"top_k": 2}, {"top_k": 1}):
        layer = sparse_layer(**values)
        layer(tokens())[0].square().sum().backward()
        assert layer.router.weight.grad.abs().max() > 1e-4


def test_grouped_matmul_equals_the_grouped_kernel():
    counts = torch.tensor([3, 0, 5, 2])
    x = torch.randn(10, 16, generator=torch.Generator().manual_seed(0))
    weights = torch.randn(4, 16, 32, generator=torch.Generator().manual_seed(1))
    kernel = F.grouped_mm(x, weights, offs=counts.cumsum(0).to(torch.int32))
    torch.testing.assert_close(grouped_matmul(x, weights, counts), kernel, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("capacity", [None, 0.5, 1.25])
def test_padding_meets_no_expert(capacity):
    """Results, statistics and gradients of the real tokens are those of a batch without padding, bit for bit."""
    layer = sparse_layer(capacity_factor=capacity).train()
    x = tokens()
    real = torch.rand(3, 7, generator=torch.Generator().manual_seed(2)) < 0.6
    alone, expected = layer(x[real][None])
    gradients = torch.autograd.grad(alone.square().sum() + expected.balance + expected.z, list(layer.parameters()))
    padded = torch.where(real[..., None], x, 100.0)  # whatever padding holds
    found, routing = layer(padded, find_real_tokens(real))
    assert torch.equal(found[real], alone[0])
    assert not found[~real].any()
    for name, value in expected._asdict().items():
        assert torch.equal(getattr(routing, name), value), name
    again = torch.autograd.grad(found.square().sum() + routing.balance + routing.z, list(layer.parameters()))
    assert all(torch.equal(a, b) for a, b in zip(gradients, again, strict=True))
    assert find_real_tokens(torch.ones(2, 3, dtype=torch.bool)) is None


SPARSE = {"vocab_size": 256, "hidden_size": 32, "layers": 2, "heads": 4, "init_std": 0.1, "experts": {"every": 1}}


def test_a_padded_batch_of_a_decoder_has_the_loss_of_its_tokens():
    """Padding is marked as denoising marks it: document id -1, weight 0."""
    model = build_decoder(ModelSettings.model_validate({**SPARSE, "context_length": 128}), 1).train()
    generator = torch.Generator().manual_seed(0)
    rows, targets = torch.randint(1, 256, (2, 4, 32), generator=generator)
    found = []
    for padding in (0, 96):
        wide = [F.pad(values, (0, padding)) for values in (rows, targets)]
        ids = F.pad(torch.zeros(4, 32, dtype=torch.int32), (0, padding), value=PADDING)
        out = model(*wide, ids != PADDING, document_ids=ids)
        found.append((out.loss, out.routing.balance, out.routing.z, out.routing.load, out.routing.dropped))
    for plain, padded in zip(*found, strict=True):
        torch.testing.assert_close(padded, plain, rtol=1e-5, atol=1e-6)


def test_a_padded_batch_of_an_encoder_decoder_has_the_loss_of_its_tokens():
    model = EncoderDecoder(ModelSettings.model_validate({**SPARSE, "encoder_layers": 2})).train()
    initialize_weights(model, 0)
    generator = torch.Generator().manual_seed(0)
    source, rows, targets = torch.randint(1, 256, (3, 4, 16), generator=generator)
    found = []
    for padding in (0, 48):
        wide = [F.pad(values, (0, padding)) for values in (source, rows, targets)]
        ids = F.pad(torch.zeros(4, 16, dtype=torch.int32), (0, padding), value=PADDING)
        out = model(*wide, ids != PADDING, source_ids=ids, token_ids=ids)
        found.append((out.loss, out.routing.balance, out.routing.z, out.routing.load, out.routing.dropped))
    for plain, padded in zip(*found, strict=True):
        torch.testing.assert_close(padded, plain, rtol=1e-5, atol=1e-6)


def test_denoising_marks_the_padding_of_both_sides():
    texts = torch.randint(1, 40, (3, 21), generator=torch.Generator().manual_seed(0))
    lengths = torch.zeros(3, 20)
    batch = Batch(texts[:, :-1], texts[:, 1:], lengths.int(), lengths.long(), lengths == 0)
    settings = ObjectiveSettings.model_validate({"denoisers": [{"noise": "prefix"}], "first_sentinel": 50})
    inputs = denoising_inputs(batch, settings, 256, True, (0, 0), 0)
    assert bool((inputs["source_ids"] < 0).any())
    assert torch.equal(inputs["token_ids"] >= 0, inputs["weights"])
