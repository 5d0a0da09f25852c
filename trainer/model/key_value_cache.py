"""Keys and values of the tokens seen so far, so that each new token needs a forward pass of one token only."""

from __future__ import annotations

import torch
from torch import Tensor

from trainer.model.attention import Mask, dense_mask
from trainer.model.model_settings import ModelSettings


class KeyValueCache:
    """Keys and values [layers, B, G, capacity, D] each, and the document ids of the tokens."""

    def __init__(self, settings: ModelSettings, rows: int, capacity: int, like: Tensor) -> None:
        shape = (settings.layers, rows, settings.num_kv_heads, capacity, settings.dim_per_head)
        self.keys = like.new_zeros(shape)
        self.values = like.new_zeros(shape)
        self.document_ids = torch.zeros((rows, capacity), dtype=torch.int32, device=like.device)
        self.has_documents = False  # whether a row has more than one document, such as padding
        self.length = 0

    def extend(self, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Append k and v [B, G, S, D] of a layer; returns all keys and values so far."""
        end = self.length + k.shape[2]
        if end > self.keys.shape[3]:
            raise ValueError(f"the cache holds {self.keys.shape[3]} tokens and {end} are needed")
        keys, values = self.keys[layer], self.values[layer]
        keys[:, :, self.length : end] = k
        values[:, :, self.length : end] = v
        return keys[:, :, :end], values[:, :, :end]

    def keep(self, rows: Tensor) -> None:
        """Forget all rows but these, int [R]; a row may be taken several times."""
        self.keys, self.values = self.keys[:, rows], self.values[:, rows]
        self.document_ids = self.document_ids[rows]

    def mask(self, document_ids: Tensor | None, new: int, prefix: Tensor | None = None) -> Mask:
        """The mask of `new` more tokens. document_ids: int [B, new], stored beside the keys. prefix: int [B]."""
        end = self.length + new
        if document_ids is not None:
            self.document_ids[:, self.length : end] = document_ids
            self.has_documents = True
        if (new == end and document_ids is None and prefix is None) or (new == 1 and not self.has_documents):
            return None
        return dense_mask(self.document_ids[:, self.length : end], self.document_ids[:, :end], prefix)
