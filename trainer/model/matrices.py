"""The matrices of a network's blocks, and which weights hold several of them: Muon treats each as one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from torch import nn

from trainer.model.decoder import Attention, FeedForward
from trainer.model.encoder_decoder import BiasedAttention
from trainer.model.experts import SparseFeedForward


class Stack(NamedTuple):
    """Matrices side by side in one weight [..., rows, columns]; a leading dimension counts experts."""

    dim: int  # along which they lie
    sizes: tuple[int, ...]  # of each, along `dim`


def find_matrices(model: nn.Module) -> dict[str, Stack]:
    """The matrices between a model's blocks' hidden states, by the name of their weight.

    Left out are the embedding, the head, the routers, position biases and norms: what Muon is not meant for (Jordan
    et al. 2024).
    """
    return {f"{path}.{name}": stack for path, module in model.named_modules() for name, stack in _matrices_of(module)}


def _matrices_of(module: nn.Module) -> Iterator[tuple[str, Stack]]:
    if isinstance(module, Attention):
        queries, keys = module.heads * module.head_dim, module.kv_heads * module.head_dim
        yield "qkv.weight", Stack(-2, (queries, keys, keys))
        yield "out.weight", Stack(-2, (module.out.out_features,))
    elif isinstance(module, BiasedAttention):
        yield "q.weight", Stack(-2, (module.q.out_features,))
        yield "kv.weight", Stack(-2, (module.kv.out_features // 2,) * 2)
        yield "out.weight", Stack(-2, (module.out.out_features,))
    elif isinstance(module, FeedForward):
        yield "gate_up.weight", Stack(-2, (module.gate_up.out_features // 2,) * 2)
        yield "down.weight", Stack(-2, (module.down.out_features,))
    elif isinstance(module, SparseFeedForward):  # its matrices have inputs as rows
        yield "gate_up", Stack(-1, (module.gate_up.shape[-1] // 2,) * 2)
        yield "down", Stack(-1, (module.down.shape[-1],))
