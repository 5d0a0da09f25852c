"""Learning from rewards against the exact optimum, which is known where all answers can be enumerated."""

from __future__ import annotations

import itertools
import json
import math
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist
from pydantic import ValidationError
from torch.distributed.fsdp import FSDPModule
from torch.utils.checkpoint import checkpoint as torch_checkpoint

from tests.trainer.corpora import build_corpus
from tests.trainer.ranks import run_ranks
from tests.trainer.runs import build_decoder
from trainer.config import ConfigError
from trainer.data.batches import BatchSettings, BatchSource
from trainer.losses.policy import clipped_policy_loss
from trainer.model import decoder as decoder_module
from trainer.model.build import build_policy_and_value
from trainer.model.decoder import Decoder
from trainer.model.lora import LoraSettings
from trainer.model.model_settings import ModelSettings
from trainer.model.weights import fill_weight
from trainer.rollouts.prompts import Prompt
from trainer.tasks import policy as policy_module
from trainer.tasks.policy import PolicyTask, check_policy, learn_from_rewards
from trainer.tasks.policy_settings import PolicySettings
from trainer.tasks.pretrain import causal_inputs
from trainer.training import checkpoint
from trainer.training.distributed import World, build_world
from trainer.training.mesh import MeshShape
from trainer.training.metrics import read_metrics
from trainer.training.parallelize import parallelize
from trainer.training.saved_model import load_decoder
from trainer.training.step import Replica

MODEL = ModelSettings(vocab_size=4, vocab_multiple=1, hidden_size=16, layers=1, heads=2, context_length=8, init_std=0.3)
LOOP = {"precision": "float32", "threads": 1, "log_every": 1000}
STOP, LENGTH, PROMPT = 3, 3, (0, 1)
ANSWERS = [(*body, STOP) for n in range(LENGTH) for body in itertools.product(range(3), repeat=n)] + list(
    itertools.product(range(3), repeat=LENGTH)
)  # with an end, or ended by the limit


def reward_of(tokens: tuple[int, ...]) -> float:
    """Rewards depend on all of an answer, not on single tokens."""
    body = [token for token in tokens if token != STOP]
    return 0.8 * (len(body) == 2) + 0.5 * (body[:1] == [1]) - 0.4 * (body[-1:] == [0])


class FakeStart:
    """The untrained model as the start of a run, without files."""

    path = Path("none")
    digest = "start"
    settings = MODEL

    tokenizer = SimpleNamespace(control={"<|end|>": STOP}, json="{}")

    def fill(self, model: torch.nn.Module) -> None:
        source = dict(build_decoder(MODEL, seed=4).named_parameters())
        for name, weight in model.named_parameters():
            if name in source and name != "head.weight":
                fill_weight(weight, source[name].detach())


@torch.no_grad()
def answer_log_probs(model: Decoder) -> torch.Tensor:
    """Of every answer, in fp64 [answers]."""
    found = []
    for answer in ANSWERS:
        row = torch.tensor([[*PROMPT, *answer]])
        logs = model(row).logits[0, len(PROMPT) - 1 : -1, :4].double().log_softmax(-1)
        found.append(float(logs.gather(1, torch.tensor(answer)[:, None]).sum()))
    return torch.tensor(found, dtype=torch.float64)


def optimum(coefficient: float) -> tuple[float, float]:
    """Reward and KL divergence of the best policy: the start's, times exp(reward / coefficient)."""
    reference = answer_log_probs(build_decoder(MODEL, seed=4))
    rewards = torch.tensor([reward_of(answer) for answer in ANSWERS], dtype=torch.float64)
    best = (reference + rewards / coefficient).log_softmax(0)
    return float((best.exp() * rewards).sum()), float((best.exp() * (best - reference)).sum())


def train_policy(
    out: Path,
    steps: int,
    changes: dict[str, Any],
    value: ModelSettings | None = None,
    mix: BatchSource | None = None,
    **tables: dict[str, Any],
) -> Decoder:
    settings = PolicySettings.model_validate(
        {
            "model": MODEL,
            "value_model": value,
            "prompts": {"batch_size": 1, "seed": 3},
            "rollout": {"samples": 128, "max_new_tokens": LENGTH},
            "policy": {"average": "answers", **changes},
            "optimizer": {"beta2": 0.99, "weight_decay": 0.0},
            "schedule": {"learning_rate": 1e-2, "warmup_steps": 5, "shape": "linear", "min_ratio": 0.02},
            "loop": {**LOOP, "steps": steps},
            "checkpoints": {"every": 1000},
            "anomalies": {"spike": "report"},
            **tables,
        }
    )

    def reward(prompts: Any, answers: Any) -> list[float]:
        return [reward_of(tuple(answer)) for answer in answers]

    start: Any = FakeStart()
    prompts, value_start = (Prompt(PROMPT, "p", None),), start if value else None
    task = PolicyTask(settings, start, prompts, reward, "r", value_start=value_start, mix=mix)
    learn_from_rewards(task, out, log=lambda _: None)
    return load_decoder(out)


@pytest.fixture(autouse=True)
def _without_tokenizer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policy_module, "tokenizer_texts", lambda tokenizer: {})


def assert_is_optimal(model: Decoder, coefficient: float) -> None:
    policy, reference = answer_log_probs(model), answer_log_probs(build_decoder(MODEL, seed=4))
    rewards = torch.tensor([reward_of(answer) for answer in ANSWERS], dtype=torch.float64)
    assert float(policy.exp().sum()) == pytest.approx(1, abs=1e-5)  # all answers are enumerated
    best_reward, best_kl = optimum(coefficient)
    assert float((policy.exp() * rewards).sum()) == pytest.approx(best_reward, abs=0.03)
    assert float((policy.exp() * (policy - reference)).sum()) == pytest.approx(best_kl, abs=0.1)


def pretraining_text() -> BatchSource:
    corpus = build_corpus([[0, 1, 2, 3, 1, 2], [3, 3, 1, 0, 2, 1, 0]])
    return BatchSource(corpus, BatchSettings(batch_size=2, sequence_length=4, max_repetitions=None))


def gradients(mix: BatchSource | None, weight: float = 0.5) -> tuple[dict[str, torch.Tensor], dict[str, float]]:
    """Of the first step, from the start's weights."""
    values = {
        "prompts": {"batch_size": 1},
        "rollout": {"samples": 128, "max_new_tokens": LENGTH, "unfinished_penalty": 2},
    }
    settings = PolicySettings.model_validate({"model": MODEL, "policy": {"pretraining_weight": weight}, **values})
    start: Any = FakeStart()
    rewards: list[float] = []

    def reward(prompts: Any, answers: Any) -> list[float]:
        rewards.extend(reward_of(tuple(answer)) for answer in answers)
        return rewards

    task = PolicyTask(settings, start, (Prompt(PROMPT, "p", None),), reward, "r", mix=mix)
    model = build_decoder(MODEL, seed=4)
    numbers = task.add_gradient(0, Replica(model, World(0, 1, torch.device("cpu")), False)).numbers
    assert numbers["reward"] == pytest.approx(np.mean(rewards) - 2 * numbers["unfinished"])  # without an end, less
    return {name: weight.grad for name, weight in model.named_parameters() if weight.grad is not None}, numbers


def test_pretraining_text_adds_its_gradient():
    mix = pretraining_text()
    alone, _ = gradients(None)
    both, numbers = gradients(mix)
    model, inputs = build_decoder(MODEL, seed=4), causal_inputs(mix.batch(0))
    loss = model(**inputs).loss / inputs["weights"].sum()
    loss.backward()
    assert numbers["pretraining_loss"] == pytest.approx(float(loss.detach()), rel=1e-6)
    assert 0 < numbers["unfinished"] < 1
    for name, weight in model.named_parameters():
        torch.testing.assert_close(both[name], alone[name] + 0.5 * weight.grad, rtol=1e-4, atol=1e-6)


def sample_on_ranks(ranks: int) -> list[Any]:
    """The answers of a step's rollout, those of all ranks together."""
    settings = PolicySettings.model_validate(
        {"model": MODEL, "prompts": {"batch_size": 4, "seed": 1}, "rollout": {"samples": 4, "max_new_tokens": LENGTH}}
    )
    prompts = tuple(Prompt(tokens, str(tokens), None) for tokens in [(0, 1), (2, 1), (0, 1, 2), (1,), (2, 2)])
    start: Any = FakeStart()
    task = PolicyTask(settings, start, prompts, lambda asked, answers: [0.0] * len(answers), "r")
    found = []
    for rank in range(ranks):
        world = World(rank, 1, torch.device("cpu"), MeshShape(data=ranks))  # alone: nothing is summed over ranks
        task.add_gradient(5 * settings.policy.steps_per_rollout, Replica(build_decoder(MODEL, seed=4), world, False))
        assert task.memory.rollout is not None
        found += [(answer.prompt, answer.tokens) for answer in task.memory.rollout.answers]
    return found


def test_any_number_of_ranks_samples_the_same_answers():
    whole = sample_on_ranks(1)
    assert len(set(whole)) > 6  # answers differ
    assert sample_on_ranks(2) == whole
    assert sample_on_ranks(4) == whole


def test_the_coefficient_follows_the_divergence(tmp_path):
    train_policy(tmp_path, 12, {"kl": 0.05, "kl_target": 0.02, "kl_horizon": 2.0})
    rows = read_metrics(tmp_path)
    for before, after in itertools.pairwise(rows):  # Ziegler et al. 2019, section 2.2
        error = min(max(before["kl"] / 0.02 - 1, -0.2), 0.2)
        assert after["kl_coefficient"] == pytest.approx(before["kl_coefficient"] * (1 + error / 2.0))
    assert rows[-1]["kl_coefficient"] > rows[1]["kl_coefficient"]  # rewards drive the policy away


@pytest.mark.parametrize(
    ("coefficient", "baseline"), [(0.2, "group"), (0.5, "group"), (1.0, "group"), (0.5, "leave_one_out")]
)
def test_grpo_reaches_the_exact_optimum(tmp_path, coefficient, baseline):
    model = train_policy(tmp_path, 120, {"kl": coefficient, "baseline": baseline})
    assert_is_optimal(model, coefficient)


VALUE = MODEL.model_copy(update={"scalar_head": True})
PPO = {"algorithm": "ppo", "epochs": 2, "smoothing": 1.0, "whiten": False, "value_weight": 0.5, "value_clip": "off"}


@pytest.mark.parametrize(
    ("coefficient", "changes"),
    [(0.2, {}), (0.5, {}), (1.0, {}), (0.5, {"whiten": True, "value_clip": 0.2, "smoothing": 0.95})],
    ids=["0.2", "0.5", "1.0", "as by default"],
)
def test_ppo_reaches_the_exact_optimum(tmp_path, coefficient, changes):
    model = train_policy(tmp_path, 160, PPO | {"kl": coefficient, **changes}, VALUE)
    assert_is_optimal(model, coefficient)
    rows = read_metrics(tmp_path)
    assert rows[0]["clipped"] == 0
    assert rows[0]["kl"] == pytest.approx(0, abs=1e-6)
    assert math.isfinite(rows[-1]["entropy"])


def test_adapters_reach_the_optimum_near_the_start_that_they_leave_alone(tmp_path):
    """The reference is the policy without its adapters: were it the policy, nothing would hold that back."""
    lora = LoraSettings(rank=8, alpha=16.0)
    model, value = (settings.model_copy(update={"lora": lora}) for settings in (MODEL, VALUE))
    found = train_policy(tmp_path, 160, PPO | {"kl": 0.5}, value, model=model)
    assert_is_optimal(found, 0.5)
    stored = dict(checkpoint.read_tensors(checkpoint.find_checkpoint(tmp_path), "model"))
    start = dict(build_decoder(MODEL, seed=4).named_parameters())
    for prefix in ("", "value_model."):
        for name in ("embedding.weight", "blocks.0.attention.q.weight", "blocks.0.feed_forward.down.weight"):
            torch.testing.assert_close(stored[prefix + name], start[name].detach(), rtol=0, atol=0)
        assert stored[f"{prefix}blocks.0.feed_forward.down.lora_b"].abs().max() > 0.01
    assert stored["value_model.head.weight"].abs().max() > 0


@pytest.mark.parametrize("value", [None, VALUE], ids=["grpo", "ppo"])
def test_every_ratio_of_the_first_epoch_is_one(tmp_path, monkeypatch, value):
    ratios: list[float] = []

    def record(now: torch.Tensor, before: torch.Tensor, *rest: Any) -> torch.Tensor:
        ratios.append(float((torch.exp(now.detach() - before) - 1).abs().max()))
        return clipped_policy_loss(now, before, *rest)

    monkeypatch.setattr(policy_module, "clipped_policy_loss", record)
    changes = {"algorithm": "ppo" if value else "grpo", "epochs": 2}
    train_policy(tmp_path, 6, changes, value, loop={**LOOP, "steps": 6, "micro_batch_size": 32})
    ratio = np.reshape(ratios, (3, 2, 4))  # rollouts, epochs, micro-batches
    assert ratio[:, 0].max() <= 1e-6
    assert ratio[:, 1].min() > 1e-4


def test_activations_of_both_networks_are_recomputed_without_a_change(tmp_path, monkeypatch):
    recomputed = set()

    def record(block: torch.nn.Module, *inputs: Any, **options: Any) -> Any:
        recomputed.add(block)
        return torch_checkpoint(block, *inputs, **options)

    monkeypatch.setattr(decoder_module, "checkpoint", record)
    for name, again in (("plain", False), ("again", True)):
        loop = {**LOOP, "steps": 3, "activation_checkpointing": again}
        train_policy(tmp_path / name, 3, {"algorithm": "ppo"}, VALUE, loop=loop)
        assert len(recomputed) == 2 * again  # one block each
    assert [row["loss"] for row in read_metrics(tmp_path / "again")] == [
        row["loss"] for row in read_metrics(tmp_path / "plain")
    ]


def train_together(out: Path, **tables: dict[str, Any]) -> None:
    """Six steps, four of each rollout; all that a rank could compute of its own answers alone is on."""
    changes = {"algorithm": "ppo", "kl": 0.2, "kl_target": 0.01, "epochs": 2, "minibatches": 2, "average": "tokens"}
    rollout = {"samples": 16, "max_new_tokens": LENGTH}
    tables |= {"prompts": {"batch_size": 2, "seed": 3}, "checkpoints": {"every": 1, "keep_last": 10}}
    train_policy(out, 6, changes, VALUE, mix=pretraining_text(), rollout=rollout, **tables)


def cut_short(run: Path, copy: Path) -> None:
    """A copy of a run that was killed after the third step, in the midst of a rollout."""
    shutil.copytree(run, copy)
    for path in checkpoint.list_checkpoints(copy / "checkpoints")[3:]:
        shutil.rmtree(path)


def write_units(path: Path) -> None:
    """The names of the modules that two ranks gather one by one (FSDP)."""
    model = build_policy_and_value(MODEL, VALUE)
    parallelize(model, build_world(dist.get_rank(), torch.device("cpu"), MeshShape(shard=2)), bf16=False)
    if dist.get_rank() == 0:
        names = [name for name, module in model.named_modules() if isinstance(module, FSDPModule)]
        path.write_text(json.dumps(names))


RANKS = """
import sys
from pathlib import Path
import torch.distributed as dist
from tests.trainer.tasks import test_policy as here
dist.init_process_group("gloo")
here.policy_module.tokenizer_texts = lambda tokenizer: {}
here.policy_module.compare_stored_tokenizer = lambda stored, tokenizer: None
for name, parallel in {"copies": {"shard": 1}, "shards": {}}.items():
    here.train_together(Path(sys.argv[1]) / name, parallel=parallel)
if dist.get_rank() == 0:
    here.cut_short(Path(sys.argv[1]) / "shards", Path(sys.argv[1]) / "resumed")
dist.barrier()
here.train_together(Path(sys.argv[1]) / "resumed", parallel={})
here.write_units(Path(sys.argv[1]) / "units.json")
dist.destroy_process_group()
"""


def test_two_ranks_sample_and_learn_as_one_process_and_resume_in_a_rollout(tmp_path):
    run_ranks(2, RANKS, tmp_path)
    train_together(tmp_path / "alone")
    alone, copies, shards, resumed = (
        read_metrics(tmp_path / name) for name in ("alone", "copies", "shards", "resumed")
    )
    assert len(alone) == 6
    for ranks in (copies, shards):
        for a, b in zip(alone, ranks, strict=True):
            assert b["loss"] == pytest.approx(a["loss"], rel=1e-4, abs=1e-6)
            assert (b["reward"], b["answer_tokens"]) == (a["reward"], a["answer_tokens"])  # the same answers
            assert b["kl"] == pytest.approx(a["kl"], rel=1e-4, abs=1e-6)
            assert b["kl_coefficient"] == pytest.approx(a["kl_coefficient"], rel=1e-4)
            assert b["tokens"] == a["tokens"]
            assert b["pretraining_loss"] == pytest.approx(a["pretraining_loss"], rel=1e-4)
    assert [(row["loss"], row["ratio"]) for row in resumed] == [(row["loss"], row["ratio"]) for row in shards]
    assert alone[0]["reward"] != alone[-1]["reward"]
    assert alone[0]["kl_coefficient"] != alone[-1]["kl_coefficient"]
    assert {"blocks.0", "value_model.blocks.0"} <= set(json.loads((tmp_path / "units.json").read_text()))


def test_ranks_that_cannot_share_a_rollout_evenly_are_refused():
    settings = PolicySettings.model_validate(
        {"model": MODEL, "prompts": {"batch_size": 4}, "rollout": {"samples": 2}, "policy": {"minibatches": 3}}
    )
    start: Any = FakeStart()
    task = PolicyTask(settings, start, (), lambda asked, answers: [], "r")
    for ranks, fault in (
        (3, r"prompts\.batch_size = 4: 3 ranks"),
        (4, r"policy\.minibatches = 3: 4 ranks .* 8 answers"),
    ):
        with pytest.raises(ConfigError, match=fault):
            task.prepare(0, World(0, ranks, torch.device("cpu"), MeshShape(data=ranks)))
    assert task.prepare(5, World(0, 1, torch.device("cpu"))) == 5


@pytest.mark.parametrize(
    ("tables", "fault"),
    [
        ({"model": MODEL.model_copy(update={"lora": LoraSettings(dropout=0.1)})}, r"model\.lora\.dropout must be 0"),
        ({"rollout": {"samples": 1}}, r"rollout\.samples must be at least 2"),
        ({"prompts": {"batch_size": 1}, "rollout": {"samples": 2}, "policy": {"minibatches": 3}}, "has 2 answers"),
    ],
)
def test_settings_that_cannot_work_together_are_refused(tables, fault):
    with pytest.raises(ConfigError, match=fault):
        check_policy(PolicySettings.model_validate({"model": MODEL, **tables}))


@pytest.mark.parametrize(
    "policy", [{"kl_estimator": "k3"}, {"kl_place": "loss"}, {"kl": 0, "kl_target": 0.1}, {"kl_horizon": 0.1}]
)
def test_settings_of_the_divergence_without_an_effect_are_refused(policy):
    with pytest.raises(ValidationError, match="kl_"):
        PolicySettings.model_validate({"policy": policy})
