"""Pretraining: next-token prediction or denoising on batches of a mixture."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from tqdm import tqdm

from trainer.config import ConfigError
from trainer.data.batches import Batch, BatchSource, Segment
from trainer.data.tokenizer import Tokenizer
from trainer.model.build import build_model
from trainer.model.size import count_flops_per_token, count_parameters
from trainer.model.weights import initialize_weights
from trainer.retrieval.neighbors import NeighborFinder
from trainer.tasks.denoising import denoising_inputs
from trainer.tasks.document_losses import domain_losses, worst_documents
from trainer.tasks.launch import launch
from trainer.tasks.pretrain_settings import PretrainSettings
from trainer.tasks.start_model import compare_stored_tokenizer, tokenizer_texts
from trainer.training.distributed import World
from trainer.training.loop import TrainingResult
from trainer.training.run import InitialWeights
from trainer.training.step import Inputs, Replica, accumulate, evaluate_loss
from trainer.training.task import StepGradient, Workload


def pretrain(
    settings: PretrainSettings,
    source: BatchSource,
    out: Path,
    *,
    tokenizer: Tokenizer | None = None,
    validation: BatchSource | None = None,
    neighbors: NeighborFinder | None = None,
    start: Path | None = None,
    allow_changes: bool = False,
    log: Callable[[str], None] = tqdm.write,
) -> TrainingResult:
    """Train a model on batches, resuming from the latest checkpoint in `out` if there is one.

    tokenizer: stored with every checkpoint, so that a run's folder is whole by itself. start: a run or a checkpoint
    whose weights are the initial ones. neighbors: for a model that reads them. allow_changes: resume though settings
    or data differ from the checkpoint's.
    """
    weights = None if start is None else InitialWeights(start)
    task = PretrainTask(settings, source, validation, tokenizer, neighbors)
    return launch(task, out, start=weights, allow_changes=allow_changes, log=log)


class PreparedBatch(NamedTuple):
    """The data of one step on one rank."""

    batch: Batch
    documents: NDArray[Any]  # the corpus's document of every input token, int64 [B, S]
    inputs: list[Inputs]  # of each micro-batch


@dataclass(frozen=True)
class PretrainTask:
    """The task of predicting the next token of a batch, or what a denoiser has hidden (see `trainer.training.task`)."""

    settings: PretrainSettings
    source: BatchSource
    validation: BatchSource | None = None
    tokenizer: Tokenizer | None = None
    neighbors: NeighborFinder | None = None
    prefetches: bool = True  # a step's data is a function of its number

    def __post_init__(self) -> None:
        model, objective, length = self.settings.model, self.settings.objective, self.source.settings.sequence_length
        if length > model.context_length:
            raise ConfigError(
                f"data.sequence_length = {length} is longer than model.context_length = {model.context_length}"
            )
        if model.retro is not None and self.neighbors is None:
            raise ConfigError("model.retro reads neighbors, and this run has no chunk database")
        if objective.denoisers and objective.highest_id >= model.vocab_size:
            raise ConfigError(
                f"objective uses id {objective.highest_id} (a sentinel, mode or the separator), "
                f"and model.vocab_size = {model.vocab_size} ends before it"
            )

    @property
    def fingerprint(self) -> str:
        """Hash of the data and settings of the training batches."""
        return self.source.fingerprint

    def position(self, step: int) -> dict[str, Any]:
        """The next sequence, in an order that does not depend on the batch size."""
        return {
            "order": self.source.order,
            "next_sequence": self.source.sequences(step).start,
            "sequence_length": self.source.settings.sequence_length,
            "segments": [segment for segment in self.source.segments if segment.step < max(step, 1)],
        }

    def resume_at(self, step: int, position: dict[str, Any]) -> tuple[PretrainTask, str | None]:
        """Continue behind the last sequence read, also with another batch size. In another order, that is not exact."""
        now, read = self.source.settings, position["next_sequence"]
        if position["order"] == self.source.order:
            segments = [Segment(*values) for values in position["segments"]]
            if segments[-1].batch_size == now.batch_size:
                return replace(self, source=self.source.with_segments(segments)), None
            change = f"data.batch_size {segments[-1].batch_size} -> {now.batch_size}: continuing at sequence {read:,}"
            return self._continue([*segments, Segment(step, read, now.batch_size)]), change
        read = -(-read * position["sequence_length"] // now.sequence_length)
        change = (
            f"the data has changed: continuing at sequence {read:,} of another order, some text is read again or never"
        )
        return self._continue([Segment(step, read, now.batch_size)]), change

    def _continue(self, segments: list[Segment]) -> PretrainTask:
        return replace(self, source=self.source.with_segments(segments))

    @property
    def texts(self) -> Mapping[str, str]:
        """The tokenizer."""
        return tokenizer_texts(self.tokenizer)

    def compare_texts(self, stored: Mapping[str, str]) -> str | None:
        """Weights fit the tokenizer that they were trained with, whatever the path of its file."""
        return compare_stored_tokenizer(stored, self.tokenizer)

    @cached_property
    def workload(self) -> Workload:
        """Size of the model, and tokens of a batch."""
        model, batches = self.settings.model, self.source.settings
        return Workload(
            parameters=count_parameters(model),
            active_parameters=count_parameters(model, active=True),
            flops_per_token=count_flops_per_token(model, batches.sequence_length),
            tokens_per_step=batches.batch_size * batches.sequence_length,
            domains=list(self.source.corpus.domains),
        )

    def build_model(self) -> nn.Module:
        """A decoder or an encoder-decoder, on the meta device."""
        return build_model(self.settings.model)

    def initialize(self, model: nn.Module) -> None:
        """Set the initial weights, a function of the seed."""
        initialize_weights(model, self.settings.loop.seed)

    def prepare(self, step: int, world: World) -> PreparedBatch:
        """This rank's part of the batch of a step."""
        return self._read(self.source, step, world)

    def _read(self, source: BatchSource, step: int, world: World) -> PreparedBatch:
        batch = source.batch(step, world.reader, world.shape.readers)
        documents = source.token_documents(step, world.reader, world.shape.readers)
        inputs = self._model_inputs(batch, step, world.reader)
        if self.neighbors is not None:
            found = self.neighbors.find_for_rows(batch.inputs, documents, source.corpus)
            parts = torch.split(found, self.settings.loop.micro_batch_size or len(found))
            inputs = [part | {"neighbors": own} for part, own in zip(inputs, parts, strict=True)]
        return PreparedBatch(batch, documents, inputs)

    def _model_inputs(self, batch: Batch, step: int, reader: int) -> list[Inputs]:
        """The micro-batches, each as keyword arguments of the model."""
        objective, model = self.settings.objective, self.settings.model
        rows = len(batch.inputs)
        micro_batch_size = self.settings.loop.micro_batch_size or rows
        parts = batch.split(micro_batch_size)
        if not objective.denoisers:
            return [causal_inputs(part) for part in parts]
        seed = (self.settings.loop.seed, step)
        first = reader * rows
        return [
            denoising_inputs(
                part, objective, model.vocab_size, model.encoder_layers > 0, seed, first + number * micro_batch_size
            )
            for number, part in enumerate(parts)
        ]

    def add_gradient(self, prepared: PreparedBatch, replica: Replica) -> StepGradient:
        """Forward and backward of all micro-batches."""
        experts = self.settings.model.experts
        found = accumulate(
            replica.module, prepared.inputs, replica.world, replica.bf16, experts, replica.defer_gradients
        )
        losses, counted = losses_by_input_token(found.token_losses, prepared)
        numbers: dict[str, Any] = {
            "domains": domain_losses(losses, counted, prepared.documents, self.source, replica.world)
        }
        if found.routing is not None:
            numbers["experts"] = {name: value.tolist() for name, value in found.routing._asdict().items()}
        worst = partial(worst_documents, losses, prepared.documents, self.source, replica.world)
        return StepGradient(found.loss, found.tokens, self.workload.tokens_per_step, numbers, worst)

    def validate(self, replica: Replica) -> dict[str, Any] | None:
        """Mean loss of the first validation batches in all, and by domain with its tokens.

        bits_per_byte: by the mean bytes of a token in the validation data. A model that reads neighbors is measured
        without them as well.
        """
        if self.validation is None:
            return None
        found = self._measure(self.validation, replica, with_neighbors=True)
        if self.neighbors is not None:
            alone = self._measure(self.validation, replica, with_neighbors=False)
            found |= {f"{name}_without_neighbors": alone[name] for name in ("loss", "bits_per_byte")}
        return found

    def _measure(self, source: BatchSource, replica: Replica, *, with_neighbors: bool) -> dict[str, Any]:
        sums: dict[str, list[float]] = {}
        for step in range(self.settings.loop.validate_batches):
            read = self._read(source, step, replica.world)
            inputs = read.inputs if with_neighbors else [without_neighbors(part) for part in read.inputs]
            token_losses = evaluate_loss(replica.module, inputs, replica.world, replica.bf16)
            losses, counted = losses_by_input_token(token_losses, read)
            means = domain_losses(losses, counted, read.documents, source, replica.world)
            for name, (mean, count) in means.items():
                total = sums.setdefault(name, [0.0, 0.0])
                total[0] += mean * count
                total[1] += count
        loss = sum(total for total, _ in sums.values()) / sum(count for _, count in sums.values())
        corpus = source.corpus
        bits = loss / math.log(2) * corpus.tokens / max(int(corpus.bytes.sum()), 1)
        domains = {name: [total / count, count] for name, (total, count) in sums.items()}
        return {"loss": loss, "bits_per_byte": bits, "domains": domains}


def without_neighbors(inputs: Inputs) -> Inputs:
    """The same arguments for a model that is to read none."""
    return {name: value for name, value in inputs.items() if name != "neighbors"}


def causal_inputs(batch: Batch) -> Inputs:
    """The model's arguments for next-token prediction; all tensors [B, S]."""
    return {
        "tokens": batch.inputs,
        "targets": batch.targets,
        "weights": batch.loss_mask,
        "positions": batch.positions,
        "document_ids": batch.document_ids,
    }


def losses_by_input_token(losses: list[Tensor], prepared: PreparedBatch) -> tuple[Tensor, Tensor]:
    """The loss of each input token of the batch, and whether it counts; both [B, S].

    Denoising changes the tokens of a sequence: then each input token gets the mean loss of its sequence.
    """
    batch, inputs = prepared.batch, prepared.inputs
    if all(part.shape[1] == batch.inputs.shape[1] for part in losses) and "prefix" not in inputs[0]:
        return torch.cat(losses), batch.loss_mask
    pairs = zip(losses, inputs, strict=True)
    means = [(loss * part["weights"]).sum(dim=1) / part["weights"].sum(dim=1) for loss, part in pairs]  # [B] each
    return torch.cat(means)[:, None].expand(batch.inputs.shape), torch.ones_like(batch.loss_mask)
