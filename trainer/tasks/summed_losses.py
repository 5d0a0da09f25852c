"""The gradient of a step whose loss is a function of a model's output, for tasks that are no next-token prediction."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from trainer.training.distributed import sum_over_readers
from trainer.training.parallelize import exchange_gradients
from trainer.training.step import Inputs, Replica, autocast

# The sum of a micro-batch's losses [], and further sums [] to report, by name.
SummedLoss = Callable[[nn.Module, Inputs], tuple[Tensor, Mapping[str, Tensor]]]


def accumulate_sums(
    parts: Sequence[Inputs], count: float, summed_loss: SummedLoss, replica: Replica, *, last: bool = True
) -> dict[str, float]:
    """Add the gradient of the loss over all ranks divided by `count`: returns `loss` and the reported means.

    count: what is counted on this rank (pairs, tokens); the sums of all ranks are divided by the counts of all ranks.
    last: whether ranks exchange gradients behind these parts; not where another loss of the step follows.
    """
    total = sum_count(count, replica)
    sums: dict[str, Tensor] = {}
    for number, part in enumerate(parts):
        with exchange_gradients(replica.module, last and number == len(parts) - 1, replica.defer_gradients):
            with autocast(replica.world.device, replica.bf16):
                loss, named = summed_loss(replica.module, to_device(part, replica))
            torch.autograd.backward(loss * (replica.world.shape.readers / max(total, 1)))
        add_sums(sums, {"loss": loss, **named})
    return divide_sums(sums, total, replica)


@torch.no_grad()
def mean_sums(parts: Sequence[Inputs], count: float, summed_loss: SummedLoss, replica: Replica) -> dict[str, float]:
    """`loss` and the reported means in evaluation mode, without a gradient; every rank reads all parts."""
    replica.module.eval()
    sums: dict[str, Tensor] = {}
    for part in parts:
        with autocast(replica.world.device, replica.bf16):
            loss, named = summed_loss(replica.module, to_device(part, replica))
        add_sums(sums, {"loss": loss, **named})
    replica.module.train()
    return {name: float(value) / max(count, 1) for name, value in sums.items()}


def to_device(part: Inputs, replica: Replica) -> Inputs:
    return {name: tensor.to(replica.world.device) for name, tensor in part.items()}


def add_sums(sums: dict[str, Tensor], named: Mapping[str, Tensor]) -> None:
    for name, value in named.items():
        sums[name] = sums.get(name, 0) + value.detach().double()


def divide_sums(sums: Mapping[str, Tensor], total: float, replica: Replica) -> dict[str, float]:
    """The sums of all ranks divided by a count."""
    values = torch.stack([value.to(replica.world.device) for value in sums.values()])
    whole = sum_over_readers(values, replica.world).tolist()
    return {name: value / max(total, 1) for name, value in zip(sums, whole, strict=True)}


def sum_count(count: float, replica: Replica) -> float:
    """What is counted on this rank, over all ranks."""
    own = torch.tensor(count, dtype=torch.float64, device=replica.world.device)
    return float(sum_over_readers(own, replica.world))


def count_tokens_read(parts: Sequence[Inputs], replica: Replica) -> int:
    """Tokens of all ranks' rows, without padding."""
    return int(sum_count(sum(int((part["document_ids"] >= 0).sum()) for part in parts), replica))


def count_tokens_learned(parts: Sequence[Inputs], replica: Replica) -> int:
    """Targets of all ranks' rows that count."""
    return int(sum_count(sum(int(part["weights"].sum()) for part in parts), replica))


def model_inputs(part: Inputs) -> Inputs:
    """Those of a batch's tensors that a decoder reads to give values, or the log-probabilities of learned tokens."""
    return {name: part[name] for name in ("tokens", "targets", "weights", "positions", "document_ids")}


def answer_log_probs(model: nn.Module, part: Inputs) -> Tensor:
    """The log-probability of each row's learned tokens, [rows]."""
    output = model(**model_inputs(part), log_probs=True)
    log_probs: Tensor = (output.chosen.log_probs * part["weights"]).sum(dim=1)
    return log_probs
