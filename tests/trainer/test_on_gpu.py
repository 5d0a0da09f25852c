"""What only a GPU runs: compiled masks, the grouped kernel, fp8, runs that resume there. Skipped without one.

    python -m pytest tests/trainer/test_on_gpu.py

Kernels are compared with plain operations on the same GPU, runs and answers with those of its CPU.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch._dynamo.utils import counters

from tests.trainer import runs
from tests.trainer.model.test_attention import packed
from tests.trainer.training.test_checkpoint import assert_equal_runs
from trainer.model.attention import BLOCK, attend, attention_mask, dense_mask
from trainer.model.build import blocks_of
from trainer.model.experts import grouped_matmul
from trainer.model.model_settings import ModelSettings
from trainer.rollouts.generate import GenerateSettings, generate
from trainer.training.metrics import read_metrics
from trainer.training.saved_model import load_decoder

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")

SHAPE = {"hidden_size": 64, "layers": 2, "heads": 4, "kv_heads": 2, "context_length": 64}
TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 1e-2}
DENOISING = {"denoisers": [{}], "first_sentinel": 50, "sentinels": 10}
COMMAND = """
import json, sys
from pathlib import Path
from tests.trainer import runs
runs.run(Path(sys.argv[1]), json.loads(sys.argv[2]))
"""


def documents(rows: int, length: int, seed: int) -> torch.Tensor:
    """Ids of documents of 1 to 150 tokens, int32 [rows, length]."""
    return packed(rows, length, 150, seed).cuda()


def difference(found: torch.Tensor, expected: torch.Tensor) -> float:
    """Relative to the norm of what is expected."""
    found, expected = found.detach().double(), expected.detach().double()
    return float((found - expected).norm() / expected.norm())


def train(out: Path, changes: dict[str, object], *, gpu: bool) -> list[float]:
    """The losses of a run in a process of its own, which finds the GPU or does not."""
    environment = os.environ if gpu else {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, "-c", COMMAND, str(out), json.dumps(changes)]
    subprocess.run(command, cwd=Path(__file__).parents[2], env=environment, check=True)
    return [row["loss"] for row in read_metrics(out)]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("prefix", [None, (40, 250)])
@pytest.mark.parametrize("length", [3 * BLOCK, 300])
def test_the_compiled_mask_equals_the_dense_one(dtype, prefix, length):
    generator = torch.Generator().manual_seed(1)
    q, k, v = (
        torch.randn(2, heads, length, 32, generator=generator).to("cuda", dtype).requires_grad_() for heads in (4, 2, 2)
    )
    ids, first = documents(2, length, seed=2), None if prefix is None else torch.tensor(prefix).cuda()
    found = attend(q, k, v, attention_mask(ids, first))
    exact = attend(*(x.double() for x in (q, k, v)), dense_mask(ids, ids, first))
    assert difference(found, exact) < TOLERANCE[dtype]
    gradients = torch.autograd.grad(found.float().square().sum(), (q, k, v))
    for one, right in zip(gradients, torch.autograd.grad(exact.square().sum(), (q, k, v)), strict=True):
        assert difference(one, right) < 4 * TOLERANCE[dtype]


@pytest.mark.parametrize("checkpointing", [False, True])
def test_other_documents_compile_nothing_new(checkpointing):
    torch._dynamo.reset()
    model = runs.build_decoder(ModelSettings(vocab_size=64, **{**SHAPE, "context_length": 512})).cuda()
    model.activation_checkpointing = checkpointing
    for block in blocks_of(model):
        block.compile()
    tokens = torch.randint(64, (2, 512), generator=torch.Generator().manual_seed(0)).cuda()
    graphs, losses = [], []
    for seed in range(6):
        with torch.autocast("cuda", torch.bfloat16):
            loss = model(tokens, tokens, document_ids=documents(2, 512, seed)).loss
        loss.backward()
        graphs.append(counters["stats"]["unique_graphs"])
        losses.append(float(loss.detach()))
    assert graphs == [graphs[0]] * 6
    assert len(set(losses)) == 6  # each by its own documents


@pytest.mark.parametrize("counts", [(5, 0, 40, 19), (0, 0, 0, 64)])
def test_the_grouped_kernel_equals_a_loop(counts):
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(64, 32, generator=generator).to("cuda", torch.bfloat16).requires_grad_()
    weights = torch.randn(4, 32, 48, generator=generator).to("cuda", torch.bfloat16).requires_grad_()
    number = torch.tensor(counts).cuda()
    found, exact = grouped_matmul(x, weights, number), grouped_matmul(x.double(), weights.double(), number)
    assert difference(found, exact) < 1e-2
    gradients = torch.autograd.grad(found.float().square().sum(), (x, weights))
    for one, right in zip(gradients, torch.autograd.grad(exact.square().sum(), (x, weights)), strict=True):
        assert difference(one, right) < 2e-2


@pytest.mark.parametrize(
    "changes",
    [
        {"loop": {"compile": True}},
        {"loop": {"compile": True, "activation_checkpointing": True}},
        {"optimizer": {"algorithm": "muon"}, "loop": {"compile": True}},
        {"model": {"experts": {"num_experts": 4, "every": 2}}},
        {"model": {"encoder_layers": 2, "kv_heads": None}, "objective": DENOISING},
    ],
    ids=["compiled", "recomputed", "muon", "sparse", "encoder-decoder"],
)
def test_a_run_learns_what_it_learns_on_a_cpu(tmp_path, changes):
    changes = {**changes, "model": {**SHAPE, **changes.get("model", {})}}
    plain = {**changes, "loop": {}}
    on_gpu, on_cpu = train(tmp_path / "gpu", changes, gpu=True), train(tmp_path / "cpu", plain, gpu=False)
    assert on_gpu == pytest.approx(on_cpu, rel=5e-3)
    assert on_gpu[-1] < 0.9 * on_gpu[0]


@pytest.mark.parametrize("precision", ["bfloat16", "float8"])
def test_lower_precision_learns_nearly_what_fp32_learns(tmp_path, precision):
    if precision == "float8" and torch.cuda.get_device_capability() < (8, 9):
        pytest.skip("this GPU has no fp8 products")
    chosen = {"loop": {"steps": 60, "precision": precision, "compile": True}, "model": SHAPE}
    exact = {"loop": {"steps": 60, "precision": "float32"}, "model": SHAPE}
    low, high = train(tmp_path / "low", chosen, gpu=True), train(tmp_path / "high", exact, gpu=True)
    assert low != high
    assert sum(low[-10:]) == pytest.approx(sum(high[-10:]), rel=0.03)


def test_a_deterministic_run_resumes_bitwise(tmp_path):
    experts = {"num_experts": 4, "every": 2, "dropout": 0.3}
    changes = {"model": {**SHAPE, "experts": experts}, "loop": {"deterministic": True}}
    train(tmp_path / "whole", changes, gpu=True)
    shutil.copytree(tmp_path / "whole", tmp_path / "resumed")
    for step in (8, 12):
        shutil.rmtree(tmp_path / "resumed" / "checkpoints" / f"step-{step:08d}")
    train(tmp_path / "resumed", changes, gpu=True)
    assert_equal_runs(tmp_path / "resumed", tmp_path / "whole")


def test_answers_are_those_of_a_cpu(tmp_path):
    changes = {"loop": {"steps": 40}, "model": SHAPE}
    train(tmp_path, changes, gpu=True)
    greedy = GenerateSettings(max_new_tokens=24, temperature=0)
    prompts = [[0, 5, 6, 7], [0], [0, 30, 31, 32, 33, 34]]
    answers = [generate(load_decoder(tmp_path, device), prompts, greedy) for device in ("cuda", "cpu")]
    assert answers[0] == answers[1]
    assert len(set(answers[0][0])) > 3
