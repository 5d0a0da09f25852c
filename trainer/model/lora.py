"""LoRA (Hu et al. 2021): frozen matrices with a trained product of two thin ones beside them.

The names of the frozen weights stay, so a model with adapters loads the weights of one without.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from trainer.settings import Settings

ADAPTER_NAMES = ("lora_a", "lora_b")


class LoraSettings(Settings):
    """The size of the adapters, and where they are. The defaults are PEFT's usual ones for Llama."""

    rank: int = Field(default=16, ge=1, description="width of the product: columns of the first matrix")
    alpha: float = Field(default=32.0, gt=0, description="the product is scaled by alpha / rank")
    dropout: float = Field(default=0.0, ge=0, lt=1, description="dropout rate on the input of the product, 0 to 1")
    targets: tuple[str, ...] = Field(
        default=("q", "k", "v", "out", "gate", "up", "down"),
        description="matrices of blocks with an adapter: q, k, v, out of attention; gate, up, down of dense "
        "feed-forwards",
    )

    @property
    def scale(self) -> float:
        """The factor of the product."""
        return self.alpha / self.rank


class LoraLinear(nn.Linear):
    """x W^T + scale * dropout(x) A^T B^T; W [out, in] is frozen, A [rank, in] and B [out, rank] are trained."""

    def __init__(self, inputs: int, outputs: int, settings: LoraSettings) -> None:
        super().__init__(inputs, outputs, bias=False)
        self.weight.requires_grad_(False)
        self.settings = settings
        self.lora_a = nn.Parameter(torch.empty(settings.rank, inputs))
        self.lora_b = nn.Parameter(torch.empty(outputs, settings.rank))
        self.enabled = True

    def forward(self, x: Tensor) -> Tensor:
        """x [..., in] -> [..., out]."""
        result = F.linear(x, self.weight)
        if not self.enabled:
            return result
        thin = F.linear(F.dropout(x, self.settings.dropout, self.training), self.lora_a)
        return result + F.linear(thin, self.lora_b) * self.settings.scale


def add_adapters(model: nn.Module, settings: LoraSettings) -> None:
    """Replaces the named linear layers, and freezes all other weights."""
    for weight in model.parameters():
        weight.requires_grad_(False)
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if name in settings.targets and type(child) is nn.Linear:
                setattr(module, name, LoraLinear(child.in_features, child.out_features, settings))


@contextmanager
def adapters_off(model: nn.Module) -> Iterator[None]:
    """Inside, the model is the one that it was before its adapters were trained."""
    adapted = [module for module in model.modules() if isinstance(module, LoraLinear) and module.enabled]
    for module in adapted:
        module.enabled = False
    try:
        yield
    finally:
        for module in adapted:
            module.enabled = True


def is_adapter(name: str) -> bool:
    """Whether a weight of this name belongs to an adapter."""
    return name.rpartition(".")[2] in ADAPTER_NAMES


def merge_adapters(tensors: Iterable[tuple[str, Tensor]], settings: LoraSettings) -> Iterator[tuple[str, Tensor]]:
    """The weights of the model that computes the same without adapters, in any order of the tensors."""
    waiting: dict[str, dict[str, Tensor]] = {}
    for name, tensor in tensors:
        module, _, kind = name.rpartition(".")
        if module.rpartition(".")[2] not in settings.targets or tensor.ndim != 2:
            yield name, tensor
            continue
        parts = waiting.setdefault(module, {})
        parts[kind] = tensor
        if len(parts) == 3:
            del waiting[module]
            change = (parts["lora_b"].double() @ parts["lora_a"].double()) * settings.scale
            yield f"{module}.weight", (parts["weight"].double() + change).to(parts["weight"].dtype)
    for module, parts in waiting.items():  # a matrix that has a target's name and no adapter, as a router's would
        for kind, tensor in parts.items():
            yield f"{module}.{kind}", tensor
