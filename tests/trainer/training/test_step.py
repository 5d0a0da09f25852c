"""step and optimizer: accumulation equals the large batch; clipping, decay and AdamW."""

from __future__ import annotations

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from tests.trainer import runs
from tests.trainer.runs import build_decoder
from trainer.model.decoder import Decoder
from trainer.tasks.pretrain import causal_inputs
from trainer.training.distributed import World
from trainer.training.optimizer import OptimizerSettings, build_optimizer, clip_gradients, set_learning_rate
from trainer.training.step import Inputs, accumulate, evaluate_loss

ALONE = World(0, 1, torch.device("cpu"))


def model(**values: object) -> Decoder:
    return build_decoder(runs.settings(model=values).model, seed=1)


def uneven(rows: int = 4) -> list[Inputs]:
    """Rows of which very different numbers of tokens count, as in fine-tuning."""
    batch = runs.source(batch_size=rows).batch(0)
    for row, count in enumerate((32, 3, 17, 1)):
        batch.loss_mask[row, count:] = False
    return [causal_inputs(part) for part in batch.split(1)]


def join_inputs(parts: list[Inputs]) -> list[Inputs]:
    return [{name: torch.cat([part[name] for part in parts]) for name in parts[0]}]


def gradients(net: Decoder) -> torch.Tensor:
    flat = torch.cat([weight.grad.flatten() for weight in net.parameters()])
    net.zero_grad()
    return flat


@pytest.mark.parametrize(
    "experts",
    [None, {"num_experts": 4, "every": 2, "capacity_factor": None, "router_aux_loss_coef": 0, "router_z_loss_coef": 0}],
)
def test_accumulation_equals_the_large_batch(experts):
    net = model(experts=experts)
    parts = uneven()
    apart = accumulate(net, parts, ALONE, experts=net.settings.experts)
    found = gradients(net)
    together = accumulate(net, join_inputs(parts), ALONE, experts=net.settings.experts)
    expected = gradients(net)
    assert apart.tokens == together.tokens == 53
    assert apart.loss == pytest.approx(together.loss, rel=1e-6)
    assert ((found - expected).norm() / expected.norm()).item() < 1e-6
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)
    if experts is None:
        means = 0
        for part in parts:
            out = net(**part)
            (out.loss / part["weights"].sum() / len(parts)).backward()
            means += float(out.loss / part["weights"].sum() / len(parts))
        wrong = gradients(net)
        assert ((wrong - expected).norm() / expected.norm()).item() > 0.4  # a mean of means differs


def test_the_routers_losses_are_part_of_the_gradient():
    settings = {"num_experts": 4, "every": 2, "capacity_factor": None}
    grads = []
    for balance in (0.0, 10.0):
        net = model(experts={**settings, "router_aux_loss_coef": balance})
        found = accumulate(net, uneven(), ALONE, experts=net.settings.experts)
        assert found.routing.load.shape == (1, 4)
        assert found.routing.load.sum().item() == pytest.approx(1.0)
        grads.append(net.blocks[1].feed_forward.router.weight.grad.norm().item())
    assert grads[1] > 2 * grads[0]


def test_a_batch_without_counted_tokens_has_no_gradient():
    parts = uneven()
    for part in parts:
        part["weights"] = torch.zeros_like(part["weights"])
    net = model()
    found = accumulate(net, parts, ALONE)
    assert (found.loss, found.tokens) == (0.0, 0)
    assert gradients(net).abs().max() == 0


def test_clipping_bounds_the_norm_and_reports_it():
    net = model()
    accumulate(net, uneven(), ALONE)
    before = gradients(net)
    accumulate(net, uneven(), ALONE)
    norm = clip_gradients(net, 0.01)
    assert norm == pytest.approx(before.norm().item(), rel=1e-5)
    torch.testing.assert_close(gradients(net), before * (0.01 / norm), rtol=1e-4, atol=1e-8)


def test_decay_shrinks_matrices_alone():
    net = model(tie_embeddings=False)
    optimizer = build_optimizer(net, OptimizerSettings(weight_decay=0.5))
    set_learning_rate(optimizer, 0.1)
    before = {name: weight.detach().clone() for name, weight in net.named_parameters()}
    for weight in net.parameters():
        weight.grad = torch.zeros_like(weight)
    optimizer.step()
    for name, weight in net.named_parameters():
        kept = weight.ndim < 2 or name == "embedding.weight"
        torch.testing.assert_close(weight, before[name] * (1.0 if kept else 0.95))
    decayed = build_optimizer(net, OptimizerSettings(decay_embedding=True)).param_groups[0]["params"]
    assert any(weight is net.embedding.weight for weight in decayed)


def test_adamw_equals_its_formula():
    net = model()
    optimizer = build_optimizer(net, OptimizerSettings(beta1=0.8, beta2=0.9, eps=1e-6, weight_decay=0.2))
    assert optimizer.defaults["fused"]
    set_learning_rate(optimizer, 0.05)
    weight = net.blocks[0].attention.out.weight
    w, m, v = weight.detach().clone().double(), torch.zeros(()), torch.zeros(())
    for step in (1, 2, 3):
        accumulate(net, uneven(), ALONE)
        g = weight.grad.double()
        m, v = 0.8 * m + 0.2 * g, 0.9 * v + 0.1 * g**2
        w = w - 0.05 * (0.2 * w + m / (1 - 0.8**step) / ((v / (1 - 0.9**step)).sqrt() + 1e-6))
        optimizer.step()
        net.zero_grad()
    torch.testing.assert_close(weight.double(), w, rtol=1e-4, atol=1e-5)


def test_evaluating_costs_one_forward_pass():
    """Counted by torch: as many products as hidden states and full logits, and half of a training step's or less."""
    net = model()
    part = uneven()[0]
    with FlopCounterMode(display=False) as forward, torch.no_grad():
        net.eval()(**{**part, "targets": None, "weights": None})
    with FlopCounterMode(display=False) as evaluated:
        evaluate_loss(net, [part], ALONE)
    assert evaluated.get_total_flops() == forward.get_total_flops()
