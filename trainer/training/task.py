"""The interface between the training loop and a task: what is learned, from which data, with which model.

The loop owns steps, optimizer, learning rate, anomalies, checkpoints, metrics and ranks. A task owns everything else:
`trainer/tasks` has one module for each.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol, TypeVar

from torch import nn

from trainer.training.distributed import World
from trainer.training.step import Replica
from trainer.training.training_settings import TrainingSettings

Prepared = TypeVar("Prepared")


class Workload(NamedTuple):
    """Size of the model and of a step; stored in run.json."""

    parameters: int
    active_parameters: int  # used for one token
    flops_per_token: float  # forward and backward
    tokens_per_step: int  # over all ranks, planned
    domains: list[str]  # of the training data


class StepGradient(NamedTuple):
    """The results of one step, beside the gradients added to the weights."""

    loss: float  # over the global batch, in nats per token; judged by the anomaly detector
    tokens: int  # counted in the loss, on all ranks
    tokens_read: int  # passed through the model, on all ranks
    numbers: dict[str, Any]  # further values for metrics.jsonl
    worst_examples: Callable[[], list[dict[str, Any]]]  # this rank's training examples, highest loss first


class Task(Protocol[Prepared]):
    """What a run learns. Every rank holds one; `prepare`, `add_gradient` and `validate` are called on all ranks."""

    @property
    def settings(self) -> TrainingSettings:
        """All settings of the run, the task's own included; stored in every checkpoint."""

    @property
    def fingerprint(self) -> str:
        """Changes if the data of any step might; a run refuses to resume on other data."""

    def position(self, step: int) -> dict[str, Any]:
        """Where the data of a step begins, as JSON: stored in a checkpoint of this many steps."""

    def resume_at(self, step: int, position: dict[str, Any]) -> tuple[Task[Prepared], str | None]:
        """The task that continues at a stored position, and a line about what has changed since, if anything has."""

    @property
    def texts(self) -> Mapping[str, str]:
        """Files that a run and its checkpoints store, by name: what the model needs in use beside its weights."""

    def compare_texts(self, stored: Mapping[str, str]) -> str | None:
        """Why weights stored with these texts do not fit this task, in a few words; None if they do."""

    @property
    def prefetches(self) -> bool:
        """Whether step s + 1 may be prepared in a thread while step s computes: not if it depends on the weights."""

    @property
    def workload(self) -> Workload: ...

    def build_model(self) -> nn.Module:
        """The trained model on the meta device, without memory for its weights."""

    def initialize(self, model: nn.Module) -> None:
        """Set the initial weights; `model` may be sharded."""

    def prepare(self, step: int, world: World) -> Prepared:
        """The data of a step (from 0) on this rank: a function of its arguments alone if the task prefetches."""

    def add_gradient(self, prepared: Prepared, replica: Replica) -> StepGradient:
        """Add the gradient of a step to the weights' `grad`."""

    def validate(self, replica: Replica) -> dict[str, Any] | None:
        """`loss` and further numbers on validation data; None if there is none."""
