"""Post-training on a mesh: two ranks that divide matrices, experts or rows give the losses and weights of one process.

Tolerances are those of tests/trainer/training/test_parallelize.py: only the order of sums differs.
"""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist
from safetensors.torch import load_file, save_file
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import Shard, distribute_tensor

from tests.trainer.ranks import run_ranks
from tests.trainer.runs import build_decoder
from tests.trainer.training.test_parallelize import assert_equal_weights
from trainer.chat.chat_batches import ChatBatches, ChatSettings
from trainer.chat.chat_template import Encoded, EncodedAnswer, EncodedPair
from trainer.chat.pair_batches import PairBatches, PairSettings
from trainer.chat.rated_batches import RatedBatches
from trainer.config import ConfigError
from trainer.model.experts import ExpertSettings
from trainer.model.lora import LoraSettings
from trainer.model.model_settings import ModelSettings
from trainer.model.token_log_probs import token_log_probs
from trainer.model.weights import fill_weight
from trainer.rollouts.prompts import Prompt
from trainer.tasks import policy as policy_module
from trainer.tasks.kto import KtoTask
from trainer.tasks.launch import launch
from trainer.tasks.policy import PolicyTask
from trainer.tasks.policy_settings import PolicySettings
from trainer.tasks.post_training import PostTrainingSettings, check_mesh
from trainer.tasks.preference import PreferenceSettings, PreferenceTask
from trainer.tasks.reward import RewardSettings, RewardTask
from trainer.tasks.sft import SftSettings, SftTask
from trainer.training.metrics import read_metrics

STOP = 3
# Without what a rank decides by its own tokens: capacity and balance.
EXPERTS = ExpertSettings(num_experts=4, every=2, capacity_factor=None, router_aux_loss_coef=0.0)
DENSE = ModelSettings(
    vocab_size=12, vocab_multiple=1, hidden_size=16, layers=2, heads=2, context_length=32, init_std=0.3
)
SPARSE = DENSE.model_copy(update={"experts": EXPERTS, "tie_embeddings": False})
ROUTED = SPARSE.model_copy(update={"experts": EXPERTS.model_copy(update={"router_z_loss_coef": 0.1})})
ADAPTERS = {"lora": LoraSettings(rank=3)}
SCORES = {"scalar_head": True}
TENSOR, EXPERT, SHARD = {"tensor": 2}, {"expert": 2}, {"shard": 2}
# What is learned, the model, and how two ranks divide it.
SCENARIOS: dict[str, tuple[str, ModelSettings, dict[str, int]]] = {
    "sft_tensor": ("sft", ROUTED, TENSOR),
    "sft_adapters_tensor": ("sft", DENSE.model_copy(update=ADAPTERS), TENSOR),
    "dpo_tensor": ("dpo", DENSE, TENSOR),
    "dpo_adapters_expert": ("dpo", SPARSE.model_copy(update=ADAPTERS), EXPERT),
    "kto_shard": ("kto", DENSE, SHARD),  # an answer and one more on each rank: the drift is that of both
    "kto_adapters_tensor": ("kto", DENSE.model_copy(update=ADAPTERS), TENSOR),
    "reward_tensor": ("reward", DENSE.model_copy(update=SCORES), TENSOR),
    "ppo_tensor": ("ppo", DENSE, TENSOR),
    "ppo_adapters_tensor": ("ppo", DENSE.model_copy(update=ADAPTERS), TENSOR),
    "grpo_expert": ("grpo", SPARSE, EXPERT),
}


class FakeStart:
    """An untrained model as the start of a run, without files."""

    path, digest = Path("none"), "start"
    tokenizer = SimpleNamespace(control={"<|end|>": STOP}, json="{}")

    def __init__(self, settings: ModelSettings) -> None:
        self.settings = settings.model_copy(update={"lora": None, "scalar_head": False})

    def fill(self, model: torch.nn.Module) -> None:
        source = dict(build_decoder(self.settings, seed=4).named_parameters())
        for name, weight in model.named_parameters():
            if name in source and weight.shape == source[name].shape:
                fill_weight(weight, source[name].detach())


def text(generator: np.random.Generator, prompt: list[int]) -> Encoded:
    answer = generator.integers(4, 12, generator.integers(2, 12)).tolist()
    return Encoded(np.array([*prompt, *answer], np.int32), np.arange(len(prompt) + len(answer)) >= len(prompt))


def pairs(count: int = 6) -> tuple[EncodedPair, ...]:
    """Of different lengths: rows of an odd length, and rows whose second half is padding."""
    generator = np.random.default_rng(0)
    prompts = [generator.integers(4, 12, generator.integers(2, 6)).tolist() for _ in range(count)]
    return tuple(EncodedPair(text(generator, prompt), text(generator, prompt), 0.0, False) for prompt in prompts)


def build_task(kind: str, model: ModelSettings, parallel: dict[str, int]) -> Any:
    """Three steps of a task on a few texts."""
    start: Any = FakeStart(model)
    values: dict[str, Any] = {
        "model": model,
        "parallel": parallel,
        "optimizer": {"weight_decay": 0.1, "eps": 1e-4},  # small gradients do not make large updates
        "schedule": {"learning_rate": 3e-3, "warmup_steps": 1},
        "loop": {"steps": 3, "micro_batch_size": 1, "precision": "float32", "threads": 1, "validate_every": 3},
        "checkpoints": {"every": 100},
    }
    if kind == "sft":
        batches = ChatBatches(tuple(pair.chosen for pair in pairs()), ChatSettings(batch_size=4, packing=False))
        return SftTask(SftSettings.model_validate(values), start, batches, held_out=batches)
    if kind == "dpo":
        both = PairBatches(pairs(), PairSettings(batch_size=2))
        return PreferenceTask(PreferenceSettings.model_validate(values), start, both, held_out=both)
    if kind == "kto":
        texts = [(text, good) for pair in pairs() for text, good in ((pair.chosen, True), (pair.rejected, False))]
        rated = RatedBatches(tuple(EncodedAnswer(*one) for one in texts), PairSettings(batch_size=4))
        return KtoTask(PreferenceSettings.model_validate(values), start, rated, held_out=rated)
    if kind == "reward":
        both = PairBatches(pairs(), PairSettings(batch_size=2), whole=True)
        return RewardTask(RewardSettings.model_validate(values), start, both, held_out=both)
    values |= {
        "value_model": model.model_copy(update={**SCORES, "heads": 4}) if kind == "ppo" else None,
        "prompts": {"batch_size": 2, "seed": 3},
        "rollout": {"samples": 6, "max_new_tokens": 3},
        "policy": {"algorithm": kind, "epochs": 2, "kl": 0.1},
    }
    values["loop"]["micro_batch_size"] = 6
    prompts = tuple(Prompt(tuple(range(1, 8 + number)), str(number), None) for number in range(2))

    def reward(asked: Any, answers: Any) -> list[float]:
        return [float(sum(answer) % 5) for answer in answers]

    settings = PolicySettings.model_validate(values)
    return PolicyTask(settings, start, prompts, reward, "r", held_out=prompts, value_start=start)


def train(name: str, out: Path, *, divided: bool) -> None:
    kind, model, parallel = SCENARIOS[name]
    policy_module.tokenizer_texts = lambda tokenizer: {}  # type: ignore[assignment]
    launch(build_task(kind, model, parallel if divided else {}), out, log=lambda _: None)


def score_tokens(*, divided: bool) -> dict[str, torch.Tensor]:
    """Values and gradients of `token_log_probs`, with the head divided among the ranks or whole."""
    generator = torch.Generator().manual_seed(0)
    hidden, head = torch.randn(37, 8, generator=generator), torch.randn(50, 8, generator=generator) * 2
    targets = torch.randint(0, 50, (37,), generator=generator)
    weights, others = torch.randn(37, generator=generator), torch.randn(37, generator=generator)
    hidden.requires_grad_()
    if divided:
        head = distribute_tensor(head, init_device_mesh("cpu", (dist.get_world_size(),)), [Shard(0)])
    head = head.detach().requires_grad_()
    found = token_log_probs(hidden, head, targets)
    (found.log_probs * weights + found.entropies * others).sum().backward()
    assert hidden.grad is not None
    assert head.grad is not None
    if divided:
        dist.all_reduce(hidden.grad)
    gradient = head.grad.full_tensor() if divided else head.grad  # type: ignore[attr-defined]
    return {**found._asdict(), "hidden": hidden.grad, "head": gradient}


def score_on_ranks(path: Path) -> None:
    found = {name: tensor.detach().contiguous() for name, tensor in score_tokens(divided=True).items()}
    if dist.get_rank() == 0:
        save_file(found, path)


SCRIPT = """
import sys
from pathlib import Path
import torch.distributed as dist
from tests.trainer.tasks import test_meshes as here
dist.init_process_group("gloo")
here.score_on_ranks(Path(sys.argv[1]) / "scores.safetensors")
for name in here.SCENARIOS:
    here.train(name, Path(sys.argv[1]) / name, divided=True)
dist.destroy_process_group()
"""


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with what two ranks computed."""
    out = tmp_path_factory.mktemp("ranks")
    run_ranks(2, SCRIPT, out)
    return out


def test_a_head_that_is_divided_by_vocabulary_scores_as_a_whole_one(ranks):
    found = load_file(ranks / "scores.safetensors")
    for name, expected in score_tokens(divided=False).items():
        torch.testing.assert_close(found[name], expected, rtol=1e-4, atol=1e-5, msg=lambda text, name=name: name + text)


@pytest.mark.parametrize("name", SCENARIOS)
def test_two_ranks_learn_as_one_process(ranks, tmp_path, name):
    train(name, tmp_path, divided=False)
    assert_equal_weights(ranks / name, tmp_path)
    for whole, divided in zip(read_metrics(tmp_path), read_metrics(ranks / name), strict=True):
        assert divided["tokens"] == whole["tokens"]
        assert divided["loss"] == pytest.approx(whole["loss"], rel=1e-4, abs=1e-6)
        assert divided["gradient_norm"] == pytest.approx(whole["gradient_norm"], rel=1e-3)
        for key in ("reward", "answer_tokens") if name == "ppo_tensor" else ():
            assert divided[key] == whole[key]  # the same answers
        if name == "kto_shard":
            assert divided["drift"] == pytest.approx(whole["drift"], rel=1e-4, abs=1e-6)
        assert divided.get("validation", {}) == pytest.approx(whole.get("validation", {}), rel=1e-4, abs=1e-6)


@pytest.mark.parametrize(
    ("changes", "parallel", "fault"),
    [
        ({"heads": 3}, TENSOR, r"model\.kv_heads = 3 cannot be divided among parallel\.tensor = 2"),
        ({}, EXPERT, r"parallel\.expert is above 1 and the model has no experts"),
        ({"lora": LoraSettings(dropout=0.1)}, TENSOR, r"model\.lora\.dropout"),
    ],
)
def test_axes_that_do_not_divide_the_model_are_refused(changes, parallel, fault):
    model = DENSE.model_copy(update={"hidden_size": 12, **changes})
    settings = PostTrainingSettings.model_validate({"model": model, "parallel": parallel})
    with pytest.raises(ConfigError, match=fault):
        check_mesh(settings)
