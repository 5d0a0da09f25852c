"""Learning from rewards: answers are sampled, rewarded, and made more or less likely than they were."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from torch.nn.parallel import DistributedDataParallel
from tqdm import tqdm

from trainer.chat.chat_template import END
from trainer.config import ConfigError
from trainer.data.batches import BatchSource
from trainer.losses.policy import (
    adapt_coefficient,
    clipped_policy_loss,
    clipped_value_loss,
    estimate_kl,
    generalized_advantages,
    group_advantages,
    whiten,
)
from trainer.model.build import build_model, build_policy_and_value
from trainer.model.decoder import Decoder
from trainer.model.model_settings import ModelSettings
from trainer.model.policy_and_value import PolicyAndValue
from trainer.model.size import count_flops_per_token, count_parameters
from trainer.model.weights import fill_weight, initialize_weights
from trainer.rollouts.generate import GenerateSettings, hash_seed
from trainer.rollouts.policy_rollouts import Answer, RewardFunction, Rollout, join_rollouts, sample_rollout
from trainer.rollouts.prompts import Prompt
from trainer.rollouts.shared_prompts import AnswerOutput, read_answers
from trainer.tasks.launch import launch
from trainer.tasks.policy_settings import Average, KlPlace, PolicyAlgorithm, PolicySettings
from trainer.tasks.post_training import Reference, check_mesh
from trainer.tasks.pretrain import causal_inputs
from trainer.tasks.start_model import StartModel, compare_stored_tokenizer, tokenizer_texts
from trainer.tasks.summed_losses import accumulate_sums, to_device
from trainer.training.distributed import World, full_tensor, gather_from_readers
from trainer.training.loop import TrainingResult
from trainer.training.step import Inputs, Replica, autocast
from trainer.training.task import StepGradient, Workload

MEASURED = ("log_probs", "reference", "values", "advantages", "returns")


@dataclass
class RolloutMemory:
    """What a run keeps from step to step beside its weights."""

    coefficient: float  # of the KL penalty
    rollout: Rollout | None = None  # learned from at present: the answers of all ranks, on each of them


@dataclass(frozen=True)
class PolicyTask:
    """The task of earning rewards (see `trainer.training.task`); step s belongs to rollout s // steps_per_rollout."""

    settings: PolicySettings
    start: StartModel
    prompts: tuple[Prompt, ...]
    reward: RewardFunction
    reward_digest: str  # of what gives the rewards
    held_out: tuple[Prompt, ...] = ()
    value_start: StartModel | None = None
    gold: RewardFunction | None = None  # measured beside `reward` and not learned from: shows over-optimization
    mix: BatchSource | None = None  # pretraining text, a batch in every step
    memory: RolloutMemory = field(default_factory=lambda: RolloutMemory(0.0))
    prefetches: bool = False  # a rollout depends on the weights

    def __post_init__(self) -> None:
        self.memory.coefficient = self.memory.coefficient or self.settings.policy.kl

    @cached_property
    def fingerprint(self) -> str:
        """Hash of the prompts, of the weights that the run starts from, and of what gives the rewards."""
        prompts = hash_seed(*(prompt.key for prompt in self.prompts))
        value = self.value_start.digest if self.value_start else ""
        mixed = f" {self.mix.fingerprint}" if self.mix else ""
        return f"{prompts} {self.start.digest} {self.reward_digest} {value}{mixed}"

    def position(self, step: int) -> dict[str, Any]:
        """The KL coefficient, and the rollout between two steps that learn from it."""
        under_way = step % self.settings.policy.steps_per_rollout != 0 and self.memory.rollout is not None
        rollout = self.memory.rollout.to_json() if under_way and self.memory.rollout else None
        return {"coefficient": self.memory.coefficient, "rollout": rollout}

    def resume_at(self, step: int, position: dict[str, Any]) -> tuple[PolicyTask, str | None]:
        """The rollout is read back."""
        rollout = position["rollout"]
        memory = RolloutMemory(position["coefficient"], None if rollout is None else Rollout.from_json(rollout))
        return replace(self, memory=memory), None

    @property
    def texts(self) -> Mapping[str, str]:
        """The tokenizer."""
        return tokenizer_texts(self.start.tokenizer)

    def compare_texts(self, stored: Mapping[str, str]) -> str | None:
        """Weights fit the tokenizer that they were trained with."""
        return compare_stored_tokenizer(stored, self.start.tokenizer)

    @cached_property
    def workload(self) -> Workload:
        """Size of the model, and tokens of a step at most."""
        model, rollout = self.settings.model, self.settings.rollout
        length = self.settings.prompts.max_tokens + rollout.max_new_tokens
        answers = self.settings.prompts.batch_size * rollout.samples // self.settings.policy.minibatches
        return Workload(
            count_parameters(model),
            count_parameters(model, active=True),
            count_flops_per_token(model, length),
            answers * length,
            [],
        )

    def build_model(self) -> nn.Module:
        """The policy, with a value model beside it for PPO, on the meta device."""
        value = self.settings.value_model
        if value is None:
            return build_model(self.settings.model)
        return build_policy_and_value(self.settings.model, value)

    def initialize(self, model: nn.Module) -> None:
        """The weights of the start, and those of the reward model for the value model."""
        initialize_weights(model, self.settings.loop.seed)
        self.start.fill(model)
        if isinstance(model, PolicyAndValue) and self.value_start is not None:
            self.value_start.fill(model.value_model)

    def prepare(self, step: int, world: World) -> int:
        """The number of the step: its data depends on the weights. Raises ConfigError for what ranks cannot share."""
        prompts, readers = self.settings.prompts.batch_size, world.shape.readers
        if prompts % readers:
            raise ConfigError(f"prompts.batch_size = {prompts}: {readers} ranks cannot share so many prompts evenly")
        answers, parts = prompts * self.settings.rollout.samples, self.settings.policy.minibatches
        if readers > 1 and answers % (readers * parts):
            raise ConfigError(
                f"policy.minibatches = {parts}: {readers} ranks cannot share the parts of {answers} answers evenly"
            )
        return step

    def add_gradient(self, prepared: int, replica: Replica) -> StepGradient:
        """Sample a rollout if the last one is used up, and learn from a part of it: each rank from its share."""
        number, part = divmod(prepared, self.settings.policy.steps_per_rollout)
        if part == 0 or self.memory.rollout is None:
            self.memory.rollout = self._sample(number, replica)
        rollout = self.memory.rollout
        rows = self._minibatch(number, part, len(rollout.answers))
        inputs = rollout.inputs | rollout.measured
        chosen = {name: tensor[rows] for name, tensor in inputs.items()}
        shape = replica.world.shape
        own = {name: tensor.tensor_split(shape.readers)[replica.world.reader] for name, tensor in chosen.items()}
        tokens = int(chosen["weights"].sum())
        mixed = {} if self.mix is None else {"pretraining_loss": self._add_pretraining(self.mix, prepared, replica)}
        numbers = accumulate_sums(self._split(own), self._count(own), self._loss, replica)
        read = int((chosen["document_ids"] >= 0).sum())
        loss = numbers.pop("loss")
        means = {name: value * self._count(chosen) / max(tokens, 1) for name, value in numbers.items()}
        described = self._describe(rollout)  # with the coefficient that this step had
        if part + 1 == self.settings.policy.steps_per_rollout:
            self._adapt()
        return StepGradient(loss, tokens, read, means | mixed | described, list)

    def _count(self, inputs: Inputs) -> float:
        """What the loss of some answers is a mean over."""
        by_token = self.settings.policy.average is Average.TOKENS
        return float(inputs["weights"].sum()) if by_token else len(inputs["weights"])

    def _add_pretraining(self, mix: BatchSource, step: int, replica: Replica) -> float:
        """Add the gradient of a batch of pretraining text (Ouyang et al. 2022, equation 2); its loss, nats a token."""
        inputs = causal_inputs(mix.batch(step, replica.world.reader, replica.world.shape.readers))
        weight, tokens = self.settings.policy.pretraining_weight, float(inputs["weights"].sum())

        def summed_loss(model: nn.Module, part: Inputs) -> tuple[Tensor, Mapping[str, Tensor]]:
            loss = model(**part).loss
            return weight * loss, {"pretraining": loss}

        return accumulate_sums(self._split(inputs), tokens, summed_loss, replica, last=False)["pretraining"]

    def _sample(self, number: int, replica: Replica) -> Rollout:
        """The answers of the policy as it is, those of all ranks, and what the loss needs of them."""
        settings, world = self.settings, replica.world
        share = settings.prompts.batch_size // world.shape.readers
        first = number * settings.prompts.batch_size + world.reader * share
        draws = range(first, first + share)  # numbered over all ranks: any number of them samples the same answers
        prompts = [self._prompt(draw) for draw in draws]
        seeds = [hash_seed(settings.prompts.seed, draw) for draw in draws]
        answers = self._answer(replica, prompts, settings.rollout.samples, seeds, temperature=1.0)
        gold = None if self.gold is None else self._verify(self.gold, prompts, answers, settings.rollout.samples)
        own = Rollout(answers, settings.rollout.samples, gold)
        measured = [self._measure(part, replica) for part in self._split(own.inputs)]
        columns = {name: torch.cat([part[name] for part in measured]) for name in measured[0]}
        rollout = join_rollouts(gather_from_readers(replace(own, measured=columns), world))
        return replace(rollout, measured=rollout.measured | self._advantages(rollout, rollout.measured))

    def _verify(self, gold: RewardFunction, prompts: Sequence[Prompt], answers: Sequence[Answer], each: int) -> float:
        """The mean gold reward of answers, `each` to every prompt."""
        repeated = [prompt for prompt in prompts for _ in range(each)]
        return float(np.mean(gold(repeated, [answer.text for answer in answers])))

    def _prompt(self, number: int) -> Prompt:
        """The prompts in an order of its own for each pass over them."""
        number_of_pass, place = divmod(number, len(self.prompts))
        generator = np.random.Generator(np.random.PCG64([self.settings.prompts.seed, number_of_pass]))
        return self.prompts[int(generator.permutation(len(self.prompts))[place])]

    def _answer(
        self, replica: Replica, prompts: list[Prompt], samples: int, seeds: Sequence[int], temperature: float
    ) -> tuple[Answer, ...]:
        rollout = self.settings.rollout
        sampling = GenerateSettings(max_new_tokens=rollout.max_new_tokens, temperature=temperature, top_p=None)
        stop, model = self.start.tokenizer.control[END], gather_decoder(replica.module, self.settings.model)
        with autocast(replica.world.device, replica.bf16):
            return sample_rollout(
                model, prompts, seeds, samples, sampling, stop, self.reward, rollout.unfinished_penalty
            )

    @torch.no_grad()
    def _measure(self, part: Inputs, replica: Replica) -> Inputs:
        """Log-probabilities of policy and start, and values, of a micro-batch's tokens; on the CPU."""
        given = to_device(part, replica)
        with autocast(replica.world.device, replica.bf16):
            output = self._read_answers(replica.module, given)
            with self._reference.beside(replica.module) as start:
                reference = self._read_answers(start, given).chosen.log_probs
        zeros = torch.zeros_like(reference)
        values = zeros if output.values is None else output.values
        found = {"log_probs": output.chosen.log_probs, "reference": reference, "values": values}
        return {name: tensor.float().cpu() for name, tensor in found.items()}

    def _read_answers(self, model: nn.Module, part: Inputs) -> AnswerOutput:
        """Answers share their prompt, unless there are experts, whose statistics count every token."""
        models = self.settings.model, self.settings.value_model
        return read_answers(model, part, share=all(shape is None or shape.experts is None for shape in models))

    @cached_property
    def _reference(self) -> Reference:
        return Reference(self.start, self.settings.model)

    def _advantages(self, rollout: Rollout, columns: Inputs) -> Inputs:
        """Advantages and returns of every token, [answers, S] each."""
        settings = self.settings.policy
        mask = rollout.inputs["weights"]
        drift = (columns["log_probs"] - columns["reference"]) * mask  # k1: its sum is the answer's log ratio
        penalty = self.memory.coefficient * drift if settings.kl_place is KlPlace.REWARD else torch.zeros_like(drift)
        rewards = rollout.rewards()
        if settings.algorithm is PolicyAlgorithm.PPO:
            last = mask & ~torch.cat([mask[:, 1:], torch.zeros_like(mask[:, :1])], dim=1)
            found = generalized_advantages(
                last * rewards[:, None] - penalty, columns["values"], mask, settings.discount, settings.smoothing
            )
            advantages = whiten(found.advantages, mask) if settings.whiten else found.advantages
            return {"advantages": advantages, "returns": found.returns}
        totals = (rewards - penalty.sum(dim=1)).view(-1, rollout.samples)
        advantages = group_advantages(totals, settings.baseline).view(-1, 1) * mask
        return {"advantages": advantages, "returns": torch.zeros_like(drift)}

    def _minibatch(self, number: int, part: int, answers: int) -> Tensor:
        """The answers that a step of a rollout learns from: a part of an order of its own for each epoch."""
        settings = self.settings.policy
        epoch, place = divmod(part, settings.minibatches)
        if settings.minibatches == 1:
            return torch.arange(answers)
        generator = np.random.Generator(np.random.PCG64([self.settings.prompts.seed, number, epoch]))
        return torch.from_numpy(np.array_split(generator.permutation(answers), settings.minibatches)[place])

    def _split(self, inputs: Inputs) -> list[Inputs]:
        rows, size = len(inputs["tokens"]), self.settings.loop.micro_batch_size
        share = size or rows
        return [{name: tensor[at : at + share] for name, tensor in inputs.items()} for at in range(0, rows, share)]

    def _loss(self, model: nn.Module, part: Inputs) -> tuple[Tensor, Mapping[str, Tensor]]:
        """The sum over the tokens of a micro-batch."""
        settings, mask = self.settings.policy, part["weights"]
        output = self._read_answers(model, part)
        now = torch.where(mask, output.chosen.log_probs, part["log_probs"])  # no ratio but 1 outside the answers
        losses = clipped_policy_loss(now, part["log_probs"], part["advantages"], settings.clip, settings.clip_high)
        divergence = estimate_kl(now, torch.where(mask, part["reference"], now.detach()), settings.kl_estimator)
        if settings.kl_place is KlPlace.LOSS:
            losses = losses + self.memory.coefficient * divergence
        if output.values is not None:
            value = clipped_value_loss(output.values, part["values"], part["returns"], settings.value_clip)
            losses = losses + settings.value_weight * value
        ratio = torch.exp(now - part["log_probs"])
        with torch.no_grad():
            numbers = {
                "clipped": (((ratio - 1).abs() > settings.clip) & mask).sum(),
                "entropy": (output.chosen.entropies * mask).sum(),
                "ratio": (ratio * mask).sum(),
            }
        return (losses * mask).sum(), numbers

    def _adapt(self) -> None:
        """Move the KL coefficient towards its target, after the last step of a rollout."""
        settings, rollout = self.settings.policy, self.memory.rollout
        if settings.kl_target is not None and rollout is not None:
            drift = self._drift(rollout)
            self.memory.coefficient = adapt_coefficient(
                self.memory.coefficient, drift, settings.kl_target, settings.kl_horizon
            )

    def _drift(self, rollout: Rollout) -> float:
        """The mean log ratio of policy and start of an answer: an estimate of their KL divergence, in nats."""
        mask = rollout.inputs["weights"]
        drift = ((rollout.measured["log_probs"] - rollout.measured["reference"]) * mask).sum(dim=1)
        return float(drift.mean())

    def _describe(self, rollout: Rollout) -> dict[str, float]:
        """Numbers of a rollout."""
        lengths = [len(answer.tokens) for answer in rollout.answers]
        return {
            "reward": float(rollout.rewards().mean()),
            "kl": self._drift(rollout),
            "kl_coefficient": self.memory.coefficient,
            "answer_tokens": float(np.mean(lengths)),
            "unfinished": float(np.mean([not answer.stopped for answer in rollout.answers])),
            **({} if rollout.verified is None else {"verified": rollout.verified}),
        }

    def validate(self, replica: Replica) -> dict[str, Any] | None:
        """The mean reward of the most likely answers to held-out prompts; `loss` is what they lack to 1."""
        prompts = list(self.held_out[: self.settings.prompts.validate_prompts])
        if not prompts:
            return None
        answers = self._answer(replica, prompts, 1, [0] * len(prompts), temperature=0.0)
        reward = float(np.mean([answer.reward for answer in answers]))
        tokens = float(np.mean([len(answer.tokens) for answer in answers]))
        found = {"loss": 1 - reward, "reward": reward, "answer_tokens": tokens}
        return found if self.gold is None else found | {"verified": self._verify(self.gold, prompts, answers, 1)}


def gather_decoder(module: nn.Module, settings: ModelSettings) -> Decoder:
    """The decoder of a rank, for generation; where ranks hold shards (FSDP), a whole copy. All ranks call it alike.

    Ranks end their answers at different tokens, so that layers could not be gathered one by one.
    """
    model = module.module if isinstance(module, DistributedDataParallel) else module
    if any(isinstance(weight, DTensor) for weight in model.parameters()):
        whole = build_model(settings).to_empty(device=next(model.parameters()).device)
        targets = dict(whole.named_parameters())
        for name, weight in model.named_parameters():
            value = full_tensor(weight)
            if name in targets:  # not the value model's
                fill_weight(targets[name], value)
        model = whole
    if not isinstance(model, Decoder):
        raise TypeError("only decoders generate answers")
    return model


def check_policy(settings: PolicySettings) -> None:
    """Raises ConfigError for settings that cannot work together."""
    policy = settings.policy
    check_mesh(settings)
    if settings.model.lora and settings.model.lora.dropout:
        raise ConfigError("model.lora.dropout must be 0 here: the ratio of a policy to itself would not be 1")
    if policy.algorithm is PolicyAlgorithm.GRPO and settings.rollout.samples < 2:
        raise ConfigError("grpo compares the answers to a prompt: rollout.samples must be at least 2")
    answers = settings.prompts.batch_size * settings.rollout.samples
    if answers < policy.minibatches:
        raise ConfigError(f"policy.minibatches = {policy.minibatches}, and a rollout has {answers} answers")


def learn_from_rewards(
    task: PolicyTask, out: Path, *, allow_changes: bool = False, log: Callable[[str], None] = tqdm.write
) -> TrainingResult:
    """Trains, resuming from the latest checkpoint in `out` if there is one."""
    return launch(task, out, allow_changes=allow_changes, log=log)
