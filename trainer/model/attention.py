"""Attention and its masks: causal, within documents, with a bidirectional prefix, and against a cache of past keys.

A mask has the form that is fastest on the device, is built once per batch, and is shared by all layers:

    None        plain causal attention, built into the kernels
    Spans       packed documents on a CPU: attention runs document by document, so masked pairs are never computed
    BlockMask   packed documents or prefixes on CUDA: flex_attention skips the blocks that are masked
    Tensor      bool [B, 1, queries, keys], true where a query may attend: prefixes on a CPU, branches, caches,
                cross-attention
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask, flex_attention

# Tokens. On a CPU in bf16, three plain operations are faster than the fused kernel up to about 1,000 tokens; in fp32
# they are slower. (torch 2.13, forward and backward: 4.5 x at 128 tokens, 2.5 x at 256, 1.8 x at 512, 1.2 x at 1,024.)
SHORT = 512
BLOCK = 128  # queries and keys of a block of flex_attention
_FUTURE_MASK = torch.full((SHORT, SHORT), -torch.inf, dtype=torch.bfloat16).triu(1)  # 0 but where the key comes later


@dataclass(frozen=True)
class Spans:
    """Lengths of the documents of all sequences in order; they add up to B * S, and none crosses a sequence's end."""

    lengths: list[int]


Mask = Tensor | BlockMask | Spans | None


def attention_mask(document_ids: Tensor | None, prefix: Tensor | None = None, branches: Tensor | None = None) -> Mask:
    """The mask of packed sequences.

    document_ids: int [B, S], equal on the neighboring tokens of a document; None means one document per sequence.
    prefix: int [B], number of first tokens with attention in both directions (prefix-LM, Raffel et al. 2020).
    branches: int [B, S], 0 on what all continuations of a document share, else the number of the continuation, which
    sees that and itself.
    """
    if branches is not None:
        return branch_mask(torch.zeros_like(branches) if document_ids is None else document_ids, branches)
    if document_ids is None:
        if prefix is not None:
            raise ValueError("a prefix needs document_ids [B, S] as well; zeros if every sequence is one document")
        return None
    if document_ids.is_cuda:
        return _block_mask(document_ids, prefix)
    if prefix is not None:
        return dense_mask(document_ids, document_ids, prefix)
    if _is_padded_at_the_end(document_ids):
        return None  # no token sees what comes after it
    lengths = span_lengths(document_ids)
    return None if len(lengths) == len(document_ids) else Spans(lengths)


def _is_padded_at_the_end(document_ids: Tensor) -> bool:
    """Whether every sequence is one document, with nothing but padding (ids below 0) behind it.

    Without a mask, 128 rows of answers take a third of the time that they take as spans.
    """
    changes = (document_ids[:, 1:] != document_ids[:, :-1]).sum(dim=1)
    return bool(((changes == 0) | ((changes == 1) & (document_ids[:, -1] < 0))).all())


def span_lengths(document_ids: Tensor) -> list[int]:
    """int [B, S] -> the lengths of the runs of equal ids, sequence after sequence."""
    begins = torch.ones_like(document_ids, dtype=torch.bool)
    begins[:, 1:] = document_ids[:, 1:] != document_ids[:, :-1]
    starts = begins.flatten().nonzero().flatten()
    lengths: list[int] = torch.diff(starts, append=starts.new_tensor([document_ids.numel()])).tolist()
    return lengths


def dense_mask(queries: Tensor, keys: Tensor, prefix: Tensor | None = None) -> Tensor:
    """bool [B, 1, Q, K] from document ids int [B, Q] and [B, K]; the queries are the last Q of the K positions."""
    row = torch.arange(keys.shape[1] - queries.shape[1], keys.shape[1], device=queries.device)[:, None]  # [Q, 1]
    column = torch.arange(keys.shape[1], device=queries.device)[None, :]  # [1, K]
    visible = column <= row
    if prefix is not None:
        visible = visible | (column < prefix[:, None, None])  # [B, Q, K]
    same = queries[:, :, None] == keys[:, None, :]  # [B, Q, K]
    return (visible & same)[:, None]


def branch_mask(document_ids: Tensor, branches: Tensor) -> Tensor:
    """bool [B, 1, S, S] from int [B, S] both: causal, within a document, and never from branch to branch."""
    queries, keys = branches[:, :, None], branches[:, None, :]
    return dense_mask(document_ids, document_ids) & ((keys == 0) | (keys == queries))[:, None]


def _block_mask(document_ids: Tensor, prefix: Tensor | None) -> BlockMask:
    """The rule of `dense_mask` for flex_attention, which evaluates it only in the blocks that are partly masked.

    The blocks follow from where documents begin and end. `create_block_mask` would evaluate the rule for every pair of
    tokens, uncompiled: 2.6 GB and 13 s for a sequence of 16,384 tokens on a CPU.
    """

    def visible(batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        same = document_ids[batch, query] == document_ids[batch, key]
        before = query >= key
        return same & (before if prefix is None else before | (key < prefix[batch]))

    length = document_ids.shape[1]
    partly, fully = document_blocks(document_ids, prefix)
    return BlockMask.from_kv_blocks(
        *_block_lists(partly), *_block_lists(fully), BLOCK_SIZE=BLOCK, mask_mod=visible, seq_lengths=(length, length)
    )


def document_blocks(document_ids: Tensor, prefix: Tensor | None) -> tuple[Tensor, Tensor]:
    """int [B, S] -> blocks of queries and keys that are partly and that are fully visible, bool [B, n, n] each.

    A document is a run of equal ids, and no id returns after another one. A query sees the keys from the beginning of
    its document up to itself, or to where the document or the prefix int [B] ends. Neither bound falls from query to
    query, so those of a block follow from its first query and its last.
    """
    length = document_ids.shape[1]
    place = torch.arange(length, device=document_ids.device)
    begins = torch.ones_like(document_ids, dtype=torch.bool)
    begins[:, 1:] = document_ids[:, 1:] != document_ids[:, :-1]
    low = torch.where(begins, place, 0).cummax(dim=1).values  # [B, S], the first key of each query
    high = (place + 1).expand_as(low)  # [B, S], behind its last key
    if prefix is not None:
        ends = torch.where(begins.roll(-1, dims=1), place + 1, length)  # begins[:, 0] is true: the last place ends one
        end = ends.flip(1).cummin(dim=1).values.flip(1)
        high = torch.maximum(high, torch.minimum(end, prefix[:, None]))
    first, last = slice(None, None, BLOCK), [min(end, length) - 1 for end in range(BLOCK, length + BLOCK, BLOCK)]
    block = torch.arange(len(last), device=document_ids.device)
    key, whole = block[None, :], (block[:, None] + 1) * BLOCK <= length  # [1, n], [n, 1]: the last block may be short
    seen = (key >= low[:, first, None] // BLOCK) & (key * BLOCK < high[:, last, None])  # [B, n, n]
    fully = (key * BLOCK >= low[:, last, None]) & ((key + 1) * BLOCK <= high[:, first, None]) & whole
    return seen & ~fully, fully


def _block_lists(blocks: Tensor) -> tuple[Tensor, Tensor]:
    """bool [B, n, n] -> the number of key blocks of each query block, and their indices first: int32 [B, 1, n(, n)]."""
    order = blocks.to(torch.int8).argsort(dim=-1, descending=True, stable=True)
    return blocks.sum(dim=-1, dtype=torch.int32)[:, None], order.to(torch.int32)[:, None]


def attend(q: Tensor, k: Tensor, v: Tensor, mask: Mask, causal: bool = True) -> Tensor:
    """Scaled dot-product attention. q [B, H, Q, D], k and v [B, G, K, D] with G dividing H -> [B, H, Q, D].

    `causal` applies only without a mask; queries and keys must then start at the same position, unless there is one
    query, the last token, which sees all keys.
    """
    if isinstance(mask, BlockMask):
        within_graph = torch.compiler.is_compiling()  # of a compiled block: it compiles the kernel, too
        flex = _compiled_flex() if q.is_cuda and not within_graph else flex_attention
        mixed: Tensor = flex(q, k, v, block_mask=mask, enable_gqa=k.shape[1] != q.shape[1])
        return mixed
    if isinstance(mask, Spans):
        attended: Tensor = _attend_spans(q, k, v, mask)
        return attended
    return _sdpa(q, k, v, mask, causal and mask is None and q.shape[2] > 1)


@cache
def _compiled_flex() -> Any:
    return torch.compile(flex_attention, dynamic=False)


# Not compiled: lengths differ from batch to batch, and torch would recompile for each until its limit is reached.
@torch.compiler.disable  # type: ignore[untyped-decorator]
def _attend_spans(q: Tensor, k: Tensor, v: Tensor, spans: Spans) -> Tensor:
    """Causal attention inside each span. One split and one concatenation, so that autograd copies each tensor once."""
    flat = (x.transpose(1, 2).flatten(0, 1) for x in (q, k, v))  # [B * S, heads, D]
    pieces = [
        [part.transpose(0, 1)[None] for part in torch.split(x, spans.lengths)] for x in flat
    ]  # [1, heads, L, D] each
    mixed = [_sdpa(a, b, c, None, True)[0].transpose(0, 1) for a, b, c in zip(*pieces, strict=True)]  # [L, H, D] each
    batch, heads, length, depth = q.shape
    return torch.cat(mixed).view(batch, length, heads, depth).transpose(1, 2)


def _attend_short(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Causal attention with the scores written out. All bf16 [B, H, L, D]."""
    length = q.shape[2]
    scores = torch.baddbmm(
        _FUTURE_MASK[:length, :length],
        q.flatten(0, 1),
        k.flatten(0, 1).transpose(1, 2),
        alpha=q.shape[3] ** -0.5,
    )  # [B * H, L, L]
    return (scores.softmax(dim=-1) @ v.flatten(0, 1)).view(q.shape)


def _sdpa(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, causal: bool) -> Tensor:
    grouped = k.shape[1] != q.shape[1]
    if grouped and not q.is_cuda:  # measured: the CPU kernel is slower with grouped heads than with repeated ones
        k, v = (x.repeat_interleave(q.shape[1] // k.shape[1], dim=1) for x in (k, v))
        grouped = False
    if causal and not q.is_cuda and q.dtype is torch.bfloat16 and q.shape[2] <= SHORT:
        return _attend_short(q, k, v)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=causal, enable_gqa=grouped)
