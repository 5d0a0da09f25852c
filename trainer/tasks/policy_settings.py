"""Settings of learning from rewards: PPO (Ouyang et al. 2022), GRPO (Shao et al. 2024), RLOO (Ahmadian et al. 2024)."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

from pydantic import Field, model_validator

from trainer.data.sources import DataSettings
from trainer.losses.policy import GroupBaseline, KlEstimator
from trainer.model.model_settings import ModelSettings
from trainer.settings import Settings
from trainer.tasks.post_training import PostTrainingSettings
from trainer.training.schedule import ScheduleSettings, ScheduleShape


class PolicyAlgorithm(StrEnum):
    """How an answer's reward becomes the advantages of its tokens."""

    PPO = "ppo"  # a value model predicts the reward at each token
    GRPO = "grpo"  # compared with other answers to the same prompt


class KlPlace(StrEnum):
    """Where the divergence from the start is penalized."""

    REWARD = "reward"  # taken from the reward of each token: the optimum is known (InstructGPT)
    LOSS = "loss"  # added to the loss (GRPO)


class Average(StrEnum):
    """What the loss is a mean over."""

    TOKENS = "tokens"  # all tokens of the step alike
    ANSWERS = "answers"  # the sum over an answer's tokens, for each answer: long ones count more


class PromptSettings(Settings):
    """Which prompts are answered."""

    files: tuple[Path, ...] = Field(
        default=(), description="files of prompts, with verifiers unless there is a reward model"
    )
    batch_size: int = Field(default=16, ge=1, description="prompts of a rollout, over all ranks")
    max_tokens: int = Field(default=256, ge=1, description="longest prompt in tokens; a longer one is left out")
    held_out: float = Field(
        default=0.05, ge=0, lt=1, description="share of the prompts that are held out to measure the reward, 0 to 1"
    )
    unshared: bool = Field(
        default=False,
        description="leave out prompts that the reward model was trained on; else they are only counted",
    )
    validate_prompts: int = Field(default=64, ge=1, description="most held-out prompts that are answered each time")
    seed: int = Field(default=0, description="seed of the order of prompts and of the answers")


class RolloutSettings(Settings):
    """How answers are sampled: at temperature 1, without top_k and top_p, so that they are the policy's own."""

    samples: int = Field(default=8, ge=1, description="answers to each prompt of a rollout")
    max_new_tokens: int = Field(default=256, ge=1, description="longest answer in tokens")
    unfinished_penalty: float = Field(
        default=0.0, ge=0, description="taken from the reward of an answer without an end"
    )


class PolicyLossSettings(Settings):
    """The loss. Sources: clip, smoothing, discount and KL coefficient of 0.02 are InstructGPT's (appendix C.4)."""

    algorithm: PolicyAlgorithm = Field(default=PolicyAlgorithm.GRPO, description="ppo or grpo")
    baseline: GroupBaseline = Field(
        default=GroupBaseline.GROUP,
        description="grpo: group, mean or leave_one_out (RLOO), what a reward is compared with",
    )
    epochs: int = Field(default=1, ge=1, description="times that a rollout is learned from")
    minibatches: int = Field(default=1, ge=1, description="parts of a rollout, each a step")
    clip: float = Field(default=0.2, gt=0, description="largest change of a token's probability, as a share of it")
    clip_high: float | None = Field(default=None, gt=0, description="largest increase; equal to clip if unset")
    kl: float = Field(default=0.02, ge=0, description="weight of the divergence from the start")
    kl_place: KlPlace = Field(default=KlPlace.REWARD, description="reward or loss, where it is penalized")
    kl_estimator: KlEstimator = Field(
        default=KlEstimator.K1, description="k1 in the reward, k2 or k3 in the loss, where k1's mean gradient is 0"
    )
    kl_target: float | None = Field(
        default=None, gt=0, description="nats an answer to which kl is adapted after each rollout; fixed if unset"
    )
    kl_horizon: float = Field(default=10.0, ge=1, description="rollouts in which kl is adapted")
    average: Average = Field(default=Average.TOKENS, description="tokens or answers, what the loss is a mean over")
    discount: float = Field(default=1.0, gt=0, le=1, description="ppo: weight of a reward one token later")
    smoothing: float = Field(default=0.95, ge=0, le=1, description="ppo: lambda of the advantage estimate")
    whiten: bool = Field(default=True, description="ppo: advantages with mean 0 and variance 1")
    value_clip: float | None = Field(default=0.2, gt=0, description="ppo: largest change of a value; no limit if unset")
    value_weight: float = Field(default=0.1, gt=0, description="ppo: weight of the value model's loss")

    pretraining_weight: float = Field(
        default=1.0,
        gt=0,
        description="weight of the loss on pretraining text, in nats per token, where data.sources has some (PPO-ptx)",
    )

    @model_validator(mode="after")
    def _check_estimator(self) -> PolicyLossSettings:
        if self.kl and self.kl_place is KlPlace.LOSS and self.kl_estimator is KlEstimator.K1:
            raise ValueError("policy.kl_estimator = k1 has no effect in the loss: its mean gradient is 0; use k2 or k3")
        if self.kl_place is KlPlace.REWARD and self.kl_estimator is not KlEstimator.K1:
            raise ValueError(
                "policy.kl_estimator is k1 where the reward is lowered; set policy.kl_place = loss for others"
            )
        if self.kl_target is not None and not self.kl:
            raise ValueError(
                "policy.kl_target changes policy.kl by a factor, and it is 0; give it a value to begin with"
            )
        return self

    @property
    def steps_per_rollout(self) -> int:
        """Optimizer steps that learn from one rollout."""
        return self.epochs * self.minibatches


class PolicySettings(PostTrainingSettings):
    """Learning from rewards of one's own answers."""

    prompts: PromptSettings = Field(default=PromptSettings(), description="prompts, and how they are read")
    rollout: RolloutSettings = Field(default=RolloutSettings(), description="how answers are sampled")
    policy: PolicyLossSettings = Field(default=PolicyLossSettings(), description="the loss")
    data: DataSettings = Field(
        default=DataSettings(batch_size=4, max_repetitions=None),
        description="pretraining text that is learned from in every step, so that the model forgets less (PPO-ptx)",
    )
    value_model: ModelSettings | None = Field(default=None, description="taken from the reward model, or from RUN")
    schedule: ScheduleSettings = Field(
        default=ScheduleSettings(learning_rate=1e-6, warmup_steps=10, shape=ScheduleShape.CONSTANT),
        description="learning rate of each step",
    )
