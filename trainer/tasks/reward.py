"""Reward models: one number for an answer, from pairs of answers (Ouyang et al. 2022, section 3.5)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn
from tqdm import tqdm

from trainer.chat.chat_template import EncodedPair
from trainer.chat.pair_batches import PairBatches, PairSettings
from trainer.losses.ranking import ranking_loss
from trainer.tasks.launch import launch
from trainer.tasks.post_training import ExampleSettings, PairTask, check_mesh, set_steps
from trainer.tasks.preference import check_pairs, read_pairs
from trainer.tasks.start_model import StartModel
from trainer.tasks.summed_losses import accumulate_sums, count_tokens_read, model_inputs, to_device
from trainer.training.loop import TrainingResult
from trainer.training.schedule import ScheduleSettings, ScheduleShape
from trainer.training.step import Inputs, Replica, autocast
from trainer.training.task import StepGradient

BINS = 10  # of the calibration error


class RewardSettings(ExampleSettings):
    """A reward model. Source: one epoch, since a second one overfits (Ouyang et al. 2022, appendix C.2)."""

    pairs: PairSettings = Field(default=PairSettings(), description="preferences, and how they are read")
    epochs: float = Field(default=1.0, gt=0, description="times that every pair is read; loop.steps follows from it")
    schedule: ScheduleSettings = Field(
        default=ScheduleSettings(learning_rate=9e-6, warmup_steps=10, shape=ScheduleShape.COSINE),
        description="learning rate of each step",
    )


@dataclass(frozen=True)
class RewardTask(PairTask):
    """The task of scoring the preferred answer higher (see `trainer.training.task`)."""

    def add_gradient(self, prepared: list[Inputs], replica: Replica) -> StepGradient:
        """Forward and backward of all micro-batches."""
        pairs = self.count_pairs(prepared)
        numbers = accumulate_sums(prepared, pairs, _summed_loss, replica)
        read = count_tokens_read(prepared, replica)
        return StepGradient(numbers.pop("loss"), pairs * replica.world.shape.readers, read, numbers, list)

    @torch.no_grad()
    def validate(self, replica: Replica) -> dict[str, Any] | None:
        """Loss, accuracy and calibration on the held-out pairs, beside what their lengths alone give.

        Where all of them are ties there is a loss only.
        """
        if self.held_out is None:
            return None
        replica.module.eval()
        scores = []
        for part in self.held_out.all_batches():
            with autocast(replica.world.device, replica.bf16):
                scores.append(score_rows(replica.module, to_device(part, replica)).view(-1, 2).cpu())
        replica.module.train()
        order = [number for row in self.held_out.epoch(0) for number in row]
        pairs = [self.held_out.items[number] for number in order]
        lengths = fit_length_baseline(self.batches.items)
        measured = measure_scores(torch.cat(scores), pairs)._asdict() | {
            "length_accuracy": measure_scores(lengths.score(pairs), pairs).accuracy
        }
        return {name: value for name, value in measured.items() if value is not None}


def score_rows(model: nn.Module, part: Inputs) -> Tensor:
    """The score of each row [rows], read at its last token."""
    inputs = model_inputs(part)
    del inputs["targets"]
    last = (part["document_ids"] >= 0).sum(dim=1) - 1
    scores: Tensor = model(**inputs).values.gather(1, last[:, None])[:, 0]
    return scores


def _summed_loss(model: nn.Module, part: Inputs) -> tuple[Tensor, Mapping[str, Tensor]]:
    chosen, rejected = score_rows(model, part).view(-1, 2).unbind(1)
    losses = ranking_loss(chosen, rejected, part["margins"][::2], part["ties"][::2])
    return losses.sum(), {
        "accuracy": (chosen > rejected).sum(),
        "margin": (chosen - rejected).sum(),
        "score": (chosen + rejected).sum() / 2,
    }


class ScoreQuality(NamedTuple):
    """How well scores rank pairs; None is what ties alone do not tell."""

    loss: float  # nats per pair
    accuracy: float | None  # share of pairs whose preferred answer has the higher score; equal scores count half
    calibration_error: float | None  # mean difference of predicted and observed preference over bins of the prediction


def measure_scores(scores: Tensor, pairs: Sequence[EncodedPair]) -> ScoreQuality:
    """scores [pairs, 2]: of the preferred and the rejected answer. Ties are left out of accuracy and calibration."""
    chosen, rejected = scores.double().unbind(1)
    ties = torch.tensor([pair.tie for pair in pairs])
    loss = ranking_loss(chosen, rejected, torch.zeros_like(chosen), ties).mean()
    if bool(ties.all()):
        return ScoreQuality(float(loss), None, None)
    difference = (chosen - rejected)[~ties]
    right = (difference > 0).double() + (difference == 0).double() / 2
    return ScoreQuality(float(loss), float(right.mean()), _calibration_error(difference.numpy()))


def _calibration_error(difference: NDArray[np.float64]) -> float:
    """Expected calibration error of the probability of the answer that the scores prefer (Guo et al. 2017)."""
    confidence = 1 / (1 + np.exp(-np.abs(difference)))  # 0.5 to 1
    bins = np.minimum(((confidence - 0.5) * 2 * BINS).astype(int), BINS - 1)
    right = (difference > 0).astype(float)
    gaps = [abs(right[bins == n].mean() - confidence[bins == n].mean()) * (bins == n).mean() for n in set(bins)]
    return float(sum(gaps))


class LengthBaseline(NamedTuple):
    """Scores answers by their length alone: what a reward model has to beat."""

    slope: float  # in logits a token

    def score(self, pairs: Sequence[EncodedPair]) -> Tensor:
        """[pairs, 2]."""
        lengths = [[int(side.learned.sum()) for side in (pair.chosen, pair.rejected)] for pair in pairs]
        return self.slope * torch.tensor(lengths, dtype=torch.float64).view(-1, 2)


def fit_length_baseline(pairs: Sequence[EncodedPair]) -> LengthBaseline:
    """The logistic regression of the preference on the difference of lengths, by Newton's method; without the ties."""
    decided = [pair for pair in pairs if not pair.tie]
    difference = LengthBaseline(-1.0).score(decided).diff(dim=1)[:, 0]  # of the preferred answer less the other one
    ridge = 1e-3 * float(difference.square().sum()) + 1e-9  # without it, pairs that lengths decide have no solution
    slope = torch.zeros((), dtype=torch.float64)
    for _ in range(50):
        probability = torch.sigmoid(slope * difference)
        curvature = (probability * (1 - probability) * difference.square()).sum() + ridge
        slope = slope + (((1 - probability) * difference).sum() - ridge * slope) / curvature
    return LengthBaseline(float(slope))


def train_reward_model(
    settings: RewardSettings,
    start: StartModel,
    out: Path,
    *,
    allow_changes: bool = False,
    log: Callable[[str], None] = tqdm.write,
) -> TrainingResult:
    """Trains, resuming from the latest checkpoint in `out` if there is one."""
    check_mesh(settings)
    check_pairs(settings.pairs, settings.model)
    split = read_pairs(settings.pairs, settings.decontaminate, start, with_ties=True)
    log(split.describe())
    training = PairBatches(split.training, settings.pairs, whole=True)
    held_out = PairBatches(split.held_out, settings.pairs, whole=True) if split.held_out else None
    settings = set_steps(settings, training.steps(settings.epochs))
    task = RewardTask(settings, start, training, held_out=held_out)
    return launch(task, out, allow_changes=allow_changes, log=log)
