"""Compare assistants: the same prompts, texts and questions for every stage of post-training, several runs of each.

Prompts that any of the runs was trained on, or one that it started from, are left out, as are those that one of the
runs could not read as a whole. How many prompts the stages share is part of the result. The first stage is what the
others are compared with: a pretrained model, so that what post-training costs in bits per byte (the alignment tax,
Ouyang et al. 2022) is seen.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from pydantic import Field

from trainer.chat.chat_template import ChatTemplate
from trainer.chat.read_conversations import ReadReport
from trainer.data.corpus import Corpus
from trainer.data.questions import Question, read_questions
from trainer.data.tokenizer import Tokenizer, compare_tokenizers, load_tokenizer
from trainer.errors import UserError
from trainer.evaluation.harness import EvaluationSettings, headline_accuracy, score_questions
from trainer.evaluation.likelihood import Scorer
from trainer.evaluation.perplexity import held_out_documents, measure_loss
from trainer.model.decoder import Decoder
from trainer.rollouts.generate import GenerateSettings
from trainer.rollouts.policy_rollouts import Answer, RewardFunction, Rollout, sample_rollout
from trainer.rollouts.prompts import Prompt, keep_fitting, read_prompts
from trainer.settings import Settings
from trainer.studies.seed_interval import MeanInterval, mean_interval
from trainer.tasks.best_of_n import BestOfSettings, RewardPoint, best_of_n
from trainer.tasks.pretrain_settings import read_run_state
from trainer.tasks.rewards import VerifiedReward, check_prompts, open_reward
from trainer.tasks.start_model import open_start, smallest_context
from trainer.tasks.summed_losses import model_inputs
from trainer.tasks.trained_prompts import find_starts, read_trained_prompts
from trainer.training.metrics import read_metrics
from trainer.training.saved_model import load_decoder

ROWS = 64  # prompts that are answered at once
BEST_OF = "best-of-n"


class ComparisonSettings(Settings):
    """How much every run is asked."""

    prompts: int = Field(default=200, ge=1, description="most prompts, of those that no run was trained on")
    max_new_tokens: int = Field(default=64, ge=1, description="longest answer in tokens")
    samples: int = Field(default=16, ge=1, description="answers to each prompt for best-of-n")
    documents: int | None = Field(default=100, ge=1, description="most held-out documents for bits per byte; off = all")
    questions: int | None = Field(default=200, ge=1, description="most questions of each file; off = all")


class AssistantScore(NamedTuple):
    """One run."""

    correct: float  # mean verified reward of the most likely answers, 0 to 1
    sampled: float | None  # the same of answers drawn at temperature 1, which rewards train; None without a reference
    finished: float  # share of those answers that end by themselves
    kl: float | None  # nats an answer from the reference, at temperature 1; None without a reference
    bits_per_byte: float | None  # of held-out text of pretraining
    questions: Mapping[str, float]  # accuracy by file: answers per byte, or words guessed


class OptimizedPoint(NamedTuple):
    """How far a policy has gone, and what it has gained."""

    kl: float  # nats an answer from the start
    reward: float  # of the model that is optimized
    verified: float  # gold reward


@dataclass(frozen=True)
class AssistantComparison:
    """The result."""

    stages: Mapping[str, Sequence[AssistantScore]]  # in the order given
    prompts: int  # that were answered
    left_out: int  # evaluation prompts that a run, or one that it started from, was trained on
    too_long: int  # of the others, those without room for an answer in the smallest context of the runs
    trained: Mapping[str, int]  # prompts that a stage was trained on
    shared: Mapping[tuple[str, str], int]  # prompts that two stages were both trained on
    curves: Mapping[str, Sequence[OptimizedPoint]]  # of runs that learned from a reward model, and best-of-n

    def difference(self, stage: str, measure: Callable[[AssistantScore], float]) -> MeanInterval:
        """The stage's mean less that of the first stage."""
        first = float(np.mean([measure(score) for score in next(iter(self.stages.values()))]))
        return mean_interval([measure(score) - first for score in self.stages[stage]])


@dataclass(frozen=True)
class Examination:
    """What every run is asked."""

    prompts: Sequence[Prompt]
    held_out: Corpus | None  # of pretraining
    questions: Mapping[str, Sequence[Question]]  # by the name of their file
    settings: ComparisonSettings
    reference: Decoder | None  # that divergence is measured from
    device: str = "cpu"

    def score(self, run: Path) -> AssistantScore:
        """All measures of a run."""
        start, model = open_start(run), load_decoder(run, self.device)
        template = ChatTemplate(start.tokenizer)
        answers = self._answer(model, template, temperature=0.0)
        sampled = [] if self.reference is None else self._answer(model, template, temperature=1.0)
        context = model.settings.context_length
        scorer = Scorer(lambda tokens: model(tokens).logits, start.tokenizer, context, device=self.device)
        bits = None
        with torch.inference_mode():
            if self.held_out is not None:
                documents = held_out_documents(self.held_out, self.settings.documents)
                bits = measure_loss(scorer, documents)[""].bits_per_byte
            limits = EvaluationSettings(limit=self.settings.questions)
            accuracies = {
                name: headline_accuracy(score_questions(scorer, asked, limits))
                for name, asked in self.questions.items()
            }
        return AssistantScore(
            float(np.mean([answer.reward for answer in answers])),
            float(np.mean([answer.reward for answer in sampled])) if sampled else None,
            float(np.mean([answer.stopped for answer in answers])),
            None if self.reference is None else measure_divergence(model, self.reference, sampled, self.device),
            bits,
            accuracies,
        )

    def _answer(self, model: Decoder, template: ChatTemplate, temperature: float) -> list[Answer]:
        found: list[Answer] = []
        sampling = GenerateSettings(max_new_tokens=self.settings.max_new_tokens, temperature=temperature, top_p=None)
        for begin in range(0, len(self.prompts), ROWS):
            part = self.prompts[begin : begin + ROWS]
            seeds = range(begin, begin + len(part))
            found += sample_rollout(model, part, seeds, 1, sampling, template.end, VerifiedReward(template), 0.0)
        return found


@torch.no_grad()
def measure_divergence(model: Decoder, reference: Decoder, answers: Sequence[Answer], device: str) -> float:
    """KL divergence in nats an answer, estimated from the model's own answers: the mean log ratio (k1)."""
    total = 0.0
    for begin in range(0, len(answers), ROWS):
        inputs = Rollout(tuple(answers[begin : begin + ROWS]), 1).inputs
        given = {name: tensor.to(device) for name, tensor in model_inputs(inputs).items()}
        mask = inputs["weights"].to(device)
        ours, theirs = (part(**given, log_probs=True).chosen.log_probs for part in (model, reference))
        total += float(((ours - theirs) * mask).sum())
    return total / len(answers)


def compare_assistants(
    stages: Mapping[str, Sequence[Path]],
    prompt_files: Sequence[Path],
    settings: ComparisonSettings,
    *,
    reference: str | None = None,
    reward: Path | None = None,
    held_out: Corpus | None = None,
    questions: Sequence[Path] = (),
    device: str = "cpu",
    log: Callable[[str], None] = print,
) -> AssistantComparison:
    """Ask every run of every stage the same.

    stages: name -> runs that differ in their seed. reference: the stage that divergence is measured from, and with
    `reward`, a reward model, the one whose best of n answers are a stage of their own. held_out: text of pretraining.
    """
    if reference is not None and reference not in stages:
        raise UserError(f"{reference}: no stage has this name; there are {', '.join(stages)}")
    asked = read_question_files(questions)
    template = ChatTemplate(shared_tokenizer(stages))
    rewards: RewardFunction | None = None
    if reference is not None and reward is not None:
        rewards = open_reward(open_start(stages[reference][0]), reward, template).function
    found = {prompt.key: prompt for prompt in read_prompts(prompt_files, template, ReadReport())}
    check_prompts(list(found.values()), None)
    runs = dict(stages) | ({} if reward is None else {"reward model": [reward]})
    trained = {name: set[str]().union(*map(read_trained_prompts, paths)) for name, paths in runs.items()}
    starts = {start for paths in runs.values() for path in paths for start in find_starts(path, log)}
    learned = set[str]().union(*trained.values(), *map(read_trained_prompts, starts))
    unseen = [prompt for key, prompt in found.items() if key not in learned]
    if not unseen:
        raise UserError(
            "the runs were trained on every one of these prompts; name others, or train with a larger share held out "
            "(chat.held_out, pairs.held_out, prompts.held_out)"
        )
    fitting = keep_fitting(unseen, smallest_context(chain(*runs.values())), settings.max_new_tokens, ReadReport())
    start = None if reference is None else load_decoder(stages[reference][0], device)
    exam = Examination(fitting[: settings.prompts], held_out, asked, settings, start, device)
    scores: dict[str, list[AssistantScore]] = {}
    for name, paths in stages.items():
        scores[name] = []
        for path in paths:
            scores[name].append(exam.score(path))
            log(f"{name}, {path}: {scores[name][-1].correct:.1%} right")
    curves = {name: points for name, paths in stages.items() if (points := read_curve(paths[0]))}
    if rewards is not None and start is not None:
        scores[BEST_OF], curves[BEST_OF] = _choose_best(start, template, exam, rewards)
        log(f"{BEST_OF}: {scores[BEST_OF][-1].correct:.1%} right")
    names = list(trained)
    shared = {(a, b): len(trained[a] & trained[b]) for n, a in enumerate(names) for b in names[n + 1 :]}
    counts = {name: len(keys) for name, keys in trained.items()}
    left_out, too_long = len(found) - len(unseen), len(unseen) - len(fitting)
    return AssistantComparison(scores, len(exam.prompts), left_out, too_long, counts, shared, curves)


def shared_tokenizer(stages: Mapping[str, Sequence[Path]]) -> Tokenizer:
    """The tokenizer of all runs, which are asked the same tokens. Raises UserError for a run with another one."""
    paths = [path for runs in stages.values() for path in runs]
    first, *others = (load_tokenizer(Path(str(read_run_state(path).settings["tokenizer"]))) for path in paths)
    for path, other in zip(paths[1:], others, strict=True):
        if difference := compare_tokenizers(first.json, other):
            raise UserError(f"{path} cannot be compared with {paths[0]}, which has {difference}")
    return first


def read_question_files(paths: Sequence[Path]) -> dict[str, list[Question]]:
    """The questions by the name of their file. Raises UserError for two files of one name."""
    found: dict[str, list[Question]] = {}
    for path in paths:
        name = path.name.partition(".")[0]
        if name in found:
            raise UserError(f"{path}: another file of questions has this name; rename one")
        found[name] = read_questions(path)
    return found


def _choose_best(
    model: Decoder, template: ChatTemplate, exam: Examination, rewards: RewardFunction
) -> tuple[list[AssistantScore], list[OptimizedPoint]]:
    """The best of n answers by the reward model, as a stage without training, and its curve over n."""
    settings = BestOfSettings(samples=exam.settings.samples, max_new_tokens=exam.settings.max_new_tokens)
    sampled = best_of_n(model, template, exam.prompts, rewards, settings, VerifiedReward(template))
    points: list[RewardPoint] = sampled.curve()
    finished = float(np.mean([answer.stopped for answer in sampled.best]))
    score = AssistantScore(points[-1].verified or 0.0, None, finished, points[-1].kl, None, {})
    return [score], [OptimizedPoint(point.kl, point.reward, point.verified or 0.0) for point in points]


def read_curve(run: Path) -> list[OptimizedPoint]:
    """The rollouts of a run that learned from a reward model, in order of time; empty for any other run."""
    rows = [row for row in read_metrics(run) if row.get("verified") is not None and "kl" in row]
    return [OptimizedPoint(row["kl"], row["reward"], row["verified"]) for row in rows]


def describe_comparison(found: AssistantComparison) -> str:
    """A table for a terminal."""
    tasks = list(next(iter(found.stages.values()))[0].questions)
    heads = "".join(f"{name[:13]:>15}" for name in tasks)
    lines = [
        f"{'stage':<18}{'runs':>5}{'right':>9}{'90% interval':>18}{'sampled':>9}{'finished':>10}{'kl':>8}"
        f"{'bits/byte':>11}{heads}"
    ]
    for name, scores in found.stages.items():
        mean, low, high = mean_interval([score.correct for score in scores], 0, 1)
        interval = f"{low:.1%} to {high:.1%}" if math.isfinite(low) else "one run"
        finished = float(np.mean([score.finished for score in scores]))
        lines.append(
            f"{name[:17]:<18}{len(scores):>5}{mean:>9.1%}{interval:>18}"
            f"{_mean([score.sampled for score in scores], '.1%'):>9}{finished:>10.0%}"
            f"{_mean([score.kl for score in scores], '.2f'):>8}"
            f"{_mean([score.bits_per_byte for score in scores], '.4f'):>11}"
            + "".join(f"{_mean([score.questions.get(name) for score in scores], '.1%'):>15}" for name in tasks)
        )
    lines.append(f"{found.prompts:,} prompts; {found.left_out:,} more were left out, since a run was trained on them")
    if found.too_long:
        lines.append(f"{found.too_long:,} were left out, since they and max_new_tokens exceed the smallest context")
    return "\n".join(lines)


def _mean(values: Sequence[float | None], form: str) -> str:
    known = [value for value in values if value is not None]
    return format(float(np.mean(known)), form) if known else "-"


def comparison_as_json(found: AssistantComparison) -> str:
    """All numbers."""
    stages = {name: [score._asdict() for score in scores] for name, scores in found.stages.items()}
    shared = [[*pair, count] for pair, count in found.shared.items()]
    curves = {name: [point._asdict() for point in points] for name, points in found.curves.items()}
    prompts = {
        "answered": found.prompts,
        "left_out": found.left_out,
        "too_long": found.too_long,
        "trained": found.trained,
        "shared": shared,
    }
    return json.dumps({"stages": stages, "prompts": prompts, "curves": curves}, indent=1) + "\n"
