"""What a network on several ranks needs beyond plain tensors: parts of weights and sequences, rows on the way.

Weights that are divided or copied over ranks are DTensors; the networks compute on plain tensors and say here what each
rank adds. Without ranks every function returns what it was given.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor
from torch.distributed import ProcessGroup
from torch.distributed._functional_collectives import all_to_all_single_autograd
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor, Partial, Replicate, Shard


def local_weight(weight: Tensor) -> Tensor:
    """This rank's part of a weight, as a plain tensor.

    Ranks that hold the same part meet different tokens, so their gradients are added.
    """
    if not isinstance(weight, DTensor):
        return weight
    summed = [Partial() if isinstance(placement, Replicate) else placement for placement in weight.placements]
    return weight.to_local(grad_placements=summed)


def copied_weight(weight: Tensor) -> Tensor:
    """A weight of which every rank has a copy, as a plain tensor.

    The ranks meet equal tokens, so each of them has the whole gradient.
    """
    return weight.to_local() if isinstance(weight, DTensor) else weight


def pad_sequences(values: Tensor, mesh: DeviceMesh | None, padding: int = 0) -> Tensor:
    """[B, S] -> with the least padding at the end that lets the ranks have parts of equal length."""
    missing = 0 if mesh is None else -values.shape[1] % mesh.size()
    return F.pad(values, (0, missing), value=padding) if missing else values


def gather_sequence(states: Tensor, mesh: DeviceMesh | None, *, summed: bool = True) -> Tensor:
    """[B, S / ranks, W], each rank's part of the sequences -> [B, S, W].

    summed: the gradients of all ranks are added, as each has a part of the columns that read the states; else every
    rank computes the whole gradient.
    """
    if mesh is None:
        return states
    parts = DTensor.from_local(states, mesh, [Shard(1)], run_check=False)
    whole = parts.redistribute(placements=[Replicate()])
    return whole.to_local(grad_placements=[Partial() if summed else Replicate()])


def take_part(values: Tensor, mesh: DeviceMesh | None) -> Tensor:
    """[B, S, ...] -> this rank's part of the sequences, [B, S / ranks, ...]."""
    return values if mesh is None else values.chunk(mesh.size(), dim=1)[mesh.get_local_rank()]


class VocabularyPart(NamedTuple):
    """The part of the vocabulary that this rank has logits of."""

    first: int = 0
    group: ProcessGroup | None = None  # ranks with the other parts

    @classmethod
    def of(cls, head: Tensor) -> VocabularyPart:
        """The rows of a head that are held here."""
        if not isinstance(head, DTensor):
            return cls()
        return cls(head.device_mesh.get_local_rank() * head.to_local().shape[0], head.device_mesh.get_group())

    def find(self, targets: Tensor, rows: int) -> tuple[Tensor, Tensor]:
        """int [N] -> the targets' places among this rank's rows, and whether they are among them: [N, 1] each."""
        place = targets[:, None] - self.first
        held = (place >= 0) & (place < rows)
        return place.clamp(0, rows - 1), held

    def log_softmax(self, logits: Tensor) -> Tensor:
        """Logits [N, part] -> log-probabilities [N, part] in the whole vocabulary."""
        if self.group is None:
            return logits.log_softmax(dim=1)
        shifted = logits - self.reduce(logits.amax(dim=1, keepdim=True), maximum=True)
        return shifted - self.reduce(shifted.exp().sum(dim=1, keepdim=True)).log()

    def reduce(self, values: Tensor, maximum: bool = False) -> Tensor:
        """The sum or the maximum over all parts."""
        if self.group is not None:
            dist.all_reduce(values, dist.ReduceOp.MAX if maximum else dist.ReduceOp.SUM, self.group)
        return values


def exchange_rows(x: Tensor, received: list[int], sent: list[int], group: ProcessGroup) -> Tensor:
    """x [sum(sent), W], in rank order -> the rows that other ranks send to this one, [sum(received), W]."""
    exchanged: Tensor = all_to_all_single_autograd(x.contiguous(), received, sent, group)
    return exchanged


def exchange_counts(counts: Tensor, group: ProcessGroup) -> Tensor:
    """int64 [E] rows for each expert -> [ranks, E / ranks]: rows that each rank sends for each expert held here."""
    found = torch.empty_like(counts)
    dist.all_to_all_single(found, counts, group=group)
    return found.view(dist.get_world_size(group), -1)
