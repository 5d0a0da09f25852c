"""Self-instruct (Wang et al. 2022): from a few tasks written by people to many written by a model.

A round shows the model tasks of the pool and asks for further ones; keeps those that pass the filters and are new; asks
of each whether it is a classification; and asks for instances: labels first in a classification, so that not all
instances get the most likely one, else inputs first. All that a round needs follows from the seed, its number and the
pool, and it is written as a whole: a killed run goes on as if nothing had happened.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from trainer.chat.conversation import ConversationError, Message, make_message
from trainer.chat.read_conversations import ReadReport, read_items
from trainer.errors import UserError
from trainer.rollouts.endpoint import EndpointSettings
from trainer.rollouts.generate import hash_seed
from trainer.rollouts.generator import BadReply, ChatRequest, Generator, Reply, Usage
from trainer.rollouts.journal import Journal
from trainer.settings import Settings
from trainer.tasks.instruction_filters import TaskInstance, TaskPool, find_fault, keep_instances

_NUMBER = re.compile(r"^\s*(?:task\s*)?\d+\s*[.):]\s*", re.IGNORECASE | re.MULTILINE)
_PART = re.compile(r"^\W*(input|output|label)\s*:\W*?[ \t]*", re.IGNORECASE | re.MULTILINE)
_HEADING = re.compile(r"\n\W*(?:instance|example|task)?\s*\d*\W*$", re.IGNORECASE)  # of the next instance
_NOTHING = {"", "none", "(none)", "<none>", "n/a", "no input", "<noinput>"}
_SHOWN_OF_EACH = 4  # examples of each kind when a task is classified


class SelfInstructSettings(Settings):
    """How tasks are generated. Examples, novelty, temperature and top_p are those of the paper's program for tasks."""

    count: int = Field(default=1000, ge=1, description="tasks to write")
    examples: int = Field(default=8, ge=1, description="tasks of the pool that are shown in a request for further ones")
    machine_examples: int = Field(
        default=2, ge=0, description="of these, tasks that the model wrote, once there are any"
    )
    requests: int = Field(default=4, ge=1, description="requests for tasks in one round")
    novelty: float = Field(
        default=0.7, gt=0, le=1, description="ROUGE-L with a task of the pool that makes one no new one"
    )
    temperature: float = Field(default=0.7, ge=0, le=2, description="sampling temperature of tasks and instances")
    top_p: float = Field(default=0.5, gt=0, le=1, description="share of the probability that is sampled from")
    max_tokens: int = Field(default=1024, ge=1, description="most tokens of one answer")
    instances: int = Field(default=3, ge=1, le=20, description="instances that are asked for, and kept at most")
    empty_rounds: int = Field(default=10, ge=1, description="rounds without a new task after which the run ends")
    seed: int = Field(default=0, description="seed of the tasks that are shown and of the model's samples")
    endpoint: EndpointSettings = Field(default=EndpointSettings(), description="how an endpoint is asked")


@dataclass(frozen=True, slots=True)
class SeedTask:
    """A task written by people."""

    instruction: str
    instances: tuple[TaskInstance, ...]
    is_classification: bool


def read_seeds(paths: Sequence[Path], report: ReadReport) -> list[SeedTask]:
    """Tasks with `instruction`, `instances` and `is_classification`. Raises UserError for fewer than two."""
    seeds = read_items(paths, _read_seed, report)
    if len(seeds) < 2:
        raise UserError(f"{paths[0]}: holds {len(seeds)} task; give some dozens")
    return seeds


def _read_seed(item: Any, source: str) -> Iterator[SeedTask]:
    if not isinstance(item, Mapping):
        raise ConversationError("not an object")
    instances = item.get("instances", [item])
    if not isinstance(instances, list) or not all(isinstance(each, Mapping) for each in instances):
        raise ConversationError("no instances")
    instruction = make_message("user", item.get("instruction")).content
    pairs = [
        TaskInstance(str(each.get("input") or ""), make_message("assistant", each.get("output")).content)
        for each in instances
    ]
    yield SeedTask(instruction.strip(), tuple(pairs), item.get("is_classification") is True)


# --- requests ---


def ask_tasks(shown: Sequence[str], settings: SelfInstructSettings, *numbers: int) -> ChatRequest:
    """Further tasks after those that are shown."""
    listed = "\n".join(f"{number}. {_one_line(task)}" for number, task in enumerate(shown, 1))
    first = len(shown) + 1
    return _ask(
        "Below are tasks for an assistant that reads and writes text. Think of 8 further tasks. Let them differ from "
        "these and from each other in subject, form, length and difficulty, and let a text be enough to answer them. "
        f"Write only the tasks, one in a line, numbered from {first}.\n\n{listed}\n{first}.",
        settings, settings.max_tokens, settings.temperature, *numbers,
    )  # fmt: skip


def ask_kind(task: str, seeds: Sequence[SeedTask], settings: SelfInstructSettings) -> ChatRequest:
    """Whether a task is a classification: yes or no."""
    kinds = [[seed for seed in seeds if seed.is_classification is kind][:_SHOWN_OF_EACH] for kind in (True, False)]
    examples = "".join(
        f"Task: {_one_line(seed.instruction)}\nAnswer: {'yes' if seed.is_classification else 'no'}\n\n"
        for pair in zip(*kinds, strict=False)
        for seed in pair
    )
    return _ask(
        "Is the answer to a task always one of a few labels that are known beforehand? Write yes or no and nothing "
        f"else.\n\n{examples}Task: {_one_line(task)}\nAnswer:",
        settings, 8, 0.0,
    )  # fmt: skip


def ask_instances(
    task: str, seeds: Sequence[SeedTask], settings: SelfInstructSettings, *, is_classification: bool
) -> ChatRequest:
    """Instances of a task: of a classification the labels first."""
    shown = [seed for seed in seeds if seed.is_classification is is_classification and seed.instances][:3]
    order = "first a line Label: and then a line Input: with a text that has it" if is_classification else (
        "first a line Input: with the text that the task is about, or none if it needs no text, and then a line Output:"
    )  # fmt: skip
    examples = "".join(
        f"Task: {_one_line(seed.instruction)}\n{_show(item, is_classification)}\n\n"
        for seed in shown
        for item in seed.instances[:1]
    )
    return _ask(
        f"Write {settings.instances} instances of the last task, each as {order}.\n\n{examples}"
        f"Task: {_one_line(task)}\n",
        settings, settings.max_tokens, settings.temperature,
    )  # fmt: skip


def _show(item: TaskInstance, is_classification: bool) -> str:
    if is_classification:
        return f"Label: {item.output}\nInput: {item.input or 'none'}"
    return f"Input: {item.input or 'none'}\nOutput: {item.output}"


def _ask(text: str, settings: SelfInstructSettings, tokens: int, temperature: float, *numbers: int) -> ChatRequest:
    return ChatRequest(
        (Message("user", text),),
        max_tokens=min(tokens, settings.max_tokens),
        temperature=temperature,
        top_p=settings.top_p,
        seed=hash_seed(settings.seed, *numbers, int(hashlib.sha256(text.encode()).hexdigest()[:12], 16)),
    )


def _one_line(text: str) -> str:
    return " ".join(text.split())


# --- answers ---


def read_tasks(reply: Reply) -> list[str]:
    """The numbered tasks of an answer; the last one of an answer that was cut off is incomplete and left out.

    >>> read_tasks(Reply("Name three rivers. \\n10. Why is the sky blue?", True, 1, 1))
    ['Name three rivers.', 'Why is the sky blue?']
    """
    tasks = [_one_line(text) for text in _NUMBER.split(reply.text)]
    tasks = [task for task in tasks if task]
    return tasks if reply.finished else tasks[:-1]


def read_instances(reply: Reply, *, is_classification: bool) -> list[TaskInstance]:
    """Pairs of what is asked for first and second, in the order of the answer."""
    _, *parts = _PART.split(reply.text)
    named = [
        (name.lower(), _HEADING.sub("", text.rstrip()).strip())
        for name, text in zip(parts[::2], parts[1::2], strict=True)
    ]
    first, second = ("label", "input") if is_classification else ("input", "output")
    found = []
    for (before, one), (after, other) in pairwise(named):
        if (before, after) == (first, second):
            given, answer = (other, one) if is_classification else (one, other)
            found.append(TaskInstance("" if given.lower() in _NOTHING else given, answer))
    return found if reply.finished else found[:-1]


# --- rounds ---


@dataclass
class SelfInstruct:
    """A run: seeds, a generator, and the journal that holds the tasks so far."""

    seeds: Sequence[SeedTask]
    generator: Generator
    settings: SelfInstructSettings
    journal: Journal
    tasks: list[dict[str, Any]] = field(init=False)
    dropped: Counter[str] = field(init=False)  # instructions that were not kept, by reason

    def __post_init__(self) -> None:
        state = self.journal.state
        self.tasks = list(self.journal.lines())
        self.round, self.empty = int(state.get("round", 0)), int(state.get("empty", 0))
        self.dropped = Counter(state.get("dropped", {}))
        self.usage = Usage.from_json(state["usage"]) if state else Usage()
        self.pool = TaskPool(
            [*(seed.instruction for seed in self.seeds), *(task["instruction"] for task in self.tasks)]
        )

    def run(self, on_tasks: Callable[[int], object]) -> None:
        """Rounds until there are enough tasks. Raises UserError where none are new for long."""
        on_tasks(len(self.tasks))
        while len(self.tasks) < self.settings.count:
            if self.empty >= self.settings.empty_rounds:
                raise UserError(
                    f"no new task in {self.empty} rounds, {len(self.tasks):,} of {self.settings.count:,} are written "
                    f"({_counts(self.dropped)}); raise novelty or temperature, or take another model"
                )
            found = self._write_round()[: self.settings.count - len(self.tasks)]
            self.round, self.empty = self.round + 1, 0 if found else self.empty + 1
            self.tasks += found
            state = {"round": self.round, "empty": self.empty, "dropped": self.dropped, "usage": self.usage.to_json()}
            self.journal.commit(found, state)
            on_tasks(len(found))

    def _write_round(self) -> list[dict[str, Any]]:
        replies = self._ask([ask_tasks(self._draw(place), self.settings, self.round, place)
                             for place in range(self.settings.requests)])  # fmt: skip
        new = self._keep_new([task for reply in replies if isinstance(reply, Reply) for task in read_tasks(reply)])
        kinds = self._ask([ask_kind(task, self.seeds, self.settings) for task, _, _ in new])
        labels = [isinstance(reply, Reply) and reply.text.strip().lower().startswith("yes") for reply in kinds]
        asked = [
            ask_instances(task, self.seeds, self.settings, is_classification=label)
            for (task, _, _), label in zip(new, labels, strict=True)
        ]
        tasks = []
        for (task, score, nearest), label, reply in zip(new, labels, self._ask(asked), strict=True):
            found = read_instances(reply, is_classification=label) if isinstance(reply, Reply) else []
            kept = keep_instances(found)[: self.settings.instances]
            if kept:
                instances = [item._asdict() for item in kept]
                about = {"similarity": round(score, 4), "most_similar": nearest, "by": self.generator.name}
                tasks.append({"instruction": task, "instances": instances, "is_classification": label, **about})
            else:
                self.dropped["no usable instance"] += 1
        self.pool = TaskPool([*(seed.instruction for seed in self.seeds),
                              *(task["instruction"] for task in [*self.tasks, *tasks])])  # fmt: skip
        return tasks

    def _ask(self, requests: Sequence[ChatRequest]) -> list[Reply | BadReply]:
        replies = self.usage.ask(self.generator, requests)
        for reply in replies:
            self.usage.note(reply if isinstance(reply, BadReply) else None)
        return replies

    def _draw(self, place: int) -> list[str]:
        """Tasks to show: some that the model wrote, the others by people, in random order."""
        random = np.random.Generator(np.random.PCG64([self.settings.seed, self.round, place]))
        written = [task["instruction"] for task in self.tasks]
        by_machine = min(self.settings.machine_examples, len(written), self.settings.examples)
        by_people = min(self.settings.examples - by_machine, len(self.seeds))
        shown = (
            [written[number] for number in random.choice(len(written), by_machine, replace=False)] if written else []
        )
        shown += [self.seeds[number].instruction for number in random.choice(len(self.seeds), by_people, replace=False)]
        return [shown[number] for number in random.permutation(len(shown))]

    def _keep_new(self, tasks: Sequence[str]) -> list[tuple[str, float, str]]:
        """Those that pass the filters, with their ROUGE-L and nearest task; they join the pool at once."""
        kept = []
        for task in tasks:
            score, nearest = 0.0, ""
            fault = find_fault(task)
            if fault is None:
                score, nearest = self.pool.most_similar(task)
                fault = "not new" if score >= self.settings.novelty else None
            if fault is not None:
                self.dropped[fault] += 1
                continue
            self.pool.add(task)
            kept.append((task, score, nearest))
        return kept

    def describe(self) -> str:
        """A few lines: what was written, what was dropped, and what it cost."""
        count = len(self.tasks)
        labels = sum(task["is_classification"] for task in self.tasks)
        instances = sum(len(task["instances"]) for task in self.tasks)
        mean = sum(task["similarity"] for task in self.tasks) / max(count, 1)
        return (
            f"{count:,} tasks in {self.round:,} rounds, {labels:,} of them classifications, {instances:,} instances; "
            f"mean ROUGE-L with the nearest task before {mean:.2f}\n"
            f"dropped: {_counts(self.dropped)}\n"
            f"{self.usage.describe(count, 'tasks', self.settings.endpoint.prices)}"
        )


def _counts(counter: Counter[str]) -> str:
    return ", ".join(f"{reason} {count:,}" for reason, count in counter.most_common()) or "none"


def seeds_digest(seeds: Sequence[SeedTask]) -> str:
    """Changes when any seed does."""
    return hashlib.sha256(repr(list(seeds)).encode()).hexdigest()[:16]
