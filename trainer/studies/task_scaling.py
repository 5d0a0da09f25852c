"""What more tasks are worth: fine-tuning on 1, 2, 4, ... tasks with equal tokens, measured on tasks that none has seen.

After Wei et al. 2022 (FLAN, section 4.1), where each number of task clusters is a model; here each file of
conversations is a task. For a seed the tasks are put in an order: the last ones are held out, and each number of tasks
takes the first of the others, so that more tasks are the fewer ones and others. All runs of a study learn equally many
tokens of answers, to half a step's: more tasks mean fewer readings of each. Steps differ, as some tasks have longer
answers than others.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from random import Random
from typing import NamedTuple

import torch
from pydantic import Field
from torch.nn import functional as F

from trainer.chat.chat_batches import ChatBatches, ChatSettings, cut_long
from trainer.chat.chat_template import ChatTemplate
from trainer.chat.read_conversations import read_conversations
from trainer.config import ConfigError
from trainer.errors import UserError
from trainer.files import write_atomically
from trainer.model.decoder import Decoder
from trainer.settings import Settings
from trainer.tasks.sft import SftSettings, open_conversations, sft
from trainer.tasks.start_model import StartModel
from trainer.training.saved_model import load_decoder


class TaskScalingSettings(Settings):
    """How many tasks are compared, and for how long each run learns."""

    tokens: int = Field(default=20_000, ge=1, description="tokens of answers that every run learns, to half a step's")
    held_out: int = Field(default=1, ge=1, description="tasks of each seed that no run of it is trained on")
    seeds: int = Field(default=3, ge=1, description="orders of the tasks, each with runs and held-out tasks of its own")
    conversations: int = Field(default=500, ge=1, description="most conversations of a held-out task to measure")


class TaskSplit(NamedTuple):
    """The tasks of one seed."""

    held_out: tuple[Path, ...]
    sets: tuple[tuple[Path, ...], ...]  # of 1, 2, 4, ... tasks, each with the one before, the last one of all


class TaskScore(NamedTuple):
    """A model on one held-out task."""

    loss: float  # nats per token of the answers
    accuracy: float  # share of the answers that greedy decoding gives exactly, their end included


@dataclass(frozen=True)
class TaskRun:
    """One run of the study."""

    seed: int
    tasks: tuple[str, ...]
    tokens: int  # of answers, learned
    steps: int
    scores: Mapping[str, TaskScore]  # by held-out task

    @property
    def mean(self) -> TaskScore:
        """Over the held-out tasks."""
        losses, shares = zip(*self.scores.values(), strict=True)
        return TaskScore(sum(losses) / len(losses), sum(shares) / len(shares))


def split_tasks(files: Sequence[Path], held_out: int, seed: int) -> TaskSplit:
    """The tasks of one seed. Raises UserError for too few files, or two of one name."""
    names = [path.name for path in files]
    if len(set(names)) < len(names):
        raise UserError(
            f"{next(name for name in names if names.count(name) > 1)}: two tasks have this name; rename one"
        )
    if len(files) < held_out + 2:
        raise UserError(f"{len(files)} tasks, of which {held_out} are held out: give {held_out + 2} or more")
    order = sorted(files, key=lambda path: path.name)
    Random(seed).shuffle(order)
    training = order[: len(order) - held_out]
    counts = [1 << power for power in range(len(training).bit_length()) if 1 << power < len(training)]
    return TaskSplit(
        tuple(order[len(training) :]), tuple(tuple(training[:count]) for count in [*counts, len(training)])
    )


def steps_for_tokens(batches: ChatBatches, tokens: int) -> int:
    """The number of steps, 1 or more, whose learned tokens are nearest to `tokens`."""
    learned, steps = 0, 0
    while True:
        step = sum(int(batches.items[item].learned[1:].sum()) for row in batches.rows(steps) for item in row)
        if steps and step > 2 * (tokens - learned):
            return steps
        learned, steps = learned + step, steps + 1


@torch.no_grad()
def score_task(model: Decoder, template: ChatTemplate, path: Path, length: int, most: int, device: str) -> TaskScore:
    """The loss and the exact answers of a task's first conversations that fit into `length` tokens."""
    encoded = [template.encode(conversation) for conversation in read_conversations([path])[:most]]
    items = tuple(item for item in (cut_long(item, length) for item in encoded) if item is not None)
    if not items:
        raise UserError(f"{path}: no prompt is shorter than chat.sequence_length = {length}")
    total = tokens = right = 0.0
    for batch in ChatBatches(items, ChatSettings(packing=False, sequence_length=length)).all_batches():
        part = {name: tensor.to(device) for name, tensor in batch.items()}
        inputs = {name: part[name] for name in ("tokens", "positions", "document_ids")}
        logits, learned = model(**inputs).logits.float(), part["weights"]
        losses = F.cross_entropy(logits.flatten(0, 1), part["targets"].flatten(), reduction="none").view_as(learned)
        total += float(losses[learned].sum())
        tokens += int(learned.sum())
        right += int(((logits.argmax(-1) == part["targets"]) | ~learned).all(dim=1).sum())
    return TaskScore(total / tokens, right / len(items))


def scale_tasks(
    run: SftSettings,
    start: StartModel,
    files: Sequence[Path],
    settings: TaskScalingSettings,
    out: Path,
    device: str,
    log: Callable[[str], None],
) -> list[TaskRun]:
    """Fine-tunes and measures all runs, and writes task_scaling.json; runs that are finished are not repeated."""
    if "steps" in run.loop.model_fields_set:
        raise ConfigError("loop.steps: leave it out; it follows from what every run learns (--tasks tokens=...)")
    splits = [split_tasks(files, settings.held_out, seed) for seed in range(settings.seeds)]
    template, found = ChatTemplate(start.tokenizer), list[TaskRun]()
    for seed, split in enumerate(splits):
        for paths in split.sets:
            chat = run.chat.model_copy(update={"files": paths, "seed": seed})
            inputs = open_conversations(run.model_copy(update={"chat": chat}), start)
            steps = steps_for_tokens(inputs.training, settings.tokens)
            loop = inputs.settings.loop.model_copy(update={"steps": steps, "validate_every": steps})
            inputs = replace(inputs, settings=inputs.settings.model_copy(update={"loop": loop}))
            folder = out / f"tasks-{len(paths)}-seed-{seed}"
            learned = sft(inputs, start, folder, log=lambda _: None).tokens
            model, most = load_decoder(folder, device), settings.conversations
            scores = {
                path.name: score_task(model, template, path, chat.sequence_length, most, device)
                for path in split.held_out
            }
            found.append(TaskRun(seed, tuple(path.name for path in paths), learned, steps, scores))
            log(_describe_run(found[-1]))
    rows = [asdict(entry) | {"scores": {name: s._asdict() for name, s in entry.scores.items()}} for entry in found]
    write_atomically(out / "task_scaling.json", json.dumps({"tokens": settings.tokens, "runs": rows}, indent=1) + "\n")
    return found


def _describe_run(run: TaskRun) -> str:
    unseen = ", ".join(run.scores)
    return (
        f"seed {run.seed}: {len(run.tasks)} tasks, {run.tokens:,} answer tokens in {run.steps:,} steps; {unseen}: "
        f"loss {run.mean.loss:.4f}, {run.mean.accuracy:.1%} exact"
    )


def describe_scaling(runs: Sequence[TaskRun]) -> str:
    """The means over the seeds for each number of tasks."""
    lines = ["tasks  tokens     loss    exact   (means over seeds, on tasks that were not trained on)"]
    for count in sorted({len(run.tasks) for run in runs}):
        same = [run for run in runs if len(run.tasks) == count]
        loss, accuracy = (sum(values) / len(same) for values in zip(*(run.mean for run in same), strict=True))
        lines.append(f"{count:<6} {sum(run.tokens for run in same) / len(same):<10,.0f} {loss:<7.4f} {accuracy:.1%}")
    low, high = min(run.tokens for run in runs), max(run.tokens for run in runs)
    lines.append(f"every run learned the same number of answer tokens, to half a step: {low:,} to {high:,}")
    return "\n".join(lines)
